"""Expanding: a job for each product, once, whatever happens on the way."""

import asyncio

import msgspec
import pytest

from backend.batches import ledger, running
from backend.batches.running import run_expansion
from tests.backend.batches.studio import (
    collection,
    counts,
    expand,
    expanded,
    gids,
    items,
    jobs_of,
    look,
    made,
    products,
    products_of_jobs,
    stepped_desk,
)
from tests.backend.publications.crashing import Crash, dies_at
from tests.world import SHOP, World

pytestmark = pytest.mark.usefixtures("small_pages")


# Sources


async def test_a_collection_becomes_a_job_for_each_product_in_its_order(
    house: World, shop: str
) -> None:
    tees = collection(house, shop, 5)
    asked = house.shopify.calls["graphql"]
    parameters = {"margin": 0.2, "shadow": "contact"}
    body = {"collection_id": tees.gid, "parameters": parameters}
    ref = await expanded(house, shop, body)
    assert house.shopify.calls["graphql"] == asked + 3, "three pages, each read once"
    assert await counts(house, shop, ref) == ("IN_PROGRESS", 5, 0, 0, 0)
    wanted = [f"gid://shopify/Product/{number}" for number in tees.product_ids]
    assert await products_of_jobs(house, ref) == wanted
    assert [item["product_id"] for item in await items(house, shop, ref)] == wanted
    for job in await jobs_of(house, ref):
        assert job["origin"] == "api"
        assert {name: job["request"][name] for name in parameters} == parameters


async def test_a_list_becomes_a_job_for_each_product_without_asking_shopify(
    house: World, shop: str
) -> None:
    asked = house.shopify.calls["graphql"]
    ref = await expanded(house, shop, {"product_ids": gids(5)})
    assert house.shopify.calls["graphql"] == asked
    assert await products_of_jobs(house, ref) == gids(5)
    assert await counts(house, shop, ref) == ("IN_PROGRESS", 5, 0, 0, 0)


async def test_each_job_waits_behind_the_shops_others_as_if_it_had_come_alone(
    house: World, shop: str
) -> None:
    first = await expanded(house, shop, {"product_ids": gids(3)})
    await expanded(house, shop, {"product_ids": gids(2, start=10)})
    assert [job["priority"] for job in await jobs_of(house, first)] == [-1, -2, -3, -4, -5]


async def test_a_product_without_a_photo_has_no_job_and_the_others_do(
    house: World, shop: str
) -> None:
    bare, (tee,) = products(house, shop, 1, image=None), products(house, shop, 1)
    mixed = house.shopify.create_collection(shop, "Mixed", [*bare, tee])
    ref = await expanded(house, shop, {"collection_id": mixed.gid})
    assert await counts(house, shop, ref) == ("IN_PROGRESS", 1, 0, 0, 1)
    failed, waiting = await items(house, shop, ref)
    assert (failed["job_id"], failed["error"]["code"]) == (None, "NO_IMAGE")
    assert (waiting["product_id"], waiting["error"]) == (tee.gid, None)


@pytest.mark.parametrize("whose", ["nobody's", "another shop's", "a deleted one"])
async def test_a_collection_that_the_shop_does_not_have_ends_it(
    house: World, shop: str, whose: str
) -> None:
    tees = collection(house, SHOP if whose == "another shop's" else shop, 1)
    gid = "gid://shopify/Collection/1" if whose == "nobody's" else tees.gid
    if whose == "a deleted one":
        house.shopify.delete_collection(tees)
    ref = await made(house, shop, {"collection_id": gid})
    assert await expand(house, ref) == []
    found = await look(house, shop, ref)
    assert (found["status"], found["error"]["code"]) == ("FAILURE", "COLLECTION_NOT_FOUND")
    assert found["finished_at"] is not None
    assert await jobs_of(house, ref) == []


async def test_an_empty_collection_is_told_from_one_that_is_done(house: World, shop: str) -> None:
    ref = await expanded(house, shop, {"collection_id": collection(house, shop, 0).gid})
    found = await look(house, shop, ref)
    assert (found["status"], found["error"]["code"]) == ("FAILURE", "COLLECTION_EMPTY")


async def test_one_deleted_in_the_middle_keeps_the_jobs_that_it_has(
    house: World, shop: str
) -> None:
    tees = collection(house, shop, 3)
    ref = await made(house, shop, {"collection_id": tees.gid})

    async def deleted(step: int) -> None:
        if step == 2:
            house.shopify.delete_collection(tees)

    async with stepped_desk(house, deleted) as desk:
        await expand(house, ref, desk)
    found = await look(house, shop, ref)
    assert (found["status"], found["error"]["code"]) == ("IN_PROGRESS", "COLLECTION_NOT_FOUND")
    assert found["counts"]["not_started"] == 2


