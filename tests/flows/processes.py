"""The product's own commands as processes of their own, for tests that kill them."""

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec

from backend.dev.stack import ended
from backend.settings import Settings
from tests.world import World

STAGES = ["fetch", "validate", "segment", "compose", "encode"]


@contextlib.asynccontextmanager
async def worker(
    world: World, log: Path, *, program: str = "backend.cli", **env: str
) -> AsyncIterator[asyncio.subprocess.Process]:
    """`atelier worker` against the test's services; asked to end, then made to."""
    process = await start_worker(world, log, program=program, **env)
    try:
        yield process
    finally:
        if process.returncode is None:
            await ended(process)


async def start_worker(
    world: World, log: Path, *, program: str = "backend.cli", **env: str
) -> asyncio.subprocess.Process:
    """Start `atelier worker`; its log goes to the end of `log`."""
    with log.open("ab") as output:
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", program, "worker", "--slots", "1"),
            *("--stand-in", world.shopify.origin),
            env={**os.environ, **environment(world.settings), **env},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )


def environment(settings: Settings) -> dict[str, str]:
    """The settings as environment variables."""
    fields = msgspec.structs.asdict(settings).items()
    return {name.upper(): str(value) for name, value in fields if value}


async def ended_job(world: World, public_id: str, *, within: float = 60) -> dict[str, object]:
    """The job's detail once it has ended, asked for over HTTP."""
    async with asyncio.timeout(within):
        while True:
            detail = (await world.detail(public_id)).json()
            if detail["status"] in {"SUCCESS", "FAILURE"}:
                return dict(detail)
            await asyncio.sleep(0.1)


async def until(world: World, sql: str, *, within: float = 60, **parameters: object) -> None:
    """Wait until a query has a row."""
    async with asyncio.timeout(within):
        while not await world.rows(sql, **parameters):
            await asyncio.sleep(0.02)


async def make_due(world: World) -> None:
    """Let the dead worker's heartbeats have stopped long ago, instead of waiting for it."""
    await world.execute(
        "UPDATE queue.pgqueuer SET heartbeat = now() - interval '1 hour' WHERE status = 'picked'"
    )


async def assert_whole_timeline(world: World, public_id: str) -> None:
    """Events without gaps, every stage once, exactly one end."""
    events = await world.rows(
        "SELECT seq, event_type, stage FROM job_events WHERE job_id = :id ORDER BY seq",
        id=public_id,
    )
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert [event["stage"] for event in events if event["event_type"] == "stage"] == STAGES
    assert [event["event_type"] for event in events][-1] == "succeeded"


async def taken_over_after(stage: str, world: World, tmp_path: Path) -> None:
    """Kill a worker once it has recorded that stage: another goes on with the next."""
    await world.install()
    public_id = await world.request_job()
    first = await start_worker(world, tmp_path / "log")
    await until(
        world, "SELECT 1 FROM job_stages WHERE job_id = :id AND stage = :s", id=public_id, s=stage
    )
    first.kill()
    await first.wait()
    before = await world.rows(
        "SELECT stage, attempt FROM job_stages WHERE job_id = :id", id=public_id
    )
    await make_due(world)
    async with worker(world, tmp_path / "log"):
        assert (await ended_job(world, public_id))["status"] == "SUCCESS"
    await assert_whole_timeline(world, public_id)
    after = await world.rows(
        "SELECT stage, attempt FROM job_stages WHERE job_id = :id", id=public_id
    )
    assert all(row in after for row in before), "a finished stage was made again"
