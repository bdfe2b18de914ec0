"""Each workflow from an upload or a product to pictures that download, with a real worker's stages.

Where the cut-out itself does not matter, the photo is sent with its transparency, which is quick.
"""

from typing import Any

import httpx
import numpy as np
import pytest
import pyvips

from backend.imaging.encode import XMP_KEYWORD
from backend.imaging.png_chunks import with_chunk
from backend.imaging.source_type import DigitalSourceType, xmp_packet
from tests.backend.imaging.files import jpeg, png, srgb
from tests.backend.jobs.contract import assert_no_storage_names
from tests.caching_renderer import CachingRenderer
from tests.flows.pictures import cut_out_shirt
from tests.running_app import GARMENTS, RunningApp
from tests.scenarios import open_shared_app
from tests.source_types import source_type_in

shared_app = pytest.fixture(open_shared_app, scope="module")

SMALL = [{"size": 512, "format": "webp"}]


def cut_out_scarf() -> bytes:
    """A narrow strip, which covers no shoulder."""
    pixels = np.zeros((800, 600, 4), np.uint8)
    pixels[60:740, 250:350] = (190, 20, 30, 255)
    return png(srgb(pixels))


def green_meadow() -> bytes:
    """A background that is wider than any product photo."""
    return jpeg(srgb(np.full((600, 1200, 3), (30, 160, 60), np.uint8)))


async def upload(shared_app: RunningApp, data: bytes) -> str:
    """The upload key of a picture."""
    answer = await shared_app.http.post(
        "/v1/uploads", files={"file": ("p", data)}, headers=shared_app.bearer()
    )
    assert answer.status_code == 201, answer.text
    return str(answer.json()["upload_key"])


async def finish_workflow(
    shared_app: RunningApp, name: str, body: dict[str, Any]
) -> dict[str, Any]:
    """The detail of a job that was asked for and worked on."""
    answer = await shared_app.http.post(f"/v1/{name}", json=body, headers=shared_app.bearer())
    assert answer.status_code == 202, answer.text
    await shared_app.drain()
    detail: dict[str, Any] = (await shared_app.detail(answer.json()["job_id"])).json()
    assert detail["status"] == "SUCCESS", detail["latest_event"]
    assert_no_storage_names(shared_app, detail)
    return detail


async def download(item: dict[str, Any]) -> bytes:
    """The file behind an artifact's URL; a final says the same about itself as its meta."""
    async with httpx.AsyncClient() as anyone:
        answer = await anyone.get(item["image_url"])
    assert answer.headers["content-type"] == item["meta"]["content_type"]
    if item["role"] == "final":
        assert source_type_in(answer.content) == item["meta"]["digital_source_type"]
    return answer.content


async def download_pixels(item: dict[str, Any]) -> np.ndarray:
    """The pixels behind an artifact's URL."""
    pixels: np.ndarray = pyvips.Image.new_from_buffer(await download(item), "").numpy()
    assert pixels.shape[:2] == (item["meta"]["height"], item["meta"]["width"])
    return pixels


def is_near(pixel: np.ndarray, colour: tuple[int, int, int]) -> bool:
    """Whether lossy encoding explains the difference."""
    return int(np.abs(pixel[:3].astype(int) - colour).max()) <= 12


async def test_an_upload_becomes_catalog_images_as_requested(
    shared_app: RunningApp,
) -> None:
    outputs = [{"size": size, "format": kind} for size, kind in ((512, "avif"), (300, "jpeg"))]
    detail = await finish_workflow(
        shared_app,
        "catalog-image",
        {
            "upload_key": await upload(shared_app, cut_out_shirt()),
            "background": "#2040c0",
            "shadow": "contact",
            "outputs": outputs,
        },
    )
    kinds = [(item["kind"], item["meta"]["content_type"]) for item in detail["result"]]
    assert kinds == [("catalog_image", "image/avif"), ("catalog_image", "image/jpeg")]
    last = await download_pixels(detail["result"][1])
    assert last.shape[:2] == (300, 300)
    assert detail["result"][1]["meta"]["digital_source_type"] == "algorithmicallyEnhanced"
    assert is_near(last[0, 0], (0x20, 0x40, 0xC0)) and is_near(last[150, 150], (190, 20, 30))
    async with httpx.AsyncClient() as anyone:
        shown = await anyone.get(detail["request"]["upload_image_url"])
    assert (shown.status_code, shown.headers["content-type"]) == (200, "image/png")
    assert "upload_key" not in detail["request"]