async def test_a_collection_with_too_many_products_is_refused_before_any_job(
    house: World, shop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "MAX_PRODUCTS", 4)
    ref = await expanded(house, shop, {"collection_id": collection(house, shop, 5).gid})
    assert (await look(house, shop, ref))["error"]["code"] == "BATCH_TOO_LARGE"
    assert await jobs_of(house, ref) == []


async def test_one_that_grows_beyond_the_limit_stops_there(
    house: World, shop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger, "MAX_PRODUCTS", 4)
    ref = await expanded(house, shop, {"collection_id": collection(house, shop, 5).gid})
    found = await look(house, shop, ref)
    assert (found["error"]["code"], found["counts"]["not_started"]) == ("BATCH_TOO_LARGE", 4)


async def test_a_product_that_comes_twice_while_pages_are_read_has_one_job(
    house: World, shop: str
) -> None:
    tees = products(house, shop, 3)
    doubled = house.shopify.create_collection(shop, "Twice", [*tees, tees[0]])
    ref = await expanded(house, shop, {"collection_id": doubled.gid})
    assert await products_of_jobs(house, ref) == [tee.gid for tee in tees]


async def test_without_read_products_it_fails_and_asks_nothing(house: World, shop: str) -> None:
    ref = await made(house, shop, {"collection_id": collection(house, shop, 1).gid})
    await house.execute("UPDATE shops SET scopes = 'write_files' WHERE domain = :d", d=shop)
    asked = house.shopify.calls["graphql"]
    await expand(house, ref)
    assert house.shopify.calls["graphql"] == asked
    assert (await look(house, shop, ref))["error"]["code"] == "SCOPE_MISSING"


async def test_a_scope_that_was_taken_away_unnoticed_is_the_same(house: World, shop: str) -> None:
    ref = await made(house, shop, {"collection_id": collection(house, shop, 1).gid})
    house.shopify.set_scopes(shop, {"write_files"})
    await expand(house, ref)
    assert (await look(house, shop, ref))["error"]["code"] == "SCOPE_MISSING"


# Interruptions


@pytest.mark.parametrize("source", ["collection", "list"])
async def test_whoever_goes_on_after_a_crash_makes_nothing_twice(
    house: World, shop: str, source: str
) -> None:
    wanted = (
        {"collection_id": collection(house, shop, 5).gid}
        if source == "collection"
        else {"product_ids": gids(5)}
    )
    fatal, has_crashed = 0, True
    while has_crashed:
        fatal, has_crashed = fatal + 1, False
        ref = await made(house, shop, wanted)
        async with stepped_desk(house, dies_at(fatal)) as desk:
            try:
                await run_expansion(ref, desk)
            except Crash:
                has_crashed = True
        asked = house.shopify.calls["graphql"]
        await expand(house, ref)
        again = house.shopify.calls["graphql"] - asked
        assert again == (max(0, 4 - fatal) if source == "collection" and has_crashed else 0)
        assert await counts(house, shop, ref) == ("IN_PROGRESS", 5, 0, 0, 0)
        assert len(await jobs_of(house, ref)) == 5 * fatal
    assert fatal >= 4, "the claim and three pages"


async def test_a_page_that_was_not_committed_has_left_nothing(
    house: World, shop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ref = await made(house, shop, {"collection_id": collection(house, shop, 3).gid})

    async def dies(*_: object) -> int:
        raise Crash

    with monkeypatch.context() as broken:
        broken.setattr(ledger, "make_jobs", dies)
        with pytest.raises(Crash):
            await run_expansion(ref, house.workshop.desk)
    assert await counts(house, shop, ref) == ("EXPANDING", 0, 0, 0, 0)
    await expand(house, ref)
    assert len(await jobs_of(house, ref)) == 3


async def test_of_two_workers_the_one_that_was_overtaken_stops(house: World, shop: str) -> None:
    ref = await made(house, shop, {"collection_id": collection(house, shop, 5).gid})

    async def overtaken(step: int) -> None:
        if step == 2:
            other = msgspec.structs.replace(house.workshop.desk, stopping=asyncio.Event())
            other.stopping.set()  # so it takes one page
            assert await run_expansion(ref, other) is not None

    async with stepped_desk(house, overtaken) as desk:
        assert await run_expansion(ref, desk) is None
    assert len(await jobs_of(house, ref)) == 4
    await expand(house, ref)
    assert len(await jobs_of(house, ref)) == 5
    assert await counts(house, shop, ref) == ("IN_PROGRESS", 5, 0, 0, 0)
