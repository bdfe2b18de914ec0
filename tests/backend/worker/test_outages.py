"""S3 or Shopify is away: jobs wait it out, cost no strikes by it, and say so once."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from backend.dev.services import LocalServices
from backend.errors import StorageUnavailable
from backend.jobs.service import JobRef
from backend.jobs.timeline import claim, put_back
from backend.retries import JOBS, SPREAD
from backend.storage.objects import ObjectMissing, ObjectStore
from backend.worker.execute import Done, Outcome, Retry, run_job
from backend.worker.maintenance import requeue_overdue
from backend.worker.stages import StageFailed, failures
from backend.worker.workshop import Workshop
from tests.backend.worker.test_waiting import entries, job, row, told, told_last_code
from tests.doors import NoRenderer, new_shop, shared_world
from tests.world import World

shop = pytest.fixture(new_shop)
MANY = 100  # failures; more than anybody waits for


class AwayStore(ObjectStore):
    """S3 that does not answer, without the seconds that it takes to find that out."""

    async def put(self, key: str, data: bytes, *, content_type: str) -> None:
        """Nobody is there."""
        raise StorageUnavailable


@pytest.fixture(scope="module")
async def house(services: LocalServices, template: str) -> AsyncIterator[World]:
    """A world that renders nothing: none of this is about pictures."""
    async for world in shared_world(services, template, NoRenderer()):
        yield world


def without_storage(house: World) -> Workshop:
    """The workshop while S3 is away."""
    return msgspec.structs.replace(house.workshop, store=AwayStore(house.settings))


def pause(outcome: Outcome) -> timedelta:
    """How long the job is to wait."""
    assert isinstance(outcome, Retry), outcome
    return outcome.delay


async def until_it_ends(ref: JobRef, workshop: Workshop) -> list[timedelta]:
    """Run the job again and again; the pauses in between, which are skipped."""
    pauses: list[timedelta] = []
    while isinstance(outcome := await run_job(ref, workshop), Retry):
        pauses.append(outcome.delay)
        assert len(pauses) < MANY, "it never ends"
    return pauses


async def test_storage_that_is_away_is_waited_for_a_quarter_of_an_hour_and_costs_no_strike(
    house: World, shop: str
) -> None:
    ref = await job(house, shop)
    pauses = await until_it_ends(ref, without_storage(house))
    assert sum(pauses, timedelta(0)) >= timedelta(minutes=15)
    assert max(pauses) <= timedelta(minutes=2) * (1 + SPREAD)
    assert await told_last_code(house, ref) == "STORAGE_UNAVAILABLE"
    assert await told(house, shop, ref) == [
        (1, "queued", None),
        (2, "queued", "storage"),
        (3, "failed", None),
    ]


async def test_a_shopify_that_is_away_is_waited_for_as_long(house: World, shop: str) -> None:
    ref = await job(house, shop)
    house.shopify.fail_next("graphql", 503, MANY)
    pauses = await until_it_ends(ref, house.workshop)
    house.shopify.platform.faults["graphql"].clear()
    assert sum(pauses, timedelta(0)) >= timedelta(minutes=15)
    assert await told_last_code(house, ref) == "SHOPIFY_UNAVAILABLE"
    assert [waits for _, _, waits in await told(house, shop, ref)] == [None, "shopify", None]


async def test_a_job_that_waits_says_so_and_goes_on_as_if_nothing_had_been(
    house: World, shop: str
) -> None:
    ref = await job(house, shop)
    for _ in range(JOBS.crashes + 2):
        assert isinstance(await run_job(ref, without_storage(house)), Retry)
    latest = (await house.detail(ref.public_id, shop=shop)).json()["latest_event"]
    assert latest["message"] == "Waiting for the image storage to answer again"
    stored = await row(house, ref)
    assert (stored["status"], stored["strikes"], stored["outages"]) == ("IN_PROGRESS", 0, 5)
    assert await run_job(ref, house.workshop) == Done()
    stored = await row(house, ref)
    assert (stored["status"], stored["outages"]) == ("SUCCESS", 0)


async def test_real_storage_that_nobody_answers_for_is_an_outage(house: World, shop: str) -> None:
    ref = await job(house, shop)
    store = ObjectStore(
        msgspec.structs.replace(house.settings, s3_endpoint_url="http://127.0.0.1:9")
    )
    assert isinstance(
        await run_job(ref, msgspec.structs.replace(house.workshop, store=store)), Retry
    )
    assert (await row(house, ref))["outages"] == 1


async def test_pauses_grow_and_each_stage_that_is_made_renews_the_patience(
    house: World, shop: str
) -> None:
    ref = await job(house, shop)
    away = without_storage(house)
    pauses = [pause(await run_job(ref, away)) for _ in range(5)]
    assert pauses[0] < timedelta(seconds=4) and pauses[4] > timedelta(seconds=35)
    await house.execute(
        "UPDATE jobs SET outages = 14 WHERE public_id = :id", id=ref.public_id
    )  # it is at its end
    stores = [house.workshop.store, AwayStore(house.settings)]

    class OneStage(ObjectStore):
        async def put(self, *arguments: Any, **named: Any) -> None:
            await stores[0].put(*arguments, **named)
            stores[:1] = stores[1:]

    store = OneStage(house.settings)
    assert pause(
        await run_job(ref, msgspec.structs.replace(house.workshop, store=store))
    ) < timedelta(seconds=4)
    assert (await row(house, ref))["outages"] == 1


@pytest.mark.parametrize(
    ("status", "asked_for", "waits"), [(429, "90.5", 90.5), (429, "86400", 120), (503, "0", 3)]
)
async def test_a_job_comes_back_when_shopify_wants_it_and_not_before(
    house: World, shop: str, status: int, asked_for: str, waits: float
) -> None:
    ref = await job(house, shop)
    house.shopify.fail_next("graphql", status, retry_after=asked_for)
    waited = pause(await run_job(ref, house.workshop)).total_seconds()
    assert waited == pytest.approx(waits, rel=SPREAD)
    assert waited >= waits or waits == 3
    assert await run_job(ref, house.workshop) == Done()


@pytest.mark.parametrize(
    ("error", "away"), [(ObjectMissing, None), (StorageUnavailable, "storage")]
)
def test_an_object_that_is_not_there_is_no_outage(
    error: type[StorageUnavailable], away: str | None
) -> None:
    with pytest.raises(StageFailed) as caught, failures():
        raise error
    assert (caught.value.failure.code, caught.value.away) == ("STORAGE_UNAVAILABLE", away)


async def test_crashes_still_count_between_outages(house: World, shop: str) -> None:
    ref = await job(house, shop)
    for _ in range(JOBS.crashes):
        await run_job(ref, without_storage(house))
        async with house.database.transaction() as connection:
            assert await claim(connection, ref) is not None  # and never came back
    assert await run_job(ref, without_storage(house)) == Done()
    assert await told_last_code(house, ref) == "WORKER_CRASHED"


async def test_a_worker_that_lost_its_job_meanwhile_does_not_put_it_off(
    house: World, shop: str
) -> None:
    ref = await job(house, shop)

    class Overtaken(AwayStore):
        async def put(self, key: str, data: bytes, *, content_type: str) -> None:
            async with house.database.transaction() as connection:
                await claim(connection, ref)
            raise StorageUnavailable

    workshop = msgspec.structs.replace(house.workshop, store=Overtaken(house.settings))
    assert await run_job(ref, workshop) == Done()
    stored = await row(house, ref)
    assert (stored["strikes"], stored["outages"]) == (2, 0)


async def test_a_wait_for_the_merchant_ends_what_outages_there_were(
    house: World, shop: str
) -> None:
    ref = await job(house, shop)
    await run_job(ref, without_storage(house))
    async with house.database.transaction() as connection:
        claimed = await claim(connection, ref)
        assert claimed is not None
        await put_back(connection, claimed, message="Waiting", waiting_for="reauth")
    assert (await row(house, ref))["outages"] == 0


async def test_a_job_that_waits_is_on_the_queue_once(house: World, shop: str) -> None:
    ref = await job(house, shop)
    await run_job(ref, without_storage(house))
    await house.execute(
        "UPDATE queue.pgqueuer SET execute_after = now() + interval '1 hour' "
        "WHERE dedupe_key LIKE :key",
        key=f"%{ref.public_id}",
    )
    await house.execute(
        "UPDATE jobs SET created_at = now() - interval '1 hour' WHERE public_id = :id",
        id=ref.public_id,
    )
    await requeue_overdue(house.database)
    assert await entries(house, ref) == ["run_job"]
