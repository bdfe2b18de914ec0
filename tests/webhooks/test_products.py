"""`products/create` and `products/update`: one job for each source image, in any order."""

import asyncio

import pytest

from backend.failures.registry import Failure
from backend.jobs.lifecycle import fail, lease_job
from backend.jobs.service import JobRef
from tests.running_app import OTHER_SHOP, RunningApp
from tests.scenarios import CREATE, UPDATE, jobs_of, process_webhook

BURSTS = {
    "created": [CREATE],
    "created and updated": [CREATE, UPDATE, UPDATE, UPDATE],
    "updated before it was created": [UPDATE, UPDATE, CREATE],
    "created twice": [CREATE, CREATE],
    "updated only": [UPDATE] * 12,
}


@pytest.mark.parametrize("burst", BURSTS)
async def test_a_burst_of_product_webhooks_creates_one_job(
    shared_app: RunningApp, shop: str, burst: str
) -> None:
    product = shared_app.product(b"unread", shop=shop)
    await asyncio.gather(*(shared_app.send(topic, shop=shop) for topic in BURSTS[burst]))
    await shared_app.drain(only_webhooks=True)
    jobs = await jobs_of(shared_app, shop)
    assert [job["request"]["product_id"] for job in jobs] == [product.gid]
    assert [job["origin"] for job in jobs] == ["webhook"]


async def test_a_later_burst_creates_no_second_job(shared_app: RunningApp, shop: str) -> None:
    shared_app.product(b"unread", shop=shop)
    assert (await process_webhook(shared_app, CREATE, shop=shop))[0] == "processed"
    for _ in range(2):
        assert await process_webhook(shared_app, UPDATE, shop=shop) == ("ignored", "ALREADY_MADE")
    assert len(await jobs_of(shared_app, shop)) == 1


async def test_a_new_image_creates_a_second_job(shared_app: RunningApp, shop: str) -> None:
    product = shared_app.product(b"first", shop=shop)
    await process_webhook(shared_app, CREATE, shop=shop)
    changed = shared_app.shopify.replace_image(product, b"second")
    await process_webhook(shared_app, UPDATE, shop=shop)
    jobs = await jobs_of(shared_app, shop)
    assert [job["request"]["media_id"] for job in jobs] == [product.media_gid, changed.media_gid]


@pytest.mark.parametrize(("another_try_can_help", "jobs"), [(True, 2), (False, 1)])
async def test_a_failed_image_is_retried_only_if_the_failure_is_retryable(
    shared_app: RunningApp, shop: str, another_try_can_help: bool, jobs: int
) -> None:
    shared_app.product(b"unread", shop=shop)
    await process_webhook(shared_app, CREATE, shop=shop)
    job = (await jobs_of(shared_app, shop))[0]
    async with shared_app.database.transaction() as connection:
        claimed = await lease_job(
            connection, JobRef(shop_id=job["shop_id"], public_id=job["public_id"])
        )
        assert claimed is not None
        reason = Failure(code="ANY", message="Any", retryable=another_try_can_help)
        await fail(connection, claimed, reason)
    await process_webhook(shared_app, UPDATE, shop=shop)
    assert len(await jobs_of(shared_app, shop)) == jobs


async def test_two_products_create_two_jobs(shared_app: RunningApp, shop: str) -> None:
    for _ in range(2):
        shared_app.product(b"unread", shop=shop)
        await process_webhook(shared_app, CREATE, shop=shop)
    assert len(await jobs_of(shared_app, shop)) == 2


async def test_the_image_comes_from_shopify_and_not_from_the_body(
    shared_app: RunningApp, shop: str
) -> None:
    product = shared_app.product(b"unread", shop=shop)
    evil = "https://evil.example/x.jpg"
    payload = {"id": product.id, "image": {"src": evil}, "images": [{"src": evil}]}
    await process_webhook(shared_app, UPDATE, payload, shop=shop)
    assert [job["request"]["source_url"] for job in await jobs_of(shared_app, shop)] == [
        product.image_url
    ]


async def test_a_deleted_product_is_ignored(shared_app: RunningApp, shop: str) -> None:
    product = shared_app.product(b"unread", shop=shop)
    await shared_app.send(CREATE, shop=shop)
    shared_app.shopify.delete_product(product)
    payload = {"id": product.id}
    assert await process_webhook(shared_app, UPDATE, payload, shop=shop) == (
        "ignored",
        "PRODUCT_NOT_FOUND",
    )
    assert await jobs_of(shared_app, shop) == []


async def test_a_product_without_an_image_waits_until_it_has_one(
    shared_app: RunningApp, shop: str
) -> None:
    product = shared_app.shopify.create_product(shop, "Tee", None)
    assert await process_webhook(shared_app, CREATE, shop=shop) == ("ignored", "NO_IMAGE")
    shared_app.shopify.replace_image(product, b"first")
    assert (await process_webhook(shared_app, UPDATE, shop=shop))[0] == "processed"
    assert len(await jobs_of(shared_app, shop)) == 1


async def test_another_shops_product_is_not_found(shared_app: RunningApp, shop: str) -> None:
    await shared_app.install(OTHER_SHOP)
    foreign = shared_app.product(b"unread", shop=OTHER_SHOP)
    payload = {"id": foreign.id, "admin_graphql_api_id": foreign.gid}
    assert await process_webhook(shared_app, UPDATE, payload, shop=shop) == (
        "ignored",
        "PRODUCT_NOT_FOUND",
    )
    assert await jobs_of(shared_app, shop) == await jobs_of(shared_app, OTHER_SHOP) == []


async def test_a_shop_without_the_product_scope_is_ignored(
    shared_app: RunningApp, shop: str
) -> None:
    shared_app.product(b"unread", shop=shop)
    await shared_app.execute("UPDATE shops SET scopes = 'write_files' WHERE domain = :d", d=shop)
    before = shared_app.shopify.calls["graphql"]
    assert await process_webhook(shared_app, CREATE, shop=shop) == ("ignored", "SCOPE_MISSING")
    assert shared_app.shopify.calls["graphql"] == before


async def test_an_uninstalled_shop_gets_no_job(shared_app: RunningApp, shop: str) -> None:
    shared_app.product(b"unread", shop=shop)
    shared_app.shopify.uninstall(shop)
    await process_webhook(shared_app, "app/uninstalled", shop=shop)
    assert await process_webhook(shared_app, UPDATE, shop=shop) == ("ignored", "SHOP_NOT_INSTALLED")
    assert await jobs_of(shared_app, shop) == []
