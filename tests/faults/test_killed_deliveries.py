"""kill -9 of the worker between a webhook's request, its answer and the commit: none is lost."""

import asyncio
import contextlib
import os
import random
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from backend.worker.endpoint_upkeep import wake_endpoints
from tests.backend.webhook_endpoints.receiver import OK, Receiver, add, open_receiver
from tests.faults.conftest import Measured
from tests.flows.processes import environment, expire_heartbeats
from tests.running_app import RunningApp
from tests.scenarios import waiting_job
from tests.wait import wait_until

KILLS = int(os.environ.get("DELIVERY_KILLS", "50"))
EVENTS = 3  # in each round
PENDING = "SELECT 1 FROM endpoint_deliveries WHERE status = 'pending' LIMIT 1"


@pytest.mark.timeout(600)
@pytest.mark.promise("P63", "a killed worker loses no webhook", wanted="0 lost")
async def test_killing_the_worker_loses_no_webhook(
    running_app: RunningApp, tmp_path: Path, record_promise: Measured
) -> None:
    await running_app.install()
    chance = random.Random(7)
    async with open_receiver() as receiver, forked_workers(running_app, tmp_path / "log") as start:
        endpoint = await add(running_app, receiver.url)
        before_answer = 0
        for number in range(KILLS):
            before_answer += await killed_round(running_app, receiver, start, number, chance)
            assert receiver.requests[-1].verified(str(endpoint["secret"]))
        receiver.answers = [OK]
        worker = await start()
        await wait_until(lambda: all_delivered(running_app), 120, poll=0.1)
        os.kill(worker, signal.SIGKILL)
    events = await running_app.rows("SELECT event_id, status FROM endpoint_deliveries")
    received = Counter(receiver.ids())
    lost = {row["event_id"] for row in events} - set(received)
    record_promise(
        "P63",
        f"{len(lost)} of {len(events)} lost in {KILLS} kills, {before_answer} of them between "
        f"request and answer; {sum(received.values()) - len(received)} were sent again under the "
        "same webhook-id",
        not lost
        and len(events) == KILLS * EVENTS
        and before_answer > 0
        and {row["status"] for row in events} == {"succeeded"},
    )


async def killed_round(
    running_app: RunningApp,
    receiver: Receiver,
    start: "Start",
    number: int,
    chance: random.Random,
) -> bool:
    """Cause events, kill the worker in the middle; whether it waited for an answer then."""
    waits_for_answer = number % 2 == 0
    receiver.answers = [None] if waits_for_answer else [OK]
    seen = len(receiver.requests)
    for _ in range(EVENTS):
        await waiting_job(running_app)
    await running_app.execute(
        "UPDATE jobs SET status = 'FAILURE', finished_at = now() WHERE status = 'NOT_STARTED'"
    )
    await running_app.execute("DELETE FROM queue.pgqueuer WHERE entrypoint = 'run_job'")
    worker = await start()
    await wait_until(lambda: len(receiver.requests) > seen, 30, poll=0.002)
    if not waits_for_answer:
        await asyncio.sleep(chance.uniform(0, 0.02))  # until about the commit of the result
    os.kill(worker, signal.SIGKILL)
    receiver.ended.set()
    receiver.ended = asyncio.Event()
    await expire_leases(running_app)
    return waits_for_answer


async def expire_leases(running_app: RunningApp) -> None:
    """Date what the dead worker held back, instead of waiting until it expires."""
    await wait_until(lambda: is_idle(running_app), 30, poll=0.02)
    await expire_heartbeats(running_app)
    await running_app.execute("UPDATE webhook_endpoints SET drained_until = NULL")
    await running_app.execute(
        "UPDATE endpoint_deliveries SET next_attempt_at = now() WHERE status = 'pending'"
    )
    await wake_endpoints(running_app.database)


async def is_idle(running_app: RunningApp) -> bool:
    """Whether Postgres has rolled back what the dead worker had open."""
    return not await running_app.rows(
        "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() "
        "AND state LIKE 'idle in transaction%' AND pid <> pg_backend_pid()"
    )


async def all_delivered(running_app: RunningApp) -> bool:
    """Whether nothing is left to deliver; what failed while the worker died is due at once."""
    if not await running_app.rows(PENDING):
        return True
    await running_app.execute(
        "UPDATE endpoint_deliveries SET next_attempt_at = now() "
        "WHERE status = 'pending' AND next_attempt_at > now() AND error IS NOT NULL"
    )
    await wake_endpoints(running_app.database)
    return False


class Start:
    """Starts a worker; its process ID."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    async def __call__(self) -> int:
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(b"\n")
        return int(await self.process.stdout.readline())


@contextlib.asynccontextmanager
async def forked_workers(running_app: RunningApp, log: Path) -> AsyncIterator[Start]:
    """The process that forks workers."""
    with log.open("ab") as output:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.faults.delivery_worker", running_app.shopify.origin),
            env={**os.environ, **environment(running_app.settings)},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=output,
        )
    try:
        yield Start(process)
    finally:
        process.kill()
        await process.wait()
