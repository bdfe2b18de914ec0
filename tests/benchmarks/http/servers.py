"""The three servers, each one process of its own, and what it has used of the machine."""

import asyncio
import contextlib
import os
import socket
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass

from tests.benchmarks.running import Running

UVICORN = ("-m", "uvicorn", "--no-access-log", "--log-level", "warning", "--fd")
COMMANDS = {
    "ours": ("-m", "backend.cli", "serve", "--fd"),
    "uncached": ("-m", "tests.benchmarks.http.uncached", "serve", "--fd"),
    "peer": UVICORN,
    "bare": UVICORN,
}
OURS = ("ours", "uncached")


@dataclass(frozen=True)
class Server(Running):
    """One of the servers, listening."""

    port: int


@contextlib.asynccontextmanager
async def server(name: str, environment: dict[str, str]) -> AsyncIterator[Server]:
    """The server, until the block ends."""
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as listening:
        # Connections inherit it; uvicorn takes an inherited socket for one that needs none.
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        port, fd = listening.getsockname()[1], listening.fileno()
        app = () if name in OURS else (f"tests.benchmarks.http.{name}:app",)
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, *COMMANDS[name], str(fd), *app),
            env={**os.environ, **environment},
            pass_fds=[fd],
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL if name in OURS else None,
        )
    try:
        yield Server(name=name, port=port, pid=process.pid)
    finally:
        process.terminate()
        await process.wait()
