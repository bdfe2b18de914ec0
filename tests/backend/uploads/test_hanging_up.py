"""A client that disconnects leaves no row and no file, and its slot is free."""

import asyncio
import tempfile
from collections.abc import AsyncIterator
from itertools import cycle, islice
from typing import Any, ClassVar

import httpx
import pytest

from backend.renderers.base import Rendered, RenderRequest
from backend.renderers.local import LocalRenderer
from backend.uploads.image_sanitizer import MAX_PENDING_UPLOADS
from tests.backend.uploads.multipart_forms import MULTIPART, form, picture, post_upload, uploads_of
from tests.running_app import RunningApp
from tests.scenarios import new_shop
from tests.wait import wait_until


class Seen(tempfile.SpooledTemporaryFile[bytes]):
    """A temporary file that is remembered."""

    files: ClassVar[list["Seen"]] = []

    def __init__(self, **how: Any) -> None:
        super().__init__(**how)
        self.files.append(self)


@pytest.fixture
def files(monkeypatch: pytest.MonkeyPatch) -> list[Seen]:
    """The temporary files that the web process opens."""
    monkeypatch.setattr(Seen, "files", [])
    monkeypatch.setattr(tempfile, "SpooledTemporaryFile", Seen)
    return Seen.files


async def senders(shared_app: RunningApp, shop: str, count: int) -> list[str]:
    """The shops of so many uploads, this one first: one shop alone may not have as many."""
    shops = cycle([shop, await new_shop(shared_app), await new_shop(shared_app)])
    return [*islice(shops, count)]


async def test_a_disconnect_during_the_upload_leaves_nothing(
    shared_app: RunningApp, shop: str, files: list[Seen]
) -> None:
    body = form(("file", bytes(3_000_000)))

    async def half() -> AsyncIterator[bytes]:
        yield body[:2_500_000]
        raise ConnectionError

    length = {**MULTIPART, "Content-Length": str(len(body))}
    async with httpx.AsyncClient(base_url=shared_app.http.base_url) as client:
        for each in await senders(shared_app, shop, MAX_PENDING_UPLOADS + 1):
            headers = {**shared_app.bearer(each), **length}
            with pytest.raises(ConnectionError):
                await client.post("/v1/uploads", content=half(), headers=headers)
    await wait_until(
        lambda: len(files) == MAX_PENDING_UPLOADS + 1 and all(file.closed for file in files)
    )
    assert await uploads_of(shared_app, shop) == []
    assert (await post_upload(shared_app, picture(), shop=shop)).status_code == 201


async def test_a_disconnect_before_the_response_cancels_the_work(
    shared_app: RunningApp, shop: str, files: list[Seen], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, ready = asyncio.Event(), asyncio.Event()
    render = LocalRenderer.render

    async def render_when_ready(renderer: LocalRenderer, request: RenderRequest) -> Rendered:
        asked.set()
        await ready.wait()
        return await render(renderer, request)

    monkeypatch.setattr(LocalRenderer, "render", render_when_ready)
    async with httpx.AsyncClient(base_url=shared_app.http.base_url) as client:
        waiting = [
            asyncio.create_task(
                client.post(
                    "/v1/uploads", files={"file": picture()}, headers=shared_app.bearer(each)
                )
            )
            for each in await senders(shared_app, shop, MAX_PENDING_UPLOADS)
        ]
        await asyncio.wait_for(asked.wait(), 10)
        await wait_until(lambda: len(files) == MAX_PENDING_UPLOADS)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
    await wait_until(lambda: all(file.closed for file in files))
    ready.set()
    assert (await post_upload(shared_app, picture(), shop=shop)).status_code == 201
    assert len(await uploads_of(shared_app, shop)) == 1
