"""The stages of a catalogue image, as the child runs them: bytes in, files and facts out.

validate → segment → compose → encode. Each is one call, since the worker keeps the files between
them; `params["facts"]` maps each earlier stage to the facts it answered, so that a final image can
carry the whole verdict.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import msgspec

from backend.imaging import quality
from backend.imaging.compose import Framing, compose
from backend.imaging.cutout import SubjectNotFound, cut_out
from backend.imaging.decode import ImageRefused, decode, harden_libvips, probe
from backend.imaging.encode import (
    SUFFIXES,
    FinalFormat,
    decode_own,
    encode_final,
    encode_png,
    placeholder,
)
from backend.imaging.subject import U2NETP_SHA256, SubjectNet, load_net
from backend.renderers.base import Rendered, RenderedFile, RenderFailed, RenderRequest
from backend.renderers.wire import ChildConfig

# Goes up whenever the same input would give other pixels.
VERSION = "1"


class Engine(msgspec.Struct, frozen=True, kw_only=True):
    """Who made the pixels; the model is null where colour alone decided."""

    name: str = "atelier-local"
    version: str = VERSION
    model: str | None = None
    model_sha256: str | None = None


class SegmentFacts(msgspec.Struct, frozen=True, kw_only=True):
    engine: Engine
    quality: quality.CutoutQuality


class EarlierFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What this module itself answered at the stages before."""

    segment: SegmentFacts | None = None
    compose: Framing | None = None


class Output(msgspec.Struct, frozen=True, kw_only=True):
    """One final image, `size` pixels a side."""

    size: int
    format: FinalFormat


class Params(msgspec.Struct, frozen=True, kw_only=True):
    """The job's parameters; `margin` is the free share of the square on each side."""

    background: str = "#ffffff"
    margin: float = 0.08
    outputs: tuple[Output, ...] = (
        Output(size=2048, format="jpeg"),
        Output(size=1024, format="webp"),
    )
    facts: EarlierFacts = EarlierFacts()


class Stages:
    """The stages by name, with the net that they keep open between requests."""

    def __init__(self, config: ChildConfig) -> None:
        harden_libvips(threads=config.limits.threads)
        self._threads = config.limits.threads
        self._model_path = Path(config.model_path) if config.model_path else None
        self._net: SubjectNet | None = None
        self._by_name: dict[str, Callable[[RenderRequest, Params], Rendered]] = {
            "validate": self._validate,
            "segment": self._segment,
            "compose": self._compose,
            "encode": self._encode,
        }

    def run(self, request: RenderRequest) -> Rendered:
        """Run one stage; whatever the image or the request is to blame for is a `RenderFailed`."""
        stage = self._by_name.get(request.stage)
        if stage is None:
            raise _invalid(f"there is no stage {request.stage!r}")
        try:
            return stage(request, msgspec.convert(request.params, Params))
        except ImageRefused as refused:
            raise RenderFailed(refused.code, refused.message, retryable=False) from refused
        except SubjectNotFound as error:
            raise _subject_not_found() from error
        except msgspec.ValidationError as error:
            raise _invalid(str(error)) from error

    def _validate(self, request: RenderRequest, _: Params) -> Rendered:
        source = _input(request, "source")
        facts = msgspec.to_builtins(probe(source))
        decode(source)  # a truncated file shows only when every pixel is read
        return Rendered(files=[], facts=facts)

    def _segment(self, request: RenderRequest, _: Params) -> Rendered:
        picture = decode(_input(request, "source"))
        # Opened at the first use, and asked for again while there are no weights to be trusted.
        self._net = self._net or load_net(self._model_path, threads=self._threads)
        cutout = cut_out(picture, self._net)
        engine = (
            Engine(model="u2netp", model_sha256=U2NETP_SHA256)
            if cutout.quality.by_model
            else Engine()
        )
        facts = SegmentFacts(engine=engine, quality=cutout.quality)
        stamp = _stamp(EarlierFacts(segment=facts))
        height, width = cutout.mask.shape
        return Rendered(
            files=[
                _png("mask", encode_png(cutout.mask), width, height, stamp),
                _png("cutout", encode_png(cutout.rgba), width, height, stamp),
            ],
            facts=msgspec.to_builtins(facts) | _verdict_of(stamp),
        )

    def _compose(self, request: RenderRequest, params: Params) -> Rendered:
        master = compose(
            decode_own(_input(request, "cutout")),
            size=max(output.size for output in params.outputs),
            margin=params.margin,
            background=params.background,
        )
        size = master.framing.size
        stamp = _stamp(EarlierFacts(segment=params.facts.segment, compose=master.framing))
        return Rendered(
            files=[_png("master", encode_png(master.rgb), size, size, stamp)],
            facts=msgspec.to_builtins(master.framing) | _verdict_of(stamp),
        )

    def _encode(self, request: RenderRequest, params: Params) -> Rendered:
        master = decode_own(_input(request, "master"))
        lqip = placeholder(master)
        files = [
            _final(
                output,
                encode_final(master, size=output.size, format_=output.format),
                lqip,
                params,
            )
            for output in params.outputs
        ]
        return Rendered(files=files, facts=_verdict_of(files[0].meta))


