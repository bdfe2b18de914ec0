"""Cut the product out: a probability becomes an alpha with a crisp, clean edge.

Three sources are combined, each where it is good:

1. the net knows which blob is the product, but its edge is 3–6 px soft;
2. a guided filter pulls that edge onto the edges of the photo;
3. on a plain backdrop, colour knows the edge best. It may carve only from outside, so that a white
   stripe never becomes a hole, and may add parts that the net missed if they touch the product.

What is product and what is backdrop is found out on the photo shrunk to `COARSE_SIDE` or a little
more; only in a band along the outline are the photo's own pixels looked at, and there all of them.
`matte` then solves the last pixels and takes the backdrop's colour out of the edge.
"""

from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from backend.imaging import filters
from backend.imaging.backdrop import (
    Backdrop,
    Difference,
    compared,
    fit_backdrop,
    guess_subject,
    lab,
    positions,
)
from backend.imaging.decode import Picture
from backend.imaging.filters import Floats, Indices, Mask
from backend.imaging.matte import solve_edge
from backend.imaging.openings import Openings, find_openings
from backend.imaging.quality import CutoutQuality, judge_cutout
from backend.imaging.subject import SIDE, SubjectNet
from backend.imaging.surroundings import look_around
from backend.imaging.transparency import Box, opaque, photo_within

MIN_COVERAGE = 0.01
MIN_THIN_COVERAGE = 0.001  # a necklace's
COARSE_SIDE = 640
# The backdrop's surface is fitted to every so many pixels of every so many rows.
SAMPLE_STEP = 6


class SubjectNotFound(Exception):
    """Nothing, or next to nothing, stands out from the background."""


@dataclass(frozen=True)
class Cutout:
    """`rgba`: (height, width, 4) uint8 sRGB, not premultiplied, black where fully transparent."""

    rgba: NDArray[np.uint8]
    quality: CutoutQuality

    @property
    def mask(self) -> NDArray[np.uint8]:
        """(height, width) uint8 alpha."""
        return self.rgba[..., 3]


@dataclass(frozen=True)
class _Coarse:
    """The photo shrunk by `factor`, and what is known of it, as (height, width) arrays.

    found: what the net is sure of. subject: with what colour adds to it.
    """

    factor: int
    guess: Floats
    luma: Floats
    probability: Floats
    backdrop: Backdrop
    difference: Difference
    found: Mask
    subject: Mask
    openings: Openings

    def reach(self, divisor: int) -> int:
        """A distance in its pixels that grows with the picture."""
        return int(max(self.subject.shape)) // divisor


@dataclass(frozen=True)
class _Band:
    """The photo's own pixels along the outline: their numbers, places and CIE Lab colours."""

    where: Indices
    rows: Indices
    columns: Indices
    colours: Floats


def cut_out(picture: Picture, net: SubjectNet | None) -> Cutout:
    """Separate the product from its background; raise `SubjectNotFound` if there is none."""
    if picture.alpha is None:
        return _photo_cut_out(picture.rgb, net)
    box = photo_within(picture.alpha)
    if box is None:
        return _already_cut_out(picture.rgb, picture.alpha)
    return _framed_cut_out(picture.rgb, picture.alpha, box, net)


def _photo_cut_out(rgb: NDArray[np.uint8], net: SubjectNet | None) -> Cutout:
    """The net misses what is thin; on a plain backdrop colour alone finds that too."""
    try:
        return _cut_out_with(rgb, net, MIN_COVERAGE)
    except SubjectNotFound:
        if net is None:
            raise
        return _cut_out_with(rgb, None, MIN_THIN_COVERAGE)


