"""The Admin API's rate limit, its costs and its versions, over HTTP."""

from typing import Any

import pytest

from tests.backend.dev.calls import INSTALLATION, NOW, SHOP, ask

pytestmark = pytest.mark.slow

SHOP_ID = "{ shop { id } }"
TWENTY = "{ products(first: 20) { nodes { id } } }"


def cost_of(answer: dict[str, Any]) -> Any:
    return answer["extensions"]["cost"]


async def test_every_response_contains_its_cost_and_the_remaining_points(app):
    assert cost_of(await app.answer(SHOP_ID)) == {
        "requestedQueryCost": 1,
        "actualQueryCost": 1,
        "throttleStatus": {
            "maximumAvailable": 2000.0,
            "currentlyAvailable": 1999.0,
            "restoreRate": 100.0,
        },
    }


@pytest.mark.parametrize(
    ("document", "requested"),
    [
        ("{ __typename }", 0),
        (SHOP_ID, 1),
        ("{ a: shop { id } b: shop { name } }", 2),
        (TWENTY, 20),
        ("{ products(first: 20) { edges { node { id } } nodes { id } pageInfo { endCursor } } }",
         20),
        ("{ products(first: 20) { nodes { mediaCount { count } } } }", 40),
        ("{ products(first: 5) { nodes { media(first: 10) { nodes { id } } } } }", 55),
        ("query ($n: Int = 30) { products(first: $n) { nodes { id } } }", 30),
        ("{ products(first: 3) { ...P } } fragment P on ProductConnection { nodes { id } }", 3),
        # An interface is its dearest type: the picture's two objects, not the product's one.
        (
            '{ node(id: "gid://shopify/Product/1") { ... on Product { mediaCount { count } }'
            " ... on MediaImage { image { url } preview { image { url } } } } }",
            4,
        ),
        ('mutation { fileDelete(fileIds: []) { deletedFileIds userErrors { code } } }', 10),
        ('mutation { a: fileDelete(fileIds: []) { deletedFileIds } b: fileDelete(fileIds: [])'
         ' { deletedFileIds } }', 20),
    ],
)  # fmt: skip
async def test_objects_cost_one_connections_by_first_and_mutations_ten(app, document, requested):
    assert cost_of(await app.answer(document))["requestedQueryCost"] == requested


async def test_only_returned_objects_are_charged(shopify, app):
    for title in ("One", "Two"):
        shopify.create_product(SHOP, title, None)
    cost = cost_of(await app.answer(TWENTY))
    assert (cost["requestedQueryCost"], cost["actualQueryCost"]) == (20, 2)
    assert cost["throttleStatus"]["currentlyAvailable"] == 1998.0


async def test_an_empty_bucket_throttles_until_it_refills(shopify, app, clock):
    shopify.empty_bucket(SHOP)
    clock.now += 0.19  # 19 points
    throttled = await app.answer(TWENTY)
    assert throttled["errors"][0]["extensions"]["code"] == "THROTTLED"
    assert "data" not in throttled
    cost = cost_of(throttled)
    assert (cost["requestedQueryCost"], cost["actualQueryCost"]) == (20, None)
    assert cost["throttleStatus"]["currentlyAvailable"] == 19.0
    clock.now += 0.02
    assert "data" in await app.answer(TWENTY)


async def test_a_throttled_mutation_is_not_executed(shopify, app, clock):
    product = shopify.create_product(SHOP, "Tee", None)
    change = 'mutation ($id: ID!) { productUpdate(product: {id: $id, title: "New"}) { %s } }'
    shopify.empty_bucket(SHOP)
    throttled = await app.answer(change % "userErrors { message }", id=product.gid)
    assert throttled["errors"][0]["extensions"]["code"] == "THROTTLED"
    assert shopify.current(product).title == "Tee"


async def test_each_shop_has_its_own_bucket_with_a_maximum(shopify, app, clock):
    shopify.empty_bucket("b-shop.myshopify.com")
    clock.now += 1800
    assert cost_of(await app.answer(SHOP_ID))["throttleStatus"]["currentlyAvailable"] == 1999.0


async def test_a_replaced_clock_counts_from_then_on(shopify, app, monkeypatch):
    shopify.empty_bucket(SHOP)
    monkeypatch.setattr(shopify.platform, "clock", lambda: NOW + 3)
    assert shopify.platform.shops[SHOP].bucket.available == 300.0


async def test_a_bigger_plan_has_a_bigger_bucket(shopify, client, monkeypatch):
    monkeypatch.setattr(shopify.platform, "bucket_size", 20_000.0)
    monkeypatch.setattr(shopify.platform, "restore_rate", 1000.0)
    assert shopify.create_shop("plus.myshopify.com").bucket.available == 20_000.0


async def test_a_document_above_1000_points_is_always_refused(shopify, app):
    dear = "{ products(first: 250) { nodes { media(first: 4) { nodes { id } } } } }"
    answer = await app.answer(dear)
    (error,) = answer["errors"]
    assert error["extensions"]["code"] == "MAX_COST_EXCEEDED"
    assert (error["extensions"]["cost"], error["extensions"]["maxCost"]) == (1250, 1000)
    assert "data" not in answer
    assert shopify.platform.shops[SHOP].bucket.available == 2000.0


async def test_a_clock_that_goes_back_does_no_harm(shopify, app, clock):
    shopify.empty_bucket(SHOP)
    clock.now = NOW - 100
    assert shopify.platform.shops[SHOP].bucket.available == 0.0
    clock.now += 1
    assert shopify.platform.shops[SHOP].bucket.available == 100.0


@pytest.mark.parametrize(
    ("asked", "served"),
    [
        ("2026-10", "2026-10"),
        ("2026-07", "2026-07"),
        ("2025-10", "2026-01"),
        ("2020-01", "2026-01"),
    ],
)
async def test_an_expired_api_version_falls_forward(client, token, asked, served):
    answer = await ask(client, SHOP, token, INSTALLATION, version=asked)
    assert answer.status_code == 200
    assert answer.headers["X-Shopify-API-Version"] == served


@pytest.mark.parametrize("version", ["2031-01", "2026-11", "latest", "2026-1"])
async def test_an_invalid_api_version_is_not_found(client, token, version):
    assert (await ask(client, SHOP, token, INSTALLATION, version=version)).status_code == 404
