"""A product before another background, through a real child and its limits."""

from pathlib import Path

import numpy as np
import pytest

from backend.imaging import filters
from backend.imaging.encode import decode_own, encode_final
from backend.imaging.source_type import DigitalSourceType
from backend.renderers.base import RenderFailed, RenderRequest
from backend.renderers.local import LocalRenderer
from backend.renderers.requests import declared_types
from backend.workflows.background_swap import (
    BACKGROUND_SWAP_WITH_IMAGE,
    BACKGROUND_SWAP_WITH_SPEC,
)
from tests.backend.imaging import files
from tests.backend.renderers.stage_runs import JobRun, ask, run

OUTPUTS = [{"size": 750, "format": "jpeg"}, {"size": 400, "format": "avif"}]
SKY = files.jpeg(files.srgb(np.full((900, 1400, 3), [60, 120, 220], dtype=np.uint8)))


def with_background(stage_run: JobRun, background: bytes) -> JobRun:
    return JobRun(data={**stage_run.data, "background": background}, facts=stage_run.facts, made={})


async def test_a_product_is_placed_on_an_uploaded_image(renderer, segmented):
    start = with_background(await segmented("tee_navy"), SKY)
    stage_run = await run(
        renderer, BACKGROUND_SWAP_WITH_IMAGE, start, shadow="none", outputs=OUTPUTS
    )
    assert stage_run.facts["validate"]["background"]["width"] == 1400
    assert [(f.name, f.kind, f.label) for f in stage_run.finals()] == [
        ("swap-750.jpg", "background_swap", "600 × 750 JPEG"),
        ("swap-400.avif", "background_swap", "320 × 400 AVIF"),
    ]
    rgb = decode_own(stage_run.data["master"]).astype(int)
    alpha = decode_own(stage_run.data["cutout"])[::2, ::2, 3]
    around = filters.erode(alpha == 0, 3)  # beyond what scaling spreads of the edge
    assert np.abs(rgb[around] - [60, 120, 220]).max() <= 6
    assert rgb[alpha == 255].mean() < 100
    meta = stage_run.finals()[0].meta
    assert (meta["verdict"], meta["generative"]) == ("pass", False)
    assert meta["engine"]["model"] == "u2netp" and meta["quality"]["shadow"] == "none"
    assert {"certain", "soft", "scale"} <= set(meta["quality"])
    assert {"lqip", "sha256", "bytes", "width", "height", "reasons"} <= set(meta)


def test_what_the_photo_and_the_background_declare_is_known_to_later_stages():
    facts = {"validate": {"width": 600, "background": {"digital_source_type": "composite"}}}
    request = RenderRequest(stage="encode_swap", inputs={}, facts=facts)
    assert declared_types(request) == (None, "composite")
    facts["validate"]["digital_source_type"] = "trainedAlgorithmicMedia"
    assert declared_types(request) == ("trainedAlgorithmicMedia", "composite")
    assert declared_types(RenderRequest(stage="encode_swap", inputs={})) == (None, None)


async def test_a_product_is_placed_on_a_generated_set(renderer, segmented):
    start = await segmented("tee_navy")
    words = {"scene_type": "studio", "dominant_colors": ["#3a6ea5"], "outputs": OUTPUTS}
    one, two, warm = [
        await run(renderer, BACKGROUND_SWAP_WITH_SPEC, start, **words, **more)
        for more in ({}, {}, {"mood": "warm"})
    ]
    assert one.data["swap-750.jpg"] == two.data["swap-750.jpg"] != warm.data["swap-750.jpg"]
    assert one.finals()[0].kind == "background_swap"
    wall = decode_own(one.data["swap-750.jpg"])[60, 300].astype(int)
    assert np.abs(wall - [0x3A, 0x6E, 0xA5]).max() < 25


async def test_finals_with_a_generated_gradient_use_smooth_encoding(renderer, segmented):
    stage_run = await run(
        renderer,
        BACKGROUND_SWAP_WITH_SPEC,
        await segmented("tee_navy"),
        scene_type="studio",
        outputs=[{"size": 500, "format": "webp"}],
    )
    master = decode_own(stage_run.data["master"])
    coarse, fine = (
        len(
            encode_final(
                master,
                size=500,
                format_="webp",
                source_type=DigitalSourceType.ALGORITHMICALLY_ENHANCED,
                smooth=smooth,
            )
        )
        for smooth in (False, True)
    )
    assert fine > 1.1 * coarse
    assert len(stage_run.finals()[0].data) == pytest.approx(fine, rel=0.02)


async def test_doubts_about_the_cutout_reach_the_finals(renderer, segmented):
    stage_run = await run(
        renderer,
        BACKGROUND_SWAP_WITH_SPEC,
        await segmented("breton_long_sleeve"),
        scene_type="wall",
        outputs=OUTPUTS[:1],
    )
    assert [reason["code"] for reason in stage_run.finals()[0].meta["reasons"]] == [
        "UNCERTAIN_OUTLINE"
    ]


async def test_a_background_damaged_after_validation_is_refused_by_name(renderer, segmented):
    cutout = (await segmented("tee_navy")).data["cutout"]
    with pytest.raises(RenderFailed) as caught:
        await ask(
            renderer,
            "swap_with_image",
            workflow=BACKGROUND_SWAP_WITH_IMAGE,
            cutout=cutout,
            background=SKY[:4000],
        )
    assert caught.value.code == "IMAGE_CORRUPT"
    assert caught.value.failure.message.startswith("The background: the image is damaged")


@pytest.mark.parametrize(
    "params",
    [{}, {"scene_type": "beach"}, {"scene_type": "wall", "mood": "angry"}],
    ids=["no-scene", "unknown-scene", "unknown-mood"],
)
async def test_invalid_set_parameters_are_an_invalid_request(renderer, segmented, params):
    cutout = (await segmented("tee_navy")).data["cutout"]
    with pytest.raises(RenderFailed) as caught:
        await ask(
            renderer, "swap_with_spec", params, workflow=BACKGROUND_SWAP_WITH_SPEC, cutout=cutout
        )
    assert caught.value.code == "RENDER_REQUEST_INVALID"


@pytest.mark.slow
async def test_the_largest_outputs_fit_into_a_childs_limits(segmented):
    start = with_background(await segmented("tee_navy"), SKY)
    renderer = LocalRenderer(None)  # its own child: the others' peak memory is measured elsewhere
    stage_run = await run(
        renderer,
        BACKGROUND_SWAP_WITH_IMAGE,
        start,
        outputs=[{"size": 4096, "format": "jpeg"}, {"size": 4096, "format": "avif"}],
    )
    status = Path(f"/proc/{renderer.child_pids[0]}/status").read_text()
    await renderer.close()
    assert [(f.meta["width"], f.meta["height"]) for f in stage_run.finals()] == [(3277, 4096)] * 2
    (peak,) = (line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))
    assert int(peak) < 800 * 1024  # kB; measured 0.6 GB
