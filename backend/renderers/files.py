"""What a stage hands back: files with the story of their making.

Every picture says who made it, how sure the figures are and what a person should look at again;
`params["facts"]` maps each earlier stage to the facts it answered, so that a final picture can
carry the whole verdict.
"""

import hashlib
from typing import Any, Literal

import msgspec

from backend.imaging.quality import Concern, CutoutQuality, Verdict, verdict_on
from backend.renderers.base import RenderedFile, RenderFailed, RenderRequest

# Goes up whenever the same input would give other pixels.
VERSION = "4"


class Engine(msgspec.Struct, frozen=True, kw_only=True):
    """Who made the pixels; the model is null where colour alone decided."""

    name: str = "atelier-local"
    version: str = VERSION
    model: str | None = None
    model_sha256: str | None = None


class SegmentFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What `segment` answered; null if that stage is not known to have run."""

    engine: Engine
    quality: CutoutQuality


def input_of(request: RenderRequest, name: str) -> bytes:
    """The request's file of that name; without it the request makes no sense."""
    if name not in request.inputs:
        raise invalid(f"{request.stage!r} needs the file {name!r}")
    return request.inputs[name]


def invalid(why: str) -> RenderFailed:
    """The caller's mistake rather than the image's."""
    return RenderFailed(
        "RENDER_REQUEST_INVALID", f"The image was not processed: {why}.", retryable=False
    )


def stamp(
    segment: SegmentFacts | None,
    framing: msgspec.Struct | None = None,
    *,
    scale: float | None = None,
    corners_clean: bool | None = None,
    concerns: tuple[Concern, ...] = (),
) -> dict[str, Any]:
    """What every file says about its making; `generative`: no pixel was invented by a model.

    `framing` is the struct of figures that the last stage but encoding answered, `concerns` what
    that stage itself wants looked at.
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
        "engine": msgspec.to_builtins(segment.engine if segment else Engine()),
        "quality": figures,
        **msgspec.to_builtins(verdict),
        "generative": False,
    }


def verdict_of(meta: dict[str, Any]) -> dict[str, Any]:
    """The part of a stamp that belongs into a stage's facts."""
    return {name: meta[name] for name in ("verdict", "reasons")}


def intermediate_png(
    kind: str, data: bytes, size: tuple[int, int], meta: dict[str, Any]
) -> RenderedFile:
    """An intermediate of (width, height); the stage that reads it asks for it by `kind`."""
    return file_of(
        name=kind,
        kind=kind,
        role="intermediate",
        label=None,
        content_type="image/png",
        data=data,
        meta={"width": size[0], "height": size[1], **meta},
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
    """A file whose meta also says what its bytes are."""
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
