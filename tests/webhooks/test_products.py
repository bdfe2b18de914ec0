"""`products/create` and `products/update`: one job for each source picture, whatever the order."""

import asyncio
from typing import Any

import pytest

from backend.jobs.service import JobRef
from backend.jobs.states import Failure
from backend.jobs.timeline import claim, fail
from tests.doors import handled
from tests.world import OTHER_SHOP, World

CREATE, UPDATE = "products/create", "products/update"


async def jobs_of(house: World, shop: str) -> list[dict[str, Any]]:
    """The shop's jobs, oldest first."""
    return await house.rows(
        "SELECT j.* FROM jobs j JOIN shops s ON s.id = j.shop_id "
        "WHERE s.domain = :d ORDER BY j.created_at",
        d=shop,
    )


BURSTS = {
    "created": [CREATE],
    "created and updated": [CREATE, UPDATE, UPDATE, UPDATE],
    "updated before it was created": [UPDATE, UPDATE, CREATE],
    "created twice": [CREATE, CREATE],
    "updated only": [UPDATE] * 12,
}


@pytest.mark.parametrize("burst", BURSTS)
async def test_a_burst_makes_one_job(house: World, shop: str, burst: str) -> None:
    product = house.product(b"unread", shop=shop)
    await asyncio.gather(*(house.send(topic, shop=shop) for topic in BURSTS[burst]))
    await house.drain(only_webhooks=True)
    jobs = await jobs_of(house, shop)
    assert [job["request"]["product_id"] for job in jobs] == [product.gid]
    assert [job["origin"] for job in jobs] == ["webhook"]


async def test_a_later_burst_makes_no_second_job(house: World, shop: str) -> None:
    house.product(b"unread", shop=shop)
    assert (await handled(house, CREATE, shop=shop))[0] == "processed"
    for _ in range(2):
        assert await handled(house, UPDATE, shop=shop) == ("ignored", "ALREADY_MADE")
    assert len(await jobs_of(house, shop)) == 1


async def test_a_new_picture_makes_a_second_job(house: World, shop: str) -> None:
    product = house.product(b"first", shop=shop)
    await handled(house, CREATE, shop=shop)
    changed = house.shopify.replace_image(product, b"second")
    await handled(house, UPDATE, shop=shop)
    jobs = await jobs_of(house, shop)
    assert [job["request"]["media_id"] for job in jobs] == [product.media_gid, changed.media_gid]


@pytest.mark.parametrize(("another_try_can_help", "jobs"), [(True, 2), (False, 1)])
async def test_a_failed_picture_is_made_anew_where_another_try_can_help(
    house: World, shop: str, another_try_can_help: bool, jobs: int
) -> None:
    house.product(b"unread", shop=shop)
    await handled(house, CREATE, shop=shop)
    job = (await jobs_of(house, shop))[0]
    async with house.database.transaction() as connection:
        claimed = await claim(
            connection, JobRef(shop_id=job["shop_id"], public_id=job["public_id"])
        )
        assert claimed is not None
        reason = Failure(code="ANY", message="Any", retryable=another_try_can_help)
        await fail(connection, claimed, reason)
    await handled(house, UPDATE, shop=shop)
    assert len(await jobs_of(house, shop)) == jobs


async def test_two_products_make_two_jobs(house: World, shop: str) -> None:
    for _ in range(2):
        house.product(b"unread", shop=shop)
        await handled(house, CREATE, shop=shop)
    assert len(await jobs_of(house, shop)) == 2


async def test_the_picture_is_shopifys_answer_and_not_the_bodys(house: World, shop: str) -> None:
    product = house.product(b"unread", shop=shop)
    evil = "https://evil.example/x.jpg"
    payload = {"id": product.id, "image": {"src": evil}, "images": [{"src": evil}]}
    await handled(house, UPDATE, payload, shop=shop)
    assert [job["request"]["source_url"] for job in await jobs_of(house, shop)] == [
        product.image_url
    ]


async def test_a_product_that_is_gone_is_let_go(house: World, shop: str) -> None:
    product = house.product(b"unread", shop=shop)
    await house.send(CREATE, shop=shop)
    house.shopify.delete_product(product)
    payload = {"id": product.id}
    assert await handled(house, UPDATE, payload, shop=shop) == ("ignored", "PRODUCT_NOT_FOUND")
    assert await jobs_of(house, shop) == []


async def test_a_product_without_a_picture_waits_until_it_has_one(house: World, shop: str) -> None:
    product = house.shopify.create_product(shop, "Tee", None)
    assert await handled(house, CREATE, shop=shop) == ("ignored", "NO_IMAGE")
    house.shopify.replace_image(product, b"first")
    assert (await handled(house, UPDATE, shop=shop))[0] == "processed"
    assert len(await jobs_of(house, shop)) == 1


async def test_another_shops_product_is_not_found(house: World, shop: str) -> None:
    await house.install(OTHER_SHOP)
    foreign = house.product(b"unread", shop=OTHER_SHOP)
    payload = {"id": foreign.id, "admin_graphql_api_id": foreign.gid}
    assert await handled(house, UPDATE, payload, shop=shop) == ("ignored", "PRODUCT_NOT_FOUND")
    assert await jobs_of(house, shop) == await jobs_of(house, OTHER_SHOP) == []


async def test_a_shop_that_has_not_granted_its_products_is_left_alone(
    house: World, shop: str
) -> None:
    house.product(b"unread", shop=shop)
    await house.execute("UPDATE shops SET scopes = 'write_files' WHERE domain = :d", d=shop)
    before = house.shopify.calls["graphql"]
    assert await handled(house, CREATE, shop=shop) == ("ignored", "SCOPE_MISSING")
    assert house.shopify.calls["graphql"] == before


async def test_a_shop_that_has_left_gets_no_job(house: World, shop: str) -> None:
    house.product(b"unread", shop=shop)
    house.shopify.uninstall(shop)
    await handled(house, "app/uninstalled", shop=shop)
    assert await handled(house, UPDATE, shop=shop) == ("ignored", "SHOP_NOT_INSTALLED")
    assert await jobs_of(house, shop) == []
