"""Batches of a shop whose credits run out: they wait off the queue for more of them."""

from typing import Any

import pytest

from backend.batches import execution, leases
from backend.batches.execution import run_expansion
from backend.batches.leases import BatchRef, wait_for_credits
from backend.failures.images import IMAGE_CORRUPT
from backend.jobs.service import JobRef
from backend.shops.service import ShopRef
from backend.worker.credits import end_unpaid_batches
from backend.worker.maintenance import requeue_overdue
from backend.worker.reauth import resume_shop
from tests.backend.batches.scenarios import (
    collection,
    create_batch,
    end_jobs,
    get_batch,
    post_batch,
    post_batch_action,
    product_gids,
    run_expansion_to_end,
)
from tests.backend.credits.ledger import TOO_FEW, balance, end_job, grant, id_of, post_job
from tests.running_app import RunningApp
from tests.scenarios import jobs_of, refusal


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two products a page, so that a few make several."""
    monkeypatch.setattr(leases, "PAGE", 2)
    monkeypatch.setattr(execution, "PAGE", 2)


async def test_a_list_that_costs_more_than_there_is_is_refused(
    shared_app: RunningApp, shop: str
) -> None:
    await grant(shared_app, shop, 2)
    answer = await post_batch(shared_app, shop, {"product_ids": product_gids(3)})
    assert refusal(answer) == TOO_FEW
    assert (answer.json()["required"], answer.json()["available"]) == (3, 2)
    shop_id = await id_of(shared_app, shop)
    assert await shared_app.rows("SELECT 1 FROM batches WHERE shop_id = :s", s=shop_id) == []
    assert (await post_batch(shared_app, shop, {"product_ids": product_gids(2)})).is_success


async def test_a_retry_that_costs_more_than_there_is_is_refused(
    shared_app: RunningApp, shop: str
) -> None:
    await grant(shared_app, shop, 3)
    ref = await create_batch(shared_app, shop, {"product_ids": product_gids(2)})
    await run_expansion(ref, shared_app.worker_context.batch_context)
    await end_jobs(shared_app, shop, ref, bad=2)
    for _ in range(2):
        assert (await post_job(shared_app, shop)).is_success
    refused = await post_batch_action(shared_app, shop, ref, "retry")
    assert refusal(refused) == TOO_FEW
    assert (refused.json()["required"], refused.json()["available"]) == (2, 1)
    assert (await get_batch(shared_app, shop, ref))["counts"]["failed"] == 2
    await grant(shared_app, shop, 1)
    assert (await post_batch_action(shared_app, shop, ref, "retry")).is_success


@pytest.mark.usefixtures("small_pages")
async def test_a_collection_makes_what_it_can_pay_and_goes_on_after_a_grant(
    shared_app: RunningApp, shop: str
) -> None:
    ref = await poor_batch(shared_app, shop)
    assert await shown(shared_app, shop, ref) == ("EXPANDING", "credits", 3)
    assert await balance(shared_app, shop) == (0, 3)
    await age(shared_app, ref, "changed_at", "2 minutes")
    await requeue_overdue(shared_app.database)
    assert not await is_queued(shared_app, ref)  # nothing has changed
    await grant(shared_app, shop, 2)
    await shared_app.drain(only_webhooks=True)  # and resumptions
    assert await is_queued(shared_app, ref)
    assert await run_expansion_to_end(shared_app, ref) == []
    assert await shown(shared_app, shop, ref) == ("IN_PROGRESS", None, 5)
    assert await balance(shared_app, shop) == (0, 5)


async def test_a_batch_that_can_pay_for_a_part_makes_that_and_waits_for_the_rest(
    shared_app: RunningApp, shop: str
) -> None:
    """Its products fit on one page, and other jobs have taken credits since it was listed."""
    await grant(shared_app, shop, 3)
    ref = await create_batch(shared_app, shop, {"product_ids": product_gids(3)})
    for _ in range(2):
        assert (await post_job(shared_app, shop)).is_success
    for jobs in (3, 4):
        assert await run_expansion_to_end(shared_app, ref) == []
        assert await shown(shared_app, shop, ref) == ("EXPANDING", "credits", jobs)
        await grant(shared_app, shop, 1)
    assert await run_expansion_to_end(shared_app, ref) == []
    assert await shown(shared_app, shop, ref) == ("IN_PROGRESS", None, 5)


@pytest.mark.usefixtures("small_pages")
async def test_credits_that_a_job_gives_back_let_a_batch_go_on(
    shared_app: RunningApp, shop: str
) -> None:
    ref = await poor_batch(shared_app, shop)
    job = (await jobs_of(shared_app, shop))[0]["public_id"]
    await end_job(shared_app, JobRef(shop_id=ref.shop_id, public_id=job), IMAGE_CORRUPT)
    await age(shared_app, ref, "changed_at", "2 minutes")
    await requeue_overdue(shared_app.database)
    assert await is_queued(shared_app, ref)


@pytest.mark.usefixtures("small_pages")
async def test_a_grant_just_before_the_wait_is_not_missed(
    shared_app: RunningApp, shop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def granted_meanwhile(connection: Any, lease: Any, required: int) -> bool:
        await grant(shared_app, shop, 2)
        return await wait_for_credits(connection, lease, required)

    monkeypatch.setattr("backend.batches.execution.wait_for_credits", granted_meanwhile)
    ref = await poor_batch(shared_app, shop)
    assert (await shown(shared_app, shop, ref))[2] == 5


@pytest.mark.usefixtures("small_pages")
async def test_a_batch_that_nobody_pays_ends_after_a_month(
    shared_app: RunningApp, shop: str
) -> None:
    ref = await poor_batch(shared_app, shop)
    await age(shared_app, ref, "waiting_since", "29 days")
    await resume_shop(ShopRef(shop_id=ref.shop_id), shared_app.database)
    assert await run_expansion_to_end(shared_app, ref) == []  # looks, and still waits
    await end_unpaid_batches(shared_app.database)
    assert await shown(shared_app, shop, ref) == ("EXPANDING", "credits", 3)
    await age(shared_app, ref, "waiting_since", "1 day")
    await end_unpaid_batches(shared_app.database)
    assert await shown(shared_app, shop, ref) == ("IN_PROGRESS", None, 3)
    assert (await get_batch(shared_app, shop, ref))["error"]["code"] == "CREDITS_NEEDED"
    await grant(shared_app, shop, 2)
    assert (await post_batch_action(shared_app, shop, ref, "retry")).is_success
    await run_expansion_to_end(shared_app, ref)
    assert (await shown(shared_app, shop, ref))[2] == 5


@pytest.mark.usefixtures("small_pages")
async def test_a_waiting_batch_can_be_cancelled(shared_app: RunningApp, shop: str) -> None:
    ref = await poor_batch(shared_app, shop)
    assert (await post_batch_action(shared_app, shop, ref, "cancel")).is_success
    assert await shown(shared_app, shop, ref) == ("CANCELLED", None, 3)
    assert await balance(shared_app, shop) == (3, 0)


async def poor_batch(shared_app: RunningApp, shop: str) -> BatchRef:
    """A batch over five products in pages of two, of a shop with three credits, run to its end."""
    await grant(shared_app, shop, 3)
    await shared_app.drain(only_webhooks=True)
    tees = collection(shared_app, shop, 5)
    ref = await create_batch(shared_app, shop, {"collection_id": tees.gid})
    await shared_app.execute("DELETE FROM queue.pgqueuer WHERE entrypoint = 'expand_batch'")
    await run_expansion_to_end(shared_app, ref)
    return ref


async def shown(shared_app: RunningApp, shop: str, ref: BatchRef) -> tuple[str, str | None, int]:
    """Its status, what it waits for, and how many jobs it has made."""
    batch = await get_batch(shared_app, shop, ref)
    return batch["status"], batch["waiting_for"], len(await jobs_of(shared_app, shop))


async def is_queued(shared_app: RunningApp, ref: BatchRef) -> bool:
    """Whether a worker will take the batch."""
    found = await shared_app.rows(
        "SELECT 1 FROM queue.pgqueuer WHERE dedupe_key LIKE 'expand_batch:%:' || :id || ':%'",
        id=ref.public_id,
    )
    return bool(found)


async def age(shared_app: RunningApp, ref: BatchRef, column: str, by: str) -> None:
    """Let a time of the batch be longer ago."""
    await shared_app.execute(
        f"UPDATE batches SET {column} = {column} - CAST(CAST(:by AS text) AS interval) "
        "WHERE public_id = :id",
        by=by,
        id=ref.public_id,
    )
