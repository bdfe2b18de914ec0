"""Expanding a batch creates one job for each product, whatever happens."""

import asyncio

import msgspec
import pytest

from backend.batches import execution, leases
from backend.batches.execution import run_expansion
from backend.leased_task import Done, Retry
from tests.backend.batches.scenarios import (
    collection,
    counts,
    create_batch,
    expanded_batch,
    get_batch,
    get_items,
    jobs_of,
    product_gids,
    products,
    products_of_jobs,
    run_expansion_to_end,
    stepped_batch_context,
)
from tests.backend.publications.crash_points import Crash, crash_at
from tests.running_app import SHOP, RunningApp

pytestmark = pytest.mark.usefixtures("small_pages")


# Sources


async def test_a_collection_becomes_one_job_per_product_in_order(
    shared_app: RunningApp, shop: str
) -> None:
    tees = collection(shared_app, shop, 5)
    asked = shared_app.shopify.calls["graphql"]
    parameters = {"margin": 0.2, "shadow": "contact"}
    body = {"collection_id": tees.gid, "parameters": parameters}
    ref = await expanded_batch(shared_app, shop, body)
    assert shared_app.shopify.calls["graphql"] == asked + 3, "three pages, each read once"
    assert await counts(shared_app, shop, ref) == ("IN_PROGRESS", 5, 0, 0, 0)
    wanted = [f"gid://shopify/Product/{number}" for number in tees.product_ids]
    assert await products_of_jobs(shared_app, ref) == wanted
    assert [item["product_id"] for item in await get_items(shared_app, shop, ref)] == wanted
    for job in await jobs_of(shared_app, ref):
        assert job["origin"] == "api"
        assert {name: job["request"][name] for name in parameters} == parameters


async def test_a_product_list_becomes_jobs_without_calling_shopify(
    shared_app: RunningApp, shop: str
) -> None:
    asked = shared_app.shopify.calls["graphql"]
    ref = await expanded_batch(shared_app, shop, {"product_ids": product_gids(5)})
    assert shared_app.shopify.calls["graphql"] == asked
    assert await products_of_jobs(shared_app, ref) == product_gids(5)
    assert await counts(shared_app, shop, ref) == ("IN_PROGRESS", 5, 0, 0, 0)


async def test_batch_jobs_queue_behind_the_shops_other_jobs(
    shared_app: RunningApp, shop: str
) -> None:
    first = await expanded_batch(shared_app, shop, {"product_ids": product_gids(3)})
    await expanded_batch(shared_app, shop, {"product_ids": product_gids(2, start=10)})
    assert [job["priority"] for job in await jobs_of(shared_app, first)] == [-1, -2, -3, -4, -5]


async def test_a_product_without_an_image_fails_alone(shared_app: RunningApp, shop: str) -> None:
    bare, (tee,) = products(shared_app, shop, 1, image=None), products(shared_app, shop, 1)
    mixed = shared_app.shopify.create_collection(shop, "Mixed", [*bare, tee])
    ref = await expanded_batch(shared_app, shop, {"collection_id": mixed.gid})
    assert await counts(shared_app, shop, ref) == ("IN_PROGRESS", 1, 0, 0, 1)
    failed, waiting = await get_items(shared_app, shop, ref)
    assert (failed["job_id"], failed["error"]["code"]) == (None, "NO_IMAGE")
    assert (waiting["product_id"], waiting["error"]) == (tee.gid, None)


async def test_a_product_whose_first_media_is_a_video_gets_its_job(
    shared_app: RunningApp, shop: str
) -> None:
    filmed, only_filmed = products(shared_app, shop, 2, image=None)
    for product in (filmed, only_filmed):
        shared_app.shopify.add_video(product)
    shared_app.shopify.add_image(filmed, b"x")
    films = shared_app.shopify.create_collection(shop, "Films", [filmed, only_filmed])
    ref = await expanded_batch(shared_app, shop, {"collection_id": films.gid})
    waiting, failed = await get_items(shared_app, shop, ref)
    assert (waiting["product_id"], waiting["error"]) == (filmed.gid, None)
    assert waiting["job_id"] is not None
    assert failed["error"]["code"] == "NO_IMAGE"


@pytest.mark.parametrize("whose", ["nobody's", "another shop's", "a deleted one"])
async def test_a_missing_collection_ends_the_batch(
    shared_app: RunningApp, shop: str, whose: str
) -> None:
    tees = collection(shared_app, SHOP if whose == "another shop's" else shop, 1)
    gid = "gid://shopify/Collection/1" if whose == "nobody's" else tees.gid
    if whose == "a deleted one":
        shared_app.shopify.delete_collection(tees)
    ref = await create_batch(shared_app, shop, {"collection_id": gid})
    assert await run_expansion_to_end(shared_app, ref) == []
    found = await get_batch(shared_app, shop, ref)
    assert (found["status"], found["error"]["code"]) == ("FAILURE", "COLLECTION_NOT_FOUND")
    assert found["finished_at"] is not None
    assert await jobs_of(shared_app, ref) == []


async def test_an_empty_collection_is_reported_as_such(shared_app: RunningApp, shop: str) -> None:
    ref = await expanded_batch(
        shared_app, shop, {"collection_id": collection(shared_app, shop, 0).gid}
    )
    found = await get_batch(shared_app, shop, ref)
    assert (found["status"], found["error"]["code"]) == ("FAILURE", "COLLECTION_EMPTY")


