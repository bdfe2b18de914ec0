"""The stand-in Shopify over its own HTTP, asked through the loopback transport."""

import base64
import hashlib
import hmac
import json

import pytest

from backend.dev.shopify import payloads
from tests.backend.dev.calls import (
    GARMENT,
    INSTALLATION,
    OTHER_SHOP,
    SECRET,
    SHOP,
    ask,
    exchange,
    refresh,
)

pytestmark = pytest.mark.slow

SVG = b'<svg xmlns="http://www.w3.org/2000/svg"/>'

PRODUCT_FOR_JOB = """
query ProductForJob($id: ID!) {
  product(id: $id) {
    id title status updatedAt
    featuredMedia { ... on MediaImage { id image { url width height } } }
    media(first: 10) { nodes { id mediaContentType status ... on MediaImage { fileStatus } } }
  }
}
"""


# Admin GraphQL


async def test_a_product_query_returns_the_requested_fields(shopify, client, token):
    product = shopify.create_product(SHOP, "Navy Tee", GARMENT)
    answer = await ask(client, SHOP, token, PRODUCT_FOR_JOB, id=product.gid)
    assert answer.headers["X-Shopify-API-Version"] == "2026-10"
    body = answer.json()
    assert body["data"]["product"] == {
        "id": product.gid,
        "title": "Navy Tee",
        "status": "ACTIVE",
        "updatedAt": "2026-09-21T14:13:20Z",
        "featuredMedia": {
            "id": product.media_gid,
            "image": {"url": product.image_url, "width": 1200, "height": 1500},
        },
        "media": {
            "nodes": [
                {
                    "id": product.media_gid,
                    "mediaContentType": "IMAGE",
                    "status": "READY",
                    "fileStatus": "READY",
                }
            ]
        },
    }
    assert body["extensions"]["cost"]["throttleStatus"]["restoreRate"] == 100.0


async def test_a_foreign_or_deleted_product_is_null(shopify, client, token):
    foreign = shopify.create_product(OTHER_SHOP, "Theirs", b"x")
    deleted = shopify.create_product(SHOP, "Ours", b"x")
    shopify.delete_product(deleted)
    for product in (foreign, deleted):
        answer = await ask(client, SHOP, token, PRODUCT_FOR_JOB, id=product.gid)
        assert answer.json()["data"] == {"product": None}


async def test_a_product_without_an_image_has_no_featured_media(shopify, client, token):
    product = shopify.create_product(SHOP, "Bare", None)
    answer = await ask(client, SHOP, token, PRODUCT_FOR_JOB, id=product.gid)
    assert answer.json()["data"]["product"]["featuredMedia"] is None


async def test_the_installation_query_returns_the_granted_scopes(shopify, client, token):
    shopify.set_scopes(SHOP, ["read_products"])
    answer = await ask(client, SHOP, token, INSTALLATION)
    assert answer.json()["data"] == {
        "shop": {"id": shopify.platform.shops[SHOP].gid, "myshopifyDomain": SHOP, "name": "a-shop"},
        "currentAppInstallation": {"accessScopes": [{"handle": "read_products"}]},
    }


async def test_a_missing_scope_is_denied(shopify, client, token):
    product = shopify.create_product(SHOP, "Ours", b"x")
    shopify.set_scopes(SHOP, ["write_files"])
    answer = await ask(client, SHOP, token, PRODUCT_FOR_JOB, id=product.gid)
    assert answer.status_code == 200
    assert answer.json()["data"] == {"product": None}
    assert answer.json()["errors"][0]["extensions"]["code"] == "ACCESS_DENIED"


@pytest.mark.parametrize("shop", [OTHER_SHOP, SHOP])
async def test_a_token_works_for_its_own_shop_only(client, token, shop):
    foreign = token if shop == OTHER_SHOP else "shpat_made_up"
    answer = await ask(client, shop, foreign, INSTALLATION)
    assert answer.status_code == 401
    assert answer.json()["errors"].startswith("[API] Invalid API key or access token")


