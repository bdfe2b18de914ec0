"""The verdict on a picture that a generative model made.

`pass` says that the garment is the one in the photo, as far as figures can tell, and nothing else:
faces, hands and lettering are not looked at. A picture that nothing can be compared with is never
passed.
"""

from collections.abc import Iterator

import msgspec

from backend.imaging.quality import Doubt, Verdict, applying

# Up to twice, storefronts show the enlarged picture hardly larger than the engine made it.
MAX_UPSCALE = 2.0
MAX_ASPECT = 2.2


class GeneratedQuality(msgspec.Struct, frozen=True, kw_only=True):
    """Figures of one final.

    scale: its enlargement of what the engine made; `upscaled` if that is above 1.
    aspect: the longer side by the shorter one.
    """

    scale: float
    upscaled: bool
    aspect: float


def verdict_on_generated(quality: GeneratedQuality) -> Verdict:
    """Judge a final; `needs_review` unless the garment was found again."""
    reasons = applying(*_doubts(quality))
    return Verdict(
        verdict="needs_review" if reasons else "pass",
        reasons=reasons,
        notes=applying(*_notes(quality)),
    )


def _doubts(quality: GeneratedQuality) -> Iterator[Doubt]:
    yield (
        True,
        "NOT_COMPARED",
        "An AI made this picture, and there is no garment that it can be compared with. "
        "Check all of it.",
    )
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


def _notes(quality: GeneratedQuality) -> Iterator[Doubt]:
    yield 1 < quality.scale <= MAX_UPSCALE, "UPSCALED", _enlarged(quality.scale)


def _enlarged(scale: float) -> str:
    return f"The AI's picture was enlarged {scale:.1f} times and may look soft."
