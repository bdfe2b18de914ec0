"""A worker stopped by SIGSTOP that wakes after its job was taken over."""

import os
import signal
from pathlib import Path

import pytest

from tests.faults.conftest import Measured
from tests.flows.processes import (
    assert_complete_timeline,
    expire_heartbeats,
    running_worker_process,
    start_worker,
    wait_for_end,
)
from tests.running_app import RunningApp
from tests.wait import wait_until

ROUNDS = int(os.environ.get("ZOMBIES", "5"))


@pytest.mark.timeout(300)
@pytest.mark.promise("P12", "a zombie's late writes are fenced", wanted="0 late writes, 1 end each")
async def test_a_worker_that_wakes_too_late_changes_nothing(
    running_app: RunningApp, tmp_path: Path, record_promise: Measured
) -> None:
    await running_app.install()
    late = 0
    for number in range(ROUNDS):
        public_id = await running_app.request_job()
        log = tmp_path / f"zombie-{number}"
        zombie = await start_worker(running_app, log)
        try:
            await until_recorded(running_app, public_id, ("fetch", "validate")[number % 2])
            zombie.send_signal(signal.SIGSTOP)
            await expire_heartbeats(running_app)
            async with running_worker_process(running_app, tmp_path / "successor"):
                assert (await wait_for_end(running_app, public_id))["status"] == "SUCCESS"
            before = await everything(running_app, public_id)
            zombie.send_signal(signal.SIGCONT)
            await until_fenced(log)
            late += await everything(running_app, public_id) != before
            await assert_complete_timeline(running_app, public_id)
        finally:
            zombie.kill()
            await zombie.wait()
    record_promise("P12", f"{late} late writes by {ROUNDS} zombies, 1 end each", late == 0)


async def until_fenced(log: Path) -> None:
    """Wait until the worker has gone on, come to its next write, and met the fence."""
    await wait_until(lambda: b"job_fenced" in log.read_bytes(), 60)


async def until_recorded(running_app: RunningApp, public_id: str, stage: str) -> None:
    """Wait until the job has that checkpoint."""
    sql = "SELECT 1 FROM job_stages WHERE job_id = :id AND stage = :stage"
    await wait_until(lambda: running_app.rows(sql, id=public_id, stage=stage), 60)


async def everything(running_app: RunningApp, public_id: str) -> list[dict[str, object]]:
    """The job's rows in all tables, as text."""
    return await running_app.rows(
        """
        SELECT j::text FROM jobs j WHERE public_id = :id
        UNION ALL SELECT e::text FROM job_events e WHERE job_id = :id
        UNION ALL SELECT s::text FROM job_stages s WHERE job_id = :id
        UNION ALL SELECT a::text FROM artifacts a WHERE job_id = :id
        ORDER BY 1
        """,
        id=public_id,
    )
