"""Workers whose clocks are two minutes fast and slow: leases and times are the database's."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.faults.conftest import Measured
from tests.flows.processes import assert_complete_timeline, running_worker_process, wait_for_end
from tests.running_app import RunningApp

SKEW = 120  # seconds
JOBS = 6

# Python runs it before anything else in a process that finds it.
SHIFT = """
import os, time
import time_machine
time_machine.travel(time.time() + float(os.environ["CLOCK_SHIFT"]), tick=True).start()
"""


@pytest.mark.timeout(200)
@pytest.mark.promise("P12", "clocks that are wrong by two minutes", wanted="0 double claims")
async def test_wrong_worker_clocks_do_not_duplicate_jobs(
    running_app: RunningApp, tmp_path: Path, record_promise: Measured
) -> None:
    (tmp_path / "sitecustomize.py").write_text(SHIFT)
    await running_app.install()
    async with AsyncExitStack() as stack:
        for shift in (SKEW, -SKEW):
            env = {"PYTHONPATH": f"{tmp_path}:{Path.cwd()}", "CLOCK_SHIFT": str(shift)}
            log = tmp_path / f"worker{shift}"
            await stack.enter_async_context(running_worker_process(running_app, log, **env))
        jobs = [await running_app.request_job() for _ in range(JOBS)]
        ends = await asyncio.gather(*(wait_for_end(running_app, job, within=120) for job in jobs))
    assert all("claimed" in (tmp_path / f"worker{s}").read_text() for s in (SKEW, -SKEW))
    for job in jobs:
        await assert_complete_timeline(running_app, job)
    attempts = [row["attempt"] for row in await running_app.rows("SELECT attempt FROM jobs")]
    disordered = await running_app.rows(
        "SELECT 1 FROM job_events a JOIN job_events b ON a.job_id = b.job_id "
        "AND a.seq < b.seq AND a.created_at > b.created_at"
    )
    record_promise(
        "P12",
        f"{sum(attempts) - len(attempts)} double claims of {JOBS} jobs by workers at ±{SKEW} s, "
        f"{len(disordered)} events out of order",
        {end["status"] for end in ends} == {"SUCCESS"} and set(attempts) == {1} and not disordered,
    )
