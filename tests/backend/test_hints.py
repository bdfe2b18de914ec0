"""Hints: sent after the commit, many in one statement, and once for each commit."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import msgspec
import pytest
from sqlalchemy import insert

from backend import hints
from backend.db import Database
from backend.failures.codes import WORKER_CRASHED
from backend.hints import MOST_TRIES, Hints
from backend.jobs.lifecycle import JobLease, fail, lease_job
from backend.jobs.service import request_jobs
from backend.jobs.wakeups import CHANNEL
from backend.queue import QUEUE_CHANNEL
from backend.shops.models import Shop
from backend.tenancy import WORKER
from tests.benchmarks.jobs.noop import NOTHING
from tests.wait import wait_until
from webhooks.payloads import Delivery
from webhooks.receive import receive

SHOP = "a.myshopify.com"
LAST = "the last one"
DELIVERY = Delivery(
    shop_domain=SHOP,
    topic="products/update",
    webhook_id="1",
    event_id=None,
    api_version=None,
    body=b"{}",
)


class Recorder:
    """Stands in for `Database.run`: keeps what each statement sends; the first ones may fail."""

    def __init__(self) -> None:
        self.statements: list[list[str]] = []
        self.errors: list[Exception] = []

    async def __call__(self, work: Callable[[Any], Awaitable[Any]]) -> None:
        """Run it on ourselves."""
        if self.errors:
            raise self.errors.pop()
        await work(self)

    async def execute(self, _sql: str, _channels: list[str], payloads: list[str]) -> None:
        """As a connection does."""
        self.statements.append(list(payloads))


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    """Hints that come after a statement wait no longer than a test can."""
    monkeypatch.setattr(hints, "HINT_INTERVAL", 0.001)
    return Recorder()


async def test_hints_that_come_together_are_sent_together(recorder: Recorder) -> None:
    waiting = Hints(recorder)
    for payload in ("a", "b", "a"):
        waiting.send(CHANNEL, payload)
    await waiting.close()
    waiting.send(CHANNEL, "c")
    await waiting.close()
    assert recorder.statements == [["a", "b"], ["c"]]


async def test_hints_are_sent_again_if_no_connection_was_free(recorder: Recorder) -> None:
    waiting = Hints(recorder)
    recorder.errors = [TimeoutError()] * (MOST_TRIES - 1)
    waiting.send(CHANNEL, "a")
    await asyncio.sleep(0)
    waiting.send(CHANNEL, "b")
    await waiting.close()
    assert recorder.statements == [["a", "b"]]


async def test_lost_hints_do_not_stop_later_ones(recorder: Recorder) -> None:
    waiting = Hints(recorder)
    recorder.errors = [OSError("Postgres is away")] * MOST_TRIES
    waiting.send(CHANNEL, "a")
    await waiting.close()
    waiting.send(CHANNEL, "b")
    await waiting.close()
    assert recorder.statements == [["b"]]


async def test_hints_are_sent_after_their_sender_was_cancelled(recorder: Recorder) -> None:
    waiting = Hints(recorder)
    waiting.send(CHANNEL, "a")
    assert waiting.sender is not None
    waiting.sender.cancel()
    await asyncio.wait([waiting.sender])
    waiting.send(CHANNEL, "b")
    await waiting.close()
    assert recorder.statements == [["a", "b"]]


async def test_closing_waits_for_a_silent_database_only_briefly(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(hints, "CLOSE_WITHIN", 0.01)

    async def silent(_work: object) -> None:
        await asyncio.Event().wait()

    waiting = Hints(silent)
    waiting.send(CHANNEL, "a")
    async with asyncio.timeout(5):
        await waiting.close()


async def test_closing_the_database_sends_the_last_hints(database_url: str) -> None:
    database = Database(database_url)
    async with listening(database_url, CHANNEL) as heard:
        database.hints.send(CHANNEL, "a")
        await database.close()
        await wait_until(lambda: heard == ["a"])


async def test_the_hint_of_a_jobs_end_follows_its_commit(database_url: str) -> None:
    database = Database(database_url, role=WORKER)
    lease = await leased_job(database)
    async with listening(database_url, CHANNEL) as heard, kept_back(database) as sent:
        await fail(database, lease, WORKER_CRASHED)
        assert sent == [(CHANNEL, lease.ref.public_id)]
        assert await all_heard(database, heard, CHANNEL) == []
    await database.close()


async def test_the_hint_of_an_end_in_a_larger_transaction_comes_with_its_commit(
    database_url: str,
) -> None:
    database = Database(database_url, role=WORKER)
    lease = await leased_job(database)
    async with listening(database_url, CHANNEL) as heard, kept_back(database) as sent:
        async with database.transaction(lease.ref.shop_id) as connection:
            await fail(connection, lease, WORKER_CRASHED)
        assert sent == []
        assert await all_heard(database, heard, CHANNEL) == [lease.ref.public_id]
    await database.close()


async def test_the_hint_of_a_stored_delivery_follows_its_commit(database_url: str) -> None:
    database = Database(database_url, role=WORKER)
    await leased_job(database)
    unknown = msgspec.structs.replace(DELIVERY, webhook_id="2", topic="no/handler")
    async with listening(database_url, QUEUE_CHANNEL) as heard, kept_back(database) as sent:
        for each in (DELIVERY, DELIVERY, unknown):
            await receive(database, each)
        # Also of the second copy: nobody knows whether the hint of the first was sent.
        assert [channel for channel, _ in sent] == [QUEUE_CHANNEL] * 2
        assert await all_heard(database, heard, QUEUE_CHANNEL) == []
    await database.close()


async def test_the_hint_of_a_new_entry_is_what_the_trigger_sends(database_url: str) -> None:
    database = Database(database_url, role=WORKER)
    async with listening(database_url, QUEUE_CHANNEL) as heard, kept_back(database) as sent:
        await leased_job(database)
        await receive(database, DELIVERY)
        [by_trigger] = await all_heard(database, heard, QUEUE_CHANNEL)
    [(_, by_us)] = sent
    await database.close()
    assert json.loads(by_us) | {"sent_at": None} == json.loads(by_trigger) | {"sent_at": None}


async def leased_job(database: Database) -> JobLease:
    """A job that a worker has claimed."""
    async with database.transaction() as connection:
        shop = insert(Shop).values(domain=SHOP, status="installed", scopes="")
        shop_id = int(await connection.scalar(shop.returning(Shop.id)) or 0)
        [ref] = await request_jobs(
            connection, NOTHING, shop_id=shop_id, requests=[{}], origin="api"
        )
    lease = await lease_job(database, ref)
    assert lease is not None
    return lease


@asynccontextmanager
async def listening(url: str, channel: str) -> AsyncIterator[list[str]]:
    """What the channel tells, in its order."""
    connection = await asyncpg.connect(url)
    heard: list[str] = []
    await connection.add_listener(channel, lambda *news: heard.append(news[3]))
    yield heard
    await connection.close()


@asynccontextmanager
async def kept_back(database: Database) -> AsyncIterator[list[tuple[str, str]]]:
    """The hints that are to be sent after the commit; none is sent."""
    sent: list[tuple[str, str]] = []
    send = database.hints.send
    database.hints.send = lambda channel, payload: sent.append((channel, payload))  # type: ignore[method-assign]
    yield sent
    database.hints.send = send  # type: ignore[method-assign]


async def all_heard(database: Database, heard: list[str], channel: str) -> list[str]:
    """What was told before this; a later hint never overtakes an earlier one."""
    await database.run(
        lambda connection: connection.execute("SELECT pg_notify($1, $2)", channel, LAST)
    )
    await wait_until(lambda: LAST in heard)
    return heard[: heard.index(LAST)]
