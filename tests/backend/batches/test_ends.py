"""How batches end, cancelling them, and retrying them."""

import asyncio
from datetime import datetime
from typing import Any

import pytest

from backend.batches import service
from backend.batches.execution import run_expansion
from backend.batches.leases import BatchRef
from backend.batches.states import BatchCounts, BatchStatus, Expansion, status_of
from backend.errors import DatabaseUnavailable
from backend.jobs.lifecycle import lease_job, succeed
from backend.jobs.service import JobRef
from backend.leased_task import Done, Fenced
from backend.worker.batch_counts import settle_batches
from tests.backend.batches.scenarios import (
    collection,
    counts,
    create_batch,
    end_jobs,
    expanded_batch,
    get_batch,
    get_items,
    jobs_of,
    post_batch_action,
    product_gids,
    products,
    run_expansion_to_end,
    stepped_batch_context,
)
from tests.backend.publications.crash_points import Crash, crash_at
from tests.running_app import RunningApp
from tests.scenarios import refusal

pytestmark = pytest.mark.usefixtures("small_pages")

NOTHING = (409, "BATCH_NOTHING_TO_RETRY")
FINISHED = (409, "BATCH_ALREADY_FINISHED")


# What is told of the whole


@pytest.mark.parametrize(
    ("expansion", "good", "bad", "left", "told"),
    [
        (Expansion.EXPANDING, 1, 1, 0, BatchStatus.EXPANDING),
        (Expansion.EXPANDED, 1, 1, 1, BatchStatus.IN_PROGRESS),
        (Expansion.EXPANDED, 2, 0, 0, BatchStatus.SUCCESS),
        (Expansion.EXPANDED, 1, 1, 0, BatchStatus.PARTIAL),
        (Expansion.EXPANDED, 0, 2, 0, BatchStatus.FAILURE),
        (Expansion.FAILED, 0, 0, 1, BatchStatus.IN_PROGRESS),
        (Expansion.FAILED, 2, 0, 0, BatchStatus.PARTIAL),
        (Expansion.FAILED, 0, 0, 0, BatchStatus.FAILURE),
        (Expansion.CANCELLED, 1, 1, 0, BatchStatus.CANCELLED),
    ],
)
def test_the_batch_status_follows_from_expansion_and_counts(
    expansion: Expansion, good: int, bad: int, left: int, told: BatchStatus
) -> None:
    numbers = BatchCounts(total=good + bad + left, succeeded=good, failed=bad, in_progress=left)
    assert status_of(expansion, numbers) is told


async def test_the_counts_follow_the_jobs(shared_app: RunningApp, shop: str) -> None:
    ref = await expanded_batch(shared_app, shop, {"product_ids": product_gids(4)})
    await end_jobs(shared_app, shop, ref, good=1, begun=1)
    assert await counts(shared_app, shop, ref) == ("IN_PROGRESS", 2, 1, 1, 0)
    await end_jobs(shared_app, shop, ref, bad=2)
    assert await counts(shared_app, shop, ref) == ("IN_PROGRESS", 0, 1, 1, 2)
    assert (await get_batch(shared_app, shop, ref))["finished_at"] is None


async def test_a_batch_finishes_with_its_last_job(shared_app: RunningApp, shop: str) -> None:
    ref = await expanded_batch(shared_app, shop, {"product_ids": product_gids(3)})
    await end_jobs(shared_app, shop, ref, good=2, bad=1)
    assert await counts(shared_app, shop, ref) == ("PARTIAL", 0, 0, 2, 1)
    last = await shared_app.rows(
        "SELECT max(finished_at) AS at FROM jobs WHERE shop_id = :s", s=ref.shop_id
    )
    answer = await shared_app.http.get(
        f"/v1/batches/{ref.public_id}", headers=shared_app.bearer(shop)
    )
    assert datetime.fromisoformat(answer.json()["finished_at"]) == last[0]["at"]
    assert "retry-after" not in answer.headers


async def test_uniform_results_make_a_success_or_a_failure(
    shared_app: RunningApp, shop: str
) -> None:
    for good, told in ((2, "SUCCESS"), (0, "FAILURE")):
        ref = await expanded_batch(shared_app, shop, {"product_ids": product_gids(2)})
        await end_jobs(shared_app, shop, ref, good=good, bad=2 - good)
        assert (await get_batch(shared_app, shop, ref))["status"] == told


# What is stored of it


async def store_final_counts(shared_app: RunningApp) -> None:
    """Let the workers look at all that has ended."""
    for _ in range(4):
        await settle_batches(shared_app.database)