def _input(request: RenderRequest, name: str) -> bytes:
    if name not in request.inputs:
        raise _invalid(f"{request.stage!r} needs the file {name!r}")
    return request.inputs[name]


def _final(output: Output, data: bytes, lqip: str, params: Params) -> RenderedFile:
    """One final image; its corners are judged as a marketplace will see them, after encoding."""
    corners_clean = quality.corners_are(decode_own(data), params.background)
    stamp = _stamp(params.facts, corners_clean=corners_clean)
    size = output.size
    return _file(
        name=f"catalog-{size}{SUFFIXES[output.format]}",
        kind="catalog_image",
        role="final",
        label=f"{size} × {size} {'JPEG' if output.format == 'jpeg' else 'WebP'}",
        content_type=f"image/{output.format}",
        data=data,
        meta={"width": size, "height": size, "lqip": lqip, **stamp},
    )


def _png(kind: str, data: bytes, width: int, height: int, stamp: dict[str, Any]) -> RenderedFile:
    """An intermediate; its name is the input's name at the stage that reads it."""
    return _file(
        name=kind,
        kind=kind,
        role="intermediate",
        label=None,
        content_type="image/png",
        data=data,
        meta={"width": width, "height": height, **stamp},
    )


def _file(
    *,
    name: str,
    kind: str,
    role: Literal["intermediate", "final"],
    label: str | None,
    content_type: str,
    data: bytes,
    meta: dict[str, Any],
) -> RenderedFile:
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


def _stamp(facts: EarlierFacts, *, corners_clean: bool | None = None) -> dict[str, Any]:
    """What every file says about its making; `generative`: no pixel was invented by a model."""
    segment, framing = facts.segment, facts.compose
    verdict = quality.verdict_on(
        segment.quality if segment else None,
        scale=framing.scale if framing else None,
        corners_clean=corners_clean,
    )
    figures = {
        **(msgspec.to_builtins(segment.quality) if segment else {}),
        **(msgspec.to_builtins(framing) if framing else {}),
        **({} if corners_clean is None else {"corners_clean": corners_clean}),
    }
    engine = segment.engine if segment else Engine()
    return {
        "engine": msgspec.to_builtins(engine),
        "quality": figures,
        **msgspec.to_builtins(verdict),
        "generative": False,
    }


def _verdict_of(stamp: dict[str, Any]) -> dict[str, Any]:
    return {name: stamp[name] for name in ("verdict", "reasons")}


def _invalid(why: str) -> RenderFailed:
    """The caller's mistake rather than the image's."""
    return RenderFailed(
        "RENDER_REQUEST_INVALID", f"The image was not processed: {why}.", retryable=False
    )


def _subject_not_found() -> RenderFailed:
    return RenderFailed(
        "SUBJECT_NOT_FOUND",
        "No product could be told from the background. "
        "Upload a photo of one product on a plain background.",
        retryable=False,
    )
