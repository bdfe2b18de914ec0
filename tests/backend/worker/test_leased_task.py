"""The runner of leased tasks, with a kind as small as a new one may be."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import timedelta

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.db import Database
from backend.dev.services import LocalServices
from backend.errors import DatabaseUnavailable, ShopifyUnavailable
from backend.leased_task import AT_ONCE, Done, Fenced, HandedOver, Retry, TaskKind, run_task
from backend.retries import MAX_CLAIMS, PAUSE_JITTER, RetryPolicy
from backend.shops.service import ShopRef
from backend.tenancy import WORKER
from tests.running_app import cloned_database

POLICY = RetryPolicy(
    first=timedelta(seconds=2), longest=timedelta(minutes=1), give_up_after=timedelta(minutes=5)
)


class Refused(Exception):
    """The other side does not want it."""


@dataclass
class Parcel:
    """A task's row and, since nobody else claims it here, its lease. `log` says what came of it."""

    fate: Exception | None = None
    attempt: int = 1
    outages: int = 0
    ref: ShopRef = field(default_factory=lambda: ShopRef(shop_id=1))
    log: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Process:
    """What a worker gives to its tasks."""

    database: Database
    stopping: asyncio.Event


async def send(parcel: Parcel, _process: Process) -> Done:
    if parcel.fate:
        raise parcel.fate
    return Done()


async def return_attempt(_connection: AsyncConnection, parcel: Parcel) -> None:
    parcel.log.append("returned")


async def wait_out(_connection: AsyncConnection, parcel: Parcel, _error: Exception) -> int:
    parcel.outages += 1
    return parcel.outages


async def wait_for_reauth(_connection: AsyncConnection, parcel: Parcel) -> None:
    parcel.log.append("waits")


async def give_up(parcel: Parcel, _process: Process, _error: Exception) -> Done:
    parcel.log.append("failed")
    return Done()


PARCEL = TaskKind(
    name="parcel",
    policy=POLICY,
    run=send,
    failures=(Refused, ShopifyUnavailable),
    outage=lambda error: "AWAY" if isinstance(error, ShopifyUnavailable) else None,
    return_attempt=return_attempt,
    wait_out=wait_out,
    wait_for_reauth=wait_for_reauth,
    after_failure=give_up,
)


@pytest.fixture(scope="module")
async def database(services: LocalServices, template: str) -> AsyncIterator[Database]:
    """As the workers have it."""
    async with cloned_database(services.postgres.url(), template) as url:
        database = Database(url, role=WORKER, pool_size=1, statement_timeout=30)
        yield database
        await database.close()


async def sent(database: Database, parcel: Parcel | None) -> Done | Retry:
    """Run it once."""

    async def claim() -> Parcel | None:
        return parcel

    return await run_task(PARCEL, Process(database, asyncio.Event()), claim, parcel_id="1")


async def test_there_is_nothing_to_do_without_a_lease(database: Database) -> None:
    assert await sent(database, None) == Done()


@pytest.mark.parametrize(
    ("fate", "outcome", "log"),
    [
        (None, Done(), []),
        (Fenced("1"), Done(), []),
        (Refused(), Done(), ["failed"]),
        (HandedOver(), AT_ONCE, ["returned"]),
    ],
)
async def test_each_end_of_a_run_has_its_outcome(
    database: Database, fate: Exception | None, outcome: Done | Retry, log: list[str]
) -> None:
    parcel = Parcel(fate)
    assert await sent(database, parcel) == outcome
    assert parcel.log == log


async def test_an_outage_is_waited_out_until_the_patience_ends(database: Database) -> None:
    parcel = Parcel(ShopifyUnavailable())
    waited = timedelta(0)
    while isinstance(outcome := await sent(database, parcel), Retry):
        waited += outcome.delay
    assert outcome == Done()
    assert parcel.log == ["failed"]
    assert waited >= timedelta(minutes=5)


@pytest.mark.parametrize("is_cause", [False, True])
async def test_an_outage_is_waited_for_as_long_as_shopify_asks(
    database: Database, is_cause: bool
) -> None:
    away = ShopifyUnavailable(wait=40)
    error = ShopifyUnavailable() if is_cause else away
    error.__cause__ = away if is_cause else None
    assert await sent(database, Parcel(error)) == Retry(timedelta(seconds=40))


@pytest.mark.parametrize(("attempt", "log"), [(1, ["returned"]), (MAX_CLAIMS, [])])
async def test_an_attempt_that_lost_the_database_is_returned_but_not_for_ever(
    database: Database, attempt: int, log: list[str]
) -> None:
    parcel = Parcel(DatabaseUnavailable(), attempt=attempt)
    outcome = await sent(database, parcel)
    assert isinstance(outcome, Retry)
    assert outcome.delay <= POLICY.first * (1 + PAUSE_JITTER)
    assert parcel.log == log


async def test_an_error_that_the_kind_does_not_know_is_not_hidden(database: Database) -> None:
    with pytest.raises(ZeroDivisionError):
        await sent(database, Parcel(ZeroDivisionError()))
