"""The stand-in's storms of webhooks, its outbox, and what it sends of itself."""

import json
from collections import Counter
from typing import Any

import httpx
import pytest

from backend.dev import signing
from backend.dev.shopify import StandInShopify, StormAnswer
from tests.backend.dev.calls import (
    APPEND,
    GARMENT,
    SECRET,
    SHOP,
    UPDATE,
    created,
    png,
    ready,
    reordered,
)

pytestmark = pytest.mark.slow


def signed(request: httpx.Request) -> bool:
    expected = signing.webhook_signature(request.content, SECRET)
    return request.headers["X-Shopify-Hmac-Sha256"] == expected


def webhook_id(request: httpx.Request) -> str:
    return request.headers["X-Shopify-Webhook-Id"]


# Storms


async def storm(shopify: StandInShopify, count: int = 100, **how: Any) -> list[StormAnswer]:
    return await shopify.send_storm(SHOP, "products/update", count, lambda n: {"id": n}, **how)


async def test_a_storm_contains_the_given_share_of_duplicates_and_forgeries(shopify, deliveries):
    answers = await storm(shopify, duplicates=0.3, forged=0.1)
    assert len(answers) == len(deliveries) == 100
    assert sum(answer.is_duplicate for answer in answers) == 30
    assert sum(answer.is_forged for answer in answers) == 10
    assert sum(not signed(request) for request in deliveries) == 10
    assert len({webhook_id(request) for request in deliveries if signed(request)}) == 60
    bodies: dict[str, bytes] = {}
    for request in deliveries:
        if signed(request):
            assert bodies.setdefault(webhook_id(request), request.content) == request.content
    assert {json.loads(body)["id"] for body in bodies.values()} == set(range(60))


async def test_a_storm_is_shuffled_and_repeatable_with_its_seed(shopify, deliveries):
    orders = []
    for seed in (1, 1, 2):
        deliveries.clear()
        await storm(shopify, seed=seed, concurrency=1)
        orders.append([json.loads(request.content)["id"] for request in deliveries])
    assert orders[0] == orders[1] != orders[2]
    assert orders[0] != sorted(orders[0])
    assert sorted(orders[0]) == sorted(orders[2]) == list(range(100))


async def test_a_storm_returns_the_apps_responses(shopify, statuses):
    statuses.extend([503] * 4)
    answers = await storm(shopify, 10)
    assert Counter(answer.status for answer in answers) == {503: 4, 200: 6}


async def test_a_storm_without_bodies_uses_the_newest_product(shopify, deliveries):
    product = shopify.create_product(SHOP, "Tee", None)
    await shopify.send_storm(SHOP, "products/update", 3)
    assert {json.loads(request.content)["id"] for request in deliveries} == {product.id}


# The outbox


async def test_an_acknowledged_delivery_is_not_repeated(shopify, deliveries, clock):
    delivery = shopify.queue_webhook(SHOP, "shop/redact")
    assert await shopify.deliver_due() == [delivery]
    clock.now += 5 * 3600
    assert await shopify.deliver_due() == []
    assert delivery.has_arrived and not delivery.is_lost
    assert len(deliveries) == 1


async def test_a_failed_delivery_is_retried_eight_times_in_four_hours(
    shopify, deliveries, statuses, clock
):
    statuses.extend([500] * 20)
    delivery = shopify.queue_webhook(SHOP, "shop/redact")
    waits = []
    while delivery.due_at is not None:
        waits.append(delivery.due_at - clock.now)
        clock.now = delivery.due_at
        await shopify.deliver_due()
    assert len(deliveries) == 9 and delivery.is_lost
    assert waits[0] == 0 and sum(waits) == pytest.approx(4 * 3600)
    assert waits[1:] == sorted(waits[1:]) and waits[1] < 60
    assert len({request.content for request in deliveries}) == 1
    for header in ("Webhook-Id", "Event-Id", "Triggered-At", "Hmac-Sha256"):
        assert len({request.headers[f"X-Shopify-{header}"] for request in deliveries}) == 1


async def test_a_delivery_is_not_retried_before_its_time(shopify, deliveries, statuses, clock):
    statuses.append(302)  # a redirect is no success
    delivery = shopify.queue_webhook(SHOP, "shop/redact")
    await shopify.deliver_due()
    clock.now = delivery.due_at - 0.1
    assert await shopify.deliver_due() == []
    clock.now += 0.2
    await shopify.deliver_due()
    assert delivery.statuses == [302, 200] and delivery.has_arrived