async def test_a_finished_batchs_counts_are_stored_and_outlive_its_jobs(
    shared_app: RunningApp, shop: str
) -> None:
    ref = await expanded_batch(shared_app, shop, {"product_ids": product_gids(3)})
    await end_jobs(shared_app, shop, ref, good=2, bad=1)
    before = await get_batch(shared_app, shop, ref)
    await store_final_counts(shared_app)
    await shared_app.execute("DELETE FROM jobs WHERE shop_id = :s", s=ref.shop_id)
    assert await get_batch(shared_app, shop, ref) == before
    assert before["counts"] == {
        "total": 3,
        "not_started": 0,
        "in_progress": 0,
        "succeeded": 2,
        "failed": 1,
    }


async def test_a_batch_with_running_jobs_is_counted_live(shared_app: RunningApp, shop: str) -> None:
    ref = await expanded_batch(shared_app, shop, {"product_ids": product_gids(3)})
    for good in range(3):
        await store_final_counts(shared_app)
        assert await counts(shared_app, shop, ref) == ("IN_PROGRESS", 3 - good, 0, good, 0)
        await end_jobs(shared_app, shop, ref, good=1)
    assert (await get_batch(shared_app, shop, ref))["status"] == "SUCCESS"


async def test_a_retry_counts_a_stored_batch_again(shared_app: RunningApp, shop: str) -> None:
    ref = await expanded_batch(shared_app, shop, {"product_ids": product_gids(4)})
    await end_jobs(shared_app, shop, ref, good=2, bad=2)
    await store_final_counts(shared_app)
    assert (await post_batch_action(shared_app, shop, ref, "retry")).json()["counts"][
        "not_started"
    ] == 2
    await store_final_counts(shared_app)
    await run_expansion_to_end(shared_app, ref)
    assert await counts(shared_app, shop, ref) == ("IN_PROGRESS", 2, 0, 2, 0)
    await post_batch_action(shared_app, shop, ref, "cancel")
    await store_final_counts(shared_app)
    assert await counts(shared_app, shop, ref) == ("CANCELLED", 0, 0, 2, 2)


async def test_jobs_without_a_batch_id_are_counted_too(shared_app: RunningApp, shop: str) -> None:
    ref = await expanded_batch(shared_app, shop, {"product_ids": product_gids(4)})
    await end_jobs(shared_app, shop, ref, good=1, bad=1, begun=1)
    for some in ("right(public_id, 1) < 'G'", "true"):
        await shared_app.execute(
            f"UPDATE jobs SET batch_id = NULL WHERE shop_id = :s AND {some}", s=ref.shop_id
        )
        assert await counts(shared_app, shop, ref) == ("IN_PROGRESS", 1, 1, 1, 1)


# Retrying


async def test_a_retry_creates_new_jobs_only_for_failed_items(
    shared_app: RunningApp, shop: str
) -> None:
    ref = await expanded_batch(
        shared_app, shop, {"product_ids": product_gids(6), "parameters": {"margin": 0.3}}
    )
    await end_jobs(shared_app, shop, ref, good=1, bad=3, begun=1)
    before = await get_items(shared_app, shop, ref)
    answer = await post_batch_action(shared_app, shop, ref, "retry")
    assert answer.status_code == 202 and answer.headers["retry-after"]
    assert answer.json() == await get_batch(shared_app, shop, ref)
    assert await counts(shared_app, shop, ref) == ("EXPANDING", 4, 1, 1, 0)
    await run_expansion_to_end(shared_app, ref)
    after = await get_items(shared_app, shop, ref)
    assert await counts(shared_app, shop, ref) == ("IN_PROGRESS", 4, 1, 1, 0)
    for old, new in zip(before, after, strict=True):
        assert old["product_id"] == new["product_id"]
        assert (old["job_id"] != new["job_id"]) == (old["status"] == "FAILURE")
    jobs = await jobs_of(shared_app, ref)
    assert len(jobs) == 9, "the old ones stay"
    assert {job["request"]["margin"] for job in jobs} == {0.3}


async def test_concurrent_retries_create_the_jobs_once(shared_app: RunningApp, shop: str) -> None:
    ref = await expanded_batch(shared_app, shop, {"product_ids": product_gids(3)})
    await end_jobs(shared_app, shop, ref, bad=3)
    answers = await asyncio.gather(
        *(post_batch_action(shared_app, shop, ref, "retry") for _ in range(5))
    )
    accepted = [answer for answer in answers if answer.status_code == 202]
    assert len(accepted) == 1
    assert {refusal(answer) for answer in answers if answer not in accepted} == {NOTHING}
    await run_expansion_to_end(shared_app, ref)
    assert len(await jobs_of(shared_app, ref)) == 6


