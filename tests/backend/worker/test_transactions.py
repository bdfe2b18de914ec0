"""A job's transactions: how many, and which wait for the disk; `make benchjobs` has the speed."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import asyncpg
import msgspec
import pytest
from pgqueuer import PgQueuer
from pgqueuer.ports.repository import EntrypointExecutionParameter
from sqlalchemy import insert, text

from backend.db import Database
from backend.jobs.service import JobRef, request_jobs
from backend.leased_task import Done
from backend.settings import Settings
from backend.shops.models import Shop
from backend.tenancy import WORKER
from backend.worker.context import WorkerContext
from backend.worker.execute import run_job
from backend.worker.run import HEARTBEAT_TIMEOUT, manager, open_worker_context
from backend.workflows import WORKFLOWS
from tests.benchmarks.jobs.noop import NOTHING, Idler

JOBS = 40
JOB_READS = 25  # of its row, by its statements and their foreign keys; the first plans read more
CONNECTING = 10  # what a connection may cost by itself
OTHERS = """
SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()
AND backend_type = 'client backend'
"""
MORE_THAN_CUSTOM_PLANS = 8  # Postgres makes five, then one that it keeps
LONG_QUEUE = """
INSERT INTO queue.pgqueuer (entrypoint, priority, payload, status)
SELECT 'run_backlog', -n, NULL, 'queued' FROM generate_series(1, 2000) n
"""
ROWS_READ = """
SELECT seq_tup_read + idx_tup_fetch AS rows FROM pg_stat_xact_user_tables
WHERE relname = 'pgqueuer'
"""
JOBS_READ = "SELECT idx_tup_fetch + seq_tup_read FROM pg_stat_user_tables WHERE relname = 'jobs'"
SET_BY = "SELECT source FROM pg_settings WHERE name = 'synchronous_commit'"
TOTAL = """
SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = current_database()
"""


async def test_a_job_of_one_stage_costs_at_most_four_transactions(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ours and, for each entry that is taken alone, PgQueuer's two: it takes and removes it.

    A statement of hints is for all jobs of a moment, and does not wait for the disk.
    """
    monkeypatch.setitem(WORKFLOWS, NOTHING.job_type, NOTHING)
    refs = await put_jobs(settings.database_url)
    before = await counted(settings.database_url, TOTAL)
    async with AsyncExitStack() as stack:
        worker_context, _desk = await open_worker_context(stack, settings, 1, None)
        worker_context = msgspec.structs.replace(worker_context, renderer=Idler())
        hints = worker_context.database.hints
        monkeypatch.setattr(hints, "run", sent := Counted(hints.run))
        outcomes = [await run_job(ref, worker_context) for ref in refs]
    after = await counted(settings.database_url, TOTAL)
    assert outcomes == [Done()] * JOBS
    assert sent.calls > 0
    assert (after - before - CONNECTING - sent.calls) / JOBS + 2 <= 4


async def test_claims_and_ends_read_only_their_job_before_there_are_statistics(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then Postgres estimates one row for each shop, and any index that the shop leads would do."""
    monkeypatch.setitem(WORKFLOWS, NOTHING.job_type, NOTHING)
    refs = await put_jobs(settings.database_url)
    async with AsyncExitStack() as stack:
        worker_context, _desk = await open_worker_context(stack, settings, 1, None)
        worker_context = msgspec.structs.replace(worker_context, renderer=Idler())
        for ref in refs:
            await run_job(ref, worker_context)
    assert await counted(settings.database_url, JOBS_READ) / JOBS <= JOB_READS


@pytest.fixture
async def worker(settings: Settings) -> AsyncIterator[tuple[WorkerContext, PgQueuer]]:
    """A worker's context, and its queue on a connection of its own."""
    async with AsyncExitStack() as stack:
        contexts = await open_worker_context(stack, settings, 1, None)
        yield contexts[0], await stack.enter_async_context(manager(settings, *contexts))


async def test_only_the_queues_connection_chooses_not_to_wait_for_the_disk(
    worker: tuple[WorkerContext, PgQueuer],
) -> None:
    context, pgq = worker
    [row] = await pgq.connection.fetch(SET_BY)
    assert row["source"] == "client"
    database = context.database
    assert await database.run(lambda connection: connection.fetchval(SET_BY)) != "client"
    async with database.transaction() as connection:
        assert await connection.scalar(text(SET_BY)) != "client"


async def test_taking_and_removing_entries_reads_few_rows_of_a_long_queue(
    worker: tuple[WorkerContext, PgQueuer],
) -> None:
    """Even if Postgres planned both statements, for good, when the queue was empty."""
    _, pgq = worker
    for _ in range(MORE_THAN_CUSTOM_PLANS):
        await take_and_remove(pgq)
    await pgq.connection.execute(LONG_QUEUE)
    await pgq.connection.execute("BEGIN")
    taken = await take_and_remove(pgq)
    [row] = await pgq.connection.fetch(ROWS_READ)
    await pgq.connection.execute("ROLLBACK")
    assert taken == 2
    assert int(str(row["rows"])) < 20


async def test_no_statement_of_the_queue_is_compiled(
    worker: tuple[WorkerContext, PgQueuer],
) -> None:
    """With sequential scans off, Postgres 15 would take most of a second to compile some."""
    _, pgq = worker
    [row] = await pgq.connection.fetch("SHOW jit")
    assert row["jit"] == "off"


async def take_and_remove(pgq: PgQueuer) -> int:
    """Take up to two entries, as a worker does, and remove them; how many."""
    found = await pgq.qm.queries.dequeue(
        batch_size=2,
        entrypoints={name: EntrypointExecutionParameter(0) for name in pgq.qm.entrypoint_registry},
        queue_manager_id=pgq.qm.queue_manager_id,
        global_concurrency_limit=None,
        heartbeat_timeout=HEARTBEAT_TIMEOUT,
    )
    await pgq.qm.queries.log_jobs([(entry, "successful", None) for entry in found])
    return len(found)


class Counted:
    """Counts the calls of a function."""

    def __init__(self, function: Callable[..., Awaitable[Any]]) -> None:
        self.function = function
        self.calls = 0

    async def __call__(self, *arguments: Any) -> Any:
        """Call it."""
        self.calls += 1
        return await self.function(*arguments)


async def put_jobs(url: str) -> list[JobRef]:
    """A shop with jobs that wait."""
    database = Database(url, role=WORKER, pool_size=1)
    async with database.transaction() as connection:
        shop = insert(Shop).values(domain="a.myshopify.com", status="installed", scopes="")
        shop_id = int(await connection.scalar(shop.returning(Shop.id)) or 0)
        refs = await request_jobs(
            connection, NOTHING, shop_id=shop_id, requests=[{}] * JOBS, origin="api"
        )
    await database.close()
    return refs


async def counted(url: str, figure: str) -> int:
    """What the database has counted, once nobody else is connected: who leaves has told."""
    connection = await asyncpg.connect(url)
    try:
        async with asyncio.timeout(30):
            while await connection.fetchval(OTHERS):
                await asyncio.sleep(0.02)
        return int(await connection.fetchval(figure))
    finally:
        await connection.close()