async def test_an_access_token_expires(shopify, client, clock):
    shopify.platform.access_token_lifetime = 60
    granted = (await exchange(client, SHOP, shopify.id_token(SHOP))).json()
    assert granted["expires_in"] == 60
    clock.now += 60
    assert (await ask(client, SHOP, granted["access_token"], INSTALLATION)).status_code == 401


async def test_revoking_ends_the_access_token_and_uninstalling_both(shopify, client):
    first = (await exchange(client, SHOP, shopify.id_token(SHOP))).json()
    shopify.revoke_access_tokens(SHOP)
    assert (await ask(client, SHOP, first["access_token"], INSTALLATION)).status_code == 401
    second = (await refresh(client, SHOP, first["refresh_token"])).json()
    shopify.uninstall(SHOP)
    assert (await ask(client, SHOP, second["access_token"], INSTALLATION)).status_code == 401
    assert (await refresh(client, SHOP, second["refresh_token"])).status_code == 401


async def test_the_named_operation_is_executed(client, token):
    body = {"query": "query A { shop { id } } query B { shop { name } }", "operationName": "B"}
    url = f"https://{SHOP}/admin/api/2026-10/graphql.json"
    answer = await client.post(url, json=body, headers={"X-Shopify-Access-Token": token})
    assert answer.json()["data"] == {"shop": {"name": "a-shop"}}


@pytest.mark.parametrize(
    "body",
    [
        b"not json",
        b"[]",
        b"{}",
        b"\xff",
        b'{"query": 1}',
        b'{"query": "{ shop { id } }", "variables": []}',
        b'{"query": "{ shop { id } }", "operationName": 1}',
    ],
)
async def test_a_body_without_a_query_is_a_bad_request(client, token, body):
    url = f"https://{SHOP}/admin/api/2026-10/graphql.json"
    answer = await client.post(url, content=body, headers={"X-Shopify-Access-Token": token})
    assert answer.status_code == 400


async def test_an_unknown_operation_is_a_graphql_error(client, token):
    answer = await ask(client, SHOP, token, "query Orders { orders(first: 1) { nodes { id } } }")
    assert answer.status_code == 200
    assert answer.json()["errors"][0]["extensions"]["code"] == "undefinedField"


# Pictures


async def test_the_cdn_serves_the_uploaded_bytes(shopify, client):
    picture = shopify.create_product(SHOP, "Tee", GARMENT)
    bad = shopify.create_product(SHOP, "Bad", SVG, "image/svg+xml", "bad.svg", size=(40, 40))
    served = await client.get(picture.image_url)
    assert served.content == GARMENT.read_bytes()
    assert served.headers["Content-Type"] == "image/jpeg"
    assert "/files/tee_navy.jpg?v=" in picture.image_url
    served = await client.get(bad.image_url)
    assert (served.content, served.headers["Content-Type"]) == (SVG, "image/svg+xml")
    assert shopify.calls["image"] == 2


async def test_two_files_of_one_name_are_separate_files(shopify, client):
    first = shopify.create_product(SHOP, "One", b"one", filename="a.jpg")
    second = shopify.create_product(SHOP, "Two", b"two", filename="a.jpg")
    assert (await client.get(first.image_url)).content == b"one"
    assert (await client.get(second.image_url)).content == b"two"


async def test_a_replaced_image_is_new_media_and_its_old_url_is_gone(shopify, client):
    before = shopify.create_product(SHOP, "Tee", b"old", filename="a.jpg")
    after = shopify.replace_image(before, b"new", filename="a.jpg")
    assert (after.id, after.media_gid == before.media_gid) == (before.id, False)
    assert (await client.get(after.image_url)).content == b"new"
    assert (await client.get(before.image_url)).status_code == 404


async def test_the_cdn_serves_only_its_own_files(shopify, client):
    url = shopify.create_product(SHOP, "Tee", b"x", filename="a.jpg").image_url
    assert (await client.get(url.replace("a.jpg", "b.jpg"))).status_code == 404
    assert (await client.get(url.replace("cdn.shopify.com", SHOP))).status_code == 404