async def test_a_retry_without_failures_is_refused(shared_app: RunningApp, shop: str) -> None:
    ref = await create_batch(shared_app, shop, {"product_ids": product_gids(2)})
    assert refusal(await post_batch_action(shared_app, shop, ref, "retry")) == NOTHING
    await run_expansion_to_end(shared_app, ref)
    assert refusal(await post_batch_action(shared_app, shop, ref, "retry")) == NOTHING
    await end_jobs(shared_app, shop, ref, good=2)
    assert refusal(await post_batch_action(shared_app, shop, ref, "retry")) == NOTHING


async def test_a_retried_job_can_fail_and_be_retried_again(
    shared_app: RunningApp, shop: str
) -> None:
    ref = await expanded_batch(shared_app, shop, {"product_ids": product_gids(1)})
    for _ in range(3):
        await end_jobs(shared_app, shop, ref, bad=1)
        assert (await post_batch_action(shared_app, shop, ref, "retry")).status_code == 202
        await run_expansion_to_end(shared_app, ref)
    await end_jobs(shared_app, shop, ref, good=1)
    assert await counts(shared_app, shop, ref) == ("SUCCESS", 0, 0, 1, 0)


async def test_a_retry_during_the_expansion_loses_nothing(
    shared_app: RunningApp, shop: str
) -> None:
    ref = await create_batch(
        shared_app, shop, {"collection_id": collection(shared_app, shop, 5).gid}
    )

    async def retried(step: int) -> None:
        if step == 2:
            await end_jobs(shared_app, shop, ref, bad=1)
            assert (await post_batch_action(shared_app, shop, ref, "retry")).status_code == 202

    async with stepped_batch_context(shared_app, retried) as handler_context:
        assert await run_expansion(ref, handler_context) == Done()
    assert await counts(shared_app, shop, ref) == ("EXPANDING", 2, 0, 0, 0)
    await run_expansion_to_end(shared_app, ref)
    assert await counts(shared_app, shop, ref) == ("IN_PROGRESS", 5, 0, 0, 0)
    assert len(await jobs_of(shared_app, ref)) == 6


async def test_a_crash_during_a_retry_creates_nothing_twice(
    shared_app: RunningApp, shop: str
) -> None:
    ref = await expanded_batch(shared_app, shop, {"product_ids": product_gids(5)})
    await end_jobs(shared_app, shop, ref, bad=5)
    await post_batch_action(shared_app, shop, ref, "retry")
    async with stepped_batch_context(shared_app, crash_at(2)) as handler_context:
        with pytest.raises(Crash):
            await run_expansion_to_end(shared_app, ref, handler_context)
    assert len(await jobs_of(shared_app, ref)) == 7
    await run_expansion_to_end(shared_app, ref)
    assert len(await jobs_of(shared_app, ref)) == 10


async def test_a_failed_expansion_continues_after_a_retry(
    shared_app: RunningApp, shop: str
) -> None:
    tees = collection(shared_app, shop, 3)
    ref = await create_batch(shared_app, shop, {"collection_id": tees.gid})
    await shared_app.execute("UPDATE shops SET scopes = 'write_files' WHERE domain = :d", d=shop)
    await run_expansion_to_end(shared_app, ref)
    assert (await get_batch(shared_app, shop, ref))["error"]["code"] == "SCOPE_MISSING"
    await shared_app.execute("UPDATE shops SET scopes = 'write_products' WHERE domain = :d", d=shop)
    assert (await post_batch_action(shared_app, shop, ref, "retry")).status_code == 202
    await run_expansion_to_end(shared_app, ref)
    assert (await get_batch(shared_app, shop, ref))["error"] is None
    assert await counts(shared_app, shop, ref) == ("IN_PROGRESS", 3, 0, 0, 0)


async def test_a_product_that_got_an_image_gets_a_job_on_retry(
    shared_app: RunningApp, shop: str
) -> None:
    bare = products(shared_app, shop, 1, image=None)
    ref = await expanded_batch(
        shared_app,
        shop,
        {"collection_id": shared_app.shopify.create_collection(shop, "Bare", bare).gid},
    )
    assert await counts(shared_app, shop, ref) == ("FAILURE", 0, 0, 0, 1)
    await post_batch_action(shared_app, shop, ref, "retry")
    await run_expansion_to_end(shared_app, ref)
    assert await counts(shared_app, shop, ref) == ("IN_PROGRESS", 1, 0, 0, 0)


# Cancelling


