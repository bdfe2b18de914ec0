"""A worker takes as many entries as it has free slots, and does not poll while full."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import asyncpg
import pgqueuer
import pytest
from pgqueuer import PgQueuer
from pgqueuer.core.buffers import JobStatusLogBuffer
from pgqueuer.db import AsyncpgDriver
from pgqueuer.models import Job
from pgqueuer.qm import QueueManager
from pgqueuer.queries import Queries

from backend import queue
from backend.queue import HANDLE_BACKLOG, RUN_BACKLOG, RUN_JOB
from backend.worker import dequeue
from backend.worker.dequeue import (
    CAPACITY_POLL_INTERVAL,
    REMOVED_TOGETHER,
    CapacityQueueManager,
    CapacityShare,
    dequeue_by_capacity,
)
from tests.wait import wait_until

PLACES, BATCH = 4, 2
ENTRIES = 10
DEADLINE = 10  # seconds until anything that is waited for


class Worker:
    """A worker whose entries end when the test says so, or is over."""

    running: asyncio.Task[None]
    manager_of_queue: CapacityQueueManager

    def __init__(self, url: str, places: int, shares: Sequence[CapacityShare]) -> None:
        self.url, self.places, self.shares = url, places, shares
        self.begun: asyncio.Queue[asyncio.Event] = asyncio.Queue()
        self.ends: list[asyncio.Event] = []
        self.stopping = asyncio.Event()
        self.looks: list[int] = []
        self.removed: list[int] = []  # how many entries in one statement
        self.names: list[str] = []

    async def run(self) -> None:
        """Until it is told to stop."""
        await pgqueuer.run(
            self.manager,
            dequeue_timeout=timedelta(seconds=DEADLINE),
            batch_size=BATCH,
            max_concurrent_tasks=self.places,
            shutdown=self.stopping,
        )

    @asynccontextmanager
    async def manager(self) -> AsyncIterator[PgQueuer]:
        """PgQueuer, whose looking for work is counted."""
        connection = await asyncpg.connect(self.url)
        driver = AsyncpgDriver(connection)
        queries = queue.queries(driver)
        self.count_looks(queries)
        self.count_removed(queries)
        pgq = PgQueuer(driver, queries=queries)
        self.manager_of_queue = dequeue_by_capacity(pgq, self.shares)

        @pgq.entrypoint(RUN_JOB)
        @pgq.entrypoint(RUN_BACKLOG)
        @pgq.entrypoint(HANDLE_BACKLOG)
        async def work(entry: Job) -> None:
            end = asyncio.Event()
            self.ends.append(end)
            self.names.append(entry.entrypoint)
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

    def count_removed(self, queries: Queries) -> None:
        remove = queries.log_jobs

        async def counted(entries: list[Any]) -> None:
            self.removed.append(len(entries))
            await remove(entries)

        queries.log_jobs = counted  # type: ignore[method-assign, assignment]

    async def next_one(self) -> asyncio.Event:
        """The next entry that it has begun."""
        async with asyncio.timeout(DEADLINE):
            return await self.begun.get()


@asynccontextmanager
async def running_worker(
    url: str, entries: dict[str, int], *, places: int = PLACES, shares: dict[str, int] | None = None
) -> AsyncIterator[Worker]:
    """A worker, with so many entries of each entry point before it, and so many places for some."""
    for name, count in entries.items():
        await enqueue_entries(url, name, count)
    apart = [CapacityShare(count, frozenset({name})) for name, count in (shares or {}).items()]
    worker = Worker(url, places, apart)
    worker.running = asyncio.create_task(worker.run())
    try:
        yield worker
    finally:
        worker.stopping.set()
        for end in worker.ends:
            end.set()
        await asyncio.wait_for(worker.running, DEADLINE)


async def enqueue_entries(url: str, name: str, count: int) -> None:
    """Entries for that entry point."""
    connection = await asyncpg.connect(url)
    for number in range(count):
        key = f"{name}:{number}"
        entry = queue.Entry(entrypoint=name, dedupe_key=key, payload=b"{}", number=1)
        await queue.enqueue(connection, entry)
    await connection.close()


async def test_a_full_worker_does_not_poll_for_work(database_url: str) -> None:
    async with running_worker(database_url, {RUN_JOB: ENTRIES}) as worker:
        for _ in range(PLACES):
            await worker.next_one()
        await asyncio.sleep(0.5)  # what it should not do, it would have done five times
        assert worker.looks == [2, 2]


async def test_a_free_slot_is_filled_at_once(database_url: str) -> None:
    async with running_worker(database_url, {RUN_JOB: ENTRIES}) as worker:
        taken = [await worker.next_one() for _ in range(PLACES)]
        for _ in range(ENTRIES - PLACES):
            taken.pop(0).set()
            taken.append(await worker.next_one())
        assert worker.begun.empty()
        assert worker.looks == [2, 2, 1, 1, 1, 1, 1, 1]


async def test_a_stopping_worker_takes_no_more_entries(database_url: str) -> None:
    async with running_worker(database_url, {RUN_JOB: ENTRIES}) as worker:
        taken = [await worker.next_one() for _ in range(PLACES)]
        worker.stopping.set()
        for entry in taken:
            entry.set()
        await asyncio.wait_for(worker.running, DEADLINE)
        assert worker.begun.empty()
        assert worker.looks == [2, 2]


async def test_a_backlog_at_its_share_is_not_polled(database_url: str) -> None:
    async with running_worker(
        database_url, {RUN_BACKLOG: ENTRIES}, places=10, shares={RUN_BACKLOG: 3}
    ) as worker:
        taken = [await worker.next_one() for _ in range(3)]
        await asyncio.sleep(0.5)
        assert worker.looks == [2, 1, 0]  # the last one was for others
        taken.pop().set()
        await worker.next_one()
        assert worker.begun.empty()


async def test_a_new_entry_is_taken_at_once_beside_a_waiting_backlog(database_url: str) -> None:
    async with running_worker(
        database_url, {RUN_BACKLOG: ENTRIES}, places=10, shares={RUN_BACKLOG: 3}
    ) as worker:
        for _ in range(3):
            await worker.next_one()
        await enqueue_entries(database_url, RUN_JOB, 1)
        await asyncio.wait_for(worker.next_one(), CAPACITY_POLL_INTERVAL / 2)
        assert worker.begun.empty()


async def test_an_entry_that_has_freed_its_place_lets_another_begin(database_url: str) -> None:
    async with running_worker(
        database_url, {RUN_BACKLOG: ENTRIES}, places=10, shares={RUN_BACKLOG: 2}
    ) as worker:
        taken = [await worker.next_one() for _ in range(2)]
        (first, _) = worker.manager_of_queue.job_context
        worker.manager_of_queue.free_place(first)
        taken.append(await worker.next_one())
        taken[0].set()  # its place is free already
        await wait_until(lambda: first not in worker.manager_of_queue.job_context)
        taken[1].set()
        await worker.next_one()
        await asyncio.sleep(CAPACITY_POLL_INTERVAL / 2)
        assert worker.begun.empty()


async def test_no_more_entries_free_their_places_than_the_share_has(database_url: str) -> None:
    async with running_worker(
        database_url, {RUN_BACKLOG: ENTRIES}, places=10, shares={RUN_BACKLOG: 2}
    ) as worker:
        for _ in range(2):
            for _ in range(2):
                await worker.next_one()
            for job_id in list(worker.manager_of_queue.job_context):
                worker.manager_of_queue.free_place(job_id)
        await asyncio.sleep(CAPACITY_POLL_INTERVAL / 2)
        assert worker.begun.empty()


async def test_each_share_is_independent_of_the_others(database_url: str) -> None:
    entries = {RUN_BACKLOG: ENTRIES, HANDLE_BACKLOG: ENTRIES}
    shares = {RUN_BACKLOG: 3, HANDLE_BACKLOG: 2}
    async with running_worker(database_url, entries, places=10, shares=shares) as worker:
        for _ in range(5):
            await worker.next_one()
        await asyncio.sleep(CAPACITY_POLL_INTERVAL / 2)
        assert worker.begun.empty()
        assert sorted(worker.names) == [HANDLE_BACKLOG] * 2 + [RUN_BACKLOG] * 3


async def test_refilling_a_backlog_does_not_poll_for_other_entries(
    database_url: str,
) -> None:
    async with running_worker(
        database_url, {RUN_BACKLOG: ENTRIES}, places=10, shares={RUN_BACKLOG: 2, HANDLE_BACKLOG: 2}
    ) as worker:
        taken = [await worker.next_one() for _ in range(2)]
        await wait_until(lambda: worker.looks == [2, 0, 0])  # it has found no others
        before = len(worker.looks)
        for _ in range(3):
            taken.pop(0).set()
            taken.append(await worker.next_one())
        assert worker.looks[before:] == [1, 1, 1]


async def test_a_backlog_whose_entries_end_together_is_refilled_in_one_look(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dequeue, "GATHER_TIME", DEADLINE)
    async with running_worker(
        database_url, {RUN_BACKLOG: ENTRIES}, places=10, shares={RUN_BACKLOG: 2}
    ) as worker:
        one, other = [await worker.next_one() for _ in range(2)]
        await wait_until(lambda: worker.looks[-1] == 0)  # it has found no others
        before = len(worker.looks)
        one.set()
        await wait_until(lambda: len(worker.manager_of_queue.job_context) == 1)
        other.set()
        for _ in range(2):
            await worker.next_one()
        await asyncio.sleep(CAPACITY_POLL_INTERVAL / 2)
        assert worker.looks[before:] == [2]


async def test_entries_that_end_together_are_removed_together(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(JobStatusLogBuffer, "periodic_flush", no_timer)
    async with running_worker(database_url, {RUN_JOB: REMOVED_TOGETHER + 1}, places=20) as worker:
        last, one, *others = [await worker.next_one() for _ in range(REMOVED_TOGETHER + 1)]
        for end in others:
            end.set()
        await wait_until(lambda: len(worker.manager_of_queue.job_context) == 2)
        assert worker.removed == []
        one.set()
        await wait_until(lambda: worker.removed == [REMOVED_TOGETHER])
        last.set()
        await wait_until(lambda: worker.removed == [REMOVED_TOGETHER, 1])


async def no_timer(_buffer: JobStatusLogBuffer) -> None:
    """In place of PgQueuer's, which removes what has waited for a tenth of a second."""


async def test_a_worker_keeps_no_statistics_of_the_queue(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PgQueuer would add to them twice a minute, for ever."""
    kept: list[timedelta] = []

    async def keep_statistics(_manager: QueueManager, interval: timedelta) -> None:
        kept.append(interval)

    monkeypatch.setattr(QueueManager, "_run_periodic_log_aggregation", keep_statistics)
    async with running_worker(database_url, {RUN_JOB: 1}) as worker:
        await worker.next_one()
    assert kept == []
