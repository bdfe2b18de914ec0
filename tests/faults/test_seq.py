"""Events that many write at once, some of them in vain: a cursor misses none, in any order."""

import asyncio
import contextlib
import os
import random
from pathlib import Path

import httpx
import msgspec
import pytest

from backend.errors import DatabaseUnavailable
from backend.jobs.lifecycle import append_after_success
from backend.jobs.service import JobRef
from tests.faults.conftest import Measured
from tests.faults.web import running_web
from tests.running_app import RunningApp
from tests.scenarios import finished_job

JOBS, WRITERS, POLLERS = 3, 8, 20
EVENTS = int(os.environ.get("SEQ_EVENTS", "1000"))  # that each writer tries
ROLLBACKS = 0.1


class Undone(Exception):
    """What the writer had meant to write is taken back."""


@pytest.mark.timeout(400)
@pytest.mark.promise(
    "P13", "events are gapless, ordered, and none is missed", wanted="0 gaps, 0 missed"
)
async def test_a_cursor_misses_no_event(
    running_app: RunningApp, tmp_path: Path, record_promise: Measured
) -> None:
    await running_app.install()
    refs = [(await finished_job(running_app))[0] for _ in range(JOBS)]
    settings = msgspec.structs.replace(running_app.settings, rate_limit_reads="1000000/minute")
    written = asyncio.Event()
    async with running_web(settings, running_app.shopify.origin, tmp_path / "log") as served:
        polling = [
            asyncio.create_task(poll_events(running_app, served.url, refs[number % JOBS], written))
            for number in range(POLLERS)
        ]
        breaking = asyncio.create_task(breaking_connections(running_app))
        await asyncio.gather(*(writer(running_app, refs) for _ in range(WRITERS)))
        breaking.cancel()
        written.set()
        seen = await asyncio.gather(*polling)
    stored = {
        ref: [
            row["seq"]
            for row in await running_app.rows(
                "SELECT seq FROM job_events WHERE job_id = :id ORDER BY seq", id=ref.public_id
            )
        ]
        for ref in refs
    }
    gaps = sum(seqs != list(range(1, len(seqs) + 1)) for seqs in stored.values())
    missed = sum(len(set(stored[refs[n % JOBS]]) - set(each)) for n, each in enumerate(seen))
    disordered = sum(each != sorted(set(each)) for each in seen)
    events = sum(map(len, stored.values()))
    record_promise(
        "P13",
        f"{gaps} gaps, {missed} missed, {disordered} out of order: {events:,} events, "
        f"{POLLERS} pollers",
        gaps == missed == disordered == 0 and events > WRITERS * EVENTS * 0.8,
    )


async def writer(running_app: RunningApp, refs: list[JobRef]) -> None:
    """Append lines to the jobs, and take some of them back."""
    for number in range(EVENTS):
        with contextlib.suppress(Undone, DatabaseUnavailable):
            async with running_app.database.transaction() as connection:
                ref = random.choice(refs)
                await append_after_success(
                    connection, ref, stage="torture", message=str(number), extra={}
                )
                await asyncio.sleep(random.uniform(0, 0.002))  # between a number and its commit
                if random.random() < ROLLBACKS:
                    raise Undone


async def breaking_connections(running_app: RunningApp) -> None:
    """Cut one of Postgres' connections now and then."""
    while True:
        await asyncio.sleep(0.5)
        with contextlib.suppress(DatabaseUnavailable):
            await running_app.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid() "
                "AND query LIKE '%job_events%' LIMIT 1"
            )


async def poll_events(
    running_app: RunningApp, url: str, ref: JobRef, written: asyncio.Event
) -> list[int]:
    """The numbers that a follower gets, up to the last one."""
    seen: list[int] = []
    since = 0
    async with httpx.AsyncClient(base_url=url, timeout=30, trust_env=False) as client:
        while True:
            is_last = written.is_set()
            answer = await client.get(
                f"/v1/jobs/{ref.public_id}/events",
                params={"since": since},
                headers=running_app.bearer(),
            )
            if answer.status_code == 200:
                seen += [event["seq"] for event in answer.json()["events"]]
                since = answer.json()["latest_seq"]
                if is_last:
                    return seen
            await asyncio.sleep(random.uniform(0, 0.1))