async def test_a_cancel_ends_unfinished_jobs_and_keeps_finished_ones(
    shared_app: RunningApp, shop: str
) -> None:
    ref = await expanded_batch(shared_app, shop, {"product_ids": product_gids(5)})
    await end_jobs(shared_app, shop, ref, good=1, bad=1, begun=1)
    (running,) = await get_items(shared_app, shop, ref, status="IN_PROGRESS")
    answer = await post_batch_action(shared_app, shop, ref, "cancel")
    assert answer.status_code == 202
    assert answer.json() == await get_batch(shared_app, shop, ref)
    assert await counts(shared_app, shop, ref) == ("CANCELLED", 0, 0, 1, 4)
    assert answer.json()["finished_at"] is not None
    codes = [
        item["error"] and item["error"]["code"] for item in await get_items(shared_app, shop, ref)
    ]
    assert codes == [None, "PRODUCT_NOT_FOUND", "CANCELLED", "CANCELLED", "CANCELLED"]
    assert await is_fenced(shared_app, JobRef(shop_id=ref.shop_id, public_id=running["job_id"]))
    assert refusal(await post_batch_action(shared_app, shop, ref, "cancel")) == FINISHED


async def is_fenced(shared_app: RunningApp, job: JobRef) -> bool:
    """Whether nobody can work on the job any more."""
    async with shared_app.database.transaction() as connection:
        return await lease_job(connection, job) is None


async def test_a_cancel_does_not_affect_other_batches(shared_app: RunningApp, shop: str) -> None:
    other = await expanded_batch(shared_app, shop, {"product_ids": product_gids(2)})
    ref = await expanded_batch(shared_app, shop, {"product_ids": product_gids(2)})
    await post_batch_action(shared_app, shop, ref, "cancel")
    assert await counts(shared_app, shop, other) == ("IN_PROGRESS", 2, 0, 0, 0)


async def test_a_cancel_before_the_expansion_creates_no_jobs(
    shared_app: RunningApp, shop: str
) -> None:
    ref = await create_batch(shared_app, shop, {"product_ids": product_gids(3)})
    assert (await post_batch_action(shared_app, shop, ref, "cancel")).status_code == 202
    assert await run_expansion_to_end(shared_app, ref) == []
    assert await counts(shared_app, shop, ref) == ("CANCELLED", 0, 0, 0, 3)
    assert await jobs_of(shared_app, ref) == []


async def test_a_cancel_during_the_expansion_fences_it(shared_app: RunningApp, shop: str) -> None:
    ref = await create_batch(
        shared_app, shop, {"collection_id": collection(shared_app, shop, 5).gid}
    )

    async def cancelled(step: int) -> None:
        if step == 2:
            assert (await post_batch_action(shared_app, shop, ref, "cancel")).status_code == 202

    async with stepped_batch_context(shared_app, cancelled) as handler_context:
        assert await run_expansion(ref, handler_context) == Done()
    assert await run_expansion_to_end(shared_app, ref) == []
    assert await counts(shared_app, shop, ref) == ("CANCELLED", 0, 0, 0, 2)
    assert len(await jobs_of(shared_app, ref)) == 2


