"""S3 or Shopify is away: jobs wait it out, cost no strikes by it, and say so once."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from backend.dev.services import LocalServices
from backend.errors import StorageUnavailable
from backend.jobs.lifecycle import claim, put_back
from backend.jobs.service import JobRef
from backend.retries import JOBS, SPREAD
from backend.storage.objects import ObjectMissing, ObjectStore
from backend.worker.context import WorkerContext
from backend.worker.execute import Done, Outcome, Retry, run_job
from backend.worker.maintenance import requeue_overdue
from backend.worker.stages import StageFailed, failures
from tests.backend.worker.test_reauth import entries, job, row, told, told_last_code
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
    """A world that renders nothing: none of this is about pictures."""
    async for running_app in open_shared_app(services, template, NoRenderer()):
        yield running_app


def without_storage(shared_app: RunningApp) -> WorkerContext:
    """The workshop while S3 is away."""
    return msgspec.structs.replace(shared_app.worker_context, store=AwayStore(shared_app.settings))


def pause(outcome: Outcome) -> timedelta:
    """How long the job is to wait."""
    assert isinstance(outcome, Retry), outcome
    return outcome.delay


async def until_it_ends(ref: JobRef, worker_context: WorkerContext) -> list[timedelta]:
    """Run the job again and again; the pauses in between, which are skipped."""
    pauses: list[timedelta] = []
    while isinstance(outcome := await run_job(ref, worker_context), Retry):
        pauses.append(outcome.delay)
        assert len(pauses) < MANY, "it never ends"
    return pauses


async def test_storage_that_is_away_is_waited_for_a_quarter_of_an_hour_and_costs_no_strike(
    shared_app: RunningApp, shop: str
) -> None:
    ref = await job(shared_app, shop)
    pauses = await until_it_ends(ref, without_storage(shared_app))
    assert sum(pauses, timedelta(0)) >= timedelta(minutes=15)
    assert max(pauses) <= timedelta(minutes=2) * (1 + SPREAD)
    assert await told_last_code(shared_app, ref) == "STORAGE_UNAVAILABLE"
    assert await told(shared_app, shop, ref) == [
        (1, "queued", None),
        (2, "queued", "storage"),
        (3, "failed", None),
    ]


async def test_a_shopify_that_is_away_is_waited_for_as_long(
    shared_app: RunningApp, shop: str
) -> None:
    ref = await job(shared_app, shop)
    shared_app.shopify.fail_next("graphql", 503, MANY)
    pauses = await until_it_ends(ref, shared_app.worker_context)
    shared_app.shopify.platform.faults["graphql"].clear()
    assert sum(pauses, timedelta(0)) >= timedelta(minutes=15)
    assert await told_last_code(shared_app, ref) == "SHOPIFY_UNAVAILABLE"
    assert [waits for _, _, waits in await told(shared_app, shop, ref)] == [None, "shopify", None]


async def test_a_job_that_waits_says_so_and_goes_on_as_if_nothing_had_been(
    shared_app: RunningApp, shop: str
) -> None:
    ref = await job(shared_app, shop)
    for _ in range(JOBS.crashes + 2):
        assert isinstance(await run_job(ref, without_storage(shared_app)), Retry)
    latest = (await shared_app.detail(ref.public_id, shop=shop)).json()["latest_event"]
    assert latest["message"] == "Waiting for the image storage to respond"
    stored = await row(shared_app, ref)
    assert (stored["status"], stored["strikes"], stored["outages"]) == ("IN_PROGRESS", 0, 5)
    assert await run_job(ref, shared_app.worker_context) == Done()
    stored = await row(shared_app, ref)
    assert (stored["status"], stored["outages"]) == ("SUCCESS", 0)


async def test_real_storage_that_nobody_answers_for_is_an_outage(
    shared_app: RunningApp, shop: str
) -> None:
    ref = await job(shared_app, shop)
    store = ObjectStore(
        msgspec.structs.replace(shared_app.settings, s3_endpoint_url="http://127.0.0.1:9")
    )
    assert isinstance(
        await run_job(ref, msgspec.structs.replace(shared_app.worker_context, store=store)), Retry
    )
    assert (await row(shared_app, ref))["outages"] == 1


async def test_pauses_grow_and_each_stage_that_is_made_renews_the_patience(
    shared_app: RunningApp, shop: str
) -> None:
    ref = await job(shared_app, shop)
    away = without_storage(shared_app)
    pauses = [pause(await run_job(ref, away)) for _ in range(5)]
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
    assert pause(
        await run_job(ref, msgspec.structs.replace(shared_app.worker_context, store=store))
    ) < timedelta(seconds=4)
    assert (await row(shared_app, ref))["outages"] == 1


@pytest.mark.parametrize(
    ("status", "asked_for", "waits"), [(429, "90.5", 90.5), (429, "86400", 120), (503, "0", 3)]
)
async def test_a_job_comes_back_when_shopify_wants_it_and_not_before(
    shared_app: RunningApp, shop: str, status: int, asked_for: str, waits: float
) -> None:
    ref = await job(shared_app, shop)
    shared_app.shopify.fail_next("graphql", status, retry_after=asked_for)
    waited = pause(await run_job(ref, shared_app.worker_context)).total_seconds()
    assert waited == pytest.approx(waits, rel=SPREAD)
    assert waited >= waits or waits == 3
    assert await run_job(ref, shared_app.worker_context) == Done()


@pytest.mark.parametrize(
    ("error", "away"), [(ObjectMissing, None), (StorageUnavailable, "storage")]
)
def test_an_object_that_is_not_there_is_no_outage(
    error: type[StorageUnavailable], away: str | None
) -> None:
    with pytest.raises(StageFailed) as caught, failures():
        raise error
    assert (caught.value.failure.code, caught.value.away) == ("STORAGE_UNAVAILABLE", away)


async def test_crashes_still_count_between_outages(shared_app: RunningApp, shop: str) -> None:
    ref = await job(shared_app, shop)
    for _ in range(JOBS.crashes):
        await run_job(ref, without_storage(shared_app))
        async with shared_app.database.transaction() as connection:
            assert await claim(connection, ref) is not None  # and never came back
    assert await run_job(ref, without_storage(shared_app)) == Done()
    assert await told_last_code(shared_app, ref) == "WORKER_CRASHED"


async def test_a_worker_that_lost_its_job_meanwhile_does_not_put_it_off(
    shared_app: RunningApp, shop: str
) -> None:
    ref = await job(shared_app, shop)

    class Overtaken(AwayStore):
        async def put(self, key: str, data: bytes, *, content_type: str) -> None:
            async with shared_app.database.transaction() as connection:
                await claim(connection, ref)
            raise StorageUnavailable

    worker_context = msgspec.structs.replace(
        shared_app.worker_context, store=Overtaken(shared_app.settings)
    )
    assert await run_job(ref, worker_context) == Done()
    stored = await row(shared_app, ref)
    assert (stored["strikes"], stored["outages"]) == (2, 0)


async def test_a_wait_for_the_merchant_ends_what_outages_there_were(
    shared_app: RunningApp, shop: str
) -> None:
    ref = await job(shared_app, shop)
    await run_job(ref, without_storage(shared_app))
    async with shared_app.database.transaction() as connection:
        claimed = await claim(connection, ref)
        assert claimed is not None
        await put_back(connection, claimed, message="Waiting", waiting_for="reauth")
    assert (await row(shared_app, ref))["outages"] == 0


async def test_a_job_that_waits_is_on_the_queue_once(shared_app: RunningApp, shop: str) -> None:
    ref = await job(shared_app, shop)
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
    assert await entries(shared_app, ref) == ["run_job"]
