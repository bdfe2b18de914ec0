"""The verdict on a picture that a generative model made.

`pass` says that the garment is the one in the photo, as far as figures can tell, and nothing else:
faces, hands and lettering are not looked at. A picture that nothing can be compared with is never
passed. The limits were set on drawn pictures (docs/pictures.md), not on those of a real engine, so
they are narrow: what is only probably right is reviewed.
"""

from collections.abc import Iterator

import msgspec

from backend.imaging.likeness import Likeness
from backend.imaging.quality import Doubt, Verdict, applying

# Up to twice, storefronts show the enlarged picture hardly larger than the engine made it.
MAX_UPSCALE = 2.0
MAX_ASPECT = 2.2
# Below the first the garment is not there at all.
MIN_THERE, MIN_FOUND, MAX_BEYOND = 0.5, 0.96, 0.16
# ΔE.
MAX_DRIFT, MAX_DRIFT_P90, MAX_WORST_COLOUR = 6.0, 10.0, 8.0
MIN_PATTERN, MAX_ADDED, MAX_UNLIKE = 0.6, 0.02, 0.01


class GarmentComparison(msgspec.Struct, frozen=True, kw_only=True):
    """Of a picture with the photo's cut-out.

    likeness: null if the picture shows nothing in the garment's colours.
    is_unchanged: whether the picture is the photo itself.
    is_certain: whether the cut-out shows the garment and all of it, as far as known.
    """

    likeness: Likeness | None
    is_unchanged: bool
    is_certain: bool


class GeneratedQuality(msgspec.Struct, frozen=True, kw_only=True):
    """Figures of one final.

    scale: its enlargement of what the engine made; `upscaled` if that is above 1.
    aspect: the longer side by the shorter one.
    comparison: null if there is nothing to compare the picture with.
    """

    scale: float
    upscaled: bool
    aspect: float
    comparison: GarmentComparison | None


def verdict_on_generated(quality: GeneratedQuality) -> Verdict:
    """Judge a final; `needs_review` unless the garment was found again."""
    reasons = applying(*_doubts(quality))
    return Verdict(
        verdict="needs_review" if reasons else "pass",
        reasons=reasons,
        notes=applying(*_notes(quality)),
    )


def _doubts(quality: GeneratedQuality) -> Iterator[Doubt]:
    if quality.comparison is None:
        yield (
            True,
            "NOT_COMPARED",
            "An AI made this picture, and there is no garment that it can be compared with. "
            "Check all of it.",
        )
    else:
        yield from _comparison_doubts(quality.comparison)
    yield (
        quality.scale > MAX_UPSCALE,
        "UPSCALED",
        _enlarged(quality.scale) + " Ask for a smaller size.",
    )
    yield (
        quality.aspect > MAX_ASPECT,
        "ASPECT_RATIO",
        "The picture is unusually narrow. Check that nothing is cut off or stretched.",
    )


def _comparison_doubts(comparison: GarmentComparison) -> Iterator[Doubt]:
    yield (
        comparison.is_unchanged,
        "UNCHANGED",
        "The picture is the photo itself, hardly changed.",
    )
    yield (
        not comparison.is_certain,
        "GARMENT_UNCERTAIN",
        "The garment could not be cut out of the photo with certainty, so the comparison with it "
        "says little. Compare both by eye.",
    )
    like = comparison.likeness
    if like is None or like.found < MIN_THERE:
        yield (
            True,
            "GARMENT_NOT_FOUND",
            "The garment of the photo was not found in the picture. Compare both by eye.",
        )
    else:
        yield from _likeness_doubts(like)


def _likeness_doubts(like: Likeness) -> Iterator[Doubt]:
    yield (
        like.drift > MAX_DRIFT
        or like.drift_p90 > MAX_DRIFT_P90
        or like.worst_colour > MAX_WORST_COLOUR,
        "COLOUR_DRIFT",
        "The garment's colours differ from those in the photo. Compare both by eye.",
    )
    yield (
        like.found < MIN_FOUND or like.beyond > MAX_BEYOND,
        "SHAPE_DIFFERS",
        "The garment's outline may differ from the photo, or something beside it has its colours. "
        "Check length, sleeves and neckline.",
    )
    yield (
        like.unlike > MAX_UNLIKE
        or like.added > MAX_ADDED
        or (like.pattern is not None and like.pattern < MIN_PATTERN),
        "PRINT_DIFFERS",
        "The garment's print or pattern differs from the photo in places. Compare both by eye.",
    )


def _notes(quality: GeneratedQuality) -> Iterator[Doubt]:
    yield 1 < quality.scale <= MAX_UPSCALE, "UPSCALED", _enlarged(quality.scale)


def _enlarged(scale: float) -> str:
    return f"The AI's picture was enlarged {scale:.1f} times and may look soft."
