"""`POST /v1/uploads` over HTTP: what is stored, who may upload, and S3 outages."""

import re
import socket
import time

import msgspec
import pytest
import pyvips
from httpx import AsyncClient

from backend.auth.signed_request import signed_request
from backend.dev.transport import LoopbackShopify
from backend.uploads import service
from tests.backend.imaging.files import located_jpeg, photo, png
from tests.backend.uploads.multipart_forms import (
    MULTIPART,
    form,
    picture,
    post_upload,
    row_of,
    upload_picture,
    uploads_of,
)
from tests.conftest import SECRET
from tests.running_app import SHOP, RunningApp, serve_app
from tests.scenarios import refusal

UNINSTALLED = "closed.myshopify.com"


async def test_an_image_is_returned_upright_without_metadata(
    shared_app: RunningApp,
) -> None:
    answer = await post_upload(shared_app, located_jpeg())
    assert answer.status_code == 201
    body = answer.json()
    assert set(body) == {"upload_key", "image_url"}
    assert re.fullmatch("upl_[0-9a-f]{32}", body["upload_key"])
    got = await shared_app.http.get(body["image_url"])
    assert (got.status_code, got.headers["content-type"]) == (200, "image/jpeg")
    assert got.headers["content-disposition"].endswith('.jpg"')
    assert b"canary" not in got.content and b"Exif" not in got.content
    image = pyvips.Image.new_from_buffer(got.content, "")
    assert (image.width, image.height) == (600, 800), "sent lying on its side"


async def test_a_transparent_image_stays_a_png(shared_app: RunningApp) -> None:
    cut_out = photo().bandjoin(128).copy(interpretation="srgb")
    body = (await post_upload(shared_app, png(cut_out), kind="image/png")).json()
    got = await shared_app.http.get(body["image_url"])
    assert got.headers["content-type"] == "image/png"
    assert pyvips.Image.new_from_buffer(got.content, "").hasalpha()


async def test_the_senders_file_name_and_type_are_not_kept(shared_app: RunningApp) -> None:
    answer = await post_upload(shared_app, picture(), name="canary-name.html", kind="text/canary")
    assert answer.status_code == 201
    assert "canary" not in answer.text + str(dict(answer.headers))
    row = await row_of(shared_app, answer.json()["upload_key"])
    assert "canary" not in str(row)
    got = await shared_app.http.get(answer.json()["image_url"])
    assert "canary" not in str(dict(got.headers))


async def test_upload_keys_and_object_keys_are_unrelated(
    shared_app: RunningApp,
) -> None:
    rows = [await row_of(shared_app, await upload_picture(shared_app)) for _ in range(2)]
    assert all(re.fullmatch(r"uploads/[0-9a-f]{32}\.jpg", row["key"]) for row in rows)
    random = {part[-32:] for row in rows for part in (row["upload_key"], row["key"][:-4])}
    assert len(random) == 4, "the same picture twice, and four unrelated names"
    assert all(row["stored_at"] and not row["used_at"] for row in rows)


async def test_a_signed_request_can_upload_and_signs_every_byte(
    shared_app: RunningApp, shop: str
) -> None:
    body = form(("file", picture()))
    url, signature = signed_request(
        SECRET.encode(),
        method="POST",
        url=f"{str(shared_app.http.base_url).rstrip('/')}/v1/uploads",
        shop=shop,
        body=body,
        now=int(time.time()),
    )
    headers = {**MULTIPART, "X-Shopify-Hmac-Sha256": signature}
    assert (await shared_app.http.post(url, content=body, headers=headers)).status_code == 201
    changed = await shared_app.http.post(url, content=body + b" ", headers=headers)
    assert refusal(changed) == (401, "UNAUTHENTICATED")
    assert len(await uploads_of(shared_app, shop)) == 1


async def test_an_unauthenticated_upload_is_refused(shared_app: RunningApp) -> None:
    answer = await shared_app.http.post("/v1/uploads", files={"file": picture()})
    assert refusal(answer) == (401, "UNAUTHENTICATED")


@pytest.mark.parametrize("data", [picture(), b"not a picture"], ids=["picture", "garbage"])
async def test_an_uninstalled_shop_gets_401_before_its_image_is_read(
    shared_app: RunningApp, data: bytes
) -> None:
    shared_app.shopify.create_shop(UNINSTALLED)
    assert refusal(await post_upload(shared_app, data, shop=UNINSTALLED)) == (
        401,
        "SHOP_NOT_INSTALLED",
    )


async def test_an_unreachable_store_fails_the_upload(shared_app: RunningApp, shop: str) -> None:
    nowhere = msgspec.structs.replace(shared_app.settings, s3_endpoint_url="http://127.0.0.1:9")
    async with (
        serve_app(nowhere, LoopbackShopify(shared_app.shopify.origin)) as url,
        AsyncClient(base_url=url, timeout=30) as client,
    ):
        answer = await client.post(
            "/v1/uploads", files={"file": picture()}, headers=shared_app.bearer(shop)
        )
    assert refusal(answer) == (503, "STORAGE_UNAVAILABLE")
    assert int(answer.headers["retry-after"]) > 0
    assert "127.0.0.1" not in answer.text


async def test_a_store_that_never_answers_fails_the_upload_in_time(
    shared_app: RunningApp, shop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """boto3 alone gives up after more than thirty seconds."""
    assert service.STORE_TIMEOUT <= 15
    monkeypatch.setattr(service, "STORE_TIMEOUT", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent_url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        settings = msgspec.structs.replace(shared_app.settings, s3_endpoint_url=silent_url)
        async with (
            serve_app(settings, LoopbackShopify(shared_app.shopify.origin)) as url,
            AsyncClient(base_url=url, timeout=9) as client,
        ):
            answer = await client.post(
                "/v1/uploads", files={"file": picture()}, headers=shared_app.bearer(shop)
            )
    assert refusal(answer) == (503, "STORAGE_UNAVAILABLE")
    assert int(answer.headers["retry-after"]) > 0
    [row] = await uploads_of(shared_app, shop)
    assert row["stored_at"] is None, "no job can use it"
    assert [row["stored_at"] for row in await uploads_of(shared_app, shop)] == [None]


async def test_an_upload_belongs_to_the_shop_of_its_token(
    shared_app: RunningApp, shop: str
) -> None:
    before = len(await uploads_of(shared_app, SHOP))
    await post_upload(shared_app, picture(), shop=shop, params={"shop": SHOP})
    assert len(await uploads_of(shared_app, SHOP)) == before
    assert len(await uploads_of(shared_app, shop)) == 1
