"""A shop of 300,000 jobs is erased: in short statements, in little memory, through a kill -9."""

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import psutil
import pytest

from backend.storage.keys import ARTIFACT_PREFIX
from tests.faults.conftest import Measured
from tests.flows.processes import expire_heartbeats, start_worker, wait_for_row
from tests.running_app import SHOP, RunningApp
from tests.wait import wait_until

JOBS = int(os.environ.get("ERASED_JOBS", "300000"))  # fewer where there is little time
STORED = 2_000  # of their pictures are there; S3 does not mind deleting those that are not
LONGEST = 3.0  # seconds for one statement
GROWTH = 60  # MiB that the worker may grow by while it erases
FILL = (
    """
    INSERT INTO jobs (shop_id, public_id, job_type, origin, request, status, natural_key,
                      created_at, last_seq)
    SELECT :s, '01' || lpad(to_hex(n), 24, '0'), 'CATALOG_IMAGE', 'api',
           jsonb_build_object('product_id', 'gid://shopify/Product/' || n, 'x', repeat('x', 200)),
           CASE WHEN n % 3 = 0 THEN 'NOT_STARTED' ELSE 'SUCCESS' END, 'key-' || n,
           now() - interval '1 day', 2
    FROM generate_series(1, :n) n
    """,
    """
    INSERT INTO job_events (shop_id, job_id, seq, event_type, message)
    SELECT shop_id, public_id, seq, 'stage', repeat('m', 60)
    FROM jobs, generate_series(1, 2) seq WHERE shop_id = :s
    """,
    """
    INSERT INTO artifacts (shop_id, job_id, stage, name, ordinal, seq, role, kind, key)
    SELECT shop_id, public_id, 'encode', 'final', 0, 2, 'final', 'catalog_image',
           :prefix || 'test-' || ltrim(substr(public_id, 3), '0')
    FROM jobs WHERE shop_id = :s AND status = 'SUCCESS'
    """,
    """
    INSERT INTO job_stages (shop_id, job_id, stage, attempt, files)
    SELECT shop_id, public_id, 'encode', 1,
           jsonb_build_object('mask', :prefix || 'mask-' || public_id)
    FROM jobs WHERE shop_id = :s AND status = 'SUCCESS'
    """,
    """
    INSERT INTO publications (shop_id, job_id, round, product_id, status)
    SELECT shop_id, public_id, 1, 'gid', 'PUBLISHED' FROM jobs
    WHERE shop_id = :s AND status = 'SUCCESS' AND right(public_id, 1) IN ('1', '2')
    """,
    "ANALYZE",
)
UNINSTALLED = "SELECT 1 FROM webhook_deliveries WHERE note = 'UNINSTALLED'"
RUNNING = """
SELECT extract(epoch FROM clock_timestamp() - query_start)::float AS seconds
FROM pg_stat_activity WHERE datname = current_database() AND state = 'active'
AND pid <> pg_backend_pid() AND application_name = 'atelier'
"""


async def filled(running_app: RunningApp) -> int:
    """The shop's number, once it has all those jobs."""
    shop_id = int(
        (await running_app.rows("SELECT id FROM shops WHERE domain = :d", d=SHOP))[0]["id"]
    )
    connection = await asyncpg.connect(running_app.settings.database_url)  # without time-outs
    for statement in FILL:
        sql = statement.replace(":prefix", f"'{ARTIFACT_PREFIX}'")
        await connection.execute(sql.replace(":s", str(shop_id)).replace(":n", str(JOBS)))
    await connection.close()
    store = running_app.worker_context.store
    for n in range(1, STORED, 3):  # of jobs that succeeded
        await asyncio.to_thread(
            store.client.put_object,
            Bucket=store.bucket,
            Key=f"{ARTIFACT_PREFIX}test-{n:x}",
            Body=b"x",
        )
    return shop_id


@contextlib.asynccontextmanager
async def watched(running_app: RunningApp, statements: list[float]) -> AsyncIterator[None]:
    """Note how long what the worker runs has been running, every few milliseconds."""

    async def look() -> None:
        while True:
            statements.extend(row["seconds"] for row in await running_app.rows(RUNNING))
            await asyncio.sleep(0.02)

    task = asyncio.create_task(look())
    try:
        yield
    finally:
        task.cancel()


async def jobs_left(running_app: RunningApp, shop_id: int) -> int:
    """How many of the jobs are still there."""
    rows = await running_app.rows("SELECT count(*) AS n FROM jobs WHERE shop_id = :s", s=shop_id)
    return int(rows[0]["n"])


async def has_fewer_jobs(running_app: RunningApp, shop_id: int, than: int) -> bool:
    """Whether a worker has erased some more of them."""
    return await jobs_left(running_app, shop_id) < than


async def settled(running_app: RunningApp, worker: psutil.Process, memory: list[float]) -> str:
    """The note on the erasure when it is done; the worker's memory is noted meanwhile."""
    async with asyncio.timeout(1500):
        while True:
            memory.append(worker.memory_info().rss / 2**20)
            rows = await running_app.rows(
                "SELECT note FROM webhook_deliveries "
                "WHERE topic = 'shop/redact' AND status <> 'received'"
            )
            if rows:
                return str(rows[0]["note"])
            await asyncio.sleep(1)


@pytest.mark.promise("P40", f"{JOBS:,} jobs erased, no statement is long", wanted="3 s at most")
@pytest.mark.promise("P41", "a worker erases them in little memory", wanted=f"{GROWTH} MiB more")
@pytest.mark.timeout(1800)
async def test_a_large_shop_is_erased_through_a_kill(
    running_app: RunningApp, tmp_path: Path, record_promise: Measured
) -> None:
    await running_app.install()
    shop_id = await filled(running_app)
    running_app.shopify.uninstall(SHOP)
    await running_app.send("app/uninstalled")
    statements: list[float] = []
    memory: list[float] = []
    started = time.monotonic()
    async with watched(running_app, statements):
        first = await start_worker(running_app, tmp_path / "log")
        await wait_for_row(running_app, UNINSTALLED, within=600)
        uninstalled = time.monotonic() - started
        await running_app.send("shop/redact")
        async with asyncio.timeout(600):
            while await jobs_left(running_app, shop_id) > JOBS * 0.8:
                await asyncio.sleep(0.5)
        first.kill()
        await first.wait()
        left = await jobs_left(running_app, shop_id)
        assert 0 < left < JOBS, "killed in the middle"
        await expire_heartbeats(running_app)
        second = await start_worker(running_app, tmp_path / "log")
        await wait_until(lambda: has_fewer_jobs(running_app, shop_id, left), 60)
        note = await settled(running_app, psutil.Process(second.pid), memory)
        second.terminate()
        await second.wait()
    seconds = time.monotonic() - started
    assert note.endswith("jobs and the shop")
    assert await running_app.rows("SELECT 1 FROM shops WHERE id = :s", s=shop_id) == []
    store = running_app.worker_context.store
    found = store.client.list_objects_v2(Bucket=store.bucket, Prefix=f"{ARTIFACT_PREFIX}test-")
    assert found["KeyCount"] == 0
    longest, growth = max(statements), max(memory) - memory[0]
    record_promise(
        "P40",
        f"{longest:.2f} s; {uninstalled:.0f} s to uninstall, {seconds:.0f} s in all",
        longest <= LONGEST,
    )
    record_promise("P41", f"{growth:.0f} MiB, {max(memory):.0f} MiB in all", growth <= GROWTH)
