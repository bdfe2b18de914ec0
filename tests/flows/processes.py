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


@contextlib.asynccontextmanager
async def worker(world: World, log: Path, **env: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """`atelier worker` against the test's services; asked to end, then made to."""
    process = await start_worker(world, log, **env)
    try:
        yield process
    finally:
        if process.returncode is None:
            await ended(process)


async def start_worker(world: World, log: Path, **env: str) -> asyncio.subprocess.Process:
    """Start `atelier worker`; its log goes to the end of `log`."""
    with log.open("ab") as output:
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "backend.cli", "worker", "--slots", "1"),
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
