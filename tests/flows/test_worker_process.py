"""The worker as a process of its own: it is killed, stopped and cut off, and nothing is lost."""

import asyncio
import signal
from pathlib import Path

import pytest

from tests.flows.processes import (
    assert_complete_timeline,
    expire_heartbeats,
    kill_worker_after,
    running_worker_process,
    start_worker,
    wait_for_end,
    wait_for_row,
)
from tests.running_app import RunningApp

pytestmark = pytest.mark.slow  # it starts processes


async def test_a_worker_process_turns_a_webhook_into_images(
    running_app: RunningApp, tmp_path: Path
) -> None:
    await running_app.install()
    product = running_app.product()
    async with running_worker_process(running_app, tmp_path / "log"):
        await running_app.send("products/create")
        await wait_for_row(
            running_app, "SELECT 1 FROM jobs WHERE request->>'product_id' = :g", g=product.gid
        )
        job = (await running_app.rows("SELECT public_id FROM jobs"))[0]["public_id"]
        detail = await wait_for_end(running_app, job)
    assert detail["status"] == "SUCCESS"
    await assert_complete_timeline(running_app, job)


async def test_a_killed_worker_is_taken_over_at_the_next_stage(
    running_app: RunningApp, tmp_path: Path
) -> None:
    """After the most expensive stage here; `make faults` has them all, and without help."""
    await kill_worker_after("segment", running_app, tmp_path)


async def test_a_stopped_worker_hands_its_job_over(running_app: RunningApp, tmp_path: Path) -> None:
    await running_app.install()
    public_id = await running_app.request_job()
    first = await start_worker(running_app, tmp_path / "log")
    await wait_for_row(running_app, "SELECT 1 FROM job_stages WHERE job_id = :id", id=public_id)
    first.send_signal(signal.SIGTERM)
    assert await asyncio.wait_for(first.wait(), 60) == 0
    waiting = await running_app.rows(
        "SELECT status FROM queue.pgqueuer WHERE entrypoint = 'run_job'"
    )
    assert [row["status"] for row in waiting] in ([], ["queued"])
    async with running_worker_process(running_app, tmp_path / "log"):
        assert (await wait_for_end(running_app, public_id))["status"] == "SUCCESS"
    await assert_complete_timeline(running_app, public_id)


async def test_a_worker_survives_losing_its_database_connections(
    running_app: RunningApp, tmp_path: Path
) -> None:
    await running_app.install()
    async with running_worker_process(running_app, tmp_path / "log") as process:
        await wait_for_row(
            running_app, "SELECT 1 FROM queue.pgqueuer_schedules"
        )  # it is in its loop
        await running_app.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        product = running_app.product()
        await running_app.send("products/create")
        await wait_for_row(
            running_app, "SELECT 1 FROM jobs WHERE request->>'product_id' = :g", g=product.gid
        )
        job = (await running_app.rows("SELECT public_id FROM jobs"))[0]["public_id"]
        assert (await wait_for_end(running_app, job))["status"] == "SUCCESS"
        assert process.returncode is None


async def test_a_job_that_kills_every_worker_ends_after_three_attempts(
    running_app: RunningApp, tmp_path: Path
) -> None:
    await running_app.install()
    public_id = await running_app.request_job()
    for attempt in (1, 2, 3):
        doomed = await start_worker(running_app, tmp_path / "log")
        taken = "SELECT 1 FROM jobs WHERE public_id = :id AND attempt = :n"
        await wait_for_row(running_app, taken, id=public_id, n=attempt)
        doomed.kill()
        await doomed.wait()
        await running_app.execute(
            "DELETE FROM job_stages"
        )  # whatever it managed to do does not count
        await running_app.execute("UPDATE jobs SET strikes = :n", n=attempt)
        await expire_heartbeats(running_app)
    async with running_worker_process(running_app, tmp_path / "log"):
        detail = await wait_for_end(running_app, public_id)
    assert detail["status"] == "FAILURE"
    event = detail["latest_event"]
    assert isinstance(event, dict)
    assert event["extra"]["error"]["code"] == "WORKER_CRASHED"
