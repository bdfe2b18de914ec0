"""Batches and Shopify outages, reauth, uninstalls, maintenance and hand-overs."""

from datetime import timedelta
from typing import Any

import pytest

from backend.batches import execution
from backend.batches.execution import NEXT_TURN, run_expansion
from backend.errors import DatabaseUnavailable
from backend.leased_task import AT_ONCE, Done, Retry
from backend.retries import BATCHES
from backend.worker import reauth
from backend.worker.maintenance import requeue_overdue
from backend.worker.reauth import end_long_waits
from tests.backend.batches.scenarios import (
    collection,
    counts,
    create_batch,
    end_jobs,
    expanded_batch,
    get_batch,
    jobs_of,
    post_batch_action,
    product_gids,
    run_expansion_to_end,
    stepped_batch_context,
)
from tests.running_app import SHOP, RunningApp
from tests.scenarios import lock_out, process_webhook

pytestmark = pytest.mark.usefixtures("small_pages")

OLD = "UPDATE batches SET changed_at = now() - interval '2 minutes' WHERE public_id = :id"


# Shopify


async def test_a_temporary_shopify_error_delays_the_expansion_without_losing_jobs(
    shared_app: RunningApp, shop: str
) -> None:
    ref = await create_batch(
        shared_app, shop, {"collection_id": collection(shared_app, shop, 5).gid}
    )
    shared_app.shopify.fail_next("graphql", 502, times=2, field="collection")
    shared_app.shopify.lose_next_answer("graphql", field="collection")
    shared_app.shopify.throttle_next(field="collection")
    delays = await run_expansion_to_end(shared_app, ref)
    assert len(delays) == 3
    assert delays == sorted(delays)
    assert await counts(shared_app, shop, ref) == ("IN_PROGRESS", 5, 0, 0, 0)