# Trouble


async def test_a_throttled_query_is_a_200_with_an_error_and_no_data(shopify, client, token):
    shopify.throttle_next()
    throttled = await ask(client, SHOP, token, INSTALLATION)
    body = throttled.json()
    assert throttled.status_code == 200
    assert body["errors"][0]["extensions"]["code"] == "THROTTLED"
    assert "data" not in body and body["extensions"]["cost"]["actualQueryCost"] is None
    assert "data" in (await ask(client, SHOP, token, INSTALLATION)).json()
    assert shopify.calls["graphql"] == 2


async def test_failures_occur_as_often_as_ordered(shopify, client, token):
    shopify.fail_next("graphql", 503)
    shopify.fail_next("graphql", 429, 2)
    answers = [await ask(client, SHOP, token, INSTALLATION) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [503, 429, 429, 200]
    assert answers[1].headers["Retry-After"] == "2.0"


# Webhooks


async def test_a_webhook_is_signed_and_carries_every_header(shopify, deliveries):
    product = shopify.create_product(SHOP, "Tee", GARMENT)
    answer = await shopify.send_webhook(SHOP, "products/update", webhook_id="w-1", event_id="e-1")
    (request,) = deliveries
    assert answer.status_code == 200
    assert request.url == "https://app.example/webhooks"
    digest = hmac.new(SECRET.encode(), request.content, hashlib.sha256).digest()
    assert request.headers["X-Shopify-Hmac-Sha256"] == base64.b64encode(digest).decode()
    assert request.headers["X-Shopify-Topic"] == "products/update"
    assert request.headers["X-Shopify-Shop-Domain"] == SHOP
    assert request.headers["X-Shopify-API-Version"] == "2026-10"
    assert request.headers["X-Shopify-Webhook-Id"] == "w-1"
    assert request.headers["X-Shopify-Event-Id"] == "e-1"
    assert request.headers["X-Shopify-Triggered-At"] == "2026-09-21T14:13:20.000000Z"
    body = json.loads(request.content)
    assert body["admin_graphql_api_id"] == product.gid
    assert body["media"][0]["admin_graphql_api_id"] == product.media_gid
    assert body["updated_at"] == "2026-09-21T10:13:20-04:00"


async def test_a_webhook_can_be_signed_with_another_secret(shopify, deliveries):
    await shopify.send_webhook(SHOP, "shop/redact", secret="old")
    request = deliveries[0]
    digest = hmac.new(b"old", request.content, hashlib.sha256).digest()
    assert request.headers["X-Shopify-Hmac-Sha256"] == base64.b64encode(digest).decode()


@pytest.mark.parametrize(
    ("topic", "field", "expected"),
    [
        ("products/create", "status", lambda shop, product: "active"),
        ("products/delete", "id", lambda shop, product: product.id),
        ("app/uninstalled", "myshopify_domain", lambda shop, product: SHOP),
        ("app/scopes_update", "current", lambda shop, product: ["read_products"]),
        ("customers/data_request", "shop_domain", lambda shop, product: SHOP),
        ("customers/redact", "shop_id", lambda shop, product: shop.number),
        ("shop/redact", "shop_domain", lambda shop, product: SHOP),
    ],
)
async def test_every_topic_has_shopifys_field_names(shopify, deliveries, topic, field, expected):
    product = shopify.create_product(SHOP, "Tee", b"x")
    shopify.set_scopes(SHOP, ["read_products"])
    await shopify.send_webhook(SHOP, topic)
    shop = shopify.platform.shops[SHOP]
    assert json.loads(deliveries[0].content)[field] == expected(shop, product)


async def test_a_custom_payload_is_sent_unchanged(shopify, deliveries):
    shop = shopify.platform.shops[SHOP]
    await shopify.send_webhook(
        SHOP, "app/uninstalled", payloads.app_uninstalled_payload(shop, null_domains=True)
    )
    assert json.loads(deliveries[0].content)["domain"] is None
