"""kill -9 of a worker at each step of a stage: the next one goes on where it stopped.

The steps are found from outside, by what the worker says to Postgres and to S3 through a proxy,
which freezes it there.
"""

import asyncio
import dataclasses
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
import pytest

from backend.dev.services import LocalServices
from backend.settings import Settings
from tests.faults.conftest import Measured
from tests.faults.postgres import before_postgres, through
from tests.faults.proxy import FaultProxy, Hold
from tests.flows.processes import (
    assert_complete_timeline,
    expire_heartbeats,
    running_worker_process,
    start_worker,
    wait_for_end,
)
from tests.running_app import RunningApp
from tests.wait import wait_until

CHECKPOINT = b"INSERT INTO job_stages"
CLAIM = b"attempt=(jobs.attempt + "
HEARTBEAT = b"SET heartbeat = NOW() WHERE id = ANY"

# A claim and a stage's record are one statement each, and so their own commit.
DATABASE = {
    "before the claim's commit": Hold(words=CLAIM),
    "before a stage's commit": Hold(words=CHECKPOINT),
    "during a heartbeat": Hold(words=HEARTBEAT),
}
CLAIMED = "SELECT 1 FROM jobs WHERE status = 'IN_PROGRESS'"
RECORDED = (
    "SELECT 1 FROM job_stages s JOIN jobs j ON j.public_id = s.job_id"
    " WHERE j.status = 'IN_PROGRESS' AND s.stage = 'validate'"
)
STORAGE = {
    "before a put": Hold(words=b"PUT /"),
    "after a put": Hold(words=b"PUT /", answered=True),
}


@pytest.mark.timeout(400)
@pytest.mark.promise(
    "P11", "a worker killed at any step is taken over", wanted="SUCCESS, no finished stage redone"
)
@pytest.mark.promise("P12", "a job that was killed at any step ends once", wanted="1 end each")
async def test_a_worker_killed_at_any_step_is_taken_over_at_the_next_stage(
    running_app: RunningApp, services: LocalServices, tmp_path: Path, record_promise: Measured
) -> None:
    await running_app.install()
    s3 = urlsplit(services.s3.endpoint_url)
    connect = partial(asyncio.open_connection, s3.hostname, s3.port)
    seconds: dict[str, float] = {}
    async with before_postgres(services.postgres) as postgres, FaultProxy(connect) as storage:
        settings = msgspec.structs.replace(
            through(postgres, running_app.settings),
            s3_endpoint_url=f"http://127.0.0.1:{storage.port}",
        )
        steps: list[tuple[str, Callable[[], Awaitable[None]]]] = [
            *((step, partial(frozen, postgres, hold)) for step, hold in DATABASE.items()),
            *((step, partial(frozen, storage, hold)) for step, hold in STORAGE.items()),
            ("after the claim's commit", partial(wait_for_commit, running_app, CLAIMED)),
            ("after a stage's commit", partial(wait_for_commit, running_app, RECORDED)),
            ("during a render", partial(rendering, running_app)),
        ]
        for step, reached in steps:
            # A heartbeat comes only from a job that takes ten seconds: its put is made slow.
            storage.latency = 12.0 if "heartbeat" in step else 0.0
            seconds[step] = await killed(running_app, settings, tmp_path / "log", reached)
            postgres.heal()
            storage.heal()
    slowest = max(seconds, key=lambda step: seconds[step])
    told = f"{len(seconds)} of {len(seconds)} steps, slowest {seconds[slowest]:.1f} s ({slowest})"
    record_promise("P11", told, len(seconds) == 8)
    ends = await running_app.rows(
        "SELECT count(*) FROM job_events WHERE event_type IN ('succeeded', 'failed')"
        " GROUP BY job_id"
    )
    record_promise(
        "P12",
        f"{len(ends)} jobs, {sum(row['count'] for row in ends)} ends",
        [row["count"] for row in ends] == [1] * len(seconds),
    )


async def killed(
    running_app: RunningApp, settings: Settings, log: Path, reached: Callable[[], Awaitable[None]]
) -> float:
    """Kill a worker as soon as it has come so far; how long its successor takes to the end."""
    public_id = await running_app.request_job()
    doomed = await start_worker(dataclasses.replace(running_app, settings=settings), log)
    try:
        async with asyncio.timeout(60):
            await reached()
    finally:
        doomed.kill()
        await doomed.wait()
    before = await checkpoints(running_app, public_id)
    await expire_heartbeats(running_app)
    started = time.monotonic()
    async with running_worker_process(running_app, log):
        assert (await wait_for_end(running_app, public_id))["status"] == "SUCCESS"
    await assert_complete_timeline(running_app, public_id)
    after = await checkpoints(running_app, public_id)
    assert all(after[stage] == attempt for stage, attempt in before.items()), "made again"
    return time.monotonic() - started


async def frozen(proxy: FaultProxy, hold: Hold) -> None:
    """The worker has said the words, and waits for ever."""
    proxy.hold = hold
    await hold.reached.wait()


async def wait_for_commit(running_app: RunningApp, sql: str) -> None:
    """The worker has committed it."""
    await wait_until(lambda: running_app.rows(sql), 60, poll=0.005)


async def rendering(running_app: RunningApp) -> None:
    """The cut-out is being made: the stage before it is recorded, and the child is busy."""
    await wait_for_commit(running_app, RECORDED)
    await asyncio.sleep(0.1)


async def checkpoints(running_app: RunningApp, public_id: str) -> dict[str, int]:
    """Which attempt has made which stage."""
    rows = await running_app.rows(
        "SELECT stage, attempt FROM job_stages WHERE job_id = :id", id=public_id
    )
    return {row["stage"]: row["attempt"] for row in rows}
