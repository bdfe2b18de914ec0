"""An upload that a server of ours signs: put aside while it is hashed, then read as any other."""

import random
import time
from typing import Any

import httpx
import pytest

from backend import spool
from backend.auth.signed_request import signed_request
from tests.backend.imaging.files import photo, png
from tests.backend.uploads.sending import MULTIPART, form, uploads_of
from tests.conftest import SECRET
from tests.doors import refusal
from tests.world import World


async def post(house: World, shop: str, body: bytes, *, sent: bytes = b"") -> httpx.Response:
    """Post the body, or other bytes under its signature."""
    url, signature = signed_request(
        SECRET.encode(),
        method="POST",
        url=f"{house.http.base_url}/v1/uploads".replace("//v1", "/v1"),
        shop=shop,
        body=body,
        now=int(time.time()),
    )
    headers = {**MULTIPART, "X-Shopify-Hmac-Sha256": signature}
    return await house.http.post(url, content=sent or body, headers=headers)


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


async def test_a_signed_upload_is_put_aside_on_disk_and_made_into_the_picture_that_was_sent(
    house: World, shop: str, files: list[Any]
) -> None:
    picture = png(photo(700, 700))
    picture += random.Random(1).randbytes(2 * spool.IN_MEMORY)  # behind its end; read as well
    answer = await post(house, shop, form(("file", picture)))
    assert answer.status_code == 201, answer.text
    (file,) = files
    assert file._rolled and file.closed
    assert len(await uploads_of(house, shop)) == 1


async def test_what_was_put_aside_for_nobody_is_closed(
    house: World, shop: str, files: list[Any]
) -> None:
    body = form(("file", bytes(1000)))
    assert refusal(await post(house, shop, body, sent=body[:-1] + b"-")) == (401, "UNAUTHENTICATED")
    stranger = await post(house, "stranger.myshopify.com", body)
    assert refusal(stranger) == (401, "SHOP_NOT_INSTALLED")
    assert refusal(await post(house, shop, body)) == (415, "IMAGE_TYPE_UNSUPPORTED")
    assert [file.closed for file in files] == [True] * 3