async def test_every_format_says_that_a_model_made_the_photo(shared_app: RunningApp) -> None:
    by_model = xmp_packet(DigitalSourceType.TRAINED_ALGORITHMIC_MEDIA)
    photo = with_chunk(cut_out_shirt(), b"iTXt", XMP_KEYWORD + by_model)
    outputs = [{"size": 300, "format": kind} for kind in ("jpeg", "webp", "avif")]
    body = {"upload_key": await upload(shared_app, photo), "outputs": outputs}
    detail = await finish_workflow(shared_app, "catalog-image", body)
    finals = [source_type_in(await download(item)) for item in detail["result"]]
    assert finals == ["trainedAlgorithmicMedia"] * 3
    events = await shared_app.http.get(
        f"/v1/jobs/{detail['public_id']}/events", headers=shared_app.bearer()
    )
    [cutout] = [
        item
        for event in events.json()["events"]
        for item in event["artifacts"]
        if item["kind"] == "cutout"
    ]
    assert cutout["meta"]["content_type"] == "image/png"
    assert source_type_in(await download(cutout)) == "trainedAlgorithmicMedia"


async def test_a_product_keeps_its_place_on_an_uploaded_background(
    shared_app: RunningApp,
) -> None:
    detail = await finish_workflow(
        shared_app,
        "background-swap-with-image",
        {
            "upload_key": await upload(shared_app, cut_out_shirt()),
            "background_upload_key": await upload(shared_app, green_meadow()),
            "shadow": "none",
            "outputs": SMALL,
        },
    )
    (item,) = detail["result"]
    assert item["kind"] == "background_swap"
    assert item["meta"]["digital_source_type"] == "composite"
    pixels = await download_pixels(item)
    assert pixels.shape[:2] == (512, 384)
    assert is_near(pixels[10, 10], (30, 160, 60)) and is_near(pixels[500, 370], (30, 160, 60))
    assert is_near(pixels[288, 160], (190, 20, 30))
    assert not is_near(pixels[288, 280], (190, 20, 30))
    assert {"upload_image_url", "background_upload_image_url"} <= detail["request"].keys()


async def test_a_generated_backdrop_has_the_requested_colours_and_is_repeatable(
    shared_app: RunningApp, renderer: CachingRenderer
) -> None:
    body = {
        "upload_key": await upload(shared_app, cut_out_shirt()),
        "scene_type": "studio",
        "dominant_colors": ["#88b0d8"],
        "outputs": SMALL,
    }
    first = await finish_workflow(shared_app, "background-swap-with-spec", body)
    renderer.forget()
    second = await finish_workflow(shared_app, "background-swap-with-spec", body)
    pixels = await download_pixels(first["result"][0])
    blue = pixels[20, 20].astype(int)
    assert blue[2] > blue[1] > blue[0]
    assert is_near(pixels[288, 160], (190, 20, 30))
    assert first["result"][0]["meta"]["digital_source_type"] == "algorithmicallyEnhanced"
    digests = {each["result"][0]["meta"]["sha256"] for each in (first, second)}
    assert len(digests) == 1


async def test_a_garment_on_the_mannequin_is_marked_as_a_preview(shared_app: RunningApp) -> None:
    product = shared_app.product(GARMENTS / "tee_navy.jpg")
    detail = await finish_workflow(
        shared_app,
        "product-to-model-direct",
        {"product_id": product.gid, "category": "top", "outputs": SMALL},
    )
    (item,) = detail["result"]
    meta = item["meta"]
    assert item["kind"] == "on_model_render"
    assert item["label"] == "Mannequin preview — not a photo of a person"
    assert (meta["is_preview"], meta["generative"], meta["synthetic_person"]) == (
        True,
        False,
        False,
    )
    assert meta["digital_source_type"] == "composite"
    assert meta["renderer"] == "local-mannequin" and meta["fit_q"] >= 0.85
    assert (await download_pixels(item)).shape[:2] == (512, 410)


async def test_a_non_garment_is_framed_plainly_and_needs_review(
    shared_app: RunningApp,
) -> None:
    detail = await finish_workflow(
        shared_app,
        "product-to-model-direct",
        {
            "upload_key": await upload(shared_app, cut_out_scarf()),
            "category": "top",
            "outputs": SMALL,
        },
    )
    (item,) = detail["result"]
    assert item["kind"] == "catalog_image" and item["meta"]["is_preview"] is False
    assert item["meta"]["verdict"] == "needs_review"
    assert item["meta"]["digital_source_type"] == "algorithmicallyEnhanced"
    assert "POOR_FIT" in [reason["code"] for reason in item["meta"]["reasons"]]