@pytest.fixture
def cancelled_slices(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many jobs each slice of a cancel has ended; a slice is two items."""
    ended: list[int] = []
    cancel_slice = service.cancel_slice

    async def spy(*asked: Any) -> tuple[int, int | None]:
        found = await cancel_slice(*asked)
        ended.append(found[0])
        return found

    monkeypatch.setattr(service, "cancel_slice", spy)
    monkeypatch.setattr(service, "ITEMS_PER_CANCEL", 2)
    return ended


@pytest.mark.parametrize(("count", "expected"), [(3, [2, 1]), (4, [2, 2, 0])])
async def test_a_cancel_works_in_slices(
    shared_app: RunningApp, shop: str, cancelled_slices: list[int], count: int, expected: list[int]
) -> None:
    """Ten thousand jobs in one statement are more than a web process may ask for at once."""
    ref = await expanded_batch(shared_app, shop, {"product_ids": product_gids(count)})
    assert (await post_batch_action(shared_app, shop, ref, "cancel")).status_code == 202
    assert cancelled_slices == expected
    assert await counts(shared_app, shop, ref) == ("CANCELLED", 0, 0, 0, count)


async def test_an_interrupted_cancel_is_finished_by_the_next(
    shared_app: RunningApp, shop: str, cancelled_slices: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    ref = await expanded_batch(shared_app, shop, {"product_ids": product_gids(5)})
    held_row = service.held_row

    async def gone(*asked: Any) -> Any:
        if cancelled_slices:
            raise DatabaseUnavailable
        return await held_row(*asked)

    with monkeypatch.context() as trouble:
        trouble.setattr(service, "held_row", gone)
        assert (await post_batch_action(shared_app, shop, ref, "cancel")).status_code == 503
    assert await counts(shared_app, shop, ref) == ("CANCELLED", 3, 0, 0, 2)
    assert (await post_batch_action(shared_app, shop, ref, "cancel")).status_code == 202
    assert await counts(shared_app, shop, ref) == ("CANCELLED", 0, 0, 0, 5)
    ends = await shared_app.rows(
        "SELECT count(*) AS ends FROM job_events WHERE shop_id = :s AND event_type = 'failed'",
        s=ref.shop_id,
    )
    assert ends[0]["ends"] == 5
    assert refusal(await post_batch_action(shared_app, shop, ref, "cancel")) == FINISHED


async def test_a_retry_between_two_slices_of_a_cancel_wins(
    shared_app: RunningApp, shop: str, cancelled_slices: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    ref = await expanded_batch(shared_app, shop, {"product_ids": product_gids(5)})
    held_row = service.held_row

    async def overtaken(*asked: Any) -> Any:
        if len(cancelled_slices) == 1:
            cancelled_slices.append(0)
            assert (await post_batch_action(shared_app, shop, ref, "retry")).status_code == 202
        return await held_row(*asked)

    monkeypatch.setattr(service, "held_row", overtaken)
    assert (await post_batch_action(shared_app, shop, ref, "cancel")).status_code == 202
    await run_expansion_to_end(shared_app, ref)
    assert await counts(shared_app, shop, ref) == ("IN_PROGRESS", 5, 0, 0, 0)


async def test_a_finished_batch_cannot_be_cancelled(shared_app: RunningApp, shop: str) -> None:
    ref = await expanded_batch(shared_app, shop, {"product_ids": product_gids(2)})
    await end_jobs(shared_app, shop, ref, good=1, bad=1)
    assert refusal(await post_batch_action(shared_app, shop, ref, "cancel")) == FINISHED
    assert await counts(shared_app, shop, ref) == ("PARTIAL", 0, 0, 1, 1)


async def test_a_cancelled_batch_can_be_retried(shared_app: RunningApp, shop: str) -> None:
    ref = await create_batch(
        shared_app, shop, {"collection_id": collection(shared_app, shop, 5).gid}
    )
    async with stepped_batch_context(shared_app, crash_at(2)) as handler_context:
        with pytest.raises(Crash):
            await run_expansion(ref, handler_context)
    await end_jobs(shared_app, shop, ref, good=1)
    await post_batch_action(shared_app, shop, ref, "cancel")
    assert (await post_batch_action(shared_app, shop, ref, "retry")).status_code == 202
    await run_expansion_to_end(shared_app, ref)
    assert await counts(shared_app, shop, ref) == ("IN_PROGRESS", 4, 0, 1, 0)


async def test_a_concurrent_cancel_and_retry_leave_a_consistent_batch(
    shared_app: RunningApp, shop: str
) -> None:
    for _ in range(3):
        ref = await expanded_batch(shared_app, shop, {"product_ids": product_gids(4)})
        await end_jobs(shared_app, shop, ref, bad=2)
        await asyncio.gather(
            post_batch_action(shared_app, shop, ref, "cancel"),
            post_batch_action(shared_app, shop, ref, "retry"),
        )
        await run_expansion_to_end(shared_app, ref)
        status, *numbers = await counts(shared_app, shop, ref)
        # Cancelled first, all four are tried again; retried first, all four are cancelled.
        assert (status, numbers) in [
            ("IN_PROGRESS", [4, 0, 0, 0]),
            ("CANCELLED", [0, 0, 0, 4]),
        ]


async def test_a_job_that_ends_during_a_cancel_has_one_end(
    shared_app: RunningApp, shop: str
) -> None:
    ref: BatchRef = await expanded_batch(shared_app, shop, {"product_ids": product_gids(1)})
    (item,) = await get_items(shared_app, shop, ref)
    job = JobRef(shop_id=ref.shop_id, public_id=item["job_id"])
    async with shared_app.database.transaction() as connection:
        claimed = await lease_job(connection, job)
    assert claimed is not None
    await post_batch_action(shared_app, shop, ref, "cancel")
    with pytest.raises(Fenced):
        async with shared_app.database.transaction() as connection:
            await succeed(connection, claimed, {})
    assert await counts(shared_app, shop, ref) == ("CANCELLED", 0, 0, 0, 1)
