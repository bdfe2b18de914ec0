"""Workers that are killed at any stage, and a dead one whose heartbeats really have to stop."""

from pathlib import Path

import pytest

from tests.flows.processes import (
    STAGES,
    kill_worker_after,
    running_worker_process,
    start_worker,
    wait_for_end,
    wait_for_row,
)
from tests.running_app import RunningApp


@pytest.mark.parametrize("stage", STAGES[:-1])
async def test_a_worker_killed_after_any_stage_is_taken_over_at_the_next(
    running_app: RunningApp, tmp_path: Path, stage: str
) -> None:
    await kill_worker_after(stage, running_app, tmp_path)


async def test_a_dead_workers_job_is_resumed_within_a_minute(
    running_app: RunningApp, tmp_path: Path
) -> None:
    await running_app.install()
    public_id = await running_app.request_job()
    first = await start_worker(running_app, tmp_path / "log")
    await wait_for_row(running_app, "SELECT 1 FROM job_stages WHERE job_id = :id", id=public_id)
    async with running_worker_process(running_app, tmp_path / "log"):
        first.kill()
        await first.wait()
        detail = await wait_for_end(running_app, public_id, within=60)
    assert detail["status"] == "SUCCESS"
