"""`atelier dev`, ended by whoever supervises it rather than by Ctrl-C."""

import asyncio
import signal
from pathlib import Path

import psutil
import pytest

from tests.commands import assert_nothing_left, make_service_directory, running_dev

service_directory = pytest.fixture(make_service_directory)


async def test_a_terminated_dev_leaves_nothing_behind(service_directory: Path) -> None:
    async with running_dev(service_directory) as (process, _):
        family = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 30) == 0
        assert_nothing_left(service_directory, family)
