"""The product on a clean square: compose, then encode."""

from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from backend.imaging import quality
from backend.imaging.compose import Framing, compose
from backend.imaging.encode import decode_own, encode_png
from backend.imaging.shadow import ShadowKind
from backend.renderers.base import Rendered, RenderRequest
from backend.renderers.files import SegmentFacts, input_of, intermediate_png, stamp, verdict_of
from backend.renderers.finals import JPEG_AND_WEBP, Outputs, encode_outputs, longest


class EarlierFacts(msgspec.Struct, frozen=True, kw_only=True):
    segment: SegmentFacts | None = None
    compose: Framing | None = None


class CatalogParams(msgspec.Struct, frozen=True, kw_only=True):
    """`background` is #rrggbb, `margin` the free share of the square on each side."""

    background: str = "#ffffff"
    margin: float = 0.08
    shadow: ShadowKind = "none"
    outputs: Outputs = JPEG_AND_WEBP
    facts: EarlierFacts = EarlierFacts()


def compose_master(request: RenderRequest) -> Rendered:
    """`cutout` → `master`, a square as large as the largest output."""
    params = msgspec.convert(request.params, CatalogParams)
    master = compose(
        decode_own(input_of(request, "cutout")),
        size=longest(params.outputs),
        margin=params.margin,
        background=params.background,
        shadow=params.shadow,
    )
    framing = master.framing
    meta = stamp(params.facts.segment, framing, scale=framing.scale)
    size = (framing.size, framing.size)
    return Rendered(
        files=[intermediate_png("master", encode_png(master.rgb), size, meta)],
        facts=msgspec.to_builtins(framing) | verdict_of(meta),
    )


def encode_catalog(request: RenderRequest) -> Rendered:
    """`master` → finals; their corners are judged as a marketplace will see them."""
    params = msgspec.convert(request.params, CatalogParams)

    def story(final: NDArray[np.uint8]) -> dict[str, Any]:
        framing = params.facts.compose
        return stamp(
            params.facts.segment,
            framing,
            scale=framing.scale if framing else None,
            corners_clean=quality.corners_are(final, params.background),
        )

    return encode_outputs(
        input_of(request, "master"),
        params.outputs,
        kind="catalog_image",
        stem="catalog",
        story=story,
    )