def _cut_out_with(rgb: NDArray[np.uint8], net: SubjectNet | None, least: float) -> Cutout:
    coarse = _looked_at(rgb, net, least)
    backdrop = coarse.backdrop
    subject = filters.enlarged(coarse.subject, coarse.factor, rgb.shape[:2])
    band = _along_the_outline(rgb, coarse)
    soft = _guided_edge(band, coarse)
    if backdrop.is_studio:
        soft = _carved_by_colour(soft, band, subject, coarse)
    alpha = subject.astype(np.float32)
    alpha.flat[band.where] = soft
    _require_subject(alpha > 0.5, least)
    rgba = solve_edge(rgb, alpha, trust_colour=backdrop.is_studio)
    solid = filters.shrunk(rgba[..., 3], coarse.factor) > 127
    _require_subject(solid, least)
    quality = judge_cutout(
        rgba[..., 3],
        backdrop=backdrop,
        contrast=float(np.percentile(coarse.difference.distance[solid], 5)),
        certain=float(np.mean((coarse.guess < 0.1) | (coarse.guess > 0.9))) if net else None,
        extended=float(np.mean(coarse.subject & ~coarse.found)),
        doubtful_openings=coarse.openings.doubtful,
        surroundings=look_around(solid, backdrop, coarse.difference),
    )
    return Cutout(rgba, quality)


def _framed_cut_out(
    rgb: NDArray[np.uint8], alpha: Floats, box: Box, net: SubjectNet | None
) -> Cutout:
    """A whole photo with a little transparency at its rim: cut out as a photo, where it has one."""
    inner = _photo_cut_out(opaque(rgb[box], alpha[box]), net)
    rgba = np.zeros((*alpha.shape, 4), dtype=np.uint8)
    rgba[box] = inner.rgba
    padded = inner.rgba.shape[:2] != alpha.shape
    return Cutout(rgba, msgspec.structs.replace(inner.quality, padded=padded))


