"""Cuts the product out: turns a probability map into an alpha channel with a clean edge.

Three sources are combined, each where it is good:

1. the net knows which blob is the product, but its edge is 3–6 px soft;
2. a guided filter pulls that edge onto the edges of the photo;
3. on a plain backdrop, colour knows the edge best. It may carve only from outside, so that a white
   stripe never becomes a hole, and may add parts that the net missed if they touch the product.

What is product and what is backdrop is found out on the shrunk photo (`coarse`). Only in a band
along the outline are the photo's own pixels looked at, and there all of them. `matte` then solves
the last pixels and takes the backdrop's colour out of the edge.
"""

from dataclasses import dataclass
from functools import partial

import msgspec
import numpy as np
from numpy.typing import NDArray

from backend.imaging import filters
from backend.imaging.backdrop import backdrop_difference, lab, positions
from backend.imaging.coarse import (
    RINGING_SHARE,
    Coarse,
    SubjectNotFound,
    look_at,
    require_subject,
    tolerated,
)
from backend.imaging.decode import DecodedImage
from backend.imaging.filters import Floats, Indices, Mask
from backend.imaging.matte import solve_edge
from backend.imaging.parallel import in_parallel
from backend.imaging.quality import CutoutQuality, judge_cutout
from backend.imaging.regions import touching
from backend.imaging.subject import NET_INPUT_SIDE, SubjectNet
from backend.imaging.surroundings import look_around
from backend.imaging.transparency import Box, is_padded, opaque, photo_within

MIN_SUBJECT_COVERAGE = 0.01
MIN_THIN_COVERAGE = 0.001  # a necklace's
# Shares of the cut-out that look just like the backdrop: what the net found is then no product, and
# what colour finds instead is one.
MOSTLY, HARDLY = 0.5, 0.1


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
class _Band:
    """The photo's own pixels along the outline: their numbers, places and CIE Lab colours."""

    where: Indices
    rows: Indices
    columns: Indices
    colours: Floats


def cut_out(picture: DecodedImage, net: SubjectNet | None) -> Cutout:
    """Separate the product from its background; raise `SubjectNotFound` if there is none."""
    if picture.alpha is None:
        return _photo_cut_out(picture.rgb, net)
    box = photo_within(picture.alpha)
    if box is None:
        return _already_cut_out(picture.rgb, picture.alpha)
    if is_padded(picture.alpha, box):
        return _padded_cut_out(picture.rgb, picture.alpha, box, net)
    return _photo_cut_out(opaque(picture.rgb, picture.alpha), net)


def _photo_cut_out(rgb: NDArray[np.uint8], net: SubjectNet | None) -> Cutout:
    """By the net; by colour alone where that tells more of something thin."""
    if net is None:
        return _cut_out_by(None, rgb, MIN_SUBJECT_COVERAGE)
    try:
        by_net = _cut_out_by(net, rgb, MIN_SUBJECT_COVERAGE)
    except SubjectNotFound:
        return _thin_cut_out(rgb)
    if _bare_share(by_net) < MOSTLY:
        return by_net
    try:
        by_colour = _thin_cut_out(rgb)
    except SubjectNotFound:
        return by_net
    return by_colour if _bare_share(by_colour) < HARDLY else by_net


def _thin_cut_out(rgb: NDArray[np.uint8]) -> Cutout:
    """The net overlooks a necklace, or takes it for a disc."""
    cutout = _cut_out_by(None, rgb, MIN_THIN_COVERAGE)
    return Cutout(cutout.rgba, msgspec.structs.replace(cutout.quality, overruled=True))


def _bare_share(cutout: Cutout) -> float:
    """The share of the cut-out that looks just like the backdrop; 0 where that is not plain."""
    around = cutout.quality.surroundings
    return around.bare if around and cutout.quality.backdrop == "studio" else 0.0


def _cut_out_by(net: SubjectNet | None, rgb: NDArray[np.uint8], least: float) -> Cutout:
    coarse = look_at(rgb, net, least)
    alpha = _alpha(rgb, coarse)
    require_subject(alpha > 0.5, least)
    rgba = solve_edge(rgb, alpha, trust_colour=coarse.backdrop.is_studio)
    return Cutout(rgba, _judged(rgba, coarse, least, by_model=net is not None))


def _alpha(rgb: NDArray[np.uint8], coarse: Coarse) -> Floats:
    """(height, width) in 0..1, with the photo's own pixels along the outline."""
    subject = filters.enlarged(coarse.subject, coarse.factor, rgb.shape[:2])
    band = _along_the_outline(rgb, coarse)
    if band.where.size == 0:  # the product fills the picture
        return subject.astype(np.float32)
    guided = partial(_guided_edge, band, coarse)
    if coarse.backdrop.is_studio:
        soft, (coloured, trust) = in_parallel(guided, partial(_by_colour, band, subject, coarse))
        soft = trust * coloured + (1 - trust) * soft
    else:
        soft = guided()
    alpha = subject.astype(np.float32)
    np.put(alpha, band.where, soft)
    return alpha


def _along_the_outline(rgb: NDArray[np.uint8], coarse: Coarse) -> _Band:
    """Deep inside is solid and far outside is empty: nothing there needs a second look."""
    reach = coarse.reach(96)
    near = filters.dilate(coarse.subject, reach) & ~filters.erode(coarse.subject, reach)
    rows, columns = np.nonzero(filters.enlarged(near, coarse.factor, rgb.shape[:2]))
    where = rows * rgb.shape[1] + columns
    colours = rgb.reshape(-1, 3).take(where, axis=0)
    return _Band(where, rows, columns, lab(colours[None])[0] if where.size else colours)


