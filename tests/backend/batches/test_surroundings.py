"""What else meets batches: Shopify's moods, a parked shop, goodbyes, housekeeping, hand-overs."""

from datetime import timedelta

import pytest

from backend.batches import running
from backend.batches.running import NEXT_TURN, run_expansion
from backend.errors import DatabaseUnavailable
from backend.retries import BATCHES
from backend.worker.maintenance import requeue_overdue
from tests.backend.batches.studio import (
    act,
    collection,
    counts,
    end_jobs,
    expand,
    expanded,
    gids,
    jobs_of,
    look,
    made,
    stepped_desk,
)
from tests.doors import handled, lock_out
from tests.world import SHOP, World

pytestmark = pytest.mark.usefixtures("small_pages")

OLD = "UPDATE batches SET changed_at = now() - interval '2 minutes' WHERE public_id = :id"


# Shopify


async def test_a_passing_trouble_costs_a_delay_and_no_job(house: World, shop: str) -> None:
    ref = await made(house, shop, {"collection_id": collection(house, shop, 5).gid})
    house.shopify.fail_next("graphql", 502, times=2, field="collection")
    house.shopify.lose_next_answer("graphql", field="collection")
    house.shopify.throttle_next(field="collection")
    delays = await expand(house, ref)
    assert len(delays) == 3
    assert delays == sorted(delays)
    assert await counts(house, shop, ref) == ("IN_PROGRESS", 5, 0, 0, 0)


async def test_one_that_takes_long_leaves_its_place_to_another_in_between(
    house: World, shop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "TURN", 0.0)
    ref = await made(house, shop, {"collection_id": collection(house, shop, 5).gid})
    delays = await expand(house, ref)
    assert delays and set(delays) == {NEXT_TURN}, "after each page"
    assert await counts(house, shop, ref) == ("IN_PROGRESS", 5, 0, 0, 0)


async def test_every_page_renews_the_tries(house: World, shop: str) -> None:
    ref = await made(house, shop, {"collection_id": collection(house, shop, 5).gid})

    async def trouble(step: int) -> None:
        if step == 2:  # the first page
            house.shopify.fail_next("graphql", 502, field="collection")

    await house.execute(
        "UPDATE batches SET tries = :t WHERE public_id = :id",
        t=BATCHES.crashes - 1,
        id=ref.public_id,
    )
    async with stepped_desk(house, trouble) as desk:
        assert await run_expansion(ref, desk) is not None
    await expand(house, ref)
    assert await counts(house, shop, ref) == ("IN_PROGRESS", 5, 0, 0, 0)


async def test_a_lasting_trouble_ends_it_and_a_retry_cures_it(house: World, shop: str) -> None:
    ref = await made(house, shop, {"collection_id": collection(house, shop, 1).gid})
    house.shopify.fail_next("graphql", 502, times=50, field="collection")
    delays = await expand(house, ref)
    house.shopify.platform.faults["graphql"].clear()
    assert sum(delays, timedelta(0)) >= timedelta(minutes=30), "and no try was used up before"
    found = await look(house, shop, ref)
    assert (found["status"], found["error"]["code"]) == ("FAILURE", "SHOPIFY_UNAVAILABLE")
    await act(house, shop, ref, "retry")
    await expand(house, ref)
    assert await counts(house, shop, ref) == ("IN_PROGRESS", 1, 0, 0, 0)


async def test_a_token_that_died_before_its_time_is_renewed(house: World, shop: str) -> None:
    ref = await made(house, shop, {"collection_id": collection(house, shop, 1).gid})
    house.shopify.revoke_access_tokens(shop)
    assert await expand(house, ref) == []
    assert await counts(house, shop, ref) == ("IN_PROGRESS", 1, 0, 0, 0)


async def test_that_of_a_parked_shop_waits_for_the_merchant(house: World, shop: str) -> None:
    ref = await made(house, shop, {"collection_id": collection(house, shop, 1).gid})
    await lock_out(house, shop)
    assert await expand(house, ref) == [], "off the queue"
    assert (await look(house, shop, ref))["status"] == "EXPANDING"
    await house.execute("DELETE FROM queue.pgqueuer")
    await house.execute(OLD, id=ref.public_id)
    await requeue_overdue(house.database)
    assert not await is_queued(house, ref.public_id), "nobody has opened the app yet"
    await house.install(shop)
    await requeue_overdue(house.database)
    assert await is_queued(house, ref.public_id)
    await expand(house, ref)
    assert await counts(house, shop, ref) == ("IN_PROGRESS", 1, 0, 0, 0)


async def is_queued(house: World, public_id: str) -> bool:
    """Whether the queue knows of it."""
    return bool(
        await house.rows(
            "SELECT 1 FROM queue.pgqueuer WHERE dedupe_key LIKE :key",
            key=f"expand_batch:%:{public_id}:%",
        )
    )


# Goodbyes


