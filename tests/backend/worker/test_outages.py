"""S3 or Shopify is unavailable: jobs wait, count no failed attempt, and report it once."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from backend.dev.services import LocalServices
from backend.errors import StorageUnavailable
from backend.jobs.lifecycle import lease_job, put_back
from backend.jobs.service import JobRef
from backend.leased_task import Done, Retry, TaskOutcome
from backend.retries import JOBS, PAUSE_JITTER
from backend.storage.objects import ObjectMissing, ObjectStore
from backend.worker.context import WorkerContext
from backend.worker.execute import run_job
from backend.worker.maintenance import requeue_overdue
from backend.worker.stages import StageFailed, failures
from tests.backend.worker.job_state import (
    failure_code,
    job_row,
    new_waiting_job,
    public_events,
    queue_entries,
)
from tests.running_app import RunningApp
from tests.scenarios import NoRenderer, new_shop, open_shared_app

shop = pytest.fixture(new_shop)
MANY = 100  # failures; more than anybody waits for


class AwayStore(ObjectStore):
    """S3 that does not answer, without the seconds that it takes to find that out."""

    async def put(self, key: str, data: bytes, *, content_type: str) -> None:
        """Nobody is there."""
        raise StorageUnavailable


@pytest.fixture(scope="module")
async def shared_app(services: LocalServices, template: str) -> AsyncIterator[RunningApp]:
    """A running app that renders nothing."""
    async for running_app in open_shared_app(services, template, NoRenderer()):
        yield running_app


def without_storage(shared_app: RunningApp) -> WorkerContext:
    """The worker context while S3 is unavailable."""
    return msgspec.structs.replace(shared_app.worker_context, store=AwayStore(shared_app.settings))


def pause_of(outcome: TaskOutcome) -> timedelta:
    """How long the job is to wait."""
    assert isinstance(outcome, Retry), outcome
    return outcome.delay


async def run_until_end(ref: JobRef, worker_context: WorkerContext) -> list[timedelta]:
    """Run the job again and again; the pauses in between, which are skipped."""
    pauses: list[timedelta] = []
    while isinstance(outcome := await run_job(ref, worker_context), Retry):
        pauses.append(outcome.delay)
        assert len(pauses) < MANY, "it never ends"
    return pauses


async def test_a_storage_outage_is_waited_out_for_fifteen_minutes(
    shared_app: RunningApp, shop: str
) -> None:
    ref = await new_waiting_job(shared_app, shop)
    pauses = await run_until_end(ref, without_storage(shared_app))
    assert sum(pauses, timedelta(0)) >= timedelta(minutes=15)
    assert max(pauses) <= timedelta(minutes=2) * (1 + PAUSE_JITTER)
    assert await failure_code(shared_app, ref) == "STORAGE_UNAVAILABLE"
    assert await public_events(shared_app, shop, ref) == [
        (1, "queued", None),
        (2, "queued", "storage"),
        (3, "failed", None),
    ]


async def test_a_shopify_outage_is_waited_out_for_fifteen_minutes(
    shared_app: RunningApp, shop: str
) -> None:
    ref = await new_waiting_job(shared_app, shop)
    shared_app.shopify.fail_next("graphql", 503, MANY)
    pauses = await run_until_end(ref, shared_app.worker_context)
    shared_app.shopify.platform.faults["graphql"].clear()
    assert sum(pauses, timedelta(0)) >= timedelta(minutes=15)
    assert await failure_code(shared_app, ref) == "SHOPIFY_UNAVAILABLE"
    assert [waits for _, _, waits in await public_events(shared_app, shop, ref)] == [
        None,
        "shopify",
        None,
    ]


async def test_a_job_reports_its_wait_and_continues_afterwards(
    shared_app: RunningApp, shop: str
) -> None:
    ref = await new_waiting_job(shared_app, shop)
    for _ in range(JOBS.crashes + 2):
        assert isinstance(await run_job(ref, without_storage(shared_app)), Retry)
    latest = (await shared_app.detail(ref.public_id, shop=shop)).json()["latest_event"]
    assert latest["message"] == "Waiting for the image storage to respond"
    stored = await job_row(shared_app, ref)
    assert (stored["status"], stored["strikes"], stored["outages"]) == ("IN_PROGRESS", 0, 5)
    assert await run_job(ref, shared_app.worker_context) == Done()
    stored = await job_row(shared_app, ref)
    assert (stored["status"], stored["outages"]) == ("SUCCESS", 0)


async def test_an_unreachable_store_counts_as_an_outage(shared_app: RunningApp, shop: str) -> None:
    ref = await new_waiting_job(shared_app, shop)
    store = ObjectStore(
        msgspec.structs.replace(shared_app.settings, s3_endpoint_url="http://127.0.0.1:9")
    )
    assert isinstance(
        await run_job(ref, msgspec.structs.replace(shared_app.worker_context, store=store)), Retry
    )
    assert (await job_row(shared_app, ref))["outages"] == 1


async def test_pauses_grow_and_start_again_after_each_finished_stage(
    shared_app: RunningApp, shop: str
) -> None:
    ref = await new_waiting_job(shared_app, shop)
    away = without_storage(shared_app)
    pauses = [pause_of(await run_job(ref, away)) for _ in range(5)]
    assert pauses[0] < timedelta(seconds=4) and pauses[4] > timedelta(seconds=35)
    await shared_app.execute(
        "UPDATE jobs SET outages = 14 WHERE public_id = :id", id=ref.public_id
    )  # it is at its end
    stores = [shared_app.worker_context.store, AwayStore(shared_app.settings)]

    class OneStage(ObjectStore):
        async def put(self, *arguments: Any, **named: Any) -> None:
            await stores[0].put(*arguments, **named)
            stores[:1] = stores[1:]

    store = OneStage(shared_app.settings)
    assert pause_of(
        await run_job(ref, msgspec.structs.replace(shared_app.worker_context, store=store))
    ) < timedelta(seconds=4)
    assert (await job_row(shared_app, ref))["outages"] == 1


@pytest.mark.parametrize(
    ("status", "asked_for", "waits"), [(429, "90.5", 90.5), (429, "86400", 120), (503, "0", 3)]
)
async def test_a_job_returns_no_earlier_than_shopifys_retry_after(
    shared_app: RunningApp, shop: str, status: int, asked_for: str, waits: float
) -> None:
    ref = await new_waiting_job(shared_app, shop)
    shared_app.shopify.fail_next("graphql", status, retry_after=asked_for)
    waited = pause_of(await run_job(ref, shared_app.worker_context)).total_seconds()
    assert waited == pytest.approx(waits, rel=PAUSE_JITTER)
    assert waited >= waits or waits == 3
    assert await run_job(ref, shared_app.worker_context) == Done()


@pytest.mark.parametrize(
    ("error", "away"), [(ObjectMissing, None), (StorageUnavailable, "storage")]
)
def test_a_missing_object_is_not_an_outage(
    error: type[StorageUnavailable], away: str | None
) -> None:
    with pytest.raises(StageFailed) as caught, failures():
        raise error
    assert (caught.value.failure.code, caught.value.away) == ("STORAGE_UNAVAILABLE", away)


async def test_crashes_still_count_between_outages(shared_app: RunningApp, shop: str) -> None:
    ref = await new_waiting_job(shared_app, shop)
    for _ in range(JOBS.crashes):
        await run_job(ref, without_storage(shared_app))
        async with shared_app.database.transaction() as connection:
            assert await lease_job(connection, ref) is not None  # and never came back
    assert await run_job(ref, without_storage(shared_app)) == Done()
    assert await failure_code(shared_app, ref) == "WORKER_CRASHED"


async def test_a_worker_that_lost_its_lease_does_not_postpone_the_job(
    shared_app: RunningApp, shop: str
) -> None:
    ref = await new_waiting_job(shared_app, shop)

    class Overtaken(AwayStore):
        async def put(self, key: str, data: bytes, *, content_type: str) -> None:
            async with shared_app.database.transaction() as connection:
                await lease_job(connection, ref)
            raise StorageUnavailable

    worker_context = msgspec.structs.replace(
        shared_app.worker_context, store=Overtaken(shared_app.settings)
    )
    assert await run_job(ref, worker_context) == Done()
    stored = await job_row(shared_app, ref)
    assert (stored["strikes"], stored["outages"]) == (2, 0)


async def test_waiting_for_the_merchant_resets_the_outage_count(
    shared_app: RunningApp, shop: str
) -> None:
    ref = await new_waiting_job(shared_app, shop)
    await run_job(ref, without_storage(shared_app))
    async with shared_app.database.transaction() as connection:
        claimed = await lease_job(connection, ref)
        assert claimed is not None
        await put_back(connection, claimed, message="Waiting", waiting_for="reauth")
    assert (await job_row(shared_app, ref))["outages"] == 0


async def test_a_waiting_job_has_one_queue_entry(shared_app: RunningApp, shop: str) -> None:
    ref = await new_waiting_job(shared_app, shop)
    await run_job(ref, without_storage(shared_app))
    await shared_app.execute(
        "UPDATE queue.pgqueuer SET execute_after = now() + interval '1 hour' "
        "WHERE dedupe_key LIKE :key",
        key=f"%{ref.public_id}",
    )
    await shared_app.execute(
        "UPDATE jobs SET created_at = now() - interval '1 hour' WHERE public_id = :id",
        id=ref.public_id,
    )
    await requeue_overdue(shared_app.database)
    assert await queue_entries(shared_app, ref) == ["run_job"]


async def test_an_outage_of_another_service_has_a_count_of_its_own(
    shared_app: RunningApp, shop: str
) -> None:
    ref = await new_waiting_job(shared_app, shop)
    await run_job(ref, without_storage(shared_app))
    await shared_app.execute(
        "UPDATE jobs SET outages = 15 WHERE public_id = :id", id=ref.public_id
    )  # the next one of the storage is the last
    shared_app.shopify.fail_next("graphql", 503, retry_after="0")
    assert isinstance(await run_job(ref, shared_app.worker_context), Retry)
    assert (await job_row(shared_app, ref))["outages"] == 1
