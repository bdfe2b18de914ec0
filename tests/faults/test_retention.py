"""A hundred thousand jobs that ended long ago: their files go, then they do, slice by slice."""

import asyncio
import contextlib
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import asyncpg
import msgspec
import pytest
from sqlalchemy import event

from backend.db import Database
from backend.tenancy import WORKER
from backend.worker.retention import RetentionPeriods, expire
from tests.benchmarks.http.data import fill
from tests.faults.conftest import Measured
from tests.running_app import RunningApp

JOBS = 100_000
REAL = 1_000  # of them have objects
LONGEST = 3.0  # seconds that a statement may take
SIZES = {"source": 60_000, "cutout": 90_000, "master": 40_000, "final": 5_000}  # bytes

# Three files on the way, beside the four pictures that are there.
FILES = """
INSERT INTO artifacts (shop_id, job_id, stage, name, ordinal, seq, role, kind, label, key, meta)
SELECT shop_id, public_id, stage, name, 0, seq, 'intermediate', name, NULL,
       'artifacts/' || md5(public_id || name), '{"content_type": "image/png"}'
FROM jobs, (VALUES ('segment', 'cutout', 3), ('compose', 'master', 4)) AS made(stage, name, seq);
INSERT INTO job_stages (shop_id, job_id, stage, attempt, files)
SELECT shop_id, public_id, 'fetch', 1,
       jsonb_build_object('source', 'artifacts/' || md5(public_id || 'source'))
FROM jobs
UNION ALL
SELECT shop_id, job_id, stage, 1, jsonb_object_agg(name, key) FROM artifacts GROUP BY 1, 2, 3;
UPDATE jobs SET finished_at = now() - interval '100 days';
VACUUM ANALYZE;
"""


@pytest.mark.timeout(1800)
@pytest.mark.promise("P27", "the files of 100,000 old jobs expire", wanted="all, statements < 3 s")
@pytest.mark.promise("P28", "100,000 old jobs go", wanted="all, statements < 3 s")
async def test_a_hundred_thousand_old_jobs_expire_in_slices(
    running_app: RunningApp, record_promise: Measured
) -> None:
    await fill(running_app.settings.database_url, JOBS)
    connection = await asyncpg.connect(running_app.settings.database_url)
    for statement in filter(str.strip, FILES.split(";\n")):
        await connection.execute(statement)
    await connection.close()
    keys = await put_objects(running_app)
    before = await in_bucket(running_app, keys)
    month = timedelta(days=30)
    for number, kind, terms in (
        ("P27", "expired_intermediate", RetentionPeriods(files=month, jobs=None)),
        ("P28", "expired_job", RetentionPeriods(files=month, jobs=month)),
    ):
        async with strict(running_app) as (worker_context, took):
            started = time.monotonic()
            tallies = await expire(worker_context, terms)
            seconds = time.monotonic() - started
        found = tallies[kind].found  # type: ignore[index]
        after = await in_bucket(running_app, keys)
        record_promise(
            number,
            f"{found:,} in {seconds:.0f} s, longest statement {max(took):.2f} s; of {REAL:,} jobs' "
            f"{before[0]:,} objects {after[0]:,} are left, {after[1] / 1e6:.0f} of "
            f"{before[1] / 1e6:.0f} MB",
            (found, after[0]) == {"P27": (3 * JOBS, 4 * REAL), "P28": (JOBS, 0)}[number],
        )


@contextlib.asynccontextmanager
async def strict(running_app: RunningApp) -> Any:
    """A worker context with a statement timeout, and the seconds of each statement."""
    database = Database(running_app.settings.database_url, role=WORKER, statement_timeout=LONGEST)
    try:
        with timed(database) as took:
            yield msgspec.structs.replace(running_app.worker_context, database=database), took
    finally:
        await database.close()


@contextlib.contextmanager
def timed(database: Database) -> Iterator[list[float]]:
    """How many seconds each statement takes."""
    took: list[float] = []

    def begin(connection: Any, *_: Any) -> None:
        connection.info["begun"] = time.monotonic()

    def end(connection: Any, *_: Any) -> None:
        took.append(time.monotonic() - connection.info["begun"])

    engine = database.engine.sync_engine
    event.listen(engine, "before_cursor_execute", begin)
    event.listen(engine, "after_cursor_execute", end)
    yield took
    event.remove(engine, "before_cursor_execute", begin)
    event.remove(engine, "after_cursor_execute", end)


async def put_objects(running_app: RunningApp) -> set[str]:
    """Store all that some of the jobs name, in sizes that are a tenth of real ones. The keys."""
    rows = await running_app.rows(
        "SELECT f.key AS name, f.value AS key FROM job_stages, jsonb_each_text(files) AS f "
        "WHERE job_id IN (SELECT public_id FROM jobs ORDER BY public_id LIMIT :n)",
        n=REAL,
    )
    gate = asyncio.Semaphore(8)

    async def put(name: str, key: str) -> None:
        async with gate:
            data = bytes(SIZES.get(name, SIZES["final"]))
            await running_app.worker_context.store.put(key, data, content_type="image/png")

    await asyncio.gather(*(put(**row) for row in rows))
    return {row["key"] for row in rows}


async def in_bucket(running_app: RunningApp, keys: set[str]) -> tuple[int, int]:
    """How many of these objects there are, and how many bytes. Tests before left others there."""
    client, bucket = (
        running_app.worker_context.store.client,
        running_app.worker_context.store.bucket,
    )
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix="artifacts/")
    objects = [each for page in pages for each in page.get("Contents", [])]
    sizes = [each["Size"] for each in objects if each["Key"] in keys]
    return len(sizes), sum(sizes)
