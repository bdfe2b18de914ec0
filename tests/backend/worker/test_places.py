"""A worker takes as many entries as it has places for, and does not ask for more meanwhile."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import asyncpg
import pgqueuer
import pytest
from pgqueuer import PgQueuer
from pgqueuer.db import AsyncpgDriver
from pgqueuer.models import Job
from pgqueuer.queries import Queries

from backend import queue
from backend.worker import places

PLACES = 4
ENTRIES = 10
DEADLINE = 10  # seconds until anything that is waited for


class Worker:
    """A worker whose entries end when the test says so, or is over."""

    running: asyncio.Task[None]

    def __init__(self, url: str) -> None:
        self.url = url
        self.begun: asyncio.Queue[asyncio.Event] = asyncio.Queue()
        self.ends: list[asyncio.Event] = []
        self.stopping = asyncio.Event()
        self.looks: list[int] = []

    async def run(self) -> None:
        """Until it is told to stop."""
        await pgqueuer.run(
            self.manager,
            dequeue_timeout=timedelta(seconds=DEADLINE),
            batch_size=PLACES // 2,
            max_concurrent_tasks=PLACES,
            shutdown=self.stopping,
        )

    @asynccontextmanager
    async def manager(self) -> AsyncIterator[PgQueuer]:
        """PgQueuer, whose looking for work is counted."""
        connection = await asyncpg.connect(self.url)
        driver = AsyncpgDriver(connection)
        queries = queue.queries(driver)
        self.count_looks(queries)
        pgq = PgQueuer(driver, queries=queries)
        places.seat(pgq)

        @pgq.entrypoint("work")
        async def work(_entry: Job) -> None:
            end = asyncio.Event()
            self.ends.append(end)
            self.begun.put_nowait(end)
            await end.wait()

        yield pgq
        await connection.close()

    def count_looks(self, queries: Queries) -> None:
        look = queries.dequeue

        async def counted(**asked: Any) -> list[Job]:
            found = await look(**asked)
            self.looks.append(len(found))
            return found

        queries.dequeue = counted  # type: ignore[method-assign, assignment]

    async def next_one(self) -> asyncio.Event:
        """The next entry that it has begun."""
        async with asyncio.timeout(DEADLINE):
            return await self.begun.get()


@pytest.fixture
async def worker(database_url: str) -> AsyncIterator[Worker]:
    """At work, with more entries than it has places."""
    connection = await asyncpg.connect(database_url)
    for number in range(ENTRIES):
        await queue.enqueue(connection, "work", b"{}", dedupe_key=str(number))
    await connection.close()
    worker = Worker(database_url)
    worker.running = asyncio.create_task(worker.run())
    yield worker
    worker.stopping.set()
    for end in worker.ends:
        end.set()
    await asyncio.wait_for(worker.running, DEADLINE)


async def test_it_does_not_look_for_work_while_every_place_is_taken(worker: Worker) -> None:
    taken = [await worker.next_one() for _ in range(PLACES)]
    await asyncio.sleep(0.5)  # what it should not do, it would have done five times
    assert worker.looks == [2, 2]
    assert len(taken) == PLACES


async def test_each_place_that_becomes_free_is_filled_at_once(worker: Worker) -> None:
    taken = [await worker.next_one() for _ in range(PLACES)]
    for _ in range(ENTRIES - PLACES):
        taken.pop(0).set()
        taken.append(await worker.next_one())
    assert worker.begun.empty()
    assert worker.looks == [2, 2, 1, 1, 1, 1, 1, 1]


async def test_told_to_stop_it_takes_nothing_more_and_ends(worker: Worker) -> None:
    taken = [await worker.next_one() for _ in range(PLACES)]
    worker.stopping.set()
    for entry in taken:
        entry.set()
    await asyncio.wait_for(worker.running, DEADLINE)
    assert worker.begun.empty()
    assert worker.looks == [2, 2]
