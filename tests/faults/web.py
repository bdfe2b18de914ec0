"""`atelier serve` on a socket that the test keeps, so that it can be killed and started again."""

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import httpx

from backend.settings import Settings
from tests.flows.processes import environment

READY = 30  # seconds


class WebProcess:
    """One web server: its address stays, its process may change."""

    def __init__(self, settings: Settings, stand_in: str, log: Path) -> None:
        self.socket = socket.create_server(("127.0.0.1", 0), backlog=2048)
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}"
        self.settings, self.stand_in, self.log = settings, stand_in, log
        self.process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start a process. Who connects before it is ready waits in the socket's queue."""
        with self.log.open("ab") as output:
            self.process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "backend.cli", "serve"),
                *("--fd", str(self.socket.fileno()), "--stand-in", self.stand_in),
                env={**os.environ, **environment(self.settings)},
                pass_fds=[self.socket.fileno()],
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    async def kill(self) -> None:
        """kill -9."""
        await self.end(signal.SIGKILL)

    async def end(self, number: signal.Signals = signal.SIGTERM, *, within: float = 30) -> int:
        """Send the signal and wait for the end; the exit code."""
        assert self.process is not None
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(number)
        return await asyncio.wait_for(self.process.wait(), within)


@contextlib.asynccontextmanager
async def running_web(settings: Settings, stand_in: str, log: Path) -> AsyncIterator[WebProcess]:
    """A web process that answers."""
    served = WebProcess(settings, stand_in, log)
    await served.start()
    try:
        async with httpx.AsyncClient(base_url=served.url, timeout=READY) as client:
            assert (await client.get("/health/ready")).status_code == 200
        yield served
    finally:
        await served.kill()
        served.socket.close()
