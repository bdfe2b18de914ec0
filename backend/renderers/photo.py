"""What every workflow does with its pictures first: validate, then segment the product photo."""

from pathlib import Path
from typing import Any

import msgspec

from backend.imaging.coarse import SubjectNotFound
from backend.imaging.cutout import cut_out
from backend.imaging.decode import ImageRefused, decode, probe
from backend.imaging.encode import encode_png
from backend.imaging.subject import U2NETP_SHA256, SubjectNet, load_net
from backend.renderers.base import Rendered, RenderFailed, RenderRequest
from backend.renderers.files import (
    Engine,
    SegmentFacts,
    input_of,
    intermediate_png,
    stamp,
    verdict_of,
)

SOURCE = "source"


class KeptNet:
    """The net, opened at its first use and kept for the requests after."""

    def __init__(self, model_path: str | None, threads: int) -> None:
        self._path = Path(model_path) if model_path else None
        self._threads = threads
        self._net: SubjectNet | None = None

    def get(self) -> SubjectNet | None:
        """The net; asked for again each time while there are no weights to be trusted."""
        self._net = self._net or load_net(self._path, threads=self._threads)
        return self._net


def validate(request: RenderRequest) -> Rendered:
    """Read every pixel of every picture sent.

    The facts are the header of `source`, and under its own name that of any other picture.
    """
    facts = _checked(SOURCE, input_of(request, SOURCE))
    for name, data in request.inputs.items():
        if name != SOURCE:
            facts[name] = _checked(name, data)
    return Rendered(files=[], facts=facts)


def segment(request: RenderRequest, net: SubjectNet | None) -> Rendered:
    """`source` → `mask` and `cutout`."""
    try:
        cutout = cut_out(decode(input_of(request, SOURCE)), net)
    except SubjectNotFound as error:
        raise _subject_not_found() from error
    engine = Engine(model="u2netp", model_sha256=U2NETP_SHA256)
    facts = SegmentFacts(
        engine=engine if cutout.quality.by_model else Engine(), quality=cutout.quality
    )
    meta = stamp(facts)
    height, width = cutout.mask.shape
    return Rendered(
        files=[
            intermediate_png("mask", encode_png(cutout.mask), (width, height), meta),
            intermediate_png("cutout", encode_png(cutout.rgba), (width, height), meta),
        ],
        facts=msgspec.to_builtins(facts) | verdict_of(meta),
    )


def blaming(name: str, refused: ImageRefused) -> ImageRefused:
    """Say which picture it is; only not of the product's photo, the one that is always there."""
    if name == SOURCE:
        return refused
    words = refused.message
    return ImageRefused(refused.code, f"The {name}: {words[0].lower()}{words[1:]}")


def _checked(name: str, data: bytes) -> dict[str, Any]:
    try:
        found = probe(data)
        decode(data)  # a truncated file shows only when every pixel is read
    except ImageRefused as refused:
        raise blaming(name, refused) from refused
    facts: dict[str, Any] = msgspec.to_builtins(found)
    return facts


def _subject_not_found() -> RenderFailed:
    return RenderFailed(
        "SUBJECT_NOT_FOUND",
        "No product could be told from the background. "
        "Upload a photo of one product on a plain background.",
        retryable=False,
    )
