"""Let workers drain a queue, and measure it: how fast, how soon, in how many transactions."""

import asyncio
import contextlib
import os
import random
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg

from backend.db import Database
from backend.settings import UNLIMITED, Quotas
from backend.tenancy import WORKER
from tests.benchmarks.jobs import work
from tests.benchmarks.jobs.noop import NOTHING, WAITING
from tests.benchmarks.running import Running

WARM_UP = 100  # jobs or entries, looked at before anything is timed
DEADLINE = 60.0  # seconds for any drain
LOOK = 0.05  # seconds between two looks at the queue
CHARGED = Quotas(prepaid=True, prices={NOTHING.name: 1})  # a job's price with `BILLING=manual`
BILLING = {"BILLING": "manual", "PLANS_FILE": str(Path("deploy/plans.toml").absolute())}
PAUSES = (0.05, 0.25)  # seconds between two jobs dropped in one by one
# Managers' connections, each a worker's: a second after it was opened it listens.
READY = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND backend_type = 'client backend' AND application_name = ''
AND pid <> pg_backend_pid() AND backend_start < now() - interval '1 second'
"""
TRANSACTIONS = """
SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = current_database()
"""


@dataclass(frozen=True)
class JobRun:
    """Where it happens: Postgres, the processes' environment, each worker's slots, their log."""

    postgres: Running
    environment: dict[str, str] = field(repr=False)  # holds secrets
    slots: int
    log: str

    @property
    def url(self) -> str:
        """The database's."""
        return self.environment["DATABASE_URL"]


@dataclass(frozen=True)
class Run:
    """One drain: done work a second, and what it took of the processors.

    per_cpu_second: how much work for each second of the workers' processor time.
    postgres_ms: milliseconds of Postgres's processor time for each.
    """

    rate: float
    per_cpu_second: float
    postgres_ms: float
    memory_mb: float
    wrong: int


async def drained(bench: JobRun, kind: str, *, workers: int, count: int) -> Run:
    """One timed run."""
    async with watching(bench) as watcher:
        await work.clear(watcher, kind)
        async with contextlib.AsyncExitStack() as stack:
            running = [await stack.enter_async_context(worker(bench, kind)) for _ in range(workers)]
            await warm_up(bench, watcher, kind, workers)
            used = sum(process.cpu_seconds for process in running)
            started = await put(bench, kind, count)
            used_by_postgres = bench.postgres.cpu_seconds_of_all
            await emptied(watcher)
            used_by_postgres = bench.postgres.cpu_seconds_of_all - used_by_postgres
            used = sum(process.cpu_seconds for process in running) - used
            memory = max(process.memory_mb for process in running)
        ended = await watcher.fetchval(
            "SELECT extract(epoch FROM max(created)) FROM queue.pgqueuer_log"
            f" WHERE status = 'successful' AND {work.OURS}"
        )
        return Run(
            rate=count / (float(ended) - started),
            per_cpu_second=count / max(used, 0.01),
            postgres_ms=used_by_postgres / count * 1000,
            memory_mb=memory,
            wrong=await wrong(watcher, kind, WARM_UP + count),
        )


async def picked_up(bench: JobRun, count: int) -> tuple[list[float], int]:
    """Milliseconds from just before a job's COMMIT is sent to its claim, for an idle worker.

    And how many of the jobs came to nothing.
    """
    chance = random.Random(1)
    async with watching(bench) as watcher, worker(bench, "ours"):
        await work.clear(watcher, "ours")
        await warm_up(bench, watcher, "ours", 1)
        latencies = []
        for _ in range(count):
            await asyncio.sleep(chance.uniform(*PAUSES))
            committed = await put(bench, "ours", 1)
            await emptied(watcher)
            claimed = await watcher.fetchval(
                "SELECT extract(epoch FROM started_at) FROM jobs ORDER BY created_at DESC LIMIT 1"
            )
            latencies.append((float(claimed) - committed) * 1000)
        return latencies, await wrong(watcher, "ours", WARM_UP + count)


async def transactions(bench: JobRun, kind: str, count: int) -> tuple[float, int]:
    """How many of them one item of work costs, and how many items came to nothing.

    A worker that finds all the work waiting, against one that finds a little; each ends, for a
    connection tells what it has done at its end. Starting and stopping are the same for both.
    """
    totals, missed = [], 0
    for size in (WARM_UP, WARM_UP + count):
        async with watching(bench) as watcher:
            await work.clear(watcher, kind)
            await put(bench, kind, size)
        before = await counted(bench)
        async with watching(bench) as watcher:
            async with worker(bench, kind):
                await emptied(watcher)
            missed += await wrong(watcher, kind, size)
        totals.append(await counted(bench) - before)
    return (totals[1] - totals[0]) / count, missed


async def counted(bench: JobRun) -> int:
    """The database's transactions so far, once everybody else is gone."""
    connection = await asyncpg.connect(bench.url)
    try:
        async with asyncio.timeout(DEADLINE):
            while await connection.fetchval(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
                " AND backend_type = 'client backend' AND pid <> pg_backend_pid()"
            ):
                await asyncio.sleep(LOOK)
        return int(await connection.fetchval(TRANSACTIONS))
    finally:
        await connection.close()


async def warm_up(bench: JobRun, watcher: asyncpg.Connection, kind: str, workers: int) -> None:
    """A little work first: workers that do not do it right are not measured."""
    async with asyncio.timeout(DEADLINE):
        while await watcher.fetchval(READY) < workers:
            await asyncio.sleep(LOOK)
    await put(bench, kind, WARM_UP)
    await emptied(watcher)
    found = await wrong(watcher, kind, WARM_UP)
    assert found == 0, f"{found} of {WARM_UP} were not done as they should be"


async def put(bench: JobRun, kind: str, count: int) -> float:
    """Put work on the queue; the moment before its transaction committed."""
    database = Database(bench.url, role=WORKER, pool_size=1)
    try:
        if kind == "pgqueuer":
            return await work.put_entries(database, count)
        workflow = WAITING if kind == "waiting" else NOTHING
        quotas = CHARGED if kind == "charged" else UNLIMITED
        return await work.put_jobs(database, workflow, count, quotas)
    finally:
        await database.close()


async def emptied(watcher: asyncpg.Connection) -> None:
    """Wait until the queue is empty, in one transaction however often we look."""
    async with asyncio.timeout(DEADLINE), watcher.transaction():
        while await watcher.fetchval(work.LEFT):
            await asyncio.sleep(LOOK)


async def wrong(watcher: asyncpg.Connection, kind: str, count: int) -> int:
    """What was not done as it should be."""
    if kind == "pgqueuer":
        return await work.count_wrong(watcher, jobs=0, entries=count)
    return await work.count_wrong(watcher, jobs=count, entries=0)


@contextlib.asynccontextmanager
async def watching(bench: JobRun) -> AsyncIterator[asyncpg.Connection]:
    """A connection to look with."""
    connection = await asyncpg.connect(bench.url)
    try:
        yield connection
    finally:
        await connection.close()


@contextlib.asynccontextmanager
async def worker(bench: JobRun, kind: str) -> AsyncIterator[Running]:
    """A worker process, until the block ends."""
    program = "pgqueuer" if kind == "pgqueuer" else "ours"
    billing = BILLING if kind == "charged" else {}
    with Path(bench.log).open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.benchmarks.jobs.worker", program, str(bench.slots)),
            env={**os.environ, **bench.environment, **billing},
            stdin=asyncio.subprocess.DEVNULL,
            stderr=log,
        )
    try:
        yield Running(name=kind, pid=process.pid)
    finally:
        process.terminate()
        await process.wait()
