"""Quality figures of a rendering, and the verdict drawn from them.

A verdict is a recommendation to a person: `needs_review` still delivers the image. `pass` is a
promise, because a rule may publish such a picture by itself. `certain` and `soft` have limits found
by eye on about 29 photos; the others were set on drawn photos of each fault (docs/pictures.md).
"""

from collections.abc import Iterator
from typing import Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from backend.imaging import filters
from backend.imaging.backdrop import Backdrop
from backend.imaging.surroundings import Surroundings

MIN_CERTAIN = 0.95
MIN_CONTRAST = 6.0
MAX_SOFT = 0.08
MAX_FAINT = 0.2
MAX_EXTENDED = 0.15
MAX_LEFTOVER = 0.015
MAX_LEFT_OUT = 0.001
MIN_PART = 0.5  # both shoes of a pair are about as large
MAX_FILLED = 0.985
MIN_BOX = 0.12
# A 1200 × 1500 photo of a garment fills a 2048 px square at 1.6 to 1.9. Storefronts show at most
# about half of the square's pixels a side, so up to twice that is hardly seen: noted, not doubted.
NOTED_SCALE, MAX_SCALE = 2.0, 4.0

# Does it apply, its code, its message.
Doubt = tuple[bool, str, str]
Side = Literal["top", "right", "bottom", "left"]


class Concern(msgspec.Struct, frozen=True, kw_only=True):
    """One reason for a second look: a stable code, and words for the merchant."""

    code: str
    message: str


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """`needs_review` exactly if there are reasons; `notes` are for whoever wants a better photo."""

    verdict: Literal["pass", "needs_review"]
    reasons: list[Concern]
    notes: list[Concern] = []


class CutoutQuality(msgspec.Struct, frozen=True, kw_only=True):
    """The quality of the cut-out.

    by_model: whether the net found the product, rather than the backdrop's colour alone.
    backdrop: plain paper, a scene, or transparent as sent.
    bg_noise: ΔE that 95 % of the backdrop stays under.
    contrast: ΔE from the backdrop that 95 % of the product exceeds.
    certain: share of the picture where the net is below 0.1 or above 0.9.
    soft: partly transparent area as a share of the product's area.
    coverage: the product's share of the picture.
    extended: share of the picture that colour added to what the net found.
    doubtful_openings: share of the picture that may be openings, or prints in the paper's colour.
    surroundings: what else the photo shows; null if the transparency came with the file.
    overruled: whether colour alone decided although a net was asked.
    padded: whether the photo was found on transparent padding.
    touches_edge: sides on which the photo cuts the product off.
    """

    by_model: bool
    backdrop: Literal["studio", "scene", "transparent"]
    bg_noise: float | None
    contrast: float | None
    certain: float | None
    soft: float
    coverage: float
    extended: float
    doubtful_openings: float = 0.0
    surroundings: Surroundings | None = None
    padded: bool = False
    overruled: bool = False
    touches_edge: list[Side]


def verdict_on(
    cutout: CutoutQuality | None, *, scale: float | None = None, corners_clean: bool | None = None
) -> Verdict:
    """Judge the figures that are known so far; None is one that is not known yet.

    Without the cut-out's own figures nobody can vouch for the edges, which is a reason by itself.
    """
    reasons = applying(
        *_cutout_doubts(cutout),
        *_surroundings_doubts(cutout.surroundings if cutout else None),
        *_framing_doubts(scale, corners_clean),
    )
    return Verdict(
        verdict="needs_review" if reasons else "pass",
        reasons=reasons,
        notes=applying(*_notes(scale)),
    )


def applying(*doubts: Doubt) -> list[Concern]:
    """The concerns whose doubts apply."""
    return [Concern(code=code, message=message) for applies, code, message in doubts if applies]


def _cutout_doubts(cutout: CutoutQuality | None) -> Iterator[Doubt]:
    if cutout is None:
        yield True, "NOT_MEASURED", "The outline was not measured. Check the edges."
        return
    certain = 1.0 if cutout.certain is None else cutout.certain
    box = cutout.coverage / (cutout.surroundings.filled if cutout.surroundings else 1)
    yield (
        cutout.backdrop == "scene",
        "BUSY_BACKGROUND",
        "The background is not plain, so the outline may be off. Check the edges.",
    )
    yield (
        certain < MIN_CERTAIN,
        "UNCERTAIN_OUTLINE",
        f"For {1 - certain:.0%} of the photo it was unclear what belongs to the product. "
        "Check that nothing is missing.",
    )
    yield (
        cutout.contrast is not None and not cutout.by_model and cutout.contrast < MIN_CONTRAST,
        "LOW_CONTRAST",
        "The product is almost as light as its background. Check that nothing is missing.",
    )
    yield (
        cutout.overruled,
        "FOUND_BY_COLOUR",
        "The product was found by its colour alone, as it is thin or hard to make out. "
        "Check that nothing is missing.",
    )
    yield (
        cutout.extended > MAX_EXTENDED * cutout.coverage,
        "ADDED_BY_COLOUR",
        "Parts of the cut-out were found by their colour alone. Check for shadows and leftovers.",
    )
    yield (
        cutout.doubtful_openings > 0,
        "OPENING_UNCLEAR",
        "An area inside the product has the background's colour. Check whether it is an opening.",
    )
    yield (
        cutout.padded,
        "PADDED",
        "The file is a rectangle on a transparent background, and was cut out like a photo. "
        "Check that the rectangle was not the product.",
    )
    yield (
        cutout.soft > MAX_SOFT,
        "SOFT_EDGES",
        "Much of the outline is soft. Check fur, tulle and blurred edges.",
    )
    yield (
        box < MIN_BOX,
        "SMALL_PRODUCT",
        f"The product takes only {box:.0%} of the photo. A closer photo is sharper.",
    )
    yield (
        bool(cutout.touches_edge),
        "CUT_OFF",
        f"The photo cuts the product off at the {' and '.join(cutout.touches_edge)}.",
    )


