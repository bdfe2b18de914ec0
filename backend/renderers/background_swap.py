"""The product in front of another background: one of two swap stages, then encode_swap."""

import msgspec

from backend.imaging.encode import decode_own, encode_png
from backend.imaging.formats import ImageRefused
from backend.imaging.source_type import source_type_of
from backend.imaging.swap import Swapped, swap_with_picture, swap_with_set
from backend.renderers.base import Rendered, RenderRequest
from backend.renderers.files import SegmentFacts, intermediate_png, stamp, verdict_of
from backend.renderers.finals import encode_outputs, longest
from backend.renderers.photo import blaming
from backend.renderers.requests import declared_types, earlier_facts, input_of, job_parameters
from backend.workflows.background_swap import BackgroundSwap, BackgroundSwapWithSpec
from backend.workflows.pictures import ShadowChoice
from backend.workflows.stages import StageFile, StageName


class SwapFacts(msgspec.Struct, frozen=True, kw_only=True):
    """`size`: the longer side in pixels; `scale`: the product's enlargement of its photo."""

    size: int
    shadow: ShadowChoice
    scale: float
    upscaled: bool


def swap_with_image(request: RenderRequest) -> Rendered:
    """`cutout` and `background` → `master`."""
    parameters = job_parameters(request, BackgroundSwap)
    cutout = decode_own(input_of(request, StageFile.CUTOUT))
    background = input_of(request, StageFile.BACKGROUND)
    try:
        swapped = swap_with_picture(
            cutout, background, size=longest(parameters.outputs), shadow=parameters.shadow
        )
    except ImageRefused as refused:
        raise blaming(StageFile.BACKGROUND, refused) from refused
    return _master(request, swapped, parameters.shadow)


def swap_with_spec(request: RenderRequest) -> Rendered:
    """`cutout` → `master`, in front of a generated backdrop."""
    parameters = job_parameters(request, BackgroundSwapWithSpec)
    swapped = swap_with_set(
        decode_own(input_of(request, StageFile.CUTOUT)),
        parameters.scene_type,
        parameters.mood,
        parameters.dominant_colors,
        size=longest(parameters.outputs),
        shadow=parameters.shadow,
    )
    return _master(request, swapped, parameters.shadow)


def encode_swap(request: RenderRequest) -> Rendered:
    """`master` → finals. One of the two stages before has run."""
    facts = earlier_facts(request, StageName.SWAP_WITH_IMAGE, SwapFacts) or earlier_facts(
        request, StageName.SWAP_WITH_SPEC, SwapFacts
    )
    meta = stamp(
        earlier_facts(request, StageName.SEGMENT, SegmentFacts),
        facts,
        scale=facts.scale if facts else None,
    )
    return encode_outputs(
        decode_own(input_of(request, StageFile.MASTER)),
        job_parameters(request, BackgroundSwap).outputs,
        kind="background_swap",
        stem="swap",
        meta_of=lambda _: meta,
        source_type=source_type_of(
            *declared_types(request), is_composite=StageName.SWAP_WITH_IMAGE in request.facts
        ),
        smooth=True,
    )


def _master(request: RenderRequest, swapped: Swapped, shadow: ShadowChoice) -> Rendered:
    height, width = swapped.rgb.shape[:2]
    facts = SwapFacts(
        size=max(height, width), shadow=shadow, scale=swapped.scale, upscaled=swapped.scale > 1
    )
    segmented = earlier_facts(request, StageName.SEGMENT, SegmentFacts)
    meta = stamp(segmented, facts, scale=facts.scale)
    file = intermediate_png(StageFile.MASTER, encode_png(swapped.rgb), (width, height), meta)
    return Rendered(files=[file], facts=msgspec.to_builtins(facts) | verdict_of(meta))