def _looked_at(rgb: NDArray[np.uint8], net: SubjectNet | None, least: float) -> _Coarse:
    """Tell product from backdrop, to within a few pixels."""
    factor = max(1, max(rgb.shape) // COARSE_SIDE)
    lab_pixels = lab(filters.shrunk(rgb, factor))
    guess = net.probability(rgb) if net else guess_subject(lab_pixels)
    probability = filters.resize(guess, *lab_pixels.shape[:2])
    known = ~filters.dilate(probability > 0.1, max(probability.shape) // 25)
    backdrop = _fitted(rgb, known, factor)
    difference = compared(lab_pixels, backdrop, *positions(lab_pixels.shape))
    luma = lab_pixels[..., 0] / 100
    openings = find_openings(probability, luma, backdrop, difference)
    if backdrop.is_studio:
        probability = np.where(filters.dilate(openings.mask, 2), 0, probability)
    found = _main_regions(probability, least)
    return _Coarse(
        factor=factor,
        guess=guess,
        luma=luma,
        probability=probability,
        backdrop=backdrop,
        difference=difference,
        found=found,
        subject=_whole_subject(found, openings.mask, backdrop, difference),
        openings=openings,
    )


def _fitted(rgb: NDArray[np.uint8], known: Mask, factor: int) -> Backdrop:
    """The backdrop as the photo's own pixels have it, with all of their grain."""
    y, x = positions(rgb.shape)
    rows, columns = (np.arange(0, length, SAMPLE_STEP) for length in rgb.shape[:2])
    row, column = np.nonzero(known[np.ix_(rows // factor, columns // factor)])
    sample = lab(np.ascontiguousarray(rgb[::SAMPLE_STEP, ::SAMPLE_STEP]))
    return fit_backdrop(sample[row, column], y[rows[row], 0], x[0, columns[column]])


def _main_regions(probability: Floats, least: float) -> Mask:
    found = probability > 0.5
    _require_subject(found, least)
    return filters.without_specks(found, 0.02)


def _require_subject(mask: Mask, least: float) -> None:
    if mask.mean() < least:
        raise SubjectNotFound


def _whole_subject(found: Mask, openings: Mask, backdrop: Backdrop, difference: Difference) -> Mask:
    """Add what the net missed: parts that are clearly not backdrop, and holes that are none."""
    if not backdrop.is_studio:
        return found
    different = (difference.distance > 2 * backdrop.threshold) & ~difference.shaded()
    grown = filters.touching(different | found, found)
    return _without_holes(grown) & ~openings


def _without_holes(subject: Mask) -> Mask:
    return ~filters.touching(~subject, filters.border(subject.shape))


def _along_the_outline(rgb: NDArray[np.uint8], coarse: _Coarse) -> _Band:
    """Deep inside is solid and far outside is empty: nothing there needs a second look."""
    reach = coarse.reach(45)
    near = filters.dilate(coarse.subject, reach) & ~filters.erode(coarse.subject, reach)
    where = np.flatnonzero(filters.enlarged(near, coarse.factor, rgb.shape[:2]))
    rows, columns = np.divmod(where, rgb.shape[1])
    return _Band(where, rows, columns, lab(rgb.reshape(-1, 3).take(where, axis=0)[None])[0])


def _guided_edge(band: _Band, coarse: _Coarse) -> Floats:
    """Pull the soft edge onto the photo's own edges."""
    line = filters.guiding(
        coarse.luma,
        np.maximum(coarse.probability, coarse.subject),
        sigma=coarse.reach(160) / 2,
        epsilon=1e-4,
        factor=2,
    )
    slope, offset = filters.sampled(line, 2 * coarse.factor, band.rows, band.columns).T
    return filters.smoothstep(0.08, 0.92, slope * band.colours[:, 0] / 100 + offset)


def _carved_by_colour(soft: Floats, band: _Band, subject: Mask, coarse: _Coarse) -> Floats:
    """Replace the soft alpha by what colour says, as far as colour can say it."""
    threshold, inside = coarse.backdrop.threshold, subject.take(band.where)
    y, x = positions(subject.shape)
    difference = compared(band.colours, coarse.backdrop, y[band.rows, 0], x[0, band.columns])
    contrast, separable, shady = _local_means(band, coarse).T
    # JPEG rings around an edge in proportion to its contrast: more than this is no ringing.
    ringing = 0.08 * contrast
    bar = np.maximum(threshold, ringing)
    coloured = np.clip((difference.distance - bar) / (0.8 * bar), 0, 1)
    # Grey products look like shadows themselves; there the net has the last word.
    probability = filters.sampled(coarse.probability, coarse.factor, band.rows, band.columns)
    coloured[difference.shaded(ringing) & ((shady < 0.2) | (probability < 0.5))] = 0
    # Where the net is sure, colour may move the edge by one of the net's own pixels and no further.
    solid = filters.erode(coarse.probability > 0.9, coarse.reach(SIDE))
    reachable = ~solid[band.rows // coarse.factor, band.columns // coarse.factor]
    open_to_backdrop = ~subject
    open_to_backdrop.flat[band.where] = (coloured < 0.5) & (reachable | ~inside)
    carved = filters.dilate(filters.touching(open_to_backdrop, ~subject), 2)
    coloured = np.where(carved.take(band.where), coloured, inside)
    trust = filters.smoothstep(3 * threshold, 5.5 * threshold, separable)
    return np.where(reachable, trust * coloured + (1 - trust) * soft, soft)


def _local_means(band: _Band, coarse: _Coarse) -> Floats:
    """(n, 3) for the band, of the product's inside alone: distance, the same saturated, shaded."""
    distance, saturation = coarse.difference.distance, 6 * coarse.backdrop.threshold
    inside = filters.erode(coarse.subject, max(1, round(3 / coarse.factor)))
    # The second mean is saturated, so that vivid pixels cannot vouch for pale neighbours.
    seen = [distance, np.minimum(distance, saturation), coarse.difference.shaded()]
    weighted = np.dstack([*seen, np.ones_like(distance)]) * inside[..., None]
    sigma = coarse.reach(45) / 3
    shrink = max(1, int(sigma // 1.25))
    blurred = filters.blur(filters.shrunk(weighted, shrink), sigma / shrink)
    means = filters.sampled(blurred, shrink * coarse.factor, band.rows, band.columns)
    return np.asarray(means[:, :3] / np.maximum(means[:, 3:], 1e-6))


def _already_cut_out(rgb: NDArray[np.uint8], alpha: Floats) -> Cutout:
    """The merchant sent transparency: that is a better mask than any we could find."""
    _require_subject(alpha > 0.5, MIN_COVERAGE)
    rgba = filters.joined(rgb, (alpha * 255 + 0.5).astype(np.uint8))
    return Cutout(rgba, judge_cutout(rgba[..., 3], certain=None, extended=0.0))
