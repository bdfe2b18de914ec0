"""Cut the product out: a probability becomes an alpha with a crisp, clean edge.

Three sources are combined, each where it is good:

1. the net knows which blob is the product, but its edge is 3–6 px soft;
2. a guided filter pulls that edge onto the edges of the photo;
3. on a plain backdrop, colour knows the edge best. It may carve only from outside, so that a white
   stripe never becomes a hole, and may add parts that the net missed if they touch the product.

`matte` then solves the last pixels and takes the backdrop's colour out of the edge.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from backend.imaging import filters
from backend.imaging.backdrop import Backdrop, guess_subject, lab, measure_backdrop
from backend.imaging.decode import Picture
from backend.imaging.filters import Floats, Mask
from backend.imaging.matte import solve_edge
from backend.imaging.quality import CutoutQuality, judge_cutout
from backend.imaging.subject import SIDE, SubjectNet

MIN_COVERAGE = 0.01


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


def cut_out(picture: Picture, net: SubjectNet | None) -> Cutout:
    """Separate the product from its background; raise `SubjectNotFound` if there is none."""
    if picture.alpha is not None:
        return _already_cut_out(picture.rgb, picture.alpha)
    lab_pixels = lab(picture.rgb)
    guess = net.probability(picture.rgb) if net else guess_subject(lab_pixels)
    probability = filters.resize(guess, *lab_pixels.shape[:2])
    known_backdrop = ~filters.dilate(probability > 0.1, _reach(probability, 25))
    backdrop = measure_backdrop(lab_pixels, known_backdrop)
    found = _main_regions(probability)
    subject = _whole_subject(found, probability, backdrop)
    alpha = _guided_edge(lab_pixels[..., 0] / 100, np.maximum(probability, subject), subject)
    if backdrop.is_studio:
        alpha = _carved_by_colour(alpha, probability, subject, backdrop)
    _require_subject(alpha > 0.5)
    rgba = solve_edge(picture.rgb, alpha, trust_colour=backdrop.is_studio)
    quality = judge_cutout(
        rgba[..., 3],
        backdrop=backdrop,
        certain=float(np.mean((guess < 0.1) | (guess > 0.9))) if net else None,
        extended=float(np.mean(subject & ~found)),
    )
    return Cutout(rgba, quality)


def _reach(image: Floats, divisor: int) -> int:
    """A distance in pixels that grows with the picture."""
    return int(max(image.shape[:2])) // divisor


def _main_regions(probability: Floats) -> Mask:
    found = probability > 0.5
    _require_subject(found)
    return filters.without_specks(found, 0.02)


def _require_subject(mask: Mask) -> None:
    if mask.mean() < MIN_COVERAGE:
        raise SubjectNotFound


def _whole_subject(found: Mask, probability: Floats, backdrop: Backdrop) -> Mask:
    """Add what the net missed: holes that are none, and parts that are clearly not backdrop."""
    if not backdrop.is_studio:
        return found
    different = (backdrop.distance > 2 * backdrop.threshold) & ~backdrop.shaded()
    grown = filters.touching(different | found, found)
    return grown | _false_holes(grown, probability, backdrop)


def _false_holes(subject: Mask, probability: Floats, backdrop: Backdrop) -> Mask:
    """Enclosed regions, unless net and colour agree that the backdrop shows through them.

    A bag's handle encloses backdrop; a label or a white print only looks like it.
    """
    enclosed = ~subject & ~filters.touching(~subject, filters.border(subject.shape))
    labels = filters.regions(enclosed)
    areas = np.maximum(np.bincount(labels.ravel()), 1)
    plain = np.bincount(labels.ravel(), backdrop.distance.ravel() < backdrop.threshold) / areas
    doubt = np.bincount(labels.ravel(), probability.ravel()) / areas
    false = (plain < 0.9) | (doubt > 0.25)
    false[0] = False
    return false[labels]


def _guided_edge(luma: Floats, probability: Floats, subject: Mask) -> Floats:
    """Pull the soft edge onto the photo's own edges; deep inside stays solid."""
    pulled = filters.guided(luma, probability, radius=_reach(luma, 160), epsilon=1e-4)
    alpha = filters.smoothstep(0.08, 0.92, pulled)
    band = _reach(luma, 45)
    alpha[filters.erode(subject, band)] = 1
    alpha[~filters.dilate(subject, band)] = 0
    return alpha


def _carved_by_colour(
    alpha: Floats, probability: Floats, subject: Mask, backdrop: Backdrop
) -> Floats:
    """Near the outline, replace the soft alpha by what colour says, as far as colour can say it."""
    threshold, distance = backdrop.threshold, backdrop.distance
    band = _reach(alpha, 45)
    # The second mean is saturated, so that vivid pixels cannot vouch for pale neighbours.
    seen = np.dstack([distance, np.minimum(distance, 6 * threshold), backdrop.shaded()])
    contrast, separable, shady = _local_means(seen, filters.erode(subject, 3), band / 3)
    # JPEG rings around an edge in proportion to its contrast: more than this is no ringing.
    ringing = 0.08 * contrast
    bar = np.maximum(threshold, ringing)
    coloured = np.clip((distance - bar) / (0.8 * bar), 0, 1)
    # Grey products look like shadows themselves; there the net has the last word.
    coloured[backdrop.shaded(ringing) & ((shady < 0.2) | (probability < 0.5))] = 0
    # Where the net is sure, colour may move the edge by one of the net's own pixels and no further.
    solid = filters.erode(probability > 0.9, _reach(alpha, SIDE))
    reachable = filters.dilate(subject, band) & ~filters.erode(subject, band) & ~solid
    carved = filters.touching((coloured < 0.5) & (reachable | ~subject), ~subject)
    coloured = np.where(filters.dilate(carved, 2), coloured, subject)
    trust = filters.smoothstep(3 * threshold, 5.5 * threshold, separable)
    return np.where(reachable, trust * coloured + (1 - trust) * alpha, alpha)


def _local_means(bands: Floats, where: Mask, sigma: float) -> Floats:
    """(bands, height, width) blurs to which only `where` contributes."""
    weight = where.astype(np.float32)[..., None]
    blurred = filters.blur(np.concatenate([bands * weight, weight], axis=-1), sigma)
    return np.moveaxis(blurred[..., :-1] / np.maximum(blurred[..., -1:], 1e-6), -1, 0)


def _already_cut_out(rgb: NDArray[np.uint8], alpha: Floats) -> Cutout:
    """The merchant sent transparency: that is a better mask than any we could find."""
    _require_subject(alpha > 0.5)
    rgba = np.dstack([rgb, (alpha * 255 + 0.5).astype(np.uint8)])
    rgba[rgba[..., 3] == 0] = 0
    return Cutout(rgba, judge_cutout(rgba[..., 3], backdrop=None, certain=None, extended=0.0))
