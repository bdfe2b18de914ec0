"""The first stages of every workflow: validate its pictures, then segment the product photo."""

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from backend.failures.images import SUBJECT_NOT_FOUND
from backend.imaging.coarse import SubjectNotFound
from backend.imaging.cutout import cut_out
from backend.imaging.decode import DecodedImage, decode, probe
from backend.imaging.encode import encode_png
from backend.imaging.formats import ImageRefused
from backend.imaging.parallel import in_parallel
from backend.imaging.source_type import source_type_of
from backend.imaging.subject import SubjectNet, load_net
from backend.imaging.thumbnail import THUMBNAIL_SIDE
from backend.imaging.weights import U2NETP_SHA256
from backend.renderers.base import Rendered, RenderFailed, RenderRequest
from backend.renderers.files import (
    EngineFacts,
    SegmentFacts,
    intermediate_png,
    stamp,
    thumbnail_of,
    verdict_of,
)
from backend.renderers.requests import declared_types, input_of
from backend.workflows.pictures import ORIGINAL_THUMBNAIL
from backend.workflows.stages import StageFile

# What a merchant calls a further picture, where it is not the file's name.
SPOKEN: dict[str, str] = {
    StageFile.PERSON: "photo of the person",
    StageFile.GARMENT_2: "second garment",
    StageFile.GARMENT_3: "third garment",
    StageFile.GARMENT_4: "fourth garment",
}


class KeptNet:
    """The net: loaded at its first use and kept for later requests."""

    def __init__(self, model_path: str | None, threads: int) -> None:
        self._path = Path(model_path) if model_path else None
        self._threads = threads
        self._net: SubjectNet | None = None

    def get(self) -> SubjectNet | None:
        """The net, or None while there are no weights that can be trusted; then it looks again."""
        self._net = self._net or load_net(self._path, threads=self._threads)
        return self._net


def validate(request: RenderRequest) -> Rendered:
    """Read every pixel of every picture in the request; make a thumbnail of `source`.

    The facts are the header of `source`; those of any other picture stand under its name.
    """
    facts, picture = _checked(StageFile.SOURCE, input_of(request, StageFile.SOURCE))
    for name, data in request.inputs.items():
        if name != StageFile.SOURCE:
            facts[name], _ = _checked(name, data)
    return Rendered(files=[thumbnail_of(ORIGINAL_THUMBNAIL, _pixels(picture))], facts=facts)


def segment(request: RenderRequest, net: SubjectNet | None) -> Rendered:
    """`source` → `mask` and `cutout`."""
    try:
        cutout = cut_out(decode(input_of(request, StageFile.SOURCE)), net)
    except SubjectNotFound as error:
        raise RenderFailed(SUBJECT_NOT_FOUND) from error
    engine = EngineFacts(model="u2netp", model_sha256=U2NETP_SHA256)
    facts = SegmentFacts(
        engine=engine if cutout.quality.by_model else EngineFacts(), quality=cutout.quality
    )
    meta = stamp(facts)
    height, width = cutout.mask.shape
    declared = declared_types(request)[:1]  # the background is not in it
    cutout_png, mask_png = in_parallel(
        lambda: encode_png(cutout.rgba, source_type_of(*declared)), lambda: encode_png(cutout.mask)
    )
    return Rendered(
        files=[
            intermediate_png(StageFile.MASK, mask_png, (width, height), meta),
            intermediate_png(StageFile.CUTOUT, cutout_png, (width, height), meta),
        ],
        facts=msgspec.to_builtins(facts) | verdict_of(meta),
    )


def blaming(name: str, refused: ImageRefused) -> ImageRefused:
    """The refusal, saying which picture it is about unless that is the product's photo."""
    if name == StageFile.SOURCE:
        return refused
    words = refused.failure.message
    message = f"The {SPOKEN.get(name, name)}: {words[0].lower()}{words[1:]}"
    return ImageRefused(refused.failure.with_message(message))


def _checked(name: str, data: bytes) -> tuple[dict[str, Any], DecodedImage]:
    try:
        found = probe(data)
        # A truncated file shows only when all of it is read; no more pixels than these are wanted.
        picture = decode(data, THUMBNAIL_SIDE)
    except ImageRefused as refused:
        raise blaming(name, refused) from refused
    facts: dict[str, Any] = msgspec.to_builtins(found)
    return facts, picture


def _pixels(picture: DecodedImage) -> NDArray[np.uint8]:
    """(height, width, 3), or 4 with transparency."""
    if picture.alpha is None:
        return picture.rgb
    return np.dstack((picture.rgb, np.rint(picture.alpha * 255).astype(np.uint8)))
