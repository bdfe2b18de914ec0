"""Tell product from backdrop to within a few pixels, on the photo shrunk to `COARSE_SIDE`.

The net says which blob is the product. On a plain backdrop, colour adds the parts that the net
missed and takes away the openings that it filled.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from backend.imaging import filters
from backend.imaging.backdrop import (
    Backdrop,
    Difference,
    Ringing,
    backdrop_difference,
    fit_backdrop,
    guess_subject,
    lab,
    positions,
)
from backend.imaging.filters import Floats, Mask
from backend.imaging.openings import Openings, find_openings
from backend.imaging.regions import touching, without_holes, without_specks
from backend.imaging.subject import SubjectNet

COARSE_SIDE = 640
# The backdrop's surface is fitted to every so many pixels of every so many rows.
SAMPLE_STEP = 6
# JPEG's blocks of 8 px are 16 px wide in colour, and ring in proportion to the edge's contrast.
RINGING_REACH = 16
RINGING_SHARE = 0.08
# The probability below which the net sees no product.
UNLIKELY = 0.1
# Hue as a share of the lightness lost, where a shadow is lit by the product beside it.
MAX_REFLECTED = 0.4


class SubjectNotFound(Exception):
    """Nothing, or next to nothing, stands out from the background."""


@dataclass(frozen=True)
class Coarse:
    """The photo shrunk by `factor`, and what is known of it, as (height, width) arrays.

    guess: the net's, or colour's, at its own size. lab_pixels: CIE Lab. found: what the guess is
    sure of. subject: with what colour adds to it and takes away.
    """

    factor: int
    guess: Floats
    lab_pixels: Floats
    probability: Floats
    backdrop: Backdrop
    difference: Difference
    found: Mask
    subject: Mask
    openings: Openings

    def reach(self, divisor: int) -> int:
        """A distance in its pixels that grows with the picture."""
        return int(max(self.subject.shape)) // divisor


def look_at(rgb: NDArray[np.uint8], net: SubjectNet | None, least: float) -> Coarse:
    """Find a product of at least this share of the picture, or raise `SubjectNotFound`.

    Guess where it is, fit the backdrop around it, then correct the guess by colour.
    """
    factor = max(1, max(rgb.shape) // COARSE_SIDE)
    lab_pixels = lab(filters.shrunk(rgb, factor))
    guess = net.probability(rgb) if net else guess_subject(lab_pixels)
    probability = filters.resize(guess, *lab_pixels.shape[:2])
    known = ~filters.dilate(probability > UNLIKELY, max(probability.shape) // 25)
    backdrop = _fitted(rgb, known, factor)
    difference = backdrop_difference(lab_pixels, backdrop, *positions(lab_pixels.shape))
    ringing = _ringing(probability, backdrop, difference, factor)
    openings = find_openings(probability, lab_pixels[..., 0], backdrop, difference, ringing)
    if backdrop.is_studio:
        probability = np.where(filters.dilate(openings.mask, 2), 0, probability)
    found = probability > 0.5
    require_subject(found, least)
    found = without_specks(found, 0.02)
    subject = found
    if backdrop.is_studio:
        missed = _clearly_different(probability, backdrop, difference, ringing)
        # Every other hole is a print or a pale part.
        subject = without_holes(touching(missed | found, found)) & ~openings.mask
    return Coarse(
        factor, guess, lab_pixels, probability, backdrop, difference, found, subject, openings
    )


def require_subject(mask: Mask, least: float) -> None:
    """Raise `SubjectNotFound` if the mask covers less than this share of the picture."""
    if filters.share(mask) < least:
        raise SubjectNotFound


def _fitted(rgb: NDArray[np.uint8], known: Mask, factor: int) -> Backdrop:
    """The backdrop as the photo's own pixels have it, with all of their grain."""
    y, x = positions(rgb.shape)
    rows, columns = (np.arange(0, length, SAMPLE_STEP) for length in rgb.shape[:2])
    row, column = np.nonzero(known[np.ix_(rows // factor, columns // factor)])
    sample = lab(np.ascontiguousarray(rgb[::SAMPLE_STEP, ::SAMPLE_STEP]))
    return fit_backdrop(sample[row, column], y[rows[row], 0], x[0, columns[column]])


def _ringing(
    probability: Floats, backdrop: Backdrop, difference: Difference, factor: int
) -> Ringing:
    """As strong as the product's usual contrast makes it."""
    sure = (probability > 0.5) & (difference.distance > 2 * backdrop.threshold)
    contrast = float(np.median(difference.distance[sure])) if sure.any() else 0.0
    strength = max(backdrop.threshold, RINGING_SHARE * contrast)
    return Ringing(strength, reach=max(2, RINGING_REACH // factor))


def _clearly_different(
    probability: Floats, backdrop: Backdrop, difference: Difference, ringing: Ringing
) -> Mask:
    """Pixels that are neither backdrop nor its shadow, whatever the net says."""
    shadow = difference.shaded(tolerated(0, probability, difference))
    different = (difference.distance > 2 * backdrop.threshold) & ~shadow
    rings = (difference.distance < ringing.strength) | difference.shaded(ringing.strength)
    rings &= different & (probability < UNLIKELY)
    return different & ~(rings & ~_broad(rings, ringing.reach // 2))


def _broad(mask: Mask, radius: int) -> Mask:
    """Where it is wider than that, grain aside: a white stripe on white paper, and no ringing."""
    closed = filters.erode(filters.dilate(mask, 2), 2)
    return filters.dilate(filters.erode(closed, radius), 2 * radius)


def tolerated(ringing: Floats | float, probability: Floats, difference: Difference) -> Floats:
    """The ΔE of hue that a shadow may have: ringing, and where the net sees no product, its light.

    A product throws light of its own colour into its shadow.
    """
    reflected = np.where(probability < UNLIKELY, MAX_REFLECTED * difference.darker, 0)
    return np.asarray(np.maximum(ringing, reflected))
