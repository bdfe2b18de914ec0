"""kill -9 of workers at any moment, again and again: every job ends, once, and well."""

import asyncio
import os
import random
from pathlib import Path

import pytest

from tests.faults.conftest import Measured
from tests.flows.processes import assert_complete_timeline, expire_heartbeats, start_worker
from tests.running_app import RunningApp

JOBS = int(os.environ.get("RANDOM_JOBS", "12"))
KILLS = int(os.environ.get("WORKER_KILLS", "20"))
LONGEST_LIFE = 4.0  # seconds: a job takes about as long
OPEN = "SELECT public_id FROM jobs WHERE status NOT IN ('SUCCESS', 'FAILURE')"
# What a test cannot wait for: nobody is killed twenty times within one stage by chance.
FORGIVEN = "UPDATE jobs SET strikes = 0 WHERE status NOT IN ('SUCCESS', 'FAILURE')"


@pytest.mark.timeout(400)
@pytest.mark.promise("P11", "jobs whose workers are killed at random all end", wanted="SUCCESS")
@pytest.mark.promise("P12", "and each of them once", wanted="1 end each")
async def test_jobs_succeed_however_often_their_workers_are_killed(
    running_app: RunningApp, tmp_path: Path, record_promise: Measured
) -> None:
    await running_app.install()
    jobs = [await running_app.request_job() for _ in range(JOBS)]
    chance = random.Random(7)
    kills = 0
    while await running_app.rows(OPEN):
        await expire_heartbeats(running_app)
        await running_app.execute(FORGIVEN)
        worker = await start_worker(running_app, tmp_path / "log")
        life = chance.uniform(0.5, LONGEST_LIFE) if kills < KILLS else 60.0
        await let_work(running_app, life)
        worker.kill()
        await worker.wait()
        kills += 1
    for job in jobs:
        await assert_complete_timeline(running_app, job)
    ends = await running_app.rows("SELECT status, count(*) AS n FROM jobs GROUP BY status")
    told = await running_app.rows(
        "SELECT job_id FROM job_events WHERE event_type IN ('succeeded', 'failed')"
    )
    record_promise(
        "P11",
        f"{JOBS} jobs, {kills} kills, ends {sorted((row['status'], row['n']) for row in ends)}",
        [(row["status"], row["n"]) for row in ends] == [("SUCCESS", JOBS)],
    )
    record_promise("P12", f"{len(told)} ends of {JOBS} jobs", len(told) == JOBS)


async def let_work(running_app: RunningApp, seconds: float) -> None:
    """Let it work for so long, or until there is nothing left."""
    deadline = asyncio.get_running_loop().time() + seconds
    while asyncio.get_running_loop().time() < deadline and await running_app.rows(OPEN):
        await asyncio.sleep(0.05)
