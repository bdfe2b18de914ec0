"""The product before another background: swap_with_image or swap_with_spec, then encode_swap."""

from typing import Any

import msgspec

from backend.imaging.decode import ImageRefused
from backend.imaging.encode import decode_own, encode_png
from backend.imaging.scenery import Mood, SceneType
from backend.imaging.shadow import ShadowKind
from backend.imaging.swap import Swapped, swap_with_picture, swap_with_set
from backend.renderers.base import Rendered, RenderRequest
from backend.renderers.files import SegmentFacts, input_of, intermediate_png, stamp, verdict_of
from backend.renderers.finals import JPEG_AND_WEBP, Outputs, encode_outputs, longest
from backend.renderers.photo import blaming

BACKGROUND = "background"


class SwapFacts(msgspec.Struct, frozen=True, kw_only=True):
    """`size`: the longer side in pixels; `scale`: the product's enlargement of its photo."""

    size: int
    shadow: ShadowKind
    scale: float
    upscaled: bool


class EarlierFacts(msgspec.Struct, frozen=True, kw_only=True):
    """One of the two stages has run."""

    segment: SegmentFacts | None = None
    swap_with_image: SwapFacts | None = None
    swap_with_spec: SwapFacts | None = None


class SwapParams(msgspec.Struct, frozen=True, kw_only=True):
    """The picture has the photo's shape, the size of an output is its longer side."""

    shadow: ShadowKind = "contact"
    outputs: Outputs = JPEG_AND_WEBP
    facts: EarlierFacts = EarlierFacts()


class SpecParams(SwapParams, frozen=True, kw_only=True):
    """`dominant_colors`: one to three #rrggbb for backdrop, floor and accent."""

    scene_type: SceneType
    mood: Mood = "neutral"
    dominant_colors: tuple[str, ...] = ("#e8e4de",)


def swap_with_image(request: RenderRequest) -> Rendered:
    """`cutout` and `background` → `master`."""
    params = msgspec.convert(request.params, SwapParams)
    cutout = decode_own(input_of(request, "cutout"))
    background = input_of(request, BACKGROUND)
    try:
        swapped = swap_with_picture(
            cutout, background, size=longest(params.outputs), shadow=params.shadow
        )
    except ImageRefused as refused:
        raise blaming(BACKGROUND, refused) from refused
    return _master(swapped, params)


def swap_with_spec(request: RenderRequest) -> Rendered:
    """`cutout` → `master`, before a set drawn to order."""
    params = msgspec.convert(request.params, SpecParams)
    swapped = swap_with_set(
        decode_own(input_of(request, "cutout")),
        params.scene_type,
        params.mood,
        params.dominant_colors,
        size=longest(params.outputs),
        shadow=params.shadow,
    )
    return _master(swapped, params)


def encode_swap(request: RenderRequest) -> Rendered:
    """`master` → finals."""
    params = msgspec.convert(request.params, SwapParams)
    facts = params.facts.swap_with_image or params.facts.swap_with_spec
    meta = _story(params, facts)
    return encode_outputs(
        input_of(request, "master"),
        params.outputs,
        kind="background_swap",
        stem="swap",
        story=lambda _: meta,
        smooth=True,
    )


def _master(swapped: Swapped, params: SwapParams) -> Rendered:
    height, width = swapped.rgb.shape[:2]
    facts = SwapFacts(
        size=max(height, width),
        shadow=params.shadow,
        scale=swapped.scale,
        upscaled=swapped.scale > 1,
    )
    meta = _story(params, facts)
    return Rendered(
        files=[intermediate_png("master", encode_png(swapped.rgb), (width, height), meta)],
        facts=msgspec.to_builtins(facts) | verdict_of(meta),
    )


def _story(params: SwapParams, facts: SwapFacts | None) -> dict[str, Any]:
    return stamp(params.facts.segment, facts, scale=facts.scale if facts else None)
