"""systemd watchdog notifications of real processes."""

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from backend.metrics import EVENT_LOOP_LAG
from backend.settings import Settings
from backend.watchdog import watched_loop
from tests.faults.edge import free_port
from tests.flows.processes import environment
from tests.wait import wait_until

BLOCKED_LATER = """
import asyncio, time
from backend.watchdog import watched_loop

async def main():
    async with watched_loop(interval=0.05):
        await asyncio.sleep(0.5)
        print("blocked", flush=True)
        time.sleep(1.5)
        print("free", flush=True)
        await asyncio.sleep(60)

asyncio.run(main())
"""


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[socket.socket]:
    """The socket that systemd would listen on."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.setblocking(False)
        yield listening


@contextlib.asynccontextmanager
async def process(
    systemd: socket.socket, *arguments: str, **env: str
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Python with these arguments and that socket; killed when the block ends."""
    running = await asyncio.create_subprocess_exec(
        *(sys.executable, *arguments),
        env={**os.environ, **env, "NOTIFY_SOCKET": systemd.getsockname()},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        yield running
    finally:
        with contextlib.suppress(ProcessLookupError):
            running.kill()
        await running.wait()


async def next_notification(systemd: socket.socket, *, within: float = 30) -> bytes:
    """The next message."""
    return await asyncio.wait_for(asyncio.get_running_loop().sock_recv(systemd, 100), within)


async def test_a_blocked_loop_sends_no_watchdog_messages(systemd: socket.socket) -> None:
    async with process(systemd, "-c", BLOCKED_LATER) as child:
        assert child.stdout is not None
        assert [await next_notification(systemd) for _ in range(4)] == [
            b"READY=1",
            *[b"WATCHDOG=1"] * 3,
        ]
        assert await child.stdout.readline() == b"blocked\n"
        while True:  # what was said before
            try:
                systemd.recv(100)
            except BlockingIOError:
                break
        with pytest.raises(TimeoutError):
            await next_notification(systemd, within=1)
        assert await child.stdout.readline() == b"free\n"
        assert await next_notification(systemd) == b"WATCHDOG=1"


@pytest.mark.parametrize("command", ["serve", "worker"])
async def test_web_and_worker_notify_systemd_when_ready_and_alive(
    systemd: socket.socket, settings: Settings, command: str
) -> None:
    arguments = ["-m", "backend.cli", command]
    arguments += ["--port", str(free_port())] if command == "serve" else ["--slots", "1"]
    async with process(systemd, *arguments, **environment(settings)) as child:
        assert [await next_notification(systemd) for _ in range(3)] == [
            b"READY=1",
            *[b"WATCHDOG=1"] * 2,
        ]
        child.send_signal(signal.SIGTERM)
        while (said := await next_notification(systemd)) == b"WATCHDOG=1":
            pass
        assert said == b"STOPPING=1"


async def test_the_event_loop_lag_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    measured: list[float] = []  # all values: the gauge's changes with each
    monkeypatch.setattr(EVENT_LOOP_LAG, "set", measured.append)
    async with watched_loop({}, interval=0.01):
        await wait_until(lambda: measured)
        assert min(measured) < 0.2
        measured.clear()
        blocked = asyncio.get_running_loop().time() + 0.3
        while asyncio.get_running_loop().time() < blocked:
            pass
        await wait_until(lambda: max(measured, default=0.0) > 0.2)


async def test_the_watchdog_does_nothing_without_systemd() -> None:
    async with watched_loop({}):
        await asyncio.sleep(0)
    async with watched_loop({"NOTIFY_SOCKET": "/nowhere/at/all"}):
        await asyncio.sleep(0)
