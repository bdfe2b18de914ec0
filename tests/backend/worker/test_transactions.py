"""A job's transactions: how many, and which wait for the disk; `make benchjobs` has the speed."""

import asyncio
from contextlib import AsyncExitStack

import asyncpg
import msgspec
import pytest
from sqlalchemy import insert, text

from backend.db import Database
from backend.jobs.service import JobRef, request_jobs
from backend.leased_task import Done
from backend.settings import Settings
from backend.shops.models import Shop
from backend.tenancy import WORKER
from backend.worker.execute import run_job
from backend.worker.run import manager, open_worker_context
from backend.workflows import WORKFLOWS
from tests.benchmarks.jobs.noop import NOTHING, Idler

JOBS = 40
CONNECTING = 10  # what a connection may cost by itself
OTHERS = """
SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()
AND backend_type = 'client backend'
"""
SET_BY = "SELECT source FROM pg_settings WHERE name = 'synchronous_commit'"
TOTAL = """
SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = current_database()
"""


async def test_a_job_of_one_stage_costs_at_most_four_transactions(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ours and, for each entry that is taken alone, PgQueuer's two: it takes and removes it."""
    monkeypatch.setitem(WORKFLOWS, NOTHING.job_type, NOTHING)
    refs = await put_jobs(settings.database_url)
    before = await transactions(settings.database_url)
    async with AsyncExitStack() as stack:
        worker_context, _desk = await open_worker_context(stack, settings, 1, None)
        worker_context = msgspec.structs.replace(worker_context, renderer=Idler())
        outcomes = [await run_job(ref, worker_context) for ref in refs]
    after = await transactions(settings.database_url)
    assert outcomes == [Done()] * JOBS
    assert (after - before - CONNECTING) / JOBS + 2 <= 4


async def test_only_the_queues_connection_chooses_not_to_wait_for_the_disk(
    settings: Settings,
) -> None:
    async with AsyncExitStack() as stack:
        contexts = await open_worker_context(stack, settings, 1, None)
        pgq = await stack.enter_async_context(manager(settings, *contexts))
        [row] = await pgq.connection.fetch(SET_BY)
        assert row["source"] == "client"
        database = contexts[0].database
        assert await database.run(lambda connection: connection.fetchval(SET_BY)) != "client"
        async with database.transaction() as connection:
            assert await connection.scalar(text(SET_BY)) != "client"


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


async def transactions(url: str) -> int:
    """What the database has counted, once nobody else is connected: who leaves has told."""
    connection = await asyncpg.connect(url)
    try:
        async with asyncio.timeout(30):
            while await connection.fetchval(OTHERS):
                await asyncio.sleep(0.02)
        return int(await connection.fetchval(TOTAL))
    finally:
        await connection.close()
