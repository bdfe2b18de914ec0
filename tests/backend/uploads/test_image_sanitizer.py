"""Sanitizing an uploaded image: refusals, crashes of the child, and its queue."""

import asyncio
import io
import os
import signal
from collections import Counter

import pytest
from httpx import AsyncClient

from backend.dev.transport import LoopbackShopify
from backend.errors import AtelierError, ImageCorrupt, ImageTooComplex, UploadsUnavailable
from backend.failures import codes
from backend.failures.registry import Failure
from backend.renderers import local
from backend.renderers.base import Rendered, RenderFailed, RenderRequest
from backend.renderers.local import LocalRenderer
from backend.renderers.wire import frame
from backend.uploads.form import PART_NAME
from backend.uploads.image_sanitizer import (
    MAX_PENDING_UPLOADS,
    MAX_UPLOADS_OF_A_SHOP,
    SHOP_UPLOADS_BUSY,
    ImageSanitizer,
)
from tests.backend.imaging.files import animated_png, bomb_png
from tests.backend.uploads import crashing_child
from tests.backend.uploads.multipart_forms import picture, post_upload, uploads_of
from tests.flows.pictures import SVG
from tests.running_app import RunningApp, serve_app
from tests.scenarios import new_shop, refusal

REFUSED = {
    "HTML": (b"<html><script>alert(1)</script></html>", 415, "IMAGE_TYPE_UNSUPPORTED"),
    "SVG": (SVG, 415, "IMAGE_TYPE_UNSUPPORTED"),
    "PDF": (b"%PDF-1.7" + bytes(200), 415, "IMAGE_TYPE_UNSUPPORTED"),
    "GIF": (b"GIF89a" + bytes(200), 422, "IMAGE_CORRUPT"),
    "TIFF": (b"II*\0\x08\0\0\0" + bytes(200), 422, "IMAGE_CORRUPT"),
    "AVIF": (b"\0\0\0\x0cftypavif" + bytes(200), 422, "IMAGE_CORRUPT"),
    "HEIC": (b"\0\0\0\x0cftypheic" + bytes(200), 422, "IMAGE_CORRUPT"),
    "HEIC sequence": (b"\0\0\0\x0cftyphevc" + bytes(200), 422, "IMAGE_ANIMATED"),
    "truncated": (picture()[:4000], 422, "IMAGE_CORRUPT"),
    "a bomb": (bomb_png(), 413, "IMAGE_TOO_LARGE"),
    "40 × 40": (picture(40, 40), 422, "IMAGE_TOO_SMALL"),
    "animated": (animated_png(), 422, "IMAGE_ANIMATED"),
}


@pytest.mark.parametrize("what", REFUSED)
async def test_an_unusable_image_is_refused_whatever_its_name(
    shared_app: RunningApp, shop: str, what: str
) -> None:
    data, status, code = REFUSED[what]
    answer = await post_upload(shared_app, data, shop=shop, name="photo.png", kind="image/png")
    assert refusal(answer) == (status, code)
    named = [["body", PART_NAME]] if status == 422 else None
    assert named == ([i["loc"] for i in answer.json()["detail"]] if named else None)
    assert await uploads_of(shared_app, shop) == []


class Breaking:
    """A renderer that fails in one way."""

    name = "breaking"

    def __init__(self, failure: Failure) -> None:
        self.failure = RenderFailed(failure)

    async def render(self, _request: RenderRequest) -> Rendered:
        """Fail."""
        raise self.failure

    async def close(self) -> None:
        """Nothing is held."""


@pytest.mark.parametrize(
    ("failure", "seen"),
    [
        (codes.RENDER_CRASHED, UploadsUnavailable),
        (codes.RENDER_OUT_OF_MEMORY, ImageTooComplex),
        (codes.RENDER_TIMEOUT, ImageTooComplex),
        (codes.RENDER_REQUEST_INVALID, RenderFailed),
    ],
)
async def test_a_render_error_maps_to_a_server_or_an_image_error(
    failure: Failure, seen: type[Exception]
) -> None:
    image_sanitizer = ImageSanitizer(Breaking(failure))
    with pytest.raises(seen):
        await image_sanitizer.sanitize(io.BytesIO(b"x"))
    assert issubclass(seen, AtelierError) or seen is RenderFailed, "the latter becomes a 500"