# What follows of itself


@pytest.fixture
def echoes(shopify, monkeypatch):
    monkeypatch.setattr(shopify, "auto_webhooks", True)


async def new_product_bodies(
    shopify: StandInShopify, deliveries: list[httpx.Request]
) -> list[tuple[str, int]]:
    """The products' bodies that were sent since the last time."""
    await shopify.settled()
    bodies = [json.loads(request.content) for request in deliveries]
    deliveries.clear()
    return [(body["admin_graphql_api_id"], len(body["media"])) for body in bodies]


@pytest.mark.usefixtures("echoes")
async def test_our_own_product_changes_cause_webhooks(shopify, app, deliveries):
    product = shopify.create_product(SHOP, "Tee", GARMENT)
    gid = await ready(shopify, app)
    assert await new_product_bodies(shopify, deliveries) == [], "nobody shows the file yet"
    await app.data(UPDATE, files=[{"id": gid, "referencesToAdd": [product.gid]}])
    assert await new_product_bodies(shopify, deliveries) == [(product.gid, 2)]
    await app.data(UPDATE, files=[{"id": gid, "alt": "New"}])
    assert await new_product_bodies(shopify, deliveries) == [(product.gid, 2)]
    await reordered(app, product, (gid, 0))
    assert await new_product_bodies(shopify, deliveries) == [], "not before it is done"
    shopify.step_jobs(2)
    assert await new_product_bodies(shopify, deliveries) == [(product.gid, 2)]
    await reordered(app, product, (gid, 0))
    shopify.step_jobs(2)
    assert await new_product_bodies(shopify, deliveries) == [], "it is there already"
    await app.data(UPDATE, files=[{"id": gid, "referencesToRemove": [product.gid]}])
    assert await new_product_bodies(shopify, deliveries) == [(product.gid, 1)]


@pytest.mark.usefixtures("echoes")
async def test_a_product_sends_a_webhook_when_its_new_image_is_ready(
    shopify, app, deliveries, internet, monkeypatch
):
    monkeypatch.setattr(shopify.platform, "is_held", True)
    product = shopify.create_product(SHOP, "Tee", None)
    media = [{"originalSource": "https://b.example/a.png", "mediaContentType": "IMAGE"}]
    await app.data(APPEND, product={"id": product.gid}, media=media)
    await shopify.settled()
    body = json.loads(deliveries.pop().content)
    assert (body["media"][0]["status"], body["images"]) == ("UPLOADED", [])
    internet["https://b.example/a.png"] = httpx.Response(200, content=png(2, 3))
    await shopify.step_files(2)
    await shopify.settled()
    body = json.loads(deliveries.pop().content)
    assert body["media"][0]["preview_image"]["status"] == "READY"
    assert (body["images"][0]["width"], body["images"][0]["height"]) == (2, 3)


@pytest.mark.usefixtures("echoes")
async def test_the_merchants_changes_send_no_automatic_webhooks(shopify, app, deliveries):
    product = shopify.create_product(SHOP, "Tee", GARMENT)
    shopify.add_image(product, png(1, 1))
    await app.data("{ shop { id } }")
    assert await new_product_bodies(shopify, deliveries) == []


@pytest.mark.usefixtures("echoes")
async def test_a_failed_automatic_webhook_waits_in_the_outbox(
    shopify, app, deliveries, statuses, clock
):
    product = shopify.create_product(SHOP, "Tee", None)
    statuses.append(503)
    await app.data(APPEND, product={"id": product.gid, "title": "New"})
    await shopify.settled()
    (delivery,) = shopify.outbox
    assert delivery.statuses == [503]
    clock.now = delivery.due_at
    await shopify.deliver_due()
    assert delivery.has_arrived and len(deliveries) == 2


async def test_automatic_webhooks_are_off_by_default(shopify, app, deliveries):
    product = shopify.create_product(SHOP, "Tee", None)
    await app.data(APPEND, product={"id": product.gid, "title": "New"})
    await shopify.settled()
    assert deliveries == [] and shopify.outbox == []


@pytest.mark.usefixtures("echoes")
async def test_a_refused_mutation_sends_no_webhook(shopify, app, deliveries):
    gid = await created(app)
    product = shopify.create_product(SHOP, "Tee", None)
    shopify.refuse_next("fileUpdate", "FILE_LOCKED")
    await app.refusal(UPDATE, files=[{"id": gid, "referencesToAdd": [product.gid]}])
    assert await new_product_bodies(shopify, deliveries) == []