async def test_a_long_expansion_yields_to_other_work_between_pages(
    shared_app: RunningApp, shop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(execution, "EXPANSION_SECONDS", 0.0)
    ref = await create_batch(
        shared_app, shop, {"collection_id": collection(shared_app, shop, 5).gid}
    )
    delays = await run_expansion_to_end(shared_app, ref)
    assert delays and set(delays) == {NEXT_TURN}, "after each page"
    assert await counts(shared_app, shop, ref) == ("IN_PROGRESS", 5, 0, 0, 0)


async def test_every_page_resets_the_attempt_count(shared_app: RunningApp, shop: str) -> None:
    ref = await create_batch(
        shared_app, shop, {"collection_id": collection(shared_app, shop, 5).gid}
    )

    async def trouble(step: int) -> None:
        if step == 2:  # the first page
            shared_app.shopify.fail_next("graphql", 502, field="collection")

    await shared_app.execute(
        "UPDATE batches SET tries = :t WHERE public_id = :id",
        t=BATCHES.crashes - 1,
        id=ref.public_id,
    )
    async with stepped_batch_context(shared_app, trouble) as handler_context:
        assert isinstance(await run_expansion(ref, handler_context), Retry)
    await run_expansion_to_end(shared_app, ref)
    assert await counts(shared_app, shop, ref) == ("IN_PROGRESS", 5, 0, 0, 0)


async def test_a_lasting_shopify_outage_fails_the_batch_until_a_retry(
    shared_app: RunningApp, shop: str
) -> None:
    ref = await create_batch(
        shared_app, shop, {"collection_id": collection(shared_app, shop, 1).gid}
    )
    shared_app.shopify.fail_next("graphql", 502, times=50, field="collection")
    delays = await run_expansion_to_end(shared_app, ref)
    shared_app.shopify.platform.faults["graphql"].clear()
    assert sum(delays, timedelta(0)) >= timedelta(minutes=30), "and no try was used up before"
    found = await get_batch(shared_app, shop, ref)
    assert (found["status"], found["error"]["code"]) == ("FAILURE", "SHOPIFY_UNAVAILABLE")
    await post_batch_action(shared_app, shop, ref, "retry")
    await run_expansion_to_end(shared_app, ref)
    assert await counts(shared_app, shop, ref) == ("IN_PROGRESS", 1, 0, 0, 0)


async def test_a_batch_passes_empty_pages_of_its_collection(
    shared_app: RunningApp, shop: str
) -> None:
    ref = await create_batch(
        shared_app, shop, {"collection_id": collection(shared_app, shop, 3).gid}
    )
    shared_app.shopify.fault_next_pages("Collection.products", "empty", "empty")
    assert await run_expansion_to_end(shared_app, ref) == []
    assert await counts(shared_app, shop, ref) == ("IN_PROGRESS", 3, 0, 0, 0)


async def test_a_page_without_a_next_cursor_is_read_again_later(
    shared_app: RunningApp, shop: str
) -> None:
    ref = await create_batch(
        shared_app, shop, {"collection_id": collection(shared_app, shop, 3).gid}
    )
    shared_app.shopify.fault_next_pages("Collection.products", "stuck", "empty", "stuck")
    assert len(await run_expansion_to_end(shared_app, ref)) == 2
    assert await counts(shared_app, shop, ref) == ("IN_PROGRESS", 3, 0, 0, 0)


@pytest.mark.parametrize("status", [402, 403, 423, 200])
async def test_a_batch_of_an_inactive_shop_waits(
    shared_app: RunningApp, shop: str, status: int
) -> None:
    ref = await create_batch(
        shared_app, shop, {"collection_id": collection(shared_app, shop, 1).gid}
    )
    shared_app.shopify.lock_shop(shop, status)
    assert isinstance(await run_expansion(ref, shared_app.worker_context.batch_context), Retry)
    shared_app.shopify.unlock_shop(shop)
    assert await run_expansion_to_end(shared_app, ref) == []
    assert await counts(shared_app, shop, ref) == ("IN_PROGRESS", 1, 0, 0, 0)


async def test_a_token_revoked_early_is_refreshed(shared_app: RunningApp, shop: str) -> None:
    ref = await create_batch(
        shared_app, shop, {"collection_id": collection(shared_app, shop, 1).gid}
    )
    shared_app.shopify.revoke_access_tokens(shop)
    assert await run_expansion_to_end(shared_app, ref) == []
    assert await counts(shared_app, shop, ref) == ("IN_PROGRESS", 1, 0, 0, 0)


async def test_a_batch_of_a_parked_shop_waits_for_the_merchant(
    shared_app: RunningApp, shop: str
) -> None:
    ref = await create_batch(
        shared_app, shop, {"collection_id": collection(shared_app, shop, 1).gid}
    )
    await lock_out(shared_app, shop)
    assert await run_expansion_to_end(shared_app, ref) == [], "off the queue"
    assert (await get_batch(shared_app, shop, ref))["status"] == "EXPANDING"
    await shared_app.execute("DELETE FROM queue.pgqueuer")
    await shared_app.execute(OLD, id=ref.public_id)
    await requeue_overdue(shared_app.database)
    assert not await is_queued(shared_app, ref.public_id), "nobody has opened the app yet"
    await shared_app.install(shop)
    await requeue_overdue(shared_app.database)
    assert await is_queued(shared_app, ref.public_id)
    await run_expansion_to_end(shared_app, ref)
    assert await counts(shared_app, shop, ref) == ("IN_PROGRESS", 1, 0, 0, 0)


async def test_a_batch_of_a_shop_that_nobody_opens_ends_after_a_month_and_can_be_retried(
    shared_app: RunningApp, shop: str
) -> None:
    ref = await create_batch(
        shared_app, shop, {"collection_id": collection(shared_app, shop, 1).gid}
    )
    await lock_out(shared_app, shop)
    assert await run_expansion_to_end(shared_app, ref) == [], "off the queue"
    await age_wait(shared_app, shop, 29)
    await end_long_waits(shared_app.database)
    assert (await get_batch(shared_app, shop, ref))["status"] == "EXPANDING"
    await age_wait(shared_app, shop, 31)
    assert await end_long_waits(shared_app.database) == 1
    ended = await get_batch(shared_app, shop, ref)
    assert (ended["status"], ended["error"]["code"]) == ("FAILURE", "REAUTH_NEEDED")
    assert await end_long_waits(shared_app.database) == 0
    await shared_app.install(shop)
    assert (await post_batch_action(shared_app, shop, ref, "retry")).is_success
    await run_expansion_to_end(shared_app, ref)
    assert await counts(shared_app, shop, ref) == ("IN_PROGRESS", 1, 0, 0, 0)


async def test_a_batch_of_a_shop_that_is_opened_just_now_goes_on(
    shared_app: RunningApp, shop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ref = await create_batch(shared_app, shop, {"product_ids": product_gids(1)})
    await lock_out(shared_app, shop)
    await shared_app.execute("UPDATE shops SET reauth_needed_at = now() WHERE domain = :d", d=shop)
    await age_wait(shared_app, shop, 31)

    async def opened(*found: Any) -> int:
        await shared_app.install(shop)
        return await end_tasks(*found)

    end_tasks = reauth.end_some_tasks
    monkeypatch.setattr(reauth, "end_some_tasks", opened)
    assert await end_long_waits(shared_app.database) == 0
    assert (await get_batch(shared_app, shop, ref))["status"] == "EXPANDING"


async def age_wait(shared_app: RunningApp, shop: str, days: int) -> None:
    """Nobody has opened the shop's app for so many days, and asked for nothing since."""
    for table, changes, key in (
        ("shops", "reauth_needed_at = {}", "id"),
        ("batches", "created_at = {0}, changed_at = {0}", "shop_id"),
    ):
        await shared_app.execute(
            f"UPDATE {table} SET {changes.format('now() - make_interval(days => :days)')} "
            f"WHERE {key} = (SELECT id FROM shops WHERE domain = :d)",
            days=days,
            d=shop,
        )


async def is_queued(shared_app: RunningApp, public_id: str) -> bool:
    """Whether the queue knows of it."""
    return bool(
        await shared_app.rows(
            "SELECT 1 FROM queue.pgqueuer WHERE dedupe_key LIKE :key",
            key=f"expand_batch:%:{public_id}:%",
        )
    )


# Goodbyes


async def test_an_uninstall_ends_the_expansion_and_the_jobs(
    shared_app: RunningApp, shop: str
) -> None:
    going = await create_batch(shared_app, shop, {"product_ids": product_gids(3)})
    await expanded_batch(shared_app, shop, {"product_ids": product_gids(2)})
    done = await expanded_batch(shared_app, shop, {"product_ids": product_gids(1)})
    await shared_app.execute("DELETE FROM queue.pgqueuer")
    shared_app.shopify.uninstall(shop)
    assert (await process_webhook(shared_app, "app/uninstalled", shop=shop))[0] == "processed"
    rows = await shared_app.rows(
        "SELECT expansion, error->>'code' AS code FROM batches WHERE shop_id = :s "
        "ORDER BY public_id = :id DESC",
        s=going.shop_id,
        id=going.public_id,
    )
    assert rows[0] == {"expansion": "FAILED", "code": "SHOP_UNINSTALLED"}
    assert [row["expansion"] for row in rows[1:]] == ["EXPANDED"] * 2
    assert await run_expansion_to_end(shared_app, going) == []
    jobs = await jobs_of(shared_app, done)
    assert len(jobs) == 3 and {job["status"] for job in jobs} == {"FAILURE"}
    shared_app.shopify.reinstall(shop)
    await shared_app.install(shop)
    assert await counts(shared_app, shop, going) == ("FAILURE", 0, 0, 0, 3)


async def test_erasing_a_shop_erases_its_batches(shared_app: RunningApp, shop: str) -> None:
    ref = await expanded_batch(shared_app, shop, {"product_ids": product_gids(3)})
    await create_batch(shared_app, shop, {"product_ids": product_gids(3)})
    kept = await expanded_batch(shared_app, SHOP, {"product_ids": product_gids(2)})
    shared_app.shopify.uninstall(shop)
    assert (await process_webhook(shared_app, "app/uninstalled", shop=shop))[0] == "processed"
    assert (await process_webhook(shared_app, "shop/redact", shop=shop))[0] == "processed"
    for shop_id, left in ((ref.shop_id, 0), (kept.shop_id, 2)):
        items = await shared_app.rows("SELECT 1 FROM batch_items WHERE shop_id = :s", s=shop_id)
        batches = await shared_app.rows("SELECT 1 FROM batches WHERE shop_id = :s", s=shop_id)
        assert len(items) >= left and bool(items) == bool(batches) == bool(left)


async def test_erasing_a_shop_stops_its_expansion(shared_app: RunningApp, shop: str) -> None:
    ref = await create_batch(shared_app, shop, {"product_ids": product_gids(5)})

    async def erased(step: int) -> None:
        if step == 2:
            await shared_app.execute("DELETE FROM shops WHERE domain = :d", d=shop)

    async with stepped_batch_context(shared_app, erased) as handler_context:
        assert await run_expansion(ref, handler_context) == Done()
    assert await shared_app.rows("SELECT 1 FROM jobs WHERE shop_id = :s", s=ref.shop_id) == []


# Housekeeping and hand-overs


async def test_a_batch_without_a_queue_entry_is_queued_again(
    shared_app: RunningApp, shop: str
) -> None:
    ref = await create_batch(shared_app, shop, {"product_ids": product_gids(1)})
    await shared_app.execute("DELETE FROM queue.pgqueuer")
    await requeue_overdue(shared_app.database)
    assert not await is_queued(shared_app, ref.public_id), "too young to be overdue"
    await shared_app.execute(OLD, id=ref.public_id)
    await requeue_overdue(shared_app.database)
    assert await is_queued(shared_app, ref.public_id)
    await shared_app.execute("DELETE FROM queue.pgqueuer")
    await run_expansion_to_end(shared_app, ref)
    await shared_app.execute(OLD, id=ref.public_id)
    await requeue_overdue(shared_app.database)
    assert not await is_queued(shared_app, ref.public_id), "it is done"


async def test_a_retry_is_queued_beside_the_previous_entry(
    shared_app: RunningApp, shop: str
) -> None:
    ref = await create_batch(shared_app, shop, {"product_ids": product_gids(1)})
    await run_expansion_to_end(shared_app, ref)
    await end_jobs(shared_app, shop, ref, bad=1)
    await post_batch_action(shared_app, shop, ref, "retry")
    keys = await shared_app.rows(
        "SELECT dedupe_key FROM queue.pgqueuer WHERE dedupe_key LIKE :key ORDER BY 1",
        key=f"expand_batch:%:{ref.public_id}:%",
    )
    assert [row["dedupe_key"][-2:] for row in keys] == [":0", ":1"]
    assert await run_expansion(ref, shared_app.worker_context.batch_context) == Done(), (
        "of the round before"
    )
    assert (await get_batch(shared_app, shop, ref))["status"] == "EXPANDING"


async def test_a_stopping_worker_hands_over_after_a_page(shared_app: RunningApp, shop: str) -> None:
    for body in (
        {"collection_id": collection(shared_app, shop, 5).gid},
        {"product_ids": product_gids(5)},
    ):
        ref = await create_batch(shared_app, shop, body)
        before = len(await jobs_of(shared_app, ref))
        shared_app.worker_context.stopping.set()
        try:
            outcome = await run_expansion(ref, shared_app.worker_context.batch_context)
        finally:
            shared_app.worker_context.stopping.clear()
        assert outcome == AT_ONCE
        assert len(await jobs_of(shared_app, ref)) == before + 2
        await run_expansion_to_end(shared_app, ref)
        assert len(await jobs_of(shared_app, ref)) == before + 5


async def test_a_batch_that_kills_its_workers_fails(
    shared_app: RunningApp, shop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ref = await create_batch(shared_app, shop, {"product_ids": product_gids(1)})

    async def poison(*_: object) -> int:
        raise RuntimeError

    with monkeypatch.context() as poisoned:
        poisoned.setattr("backend.batches.execution.make_jobs", poison)
        for _ in range(BATCHES.crashes):
            with pytest.raises(RuntimeError):
                await run_expansion(ref, shared_app.worker_context.batch_context)
    assert await run_expansion_to_end(shared_app, ref) == []
    found = await get_batch(shared_app, shop, ref)
    assert (found["status"], found["error"]["code"]) == ("FAILURE", "EXPANSION_CRASHED")


async def test_a_short_database_outage_costs_no_attempts(
    shared_app: RunningApp, shop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ref = await create_batch(shared_app, shop, {"product_ids": product_gids(1)})

    async def away(*_: object) -> int:
        raise DatabaseUnavailable

    with monkeypatch.context() as broken:
        broken.setattr("backend.batches.execution.make_jobs", away)
        for _ in range(BATCHES.crashes + 2):
            assert isinstance(
                await run_expansion(ref, shared_app.worker_context.batch_context), Retry
            )
    assert await run_expansion_to_end(shared_app, ref) == []
    assert await counts(shared_app, shop, ref) == ("IN_PROGRESS", 1, 0, 0, 0)
