"""A catalogue image from upload to finals, through a real child."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from backend.imaging.encode import decode_own, encode_png
from backend.imaging.weights import U2NETP_SHA256
from backend.renderers.base import Rendered, RenderedFile, RenderFailed, RenderRequest
from backend.renderers.local import LocalRenderer
from backend.renderers.stages import Stages
from backend.renderers.wire import ChildConfig, RenderLimits
from backend.workflows.background_swap import BACKGROUND_SWAP_WITH_SPEC
from backend.workflows.catalog_image import CATALOG_IMAGE
from backend.workflows.registry import Workflow
from tests.backend.imaging import files, scenes
from tests.backend.renderers.conftest import MODEL
from tests.backend.renderers.stage_runs import JobRun, ask, run


async def pipeline(
    renderer: LocalRenderer, source: bytes, **params: Any
) -> tuple[dict[str, RenderedFile], dict[str, Any]]:
    """All four stages; files and facts by name."""
    stage_run = await run(renderer, CATALOG_IMAGE, JobRun(data={"source": source}), **params)
    return stage_run.made, stage_run.facts


def test_the_local_engine_claims_exactly_the_stages_that_its_child_runs():
    config = ChildConfig(parent_pid=0, model_path=None, limits=RenderLimits())
    assert Stages(config).by_name.keys() == LocalRenderer.stages


def request(workflow: Workflow, **params: Any) -> RenderRequest:
    """For `compose`, which is a stage of the catalog image alone."""
    return RenderRequest(
        stage="compose", inputs={"cutout": b""}, job_type=workflow.job_type, params=params
    )


async def stage(renderer: LocalRenderer, name: str, **inputs: bytes) -> Rendered:
    return await ask(renderer, name, None, CATALOG_IMAGE, **inputs)


async def test_a_garment_becomes_a_jpeg_and_a_webp_with_complete_metadata(renderer, garment):
    source = garment("tee_navy")
    made, facts = await pipeline(renderer, source)
    assert facts["validate"] == {
        "format": "jpeg",
        "width": 1200,
        "height": 1500,
        "bytes": len(source),
        "sha256": hashlib.sha256(source).hexdigest(),
    }
    assert [(file.name, file.kind, file.role) for file in made.values()] == [
        ("original_thumbnail", "original_thumbnail", "intermediate"),
        ("mask", "mask", "intermediate"),
        ("cutout", "cutout", "intermediate"),
        ("master", "master", "intermediate"),
        ("catalog-2048.jpg", "catalog_image", "final"),
        ("catalog-1024.webp", "catalog_image", "final"),
        ("thumbnail", "thumbnail", "intermediate"),
    ]
    final = made["catalog-2048.jpg"]
    assert (final.label, final.content_type) == ("2048 × 2048 JPEG", "image/jpeg")
    assert made["catalog-1024.webp"].label == "1024 × 1024 WebP"
    assert final.meta["engine"]["model_sha256"] == U2NETP_SHA256
    assert final.meta["verdict"] == "pass" and final.meta["reasons"] == []
    assert {"backdrop", "certain", "soft", "scale", "corners_clean"} <= set(final.meta["quality"])
    for file in made.values():
        height, width = decode_own(file.data).shape[:2]
        assert (file.meta["width"], file.meta["height"]) == (width, height)
        assert file.meta["bytes"] == len(file.data)
        assert file.meta["sha256"] == hashlib.sha256(file.data).hexdigest()
        assert file.meta["content_type"] == file.content_type
        assert file.meta["generative"] is False
    assert peak_memory(renderer.child_pids[0]) < 600 * 1024**2


async def test_parameters_and_the_cutouts_verdict_reach_the_finals(renderer, garment):
    made, facts = await pipeline(
        renderer,
        garment("breton_long_sleeve"),
        background="#f4efe6",
        margin=0.2,
        outputs=[{"size": 512, "format": "webp"}, {"size": 640, "format": "jpeg"}],
    )
    master = decode_own(made["master"].data)
    assert master.shape == (640, 640, 3)
    assert (master[0, 0] == [0xF4, 0xEF, 0xE6]).all()
    final = made["catalog-512.webp"].meta
    assert final["verdict"] == facts["encode"]["verdict"] == "needs_review"
    assert [reason["code"] for reason in final["reasons"]] == ["UNCERTAIN_OUTLINE"]


async def test_an_avif_and_a_contact_shadow_are_made_on_request(renderer, segmented):
    wanted: dict[str, Any] = {"outputs": [{"size": 512, "format": "avif"}], "margin": 0.15}
    start = await segmented("tee_navy")
    plain = await run(renderer, CATALOG_IMAGE, start, **wanted)
    shaded = await run(renderer, CATALOG_IMAGE, start, **wanted, shadow="contact")
    (final,) = shaded.finals()
    assert (final.name, final.label) == ("catalog-512.avif", "512 × 512 AVIF")
    assert final.content_type == "image/avif" and final.data[4:12] == b"ftypavif"
    assert final.meta["quality"]["corners_clean"] is True and final.meta["verdict"] == "pass"
    taken = decode_own(plain.data["master"]).astype(int) - decode_own(shaded.data["master"])
    assert taken.max() > 60 and taken[0].max() == taken[-1].max() == 0


async def test_the_requested_size_is_the_longer_side_of_every_final(renderer, segmented):
    start = await segmented("dress_floral")
    outputs = [{"size": 400, "format": "jpeg"}, {"size": 300, "format": "webp"}]
    swap = await run(renderer, BACKGROUND_SWAP_WITH_SPEC, start, scene_type="wall", outputs=outputs)
    square = await run(renderer, CATALOG_IMAGE, start, outputs=outputs)
    sizes = [(f.meta["width"], f.meta["height"]) for f in (*swap.finals(), *square.finals())]
    assert sizes == [(320, 400), (240, 300), (400, 400), (300, 300)]


async def test_without_the_earlier_facts_no_image_passes(renderer):
    rgba = np.zeros((600, 600, 4), dtype=np.uint8)
    rgba[200:400, 200:400] = [200, 30, 30, 255]
    master = (await stage(renderer, "compose", cutout=encode_png(rgba))).files[0]
    finals = (await stage(renderer, "encode", master=master.data)).files
    assert [reason["code"] for reason in finals[0].meta["reasons"]] == ["NOT_MEASURED"]


async def test_modified_weights_are_reported_as_no_model(garment, tmp_path):
    forged = tmp_path / "u2netp.onnx"
    forged.write_bytes(MODEL.read_bytes()[:-1] + b"!")
    renderer = LocalRenderer(forged)
    rendered = await stage(renderer, "segment", source=garment("tee_navy"))
    await renderer.close()
    assert rendered.facts["engine"]["model"] is None
    assert rendered.facts["engine"]["model_sha256"] is None
    assert rendered.facts["verdict"] == "pass"


@pytest.mark.parametrize(
    ("source", "code"),
    [
        (lambda: b"<svg xmlns='http://www.w3.org/2000/svg'/>", "IMAGE_TYPE_UNSUPPORTED"),
        (lambda: b"%PDF-1.7" + bytes(100), "IMAGE_TYPE_UNSUPPORTED"),
        (files.small_jpeg, "IMAGE_TOO_SMALL"),
        (files.broken_jpeg, "IMAGE_CORRUPT"),
        (files.animated_webp, "IMAGE_ANIMATED"),
    ],
)
async def test_a_bad_upload_fails_validation_permanently(renderer, source, code):
    with pytest.raises(RenderFailed) as caught:
        await stage(renderer, "validate", source=source())
    assert (caught.value.code, caught.value.failure.retryable) == (code, False)


async def test_a_decompression_bomb_does_not_grow_the_childs_memory(renderer):
    await stage(renderer, "validate", source=files.jpeg(files.photo()))
    (pid,) = renderer.child_pids
    before = peak_memory(pid)
    with pytest.raises(RenderFailed, match="IMAGE_TOO_LARGE"):
        await stage(renderer, "validate", source=files.bomb_png())
    assert peak_memory(pid) - before < 4 * 1024**2
    assert renderer.child_pids == [pid]


async def test_a_photo_without_a_product_fails_permanently(renderer):
    with pytest.raises(RenderFailed) as caught:
        await stage(renderer, "segment", source=scenes.empty())
    assert (caught.value.code, caught.value.failure.retryable) == ("SUBJECT_NOT_FOUND", False)


@pytest.mark.parametrize(
    "request_",
    [
        RenderRequest(stage="publish", inputs={}),
        RenderRequest(stage="compose", inputs={}),
        RenderRequest(stage="compose", inputs={"cutout": b""}, job_type="OIL_PAINTING"),
        request(BACKGROUND_SWAP_WITH_SPEC, scene_type="wall"),
        request(CATALOG_IMAGE, margin="wide"),
        request(CATALOG_IMAGE, margin=0.41),
        request(CATALOG_IMAGE, outputs=[{"size": 255, "format": "jpeg"}]),
        request(CATALOG_IMAGE, scene_type="wall"),
    ],
    ids=[
        "unknown-stage",
        "missing-file",
        "unknown-workflow",
        "stage-of-another-workflow",
        "bad-parameter",
        "parameter-out-of-bounds",
        "output-out-of-bounds",
        "unknown-parameter",
    ],
)
async def test_an_invalid_request_is_refused_permanently(renderer, request_):
    with pytest.raises(RenderFailed) as caught:
        await renderer.render(request_)
    assert (caught.value.code, caught.value.failure.retryable) == ("RENDER_REQUEST_INVALID", False)


def peak_memory(pid: int) -> int:
    """The most bytes of RAM that the process ever held."""
    status = Path(f"/proc/{pid}/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024
