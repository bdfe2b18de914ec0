"""The product on a clean square: compose, then encode."""

from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from backend.imaging import quality
from backend.imaging.compose import Framing, compose
from backend.imaging.encode import decode_own, encode_png
from backend.imaging.source_type import source_type_of
from backend.renderers.base import Rendered, RenderRequest
from backend.renderers.files import SegmentFacts, intermediate_png, stamp, verdict_of
from backend.renderers.finals import encode_outputs, longest
from backend.renderers.requests import declared_types, earlier_facts, input_of, job_parameters
from backend.workflows.catalog_image import CatalogImage
from backend.workflows.stages import StageFile, StageName


def compose_master(request: RenderRequest) -> Rendered:
    """`cutout` → `master`, a square as large as the largest output."""
    parameters = job_parameters(request, CatalogImage)
    master = compose(
        decode_own(input_of(request, StageFile.CUTOUT)),
        size=longest(parameters.outputs),
        margin=parameters.margin,
        background=parameters.background,
        shadow=parameters.shadow,
    )
    framing = master.framing
    segmented = earlier_facts(request, StageName.SEGMENT, SegmentFacts)
    meta = stamp(segmented, framing, scale=framing.scale)
    size = (framing.size, framing.size)
    file = intermediate_png(StageFile.MASTER, encode_png(master.rgb), size, meta)
    return Rendered(files=[file], facts=msgspec.to_builtins(framing) | verdict_of(meta))


def encode_catalog(request: RenderRequest) -> Rendered:
    """`master` → finals; their corners are judged as a marketplace will see them."""
    parameters = job_parameters(request, CatalogImage)
    segmented = earlier_facts(request, StageName.SEGMENT, SegmentFacts)
    framing = earlier_facts(request, StageName.COMPOSE, Framing)

    def meta_of(final: NDArray[np.uint8]) -> dict[str, Any]:
        return stamp(
            segmented,
            framing,
            scale=framing.scale if framing else None,
            corners_clean=quality.corners_are(final, parameters.background),
        )

    return encode_outputs(
        decode_own(input_of(request, StageFile.MASTER)),
        parameters.outputs,
        kind="catalog_image",
        stem="catalog",
        meta_of=meta_of,
        source_type=source_type_of(*declared_types(request)),
    )