def _surroundings_doubts(around: Surroundings | None) -> Iterator[Doubt]:
    if around is None:
        return
    yield (
        around.faint > MAX_FAINT,
        "FAINT_OUTLINE",
        "The product hardly stands out from its background. Check that nothing is missing.",
    )
    yield (
        around.leftover > MAX_LEFTOVER,
        "LEFTOVERS",
        "Bits of the background were left along the outline. Check the edges.",
    )
    yield (
        around.badge > 0,
        "BADGE",
        "A round badge may overlap the product. Upload a photo without it.",
    )
    yield (
        around.left_out > MAX_LEFT_OUT,
        "ITEM_LEFT_OUT",
        "The photo shows something else beside the product, which was left out.",
    )
    yield (
        around.smallest_part < MIN_PART,
        "SEPARATE_PARTS",
        "The cut-out has separate parts of different sizes. Check that all belong to the product.",
    )
    yield (
        around.filled > MAX_FILLED,
        "RECTANGULAR",
        "The cut-out is a rectangle. Check that it is the product and not a picture in a frame.",
    )
    yield (
        around.mirrored > 0,
        "REFLECTION",
        "The cut-out may contain the product's reflection on a glossy surface.",
    )


def _framing_doubts(scale: float | None, corners_clean: bool | None) -> Iterator[Doubt]:
    yield (
        scale is not None and scale > MAX_SCALE,
        "ENLARGED",
        f"The product was enlarged {scale or 0:.1f} times and may look blurred. "
        "Upload a larger photo.",
    )
    yield (
        corners_clean is False,
        "CORNERS",
        "The background does not reach every corner cleanly.",
    )


def _notes(scale: float | None) -> Iterator[Doubt]:
    yield (
        scale is not None and NOTED_SCALE < scale <= MAX_SCALE,
        "ENLARGED",
        f"The product was enlarged {scale or 0:.1f} times. A larger photo is sharper.",
    )


def judge_cutout(
    alpha: NDArray[np.uint8],
    *,
    certain: float | None,
    extended: float,
    backdrop: Backdrop | None = None,
    contrast: float | None = None,
    doubtful_openings: float = 0.0,
    surroundings: Surroundings | None = None,
) -> CutoutQuality:
    """Measure a finished (height, width) uint8 alpha.

    `backdrop` is None if the transparency came with the file, `certain` if no net was asked.
    """
    coverage = float(alpha.mean()) / 255
    partly = filters.share((alpha > 12) & (alpha < 243))
    return CutoutQuality(
        by_model=certain is not None,
        backdrop="transparent" if backdrop is None else backdrop.kind,
        bg_noise=None if backdrop is None else round(backdrop.noise, 2),
        contrast=None if contrast is None else round(contrast, 2),
        certain=None if certain is None else round(certain, 3),
        soft=round(partly / max(coverage, 1e-6), 4),
        coverage=round(coverage, 4),
        extended=round(extended, 4),
        doubtful_openings=round(doubtful_openings, 4),
        surroundings=surroundings,
        touches_edge=touched_sides(alpha),
    )


def corners_are(rgb: NDArray[np.uint8], background: str) -> bool:
    """Whether all four corner pixels of a decoded final are `background` (#rrggbb).

    White must be exact, since marketplaces check for (255, 255, 255); lossy formats round other
    colours by a few levels.
    """
    wanted = np.array(list(bytes.fromhex(background.removeprefix("#"))), dtype=np.int16)
    tolerance = 0 if wanted.min() == 255 else 6
    corners = rgb[[0, 0, -1, -1], [0, -1, 0, -1]]
    return bool(np.abs(corners - wanted).max() <= tolerance)


def touched_sides(alpha: NDArray[np.uint8]) -> list[Side]:
    """Sides of the picture along which more than a stray pixel of the product runs."""
    rims: dict[Side, NDArray[np.uint8]] = {
        "top": alpha[0],
        "right": alpha[:, -1],
        "bottom": alpha[-1],
        "left": alpha[:, 0],
    }
    return [side for side, rim in rims.items() if np.count_nonzero(rim > 127) > 0.005 * rim.size]
