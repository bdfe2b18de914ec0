"""The pool of asyncpg connections: turns, limits, and what a cancelled caller leaves behind."""

import asyncio
from collections.abc import AsyncIterator
from functools import partial

import asyncpg
import pytest

from backend import connections
from backend.connections import Connections

LIMIT = 0.2  # seconds


@pytest.fixture
async def pool(database_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Connections]:
    """A pool of one connection."""
    monkeypatch.setattr(connections, "TIMEOUT_PRECISION", 0.02)
    connect = partial(asyncpg.connect, database_url)
    pool = Connections(connect, size=1, wait_limit=LIMIT, work_limit=LIMIT)
    yield pool
    assert pool.in_use == 0
    assert not pool.waiting
    assert not pool.working
    pool.close()


class Work:
    """Work that ends when it is told to."""

    def __init__(self) -> None:
        self.started, self.may_end = asyncio.Event(), asyncio.Event()
        self.runs = 0

    async def __call__(self, connection: asyncpg.Connection) -> int:
        """The process id of the connection's server process."""
        self.runs += 1
        self.started.set()
        await self.may_end.wait()
        return int(await connection.fetchval("SELECT pg_backend_pid()"))


async def sleep(connection: asyncpg.Connection) -> None:
    """Work that takes much longer than the limit."""
    await connection.execute("SELECT pg_sleep(10)")


async def test_callers_get_the_connection_in_the_order_they_came(pool: Connections) -> None:
    order: list[int] = []

    async def work(number: int, connection: asyncpg.Connection) -> None:
        await connection.fetchval("SELECT 1")
        order.append(number)

    await asyncio.gather(*(pool.run(partial(work, number)) for number in range(5)))
    assert order == list(range(5))
    assert pool.waits == 4


async def test_work_that_takes_too_long_is_ended_and_not_repeated(pool: Connections) -> None:
    runs = 0

    async def count_and_sleep(connection: asyncpg.Connection) -> None:
        nonlocal runs
        runs += 1
        await sleep(connection)

    with pytest.raises(TimeoutError):
        await pool.run(count_and_sleep)
    assert runs == 1
    assert pool.idle == []


async def test_a_caller_waits_no_longer_than_the_limit(pool: Connections) -> None:
    pool.work_limit = 10.0
    first = Work()
    holder = asyncio.create_task(pool.run(first))
    await first.started.wait()
    with pytest.raises(TimeoutError):
        await pool.run(sleep)
    first.may_end.set()
    await holder


async def test_a_cancelled_caller_leaves_its_place_in_the_line(pool: Connections) -> None:
    first, last = Work(), Work()
    holder = asyncio.create_task(pool.run(first))
    await first.started.wait()
    cancelled, waiting = asyncio.create_task(pool.run(sleep)), asyncio.create_task(pool.run(last))
    await asyncio.sleep(0)
    cancelled.cancel()
    first.may_end.set()
    last.may_end.set()
    assert await holder == await waiting


async def test_a_caller_that_is_cancelled_as_its_turn_comes_passes_it_on(
    pool: Connections,
) -> None:
    last = Work()
    last.may_end.set()
    pool.in_use = 1
    cancelled, waiting = asyncio.create_task(pool.run(sleep)), asyncio.create_task(pool.run(last))
    await asyncio.sleep(0)
    pool.end_turn()
    cancelled.cancel()  # before it gets to run
    async with asyncio.timeout(5):
        assert await waiting > 0
    assert cancelled.cancelled()


async def test_cancelled_work_does_not_leave_its_connection(pool: Connections) -> None:
    holder = asyncio.create_task(pool.run(sleep))
    while not pool.working:
        await asyncio.sleep(0)
    holder.cancel()
    await asyncio.wait([holder])
    assert holder.cancelled()
    assert pool.idle == []
    at_once = Work()
    at_once.may_end.set()
    assert await pool.run(at_once) > 0
