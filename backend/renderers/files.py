"""What a stage returns: files, each with an account of how it was made.

Every picture says which engine made it, how reliable the figures are and what a person should look
at again. A final picture carries the findings of all stages before it.
"""

import hashlib
from typing import Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from backend.imaging.quality import Concern, CutoutQuality, Verdict, verdict_on
from backend.imaging.thumbnail import thumbnail
from backend.renderers.base import RenderedFile

# Goes up whenever the same input would give other files.
ENGINE_VERSION = "8"

# What makes an outline too uncertain to put the garment on a mannequin, or to compare it with
# another picture; see `imaging.quality`.
OUTLINE_DOUBTS = {
    "NOT_MEASURED",
    "BUSY_BACKGROUND",
    "UNCERTAIN_OUTLINE",
    "LOW_CONTRAST",
    "CUT_OFF",
}


class EngineFacts(msgspec.Struct, frozen=True, kw_only=True):
    """Which engine made the pixels; `model` is null where colour alone decided."""

    name: str = "atelier-local"
    version: str = ENGINE_VERSION
    model: str | None = None
    model_sha256: str | None = None


class SegmentFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What `segment` answers."""

    engine: EngineFacts
    quality: CutoutQuality


def stamp(
    segment: SegmentFacts | None,
    framing: msgspec.Struct | None = None,
    *,
    scale: float | None = None,
    corners_clean: bool | None = None,
    concerns: tuple[Concern, ...] = (),
) -> dict[str, Any]:
    """What every file says about how it was made. `generative`: no model invented any pixel.

    `segment` is null if that stage is not known to have run. `framing` has the figures of the last
    stage but encoding, `concerns` are what that stage itself wants looked at.
    """
    found = verdict_on(
        segment.quality if segment else None, scale=scale, corners_clean=corners_clean
    )
    reasons = [*concerns, *found.reasons]
    verdict = Verdict(
        verdict="needs_review" if reasons else "pass", reasons=reasons, notes=found.notes
    )
    figures = {
        **(msgspec.to_builtins(segment.quality) if segment else {}),
        **(msgspec.to_builtins(framing) if framing else {}),
        **({} if corners_clean is None else {"corners_clean": corners_clean}),
    }
    return {
        "engine": msgspec.to_builtins(segment.engine if segment else EngineFacts()),
        "quality": figures,
        **msgspec.to_builtins(verdict),
        "generative": False,
    }


def is_outline_doubtful(segment: SegmentFacts | None) -> bool:
    """Whether the cut-out may lack a part of the garment, or have too much."""
    reasons = verdict_on(segment.quality if segment else None).reasons
    return any(reason.code in OUTLINE_DOUBTS for reason in reasons)


def verdict_of(meta: dict[str, Any]) -> dict[str, Any]:
    """The part of a stamp that belongs in a stage's facts."""
    return {name: meta[name] for name in ("verdict", "reasons")}


def intermediate_png(
    name: str, data: bytes, size: tuple[int, int], meta: dict[str, Any]
) -> RenderedFile:
    """An intermediate of (width, height) pixels, which a later stage asks for by its `name`."""
    return file_of(
        name=name,
        kind=name,
        role="intermediate",
        label=None,
        content_type="image/png",
        data=data,
        meta={"width": size[0], "height": size[1], **meta},
    )


def thumbnail_of(kind: str, pixels: NDArray[np.uint8]) -> RenderedFile:
    """The small copy of a picture, (height, width, 3 or 4) sRGB, as an intermediate."""
    data, (width, height) = thumbnail(pixels)
    return file_of(
        name=kind,
        kind=kind,
        role="intermediate",
        label=None,
        content_type="image/webp",
        data=data,
        meta={"width": width, "height": height, "generative": False},
    )


def file_of(
    *,
    name: str,
    kind: str,
    role: Literal["intermediate", "final"],
    label: str | None,
    content_type: str,
    data: bytes,
    meta: dict[str, Any],
) -> RenderedFile:
    """A file whose meta also has the type, size and digest of its bytes."""
    about = {
        "content_type": content_type,
        "bytes": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
    }
    return RenderedFile(
        name=name,
        kind=kind,
        role=role,
        label=label,
        content_type=content_type,
        data=data,
        meta=meta | about,
    )
