"""`atelier dev`, ended by whoever supervises it rather than by Ctrl-C."""

import asyncio
import signal
from pathlib import Path

import psutil

from tests.backend.test_cli import assert_nothing_left, development, temporary

__all__ = ["temporary"]


async def test_a_terminated_dev_leaves_nothing_behind(temporary: Path) -> None:
    async with development(temporary) as (process, _):
        family = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 30) == 0
        assert_nothing_left(temporary, family)
