"""Staged uploads: what is handed out, and what the storage takes and refuses."""

from typing import Any

import httpx
import pytest

from tests.backend.dev.calls import (
    CREATE,
    GARMENT,
    OTHER_SHOP,
    SHOP,
    STAGE,
    App,
    ask,
    exchange,
    put,
    stage,
)

pytestmark = pytest.mark.slow


async def post(
    client: httpx.AsyncClient,
    target: dict[str, Any],
    content: bytes = b"bytes",
    **changes: str,
) -> httpx.Response:
    fields = {each["name"]: each["value"] for each in target["parameters"]} | changes
    return await client.post(target["url"], data=fields, files={"file": ("tee.jpg", content)})


async def creates(app: App, target: dict[str, Any]) -> Any:
    return await app.data(CREATE, files=[{"originalSource": target["resourceUrl"]}])


async def test_a_put_target_is_signed_and_lists_its_headers(app):
    target = await stage(app)
    assert target["resourceUrl"].endswith("/tee.jpg")
    assert target["url"].startswith(target["resourceUrl"] + "?X-Goog-Algorithm=")
    assert {"name": "content_type", "value": "image/jpeg"} in target["parameters"]


async def test_uploaded_put_bytes_can_become_a_file(shopify, client, app):
    target = await stage(app)
    assert (await put(client, target, GARMENT.read_bytes())).status_code == 200
    payload = await creates(app, target)
    assert payload["userErrors"] == []
    assert payload["files"][0]["fileStatus"] == "UPLOADED"
    assert shopify.calls["upload"] == 1


async def test_uploaded_post_bytes_can_become_a_file(client, app):
    target = await stage(app, httpMethod="POST")
    assert (await post(client, target)).status_code == 201
    assert (await creates(app, target))["userErrors"] == []


async def test_a_file_name_may_have_spaces_and_accents(client, app):
    target = await stage(app, filename="thé d'été.jpg")
    assert (await put(client, target)).status_code == 200
    assert (await creates(app, target))["userErrors"] == []


async def test_a_target_without_bytes_is_not_a_valid_source(app):
    payload = await creates(app, await stage(app))
    assert [error["code"] for error in payload["userErrors"]] == ["INVALID_IMAGE_SOURCE_URL"]
    assert payload["files"] == []


async def test_another_shops_upload_is_not_a_valid_source(shopify, client, app):
    target = await stage(app)
    await put(client, target)
    granted = await exchange(client, OTHER_SHOP, shopify.id_token(OTHER_SHOP))
    files = [{"originalSource": target["resourceUrl"]}]
    other = granted.json()["access_token"]
    answer = await ask(client, OTHER_SHOP, other, CREATE, files=files)
    errors = answer.json()["data"]["fileCreate"]["userErrors"]
    assert [error["code"] for error in errors] == ["INVALID_IMAGE_SOURCE_URL"]


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"X-Goog-Signature": "00"}, 403),
        ({"X-Goog-Expires": "9999999999"}, 403),
        ({"X-Goog-Algorithm": "none"}, 403),
        ({"content_type": "image/png"}, 403),
        ({"content_type": ""}, 403),
        ({"content": b"x" * 20_000_001}, 400),
    ],
    ids=["signature", "expiry", "algorithm", "type", "no type", "size"],
)
async def test_a_put_that_differs_from_its_signature_is_refused(client, app, changes, status):
    target = await stage(app)
    assert (await put(client, target, **changes)).status_code == status
    assert (await creates(app, target))["files"] == []


@pytest.mark.parametrize(
    "changes",
    [
        {"x-goog-signature": "00"},
        {"Content-Type": "image/png"},
        {"acl": "public"},
        {"key": "tmp/1"},
    ],
    ids=["signature", "type", "acl", "key"],
)
async def test_a_post_that_differs_from_its_signature_is_refused(client, app, changes):
    target = await stage(app, httpMethod="POST")
    assert (await post(client, target, **changes)).status_code == 403
    assert (await creates(app, target))["files"] == []


async def test_a_target_accepts_only_the_requested_method(client, app):
    signed_put, signed_post = await stage(app), await stage(app, httpMethod="POST")
    crossed = {**signed_put, "url": signed_post["url"]}
    assert (await post(client, crossed)).status_code == 403
    query = {each["name"]: each["value"] for each in signed_post["parameters"]}
    url = httpx.URL(signed_post["resourceUrl"], params=query)
    answer = await client.put(url, content=b"x", headers={"Content-Type": "image/jpeg"})
    assert answer.status_code == 403


async def test_a_signature_is_valid_for_its_own_target_only(client, app):
    mine, other = await stage(app), await stage(app)
    moved = {"url": other["resourceUrl"] + "?" + httpx.URL(mine["url"]).query.decode()}
    assert (await put(client, moved)).status_code == 403


async def test_a_target_expires(shopify, client, app, clock, monkeypatch):
    monkeypatch.setattr(shopify.platform, "upload_lifetime", 60)
    target = await stage(app)
    clock.now += 60
    refused = await put(client, target)
    assert (refused.status_code, "ExpiredToken" in refused.text) == (400, True)


async def test_an_announced_size_must_be_kept(client, app):
    target = await stage(app, fileSize="5")
    assert (await put(client, target, b"too long")).status_code == 400
    assert (await put(client, target, b"bytes")).status_code == 200


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"resource": "PRODUCT_IMAGE"}, "resource"),
        ({"resource": "VIDEO"}, "resource"),
        ({"filename": ""}, "filename"),
        ({"filename": "../tee.jpg"}, "filename"),
        ({"mimeType": "text/html"}, "mimeType"),
        ({"fileSize": "20000001"}, "fileSize"),
        ({"fileSize": "0"}, "fileSize"),
    ],
)
async def test_a_target_for_another_resource_is_refused(app, changes, field):
    wanted = {"resource": "IMAGE", "filename": "tee.jpg", "mimeType": "image/jpeg", **changes}
    payload = await app.data(STAGE, input=[wanted])
    assert payload["stagedTargets"] is None
    assert payload["userErrors"][0]["field"] == ["input", "0", field]


async def test_more_than_250_targets_are_refused(app):
    wanted = {"resource": "IMAGE", "filename": "tee.jpg", "mimeType": "image/jpeg"}
    answer = await app.answer(STAGE, input=[wanted] * 251)
    assert answer["errors"][0]["extensions"]["code"] == "MAX_INPUT_SIZE_EXCEEDED"


async def test_the_upload_storage_has_its_own_host_and_no_listing(client, app):
    target = await stage(app)
    url = target["url"].replace("shopify-staged-uploads.storage.googleapis.com", SHOP)
    assert (await client.put(url, content=b"x")).status_code == 404
    await put(client, target)
    assert (await client.get(target["resourceUrl"])).status_code in (404, 405)


async def test_an_upload_can_fail_or_lose_its_response(shopify, client, app):
    target = await stage(app)
    shopify.fail_next("upload", 503)
    shopify.lose_next_answer("upload")
    assert [(await put(client, target)).status_code for _ in range(3)] == [503, 502, 200]