async def test_a_dying_child_fails_one_request_and_not_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    renderer = LocalRenderer(None)
    image_sanitizer = ImageSanitizer(renderer)
    await image_sanitizer.sanitize(io.BytesIO(picture()))
    [pid] = renderer.child_pids
    is_sent = asyncio.Event()

    def frame_and_note(request: RenderRequest) -> bytes:
        is_sent.set()
        return frame(request)

    monkeypatch.setattr(local, "frame", frame_and_note)
    os.kill(pid, signal.SIGSTOP)  # in the middle of its work, as far as anybody can tell
    developing = asyncio.create_task(image_sanitizer.sanitize(io.BytesIO(picture())))
    await asyncio.wait_for(is_sent.wait(), 10)
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(UploadsUnavailable):
        await developing
    assert (await image_sanitizer.sanitize(io.BytesIO(picture()))).content_type == "image/jpeg"
    await image_sanitizer.close()


async def test_a_file_that_crashes_the_decoder_is_refused_and_the_next_one_is_not() -> None:
    renderer = LocalRenderer(None, child_module=crashing_child.__name__)
    image_sanitizer = ImageSanitizer(renderer)
    with pytest.raises(ImageCorrupt) as caught:
        await image_sanitizer.sanitize(io.BytesIO(crashing_child.DEADLY))
    assert caught.value.status == 422
    made = await image_sanitizer.sanitize(io.BytesIO(picture()))
    assert made.content_type == "image/jpeg"
    await image_sanitizer.close()


async def test_of_many_concurrent_uploads_some_are_told_to_retry(
    shared_app: RunningApp, shop: str
) -> None:
    data, shops = picture(1600, 1600), [shop, *[await new_shop(shared_app) for _ in range(4)]]
    answers = await asyncio.gather(
        *(post_upload(shared_app, data, shop=each) for each in shops for _ in range(4))
    )
    assert set(Counter(answer.status_code for answer in answers)) == {201, 503}
    turned_away = [answer for answer in answers if answer.status_code == 503]
    assert {refusal(answer)[1] for answer in turned_away} == {"UPLOADS_UNAVAILABLE"}
    assert all(int(answer.headers["retry-after"]) > 0 for answer in turned_away)
    assert 20 - len(turned_away) >= MAX_PENDING_UPLOADS
    stored = [upload for each in shops for upload in await uploads_of(shared_app, each)]
    assert len(stored) == 20 - len(turned_away)
    assert (await post_upload(shared_app, picture(), shop=shop)).status_code == 201, (
        "all places are free again"
    )


async def test_one_shops_uploads_leave_room_for_another_shop(
    shared_app: RunningApp, shop: str
) -> None:
    """Also while their bodies arrive, which count in the budget of all bodies."""
    other, data = await new_shop(shared_app), picture(1600, 1600)
    many = [asyncio.create_task(post_upload(shared_app, data, shop=shop)) for _ in range(20)]
    await asyncio.wait(many, return_when=asyncio.FIRST_COMPLETED)
    assert (await post_upload(shared_app, picture(), shop=other)).status_code == 201
    answers = await asyncio.gather(*many)
    refused = [answer for answer in answers if answer.status_code != 201]
    assert 0 < len(refused) <= 20 - MAX_UPLOADS_OF_A_SHOP
    assert {(answer.status_code, answer.json()["error"]["message"]) for answer in refused} == {
        (503, SHOP_UPLOADS_BUSY)
    }
    assert (await post_upload(shared_app, picture(), shop=shop)).status_code == 201


async def test_no_more_uploads_than_places_are_processed_at_once() -> None:
    image_sanitizer = ImageSanitizer(Breaking(codes.RENDER_CRASHED), capacity=2)
    with image_sanitizer.slot():
        with image_sanitizer.slot(), pytest.raises(UploadsUnavailable), image_sanitizer.slot():
            pass
        with image_sanitizer.slot():
            pass
    assert image_sanitizer.free == 2


async def test_the_child_ends_with_its_web_process(
    shared_app: RunningApp, shop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pids: list[int] = []
    close = LocalRenderer.close

    async def remember_and_close(renderer: LocalRenderer) -> None:
        pids.extend(renderer.child_pids)
        await close(renderer)

    monkeypatch.setattr(LocalRenderer, "close", remember_and_close)
    async with (
        serve_app(shared_app.settings, LoopbackShopify(shared_app.shopify.origin)) as url,
        AsyncClient(base_url=url, timeout=30) as client,
    ):
        files = {PART_NAME: picture()}
        answer = await client.post("/v1/uploads", files=files, headers=shared_app.bearer(shop))
        assert answer.status_code == 201
    [pid] = pids
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
