"""What a photo shows beside one product on a backdrop, as figures for the verdict.

All are measured on the shrunk photo (`coarse`), with the finished alpha.
"""

import msgspec
import numpy as np

from backend.imaging import filters
from backend.imaging.backdrop import Backdrop, Difference
from backend.imaging.filters import Floats, Mask
from backend.imaging.regions import regions_of, touching, without_holes, without_specks

STEP = 2  # a quarter of the pixels says as much
# The rim is what lies between these distances inside the outline, in those pixels.
OUTLINE_RIM = (1, 3)
# Of what the product differs from the backdrop in its middle, the rim shows at least this share.
FAINT = 0.12
# CIE L* of paper on which a black product looks like a shadow. On light paper a light grey product
# does, but there the net tells them apart.
DARK = 40.0
# Less than this share of it at the very edge is backdrop, tinted by JPEG.
LEFT = 0.25
# A round badge: its share of the product, how far its colours lie from the product's and from each
# other, ΔE, and how well a disc describes it.
BADGE_SHARE, BADGE_CONTRAST, BADGE_SPREAD, BADGE_ROUND = (0.015, 0.3), 40.0, 3.0, 0.93
# A mirror image is at least this share of the product's height, much like it and clearly paler.
MIN_MIRRORED, MIN_LIKENESS, MAX_STRENGTH = 0.12, 0.75, 0.75


class Surroundings(msgspec.Struct, frozen=True, kw_only=True):
    """Shares of 0 to 1.

    bare: of the product, where it looks just like the backdrop in full light.
    faint: of the outline, where the product hardly differs from the backdrop.
    leftover: of the rim of a product that stands out clearly, what looks like backdrop.
    badge: of the product, a disc of one other colour on its outline.
    left_out: the largest other thing on the backdrop, of the picture.
    smallest_part: the smallest separate part of the cut-out, of the largest; 1 if there is one.
    filled: the product's share of the box around it; 1 is an upright rectangle.
    mirrored: the share of the product's height that repeats what is above it upside down, paler.
    """

    bare: float
    faint: float
    leftover: float
    badge: float
    left_out: float
    smallest_part: float
    filled: float
    mirrored: float


def look_around(
    solid: Mask, lab_pixels: Floats, backdrop: Backdrop, difference: Difference
) -> Surroundings:
    """Measure a (height, width) mask of the product in a Lab picture against what surrounds it."""
    solid, lab_pixels = solid[::STEP, ::STEP], lab_pixels[::STEP, ::STEP]
    difference = difference.thinned(STEP)
    return Surroundings(
        bare=round(filters.share(difference.distance[solid] < backdrop.threshold), 3),
        faint=round(_faint(solid, backdrop, difference), 3),
        leftover=round(_leftover(solid, backdrop, difference), 3),
        badge=round(_badge(solid, lab_pixels), 3),
        left_out=round(_left_out(solid, backdrop, difference), 5),
        smallest_part=round(_smallest_part(solid), 3),
        filled=round(filters.share(solid[filters.bounds(solid)]), 4),
        mirrored=round(_mirrored(solid, difference), 3),
    )


def _faint(solid: Mask, backdrop: Backdrop, difference: Difference) -> float:
    rim = filters.erode(solid, OUTLINE_RIM[0]) & ~filters.erode(solid, OUTLINE_RIM[1])
    if not rim.any():
        return 0.0
    limit = max(2 * backdrop.threshold, FAINT * float(np.median(difference.distance[solid])))
    is_faint = difference.distance < limit
    if backdrop.lightness < DARK:
        is_faint = is_faint | difference.shaded()
    return filters.share(is_faint[rim])


def _leftover(solid: Mask, backdrop: Backdrop, difference: Difference) -> float:
    usual = float(np.median(difference.distance[solid]))
    if FAINT * usual < backdrop.threshold:
        return 0.0  # a product so pale that this says nothing
    rim = solid & ~filters.erode(solid, OUTLINE_RIM[1])
    return filters.share(difference.distance[rim] < LEFT * usual)


def _badge(solid: Mask, lab_pixels: Floats) -> float:
    """A shop's round badge that overlaps the product; a round part inside of it is a print."""
    off = lab_pixels - np.median(lab_pixels[solid], axis=0)
    other = solid & (np.einsum("yxc,yxc->yx", off, off) > BADGE_CONTRAST**2)
    regions = regions_of(filters.dilate(filters.erode(other, 1), 1))
    shares = regions.inner_areas / np.count_nonzero(solid)
    for number in np.flatnonzero((shares > BADGE_SHARE[0]) & (shares < BADGE_SHARE[1])):
        region = without_holes(regions.drawn(np.arange(shares.size) == number))
        on_outline = bool((filters.dilate(region, 2) & ~solid).any())
        if on_outline and _is_disc(region) and _spread(lab_pixels[region]) < BADGE_SPREAD:
            return float(shares[number])
    return 0.0


def _is_disc(region: Mask) -> bool:
    rows, columns = np.nonzero(region)
    radius = np.sqrt(rows.size / np.pi)
    inside = np.hypot(rows - rows.mean(), columns - columns.mean()) <= radius
    return bool(inside.mean() > BADGE_ROUND)


def _spread(colours: Floats) -> float:
    return float(np.median(np.linalg.norm(colours - np.median(colours, axis=0), axis=-1)))


def _left_out(solid: Mask, backdrop: Backdrop, difference: Difference) -> float:
    """Grain is worn off, and what reaches the frame is the table's edge or the room."""
    different = (difference.distance > 2 * backdrop.threshold) & ~difference.shaded()
    other = different & ~filters.dilate(solid, max(solid.shape) // 60)
    other = filters.dilate(filters.erode(other, 1), 1)
    other &= ~touching(other, filters.border(other.shape, 2))
    return float(regions_of(other).inner_areas.max()) / solid.size


def _smallest_part(solid: Mask) -> float:
    areas = regions_of(without_specks(solid, 0.01)).inner_areas
    areas = areas[areas > 0]
    return float(areas.min() / areas.max())


def _mirrored(solid: Mask, difference: Difference) -> float:
    """The likeliest line of contact between the product and its image on a glossy table."""
    rows, columns = filters.bounds(solid)
    box = rows, slice(columns.start, columns.stop, STEP)  # half of each row says as much
    shape, strength = solid[box], difference.distance[box]
    height = shape.shape[0]
    covered = np.append(0, shape.sum(axis=1)).cumsum()  # pixels above each row
    for depth in range(height // 2, int(MIN_MIRRORED * height), -max(1, height // 100)):
        image, product = shape[height - depth :], shape[height - 2 * depth : height - depth][::-1]
        both = image & product
        shared = np.count_nonzero(both)
        either = covered[-1] - covered[height - 2 * depth] - shared
        # Both are empty where all that is left of a thin stem lies in the columns between.
        if shared < MIN_LIKENESS * max(either, 1):
            continue
        # All of the image is paler, and not just a print.
        pale = np.percentile(strength[height - depth :][both], 90)
        full = np.median(strength[height - 2 * depth : height - depth][::-1][both])
        if pale < MAX_STRENGTH * full:
            return float(depth / height)
    return 0.0
