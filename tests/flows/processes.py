"""The product's commands as processes, for tests that kill them."""

import asyncio
import contextlib
import os
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import msgspec

from backend.dev.stack import stop_process
from backend.settings import Settings
from tests.running_app import RunningApp
from tests.wait import wait_until

STAGES = ["fetch", "validate", "segment", "compose", "encode"]


@contextlib.asynccontextmanager
async def running_worker_process(
    running_app: RunningApp, log: Path, *, program: str = "backend.cli", **env: str
) -> AsyncIterator[asyncio.subprocess.Process]:
    """`atelier worker` against the test's services; stopped when the block ends."""
    process = await start_worker(running_app, log, program=program, **env)
    try:
        yield process
    finally:
        if process.returncode is None:
            await stop_process(process)


async def start_worker(
    running_app: RunningApp, log: Path, *, program: str = "backend.cli", **env: str
) -> asyncio.subprocess.Process:
    """Start `atelier worker`; its log goes to the end of `log`."""
    with log.open("ab") as output:
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", program, "worker", "--slots", "1"),
            *("--stand-in", running_app.shopify.origin),
            env={**os.environ, **environment(running_app.settings), **env},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )


def free_address() -> str:
    """An address on which nobody listens yet."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"127.0.0.1:{listener.getsockname()[1]}"


@contextlib.asynccontextmanager
async def web_process(running_app: RunningApp, log: Path, **env: str) -> AsyncIterator[str]:
    """`atelier serve` against the test's services; its base URL."""
    address = free_address()
    with log.open("ab") as output:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "backend.cli", "serve", "--port", address.split(":")[1]),
            *("--stand-in", running_app.shopify.origin),
            env={**os.environ, **environment(running_app.settings), **env},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        base_url = f"http://{address}"
        await answering(f"{base_url}/health/live")
        yield base_url
    finally:
        process.terminate()
        await asyncio.wait_for(process.wait(), 20)


async def answering(url: str) -> str:
    """The body of that address, once it answers."""
    async with asyncio.timeout(30), httpx.AsyncClient() as http:
        while True:
            with contextlib.suppress(httpx.TransportError):
                return (await http.get(url)).text
            await asyncio.sleep(0.05)


def environment(settings: Settings) -> dict[str, str]:
    """The settings as environment variables."""
    fields = msgspec.structs.asdict(settings).items()
    return {name.upper(): str(value) for name, value in fields if value}


async def wait_for_end(
    running_app: RunningApp, public_id: str, *, within: float = 60
) -> dict[str, object]:
    """The job's detail once it has ended, asked for over HTTP."""
    async with asyncio.timeout(within):
        while True:
            detail = (await running_app.detail(public_id)).json()
            if detail["status"] in {"SUCCESS", "FAILURE"}:
                return dict(detail)
            await asyncio.sleep(0.1)


async def wait_for_row(
    running_app: RunningApp, sql: str, *, within: float = 60, **parameters: object
) -> None:
    """Wait until a query has a row."""
    await wait_until(lambda: running_app.rows(sql, **parameters), within)


async def expire_heartbeats(running_app: RunningApp) -> None:
    """Date the dead worker's heartbeats back, instead of waiting until they expire."""
    await running_app.execute(
        "UPDATE queue.pgqueuer SET heartbeat = now() - interval '1 hour' WHERE status = 'picked'"
    )


async def assert_complete_timeline(running_app: RunningApp, public_id: str) -> None:
    """Events without gaps, every stage once, exactly one end."""
    events = await running_app.rows(
        "SELECT seq, event_type, stage FROM job_events WHERE job_id = :id ORDER BY seq",
        id=public_id,
    )
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert [event["stage"] for event in events if event["event_type"] == "stage"] == STAGES
    assert [event["event_type"] for event in events][-1] == "succeeded"


async def kill_worker_after(stage: str, running_app: RunningApp, tmp_path: Path) -> None:
    """Kill a worker once it has recorded that stage: another goes on with the next."""
    await running_app.install()
    public_id = await running_app.request_job()
    first = await start_worker(running_app, tmp_path / "log")
    await wait_for_row(
        running_app,
        "SELECT 1 FROM job_stages WHERE job_id = :id AND stage = :s",
        id=public_id,
        s=stage,
    )
    first.kill()
    await first.wait()
    before = await running_app.rows(
        "SELECT stage, attempt FROM job_stages WHERE job_id = :id", id=public_id
    )
    await expire_heartbeats(running_app)
    async with running_worker_process(running_app, tmp_path / "log"):
        assert (await wait_for_end(running_app, public_id))["status"] == "SUCCESS"
    await assert_complete_timeline(running_app, public_id)
    after = await running_app.rows(
        "SELECT stage, attempt FROM job_stages WHERE job_id = :id", id=public_id
    )
    assert all(row in after for row in before), "a finished stage was made again"


# `atelier serve`, which names the modules it has loaded once it has been told to stop.
SERVE_AND_TELL = """
import atexit, sys
from backend.cli import main
atexit.register(lambda: print(*sys.modules))
main(sys.argv[1:])
"""


@contextlib.asynccontextmanager
async def running_web_process(
    running_app: RunningApp, log: Path | None = None
) -> AsyncIterator[tuple[asyncio.subprocess.Process, int]]:
    """`atelier serve` for this app, and its port. Its output goes to `log` if given."""
    with (
        socket.create_server(("127.0.0.1", 0)) as listening,
        log.open("ab") if log else contextlib.nullcontext() as output,
    ):
        port = listening.getsockname()[1]
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", SERVE_AND_TELL, "serve"),
            *("--fd", str(listening.fileno()), "--stand-in", running_app.shopify.origin),
            env={**os.environ, **environment(running_app.settings)},
            pass_fds=[listening.fileno()],
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output or asyncio.subprocess.PIPE,
            stderr=output,
            start_new_session=True,
        )
    try:
        yield process, port
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
