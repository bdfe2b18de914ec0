"""An upload that a server of ours signs: put aside while it is hashed, then read as any other."""

import random
import time
from typing import Any

import httpx
import pytest

from backend import spool
from backend.auth.signed_request import signed_request
from tests.backend.imaging.files import photo, png
from tests.backend.uploads.multipart_forms import MULTIPART, form, uploads_of
from tests.conftest import SECRET
from tests.running_app import RunningApp
from tests.scenarios import refusal


async def post(
    shared_app: RunningApp, shop: str, body: bytes, *, sent: bytes = b""
) -> httpx.Response:
    """Post the body, or other bytes under its signature."""
    url, signature = signed_request(
        SECRET.encode(),
        method="POST",
        url=f"{shared_app.http.base_url}/v1/uploads".replace("//v1", "/v1"),
        shop=shop,
        body=body,
        now=int(time.time()),
    )
    headers = {**MULTIPART, "X-Shopify-Hmac-Sha256": signature}
    return await shared_app.http.post(url, content=sent or body, headers=headers)


@pytest.fixture
def files(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The temporary files of the web process."""
    found: list[Any] = []
    make = spool.spool_file

    def remembered() -> Any:
        found.append(make())
        return found[-1]

    monkeypatch.setattr(spool, "spool_file", remembered)
    return found


async def test_a_large_signed_upload_is_spooled_to_disk(
    shared_app: RunningApp, shop: str, files: list[Any]
) -> None:
    picture = png(photo(700, 700))
    picture += random.Random(1).randbytes(2 * spool.MAX_IN_MEMORY)  # behind its end; read as well
    answer = await post(shared_app, shop, form(("file", picture)))
    assert answer.status_code == 201, answer.text
    (file,) = files
    assert file._rolled and file.closed
    assert len(await uploads_of(shared_app, shop)) == 1


async def test_the_spool_file_of_a_refused_upload_is_closed(
    shared_app: RunningApp, shop: str, files: list[Any]
) -> None:
    body = form(("file", bytes(1000)))
    assert refusal(await post(shared_app, shop, body, sent=body[:-1] + b"-")) == (
        401,
        "UNAUTHENTICATED",
    )
    stranger = await post(shared_app, "stranger.myshopify.com", body)
    assert refusal(stranger) == (401, "SHOP_NOT_INSTALLED")
    assert refusal(await post(shared_app, shop, body)) == (415, "IMAGE_TYPE_UNSUPPORTED")
    assert [file.closed for file in files] == [True] * 3