async def test_an_uninstall_ends_the_expansion_and_the_jobs(house: World, shop: str) -> None:
    going = await made(house, shop, {"product_ids": gids(3)})
    await expanded(house, shop, {"product_ids": gids(2)})
    done = await expanded(house, shop, {"product_ids": gids(1)})
    await house.execute("DELETE FROM queue.pgqueuer")
    house.shopify.uninstall(shop)
    assert (await handled(house, "app/uninstalled", shop=shop))[0] == "processed"
    rows = await house.rows(
        "SELECT expansion, error->>'code' AS code FROM batches WHERE shop_id = :s "
        "ORDER BY public_id = :id DESC",
        s=going.shop_id,
        id=going.public_id,
    )
    assert rows[0] == {"expansion": "FAILED", "code": "SHOP_UNINSTALLED"}
    assert [row["expansion"] for row in rows[1:]] == ["EXPANDED"] * 2
    assert await expand(house, going) == []
    jobs = await jobs_of(house, done)
    assert len(jobs) == 3 and {job["status"] for job in jobs} == {"FAILURE"}
    house.shopify.reinstall(shop)
    await house.install(shop)
    assert await counts(house, shop, going) == ("FAILURE", 0, 0, 0, 3)


async def test_erasing_a_shop_erases_its_batches(house: World, shop: str) -> None:
    ref = await expanded(house, shop, {"product_ids": gids(3)})
    await made(house, shop, {"product_ids": gids(3)})
    kept = await expanded(house, SHOP, {"product_ids": gids(2)})
    house.shopify.uninstall(shop)
    assert (await handled(house, "app/uninstalled", shop=shop))[0] == "processed"
    assert (await handled(house, "shop/redact", shop=shop))[0] == "processed"
    for shop_id, left in ((ref.shop_id, 0), (kept.shop_id, 2)):
        items = await house.rows("SELECT 1 FROM batch_items WHERE shop_id = :s", s=shop_id)
        batches = await house.rows("SELECT 1 FROM batches WHERE shop_id = :s", s=shop_id)
        assert len(items) >= left and bool(items) == bool(batches) == bool(left)


async def test_a_shop_that_is_erased_in_the_middle_stops_the_expansion(
    house: World, shop: str
) -> None:
    ref = await made(house, shop, {"product_ids": gids(5)})

    async def erased(step: int) -> None:
        if step == 2:
            await house.execute("DELETE FROM shops WHERE domain = :d", d=shop)

    async with stepped_desk(house, erased) as desk:
        assert await run_expansion(ref, desk) is None
    assert await house.rows("SELECT 1 FROM jobs WHERE shop_id = :s", s=ref.shop_id) == []


# Housekeeping and hand-overs


async def test_one_whose_queue_entry_was_lost_is_queued_again(house: World, shop: str) -> None:
    ref = await made(house, shop, {"product_ids": gids(1)})
    await house.execute("DELETE FROM queue.pgqueuer")
    await requeue_overdue(house.database)
    assert not await is_queued(house, ref.public_id), "too young to be overdue"
    await house.execute(OLD, id=ref.public_id)
    await requeue_overdue(house.database)
    assert await is_queued(house, ref.public_id)
    await house.execute("DELETE FROM queue.pgqueuer")
    await expand(house, ref)
    await house.execute(OLD, id=ref.public_id)
    await requeue_overdue(house.database)
    assert not await is_queued(house, ref.public_id), "it is done"


async def test_a_retry_is_queued_while_the_entry_of_before_is_still_there(
    house: World, shop: str
) -> None:
    ref = await made(house, shop, {"product_ids": gids(1)})
    await expand(house, ref)
    await end_jobs(house, shop, ref, bad=1)
    await act(house, shop, ref, "retry")
    keys = await house.rows(
        "SELECT dedupe_key FROM queue.pgqueuer WHERE dedupe_key LIKE :key ORDER BY 1",
        key=f"expand_batch:%:{ref.public_id}:%",
    )
    assert [row["dedupe_key"][-2:] for row in keys] == [":0", ":1"]
    assert await run_expansion(ref, house.workshop.desk) is None, "of the round before"
    assert (await look(house, shop, ref))["status"] == "EXPANDING"


async def test_a_worker_that_is_to_stop_hands_it_over_after_a_page(house: World, shop: str) -> None:
    for body in (
        {"collection_id": collection(house, shop, 5).gid},
        {"product_ids": gids(5)},
    ):
        ref = await made(house, shop, body)
        before = len(await jobs_of(house, ref))
        house.workshop.stopping.set()
        try:
            delay = await run_expansion(ref, house.workshop.desk)
        finally:
            house.workshop.stopping.clear()
        assert delay is not None and delay.total_seconds() == 0
        assert len(await jobs_of(house, ref)) == before + 2
        await expand(house, ref)
        assert len(await jobs_of(house, ref)) == before + 5


async def test_one_that_kills_its_workers_ends(
    house: World, shop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ref = await made(house, shop, {"product_ids": gids(1)})

    async def poison(*_: object) -> int:
        raise RuntimeError

    with monkeypatch.context() as poisoned:
        poisoned.setattr("backend.batches.running.make_jobs", poison)
        for _ in range(BATCHES.crashes):
            with pytest.raises(RuntimeError):
                await run_expansion(ref, house.workshop.desk)
    assert await expand(house, ref) == []
    found = await look(house, shop, ref)
    assert (found["status"], found["error"]["code"]) == ("FAILURE", "EXPANSION_CRASHED")


async def test_a_database_that_is_away_for_a_moment_costs_nothing(
    house: World, shop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ref = await made(house, shop, {"product_ids": gids(1)})

    async def away(*_: object) -> int:
        raise DatabaseUnavailable

    with monkeypatch.context() as broken:
        broken.setattr("backend.batches.running.make_jobs", away)
        for _ in range(BATCHES.crashes + 2):
            assert await run_expansion(ref, house.workshop.desk) is not None
    assert await expand(house, ref) == []
    assert await counts(house, shop, ref) == ("IN_PROGRESS", 1, 0, 0, 0)
