"""The stand-in's fault controls, and that each fault hits only its target."""

import time

import httpx
import pytest

from backend.dev.shopify import ProductRecord
from tests.backend.dev.calls import APPEND, SHOP, App, ask

pytestmark = pytest.mark.slow

SHOP_ID = "{ shop { id } }"


async def rename_product(app: App, product: ProductRecord, title: str = "New") -> httpx.Response:
    return await ask(
        app.client, SHOP, app.token, APPEND, product={"id": product.gid, "title": title}
    )


@pytest.fixture
def product(shopify):
    return shopify.create_product(SHOP, "Tee", None)


@pytest.mark.parametrize("status", [429, 430, 502, 503])
async def test_a_failure_can_target_a_field(shopify, app, product, status):
    shopify.fail_next("graphql", status, field="productUpdate", retry_after="1.5")
    assert "data" in await app.answer(SHOP_ID)
    failed = await rename_product(app, product)
    assert failed.status_code == status
    assert failed.headers.get("Retry-After") == ("1.5" if status == 429 else None)
    assert shopify.current(product).title == "Tee"
    assert (await rename_product(app, product)).status_code == 200


async def test_a_field_is_matched_by_name_despite_an_alias(shopify, app, product):
    shopify.throttle_next(field="product")
    assert "errors" not in await app.answer(SHOP_ID)
    answer = await app.answer(f'{{ shop: product(id: "{product.gid}") {{ id }} }}')
    assert answer["errors"][0]["extensions"]["code"] == "THROTTLED"


async def test_a_request_with_a_lost_response_was_executed(shopify, app, product):
    shopify.lose_next_answer("graphql", field="productUpdate")
    assert (await rename_product(app, product)).status_code == 502
    assert shopify.current(product).title == "New"


async def test_a_request_with_a_cut_response_was_executed(shopify, app, product):
    shopify.cut_next_answer("graphql", field="productUpdate")
    with pytest.raises(httpx.RemoteProtocolError):
        await rename_product(app, product)
    assert shopify.current(product).title == "New"
    assert (await rename_product(app, product)).status_code == 200


async def test_an_image_can_be_cut_short(shopify, client):
    picture = shopify.create_product(SHOP, "Tee", b"x" * 100_000)
    shopify.cut_next_answer("image")
    with pytest.raises(httpx.RemoteProtocolError):
        await client.get(picture.image_url)
    assert len((await client.get(picture.image_url)).content) == 100_000


async def test_a_slow_response_is_late_and_complete(shopify, app, product):
    shopify.slow_next("graphql", 0.2, field="product")
    began = time.monotonic()
    assert await app.data(f'{{ product(id: "{product.gid}") {{ title }} }}') == {"title": "Tee"}
    assert time.monotonic() - began >= 0.2


async def test_a_client_can_time_out_on_a_slow_response(shopify, app, product):
    shopify.slow_next("graphql", 0.3)
    with pytest.raises(httpx.ReadTimeout):
        await app.client.post(
            f"https://{SHOP}/admin/api/2026-10/graphql.json", json={"query": SHOP_ID}, timeout=0.05
        )


async def test_faults_occur_in_the_order_they_were_requested(shopify, app, product):
    shopify.fail_next("graphql", 503)
    shopify.lose_next_answer("graphql")
    shopify.fail_next("graphql", 429)
    answers = [await rename_product(app, product) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [503, 502, 429, 200]


async def test_a_failure_at_the_edge_costs_no_points(shopify, app):
    shopify.fail_next("graphql", 503)
    await ask(app.client, SHOP, app.token, SHOP_ID)
    assert shopify.platform.shops[SHOP].bucket.available == 2000.0


@pytest.mark.parametrize(
    "document",
    [
        "subscription { x }",
        "{ ...A } fragment A on QueryRoot { ...A }",
        "{ ...Gone }",
        "{",
        "{ x }",
    ],
)
async def test_a_fault_for_a_field_tolerates_any_document(shopify, app, document):
    shopify.fail_next("graphql", 503, field="productUpdate")
    assert "errors" in await app.answer(document)
    shopify.platform.faults["graphql"].clear()