async def test_a_collection_deleted_during_the_expansion_keeps_its_jobs(
    shared_app: RunningApp, shop: str
) -> None:
    tees = collection(shared_app, shop, 3)
    ref = await create_batch(shared_app, shop, {"collection_id": tees.gid})

    async def deleted(step: int) -> None:
        if step == 2:
            shared_app.shopify.delete_collection(tees)

    async with stepped_batch_context(shared_app, deleted) as handler_context:
        await run_expansion_to_end(shared_app, ref, handler_context)
    found = await get_batch(shared_app, shop, ref)
    assert (found["status"], found["error"]["code"]) == ("IN_PROGRESS", "COLLECTION_NOT_FOUND")
    assert found["counts"]["not_started"] == 2


async def test_a_collection_that_is_too_large_creates_no_jobs(
    shared_app: RunningApp, shop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(execution, "MAX_PRODUCTS", 4)
    ref = await expanded_batch(
        shared_app, shop, {"collection_id": collection(shared_app, shop, 5).gid}
    )
    assert (await get_batch(shared_app, shop, ref))["error"]["code"] == "BATCH_TOO_LARGE"
    assert await jobs_of(shared_app, ref) == []


async def test_a_collection_that_grows_past_the_limit_stops_there(
    shared_app: RunningApp, shop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "MAX_PRODUCTS", 4)
    ref = await expanded_batch(
        shared_app, shop, {"collection_id": collection(shared_app, shop, 5).gid}
    )
    found = await get_batch(shared_app, shop, ref)
    assert (found["error"]["code"], found["counts"]["not_started"]) == ("BATCH_TOO_LARGE", 4)


async def test_a_product_listed_twice_gets_one_job(shared_app: RunningApp, shop: str) -> None:
    tees = products(shared_app, shop, 3)
    doubled = shared_app.shopify.create_collection(shop, "Twice", [*tees, tees[0]])
    ref = await expanded_batch(shared_app, shop, {"collection_id": doubled.gid})
    assert await products_of_jobs(shared_app, ref) == [tee.gid for tee in tees]


async def test_a_missing_product_scope_fails_without_calling_shopify(
    shared_app: RunningApp, shop: str
) -> None:
    ref = await create_batch(
        shared_app, shop, {"collection_id": collection(shared_app, shop, 1).gid}
    )
    await shared_app.execute("UPDATE shops SET scopes = 'write_files' WHERE domain = :d", d=shop)
    asked = shared_app.shopify.calls["graphql"]
    await run_expansion_to_end(shared_app, ref)
    assert shared_app.shopify.calls["graphql"] == asked
    assert (await get_batch(shared_app, shop, ref))["error"]["code"] == "SCOPE_MISSING"


async def test_a_scope_withdrawn_unnoticed_fails_the_same_way(
    shared_app: RunningApp, shop: str
) -> None:
    ref = await create_batch(
        shared_app, shop, {"collection_id": collection(shared_app, shop, 1).gid}
    )
    shared_app.shopify.set_scopes(shop, {"write_files"})
    await run_expansion_to_end(shared_app, ref)
    assert (await get_batch(shared_app, shop, ref))["error"]["code"] == "SCOPE_MISSING"


# Interruptions


@pytest.mark.parametrize("source", ["collection", "list"])
async def test_a_crash_at_any_step_creates_no_job_twice(
    shared_app: RunningApp, shop: str, source: str
) -> None:
    wanted = (
        {"collection_id": collection(shared_app, shop, 5).gid}
        if source == "collection"
        else {"product_ids": product_gids(5)}
    )
    fatal, has_crashed = 0, True
    while has_crashed:
        fatal, has_crashed = fatal + 1, False
        ref = await create_batch(shared_app, shop, wanted)
        async with stepped_batch_context(shared_app, crash_at(fatal)) as handler_context:
            try:
                await run_expansion(ref, handler_context)
            except Crash:
                has_crashed = True
        asked = shared_app.shopify.calls["graphql"]
        await run_expansion_to_end(shared_app, ref)
        again = shared_app.shopify.calls["graphql"] - asked
        assert again == (max(0, 4 - fatal) if source == "collection" and has_crashed else 0)
        assert await counts(shared_app, shop, ref) == ("IN_PROGRESS", 5, 0, 0, 0)
        assert len(await jobs_of(shared_app, ref)) == 5 * fatal
    assert fatal >= 4, "the claim and three pages"


async def test_an_uncommitted_page_leaves_nothing(
    shared_app: RunningApp, shop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ref = await create_batch(
        shared_app, shop, {"collection_id": collection(shared_app, shop, 3).gid}
    )

    async def dies(*_: object) -> int:
        raise Crash

    with monkeypatch.context() as broken:
        broken.setattr(leases, "make_jobs", dies)
        with pytest.raises(Crash):
            await run_expansion(ref, shared_app.worker_context.batch_context)
    assert await counts(shared_app, shop, ref) == ("EXPANDING", 0, 0, 0, 0)
    await run_expansion_to_end(shared_app, ref)
    assert len(await jobs_of(shared_app, ref)) == 3


async def test_a_worker_that_was_overtaken_stops(shared_app: RunningApp, shop: str) -> None:
    ref = await create_batch(
        shared_app, shop, {"collection_id": collection(shared_app, shop, 5).gid}
    )

    async def overtaken(step: int) -> None:
        if step == 2:
            other = msgspec.structs.replace(
                shared_app.worker_context.batch_context, stopping=asyncio.Event()
            )
            other.stopping.set()  # so it takes one page
            assert isinstance(await run_expansion(ref, other), Retry)

    async with stepped_batch_context(shared_app, overtaken) as handler_context:
        assert await run_expansion(ref, handler_context) == Done()
    assert len(await jobs_of(shared_app, ref)) == 4
    await run_expansion_to_end(shared_app, ref)
    assert len(await jobs_of(shared_app, ref)) == 5
    assert await counts(shared_app, shop, ref) == ("IN_PROGRESS", 5, 0, 0, 0)