def _guided_edge(band: _Band, coarse: Coarse) -> Floats:
    """Pull the soft edge onto the photo's own edges."""
    line = filters.guiding(
        coarse.lab_pixels[..., 0] / 100,
        np.maximum(coarse.probability, coarse.subject),
        sigma=coarse.reach(160) / 2,
        epsilon=1e-4,
        factor=2,
    )
    slope, offset = filters.sampled(line, 2 * coarse.factor, band.rows, band.columns).T
    return filters.smoothstep(0.08, 0.92, slope * band.colours[:, 0] / 100 + offset)


def _by_colour(band: _Band, subject: Mask, coarse: Coarse) -> tuple[Floats, Floats]:
    """The alpha that colour tells, and how far it is to be trusted, 0 to 1."""
    threshold, inside = coarse.backdrop.threshold, subject.take(band.where)
    y, x = positions(subject.shape)
    difference = backdrop_difference(
        band.colours, coarse.backdrop, y[band.rows, 0], x[0, band.columns]
    )
    contrast, separable, shady = _local_means(band, coarse).T
    ringing = RINGING_SHARE * contrast
    bar = np.maximum(threshold, ringing)
    coloured = np.clip((difference.distance - bar) / (0.8 * bar), 0, 1)
    # Grey products look like shadows themselves; there the net has the last word.
    probability = filters.sampled(coarse.probability, coarse.factor, band.rows, band.columns)
    shaded = difference.shaded(tolerated(ringing, probability, difference))
    coloured[shaded & ((shady < 0.2) | (probability < 0.5))] = 0
    # Where the net is sure, colour may move the edge by one of the net's own pixels and no further.
    solid = filters.erode(coarse.probability > 0.9, coarse.reach(NET_INPUT_SIDE))
    reachable = ~filters.enlarged(solid, coarse.factor, subject.shape).take(band.where)
    open_to_backdrop = ~subject
    np.put(open_to_backdrop, band.where, (coloured < 0.5) & (reachable | ~inside))
    carved = filters.dilate(touching(open_to_backdrop, ~subject), 2)
    coloured = np.where(carved.take(band.where), coloured, inside)
    trust = filters.smoothstep(3 * threshold, 5.5 * threshold, separable)
    return coloured, trust * reachable


def _local_means(band: _Band, coarse: Coarse) -> Floats:
    """(n, 3) for the band, of the product's inside alone: distance, the same saturated, shaded."""
    distance, saturation = coarse.difference.distance, 6 * coarse.backdrop.threshold
    inside = filters.erode(coarse.subject, max(1, round(3 / coarse.factor)))
    # The second mean is saturated, so that vivid pixels cannot vouch for pale neighbours.
    seen = [distance, np.minimum(distance, saturation), coarse.difference.shaded()]
    # A chain has no inside; there its rim has to do.
    weights = inside + np.float32(1e-3) * coarse.subject
    weighted = np.dstack([*seen, np.ones_like(distance)]) * weights[..., None]
    sigma = coarse.reach(45) / 3
    shrink = max(1, int(sigma // 1.25))
    blurred = filters.blur(filters.shrunk(weighted, shrink), sigma / shrink)
    means = filters.sampled(blurred, shrink * coarse.factor, band.rows, band.columns)
    return np.asarray(means[:, :3] / np.maximum(means[:, 3:], 1e-6))


def _judged(
    rgba: NDArray[np.uint8], coarse: Coarse, least: float, *, by_model: bool
) -> CutoutQuality:
    alpha = np.ascontiguousarray(rgba[..., 3])
    solid = filters.shrunk(alpha, coarse.factor) > 127
    require_subject(solid, least)
    guess, distance = coarse.guess, coarse.difference.distance[solid]
    return judge_cutout(
        alpha,
        backdrop=coarse.backdrop,
        contrast=float(np.percentile(distance, 5)),
        certain=filters.share((guess < 0.1) | (guess > 0.9)) if by_model else None,
        extended=filters.share(coarse.subject & ~coarse.found),
        doubtful_openings=coarse.openings.doubtful,
        surroundings=look_around(solid, coarse.lab_pixels, coarse.backdrop, coarse.difference),
    )


def _padded_cut_out(
    rgb: NDArray[np.uint8], alpha: Floats, box: Box, net: SubjectNet | None
) -> Cutout:
    """A rectangle on transparent padding: a photo if it has a plain backdrop, else the product."""
    rgba = np.zeros((*alpha.shape, 4), dtype=np.uint8)
    try:
        inner = _photo_cut_out(opaque(rgb[box], alpha[box]), net)
    except SubjectNotFound:
        inner = None
    if inner is None or inner.quality.backdrop == "scene":
        inner = _already_cut_out(rgb[box], alpha[box])
    rgba[box] = inner.rgba
    quality = msgspec.structs.replace(
        inner.quality, padded=True, coverage=round(float(rgba[..., 3].mean()) / 255, 4)
    )
    return Cutout(rgba, quality)


def _already_cut_out(rgb: NDArray[np.uint8], alpha: Floats) -> Cutout:
    """The merchant sent transparency: that is a better mask than any we could find."""
    require_subject(alpha > 0.5, MIN_SUBJECT_COVERAGE)
    rgba = filters.joined(rgb, (alpha * 255 + 0.5).astype(np.uint8))
    return Cutout(rgba, judge_cutout(rgba[..., 3], certain=None, extended=0.0))
