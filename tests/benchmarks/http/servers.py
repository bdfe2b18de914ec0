"""The three servers, each one process of its own, and what it has used of the machine."""

import asyncio
import contextlib
import os
import secrets
import socket
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from backend.shops.sealing import new_key

TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")
UVICORN = ("-m", "uvicorn", "--no-access-log", "--log-level", "warning", "--fd")
COMMANDS = {
    "ours": ("-m", "backend.cli", "serve", "--fd"),
    "peer": UVICORN,
    "bare": UVICORN,
}


def settings(database_url: str) -> dict[str, str]:
    """The environment of the servers. No bucket is needed: presigning is done offline."""
    return {
        "DATABASE_URL": database_url,
        "S3_BUCKET": "bench",
        "S3_ENDPOINT_URL": "http://127.0.0.1:9",
        "AWS_ACCESS_KEY_ID": "bench",
        "AWS_SECRET_ACCESS_KEY": secrets.token_hex(16),
        "AWS_DEFAULT_REGION": "us-east-1",
        "SHOPIFY_API_KEY": secrets.token_hex(16),
        "SHOPIFY_API_SECRET": secrets.token_hex(16),
        "TOKEN_KEYS": new_key(),
        "RATE_LIMIT_READS": "10000000/minute",
        "RATE_LIMIT_WRITES": "10000000/minute",
        "PYTHONPATH": str(Path.cwd()),
    }


@dataclass(frozen=True)
class Server:
    """One of the servers, listening."""

    name: str
    port: int
    pid: int

    @property
    def cpu_seconds(self) -> float:
        """The processor time that the process has used so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(") ")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    @property
    def memory_mb(self) -> float:
        """The memory it occupies."""
        return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * PAGE / 1e6


@contextlib.asynccontextmanager
async def server(name: str, environment: dict[str, str]) -> AsyncIterator[Server]:
    """The server, until the block ends."""
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as listening:
        # Connections inherit it; uvicorn takes an inherited socket for one that needs none.
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        port, fd = listening.getsockname()[1], listening.fileno()
        app = () if name == "ours" else (f"tests.benchmarks.http.{name}:app",)
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, *COMMANDS[name], str(fd), *app),
            env={**os.environ, **environment},
            pass_fds=[fd],
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL if name == "ours" else None,
        )
    try:
        yield Server(name=name, port=port, pid=process.pid)
    finally:
        process.terminate()
        await process.wait()
