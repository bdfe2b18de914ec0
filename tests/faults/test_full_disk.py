"""Postgres' disk is full: nothing is acknowledged that is not stored, and it heals with space."""

import asyncio
import contextlib
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from backend.dev.services import EmbeddedPostgres, LocalServices
from backend.renderers.base import Renderer
from tests.faults.conftest import Measured
from tests.faults.postgres import durable_app
from tests.faults.web import running_web
from tests.faults.writers import Ledger, complete_jobs, writer
from tests.wait import wait_until

SIZE = "256m"


@contextlib.contextmanager
def small_disk() -> Iterator[Path]:
    """A file system of its own, which only root can make."""
    with tempfile.TemporaryDirectory(prefix="atelier-disk-") as directory:
        mounting = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={SIZE},mode=0755", "tmpfs", directory],
            capture_output=True,
            text=True,
            check=False,
        )
        if mounting.returncode:
            pytest.skip(f"no disk can be filled here: {mounting.stderr.strip()}")
        try:
            yield Path(directory)
        finally:
            subprocess.run(["umount", "--lazy", directory], check=False)


@pytest.mark.timeout(200)
@pytest.mark.promise("P9", "an accepted job survives a full disk", wanted="0 lost, 202 and 503")
async def test_a_full_disk_answers_503_and_loses_no_accepted_job(
    services: LocalServices, renderer: Renderer, tmp_path: Path, record_promise: Measured
) -> None:
    with small_disk() as disk:
        async with durable_app(services, renderer, disk) as (running_app, server):
            await running_app.install()
            ledger, stop = Ledger(), asyncio.Event()
            async with (
                running_web(
                    running_app.settings, running_app.shopify.origin, tmp_path / "log"
                ) as served,
                asyncio.TaskGroup() as group,
            ):
                for _ in range(8):
                    group.create_task(writer(running_app, served.url, ledger, stop))
                filler = disk / "filler"
                await wait_until(lambda: len(ledger.accepted) >= 100, 60)
                filled = await asyncio.to_thread(fill, filler)
                # Postgres first uses up the space that it had reserved.
                await wait_until(lambda: ledger.statuses[503] >= 20, 60)
                await asyncio.sleep(2)
                filler.unlink()
                is_down = not answers(server)
                if is_down:  # it gave up, as it does when it cannot write its log: systemd's turn
                    await asyncio.to_thread(server.restart)
                back_at = time.monotonic()
                await wait_until(lambda: ledger.accepted_at >= back_at, 20)
                healed = ledger.accepted_at - back_at
                stop.set()
            lost = set(ledger.accepted.values()) - await complete_jobs(running_app)
    record_promise(
        "P9",
        f"{len(lost)} of {len(ledger.accepted):,} lost, answers {dict(ledger.statuses)}, first "
        f"success {healed:.1f} s after there was space ({filled:,} MB taken; Postgres "
        f"{'had to be started again' if is_down else 'stayed up'})",
        not lost and ledger.is_honest(),
    )


def fill(filler: Path) -> int:
    """Take all the space there is; how many megabytes it was."""
    size = 0
    with filler.open("wb", buffering=0) as file:
        for block in (1 << 20, 1 << 12):
            with contextlib.suppress(OSError):
                while True:
                    size += file.write(b"\0" * block)
    return size >> 20


def answers(server: EmbeddedPostgres) -> bool:
    """Whether there is a postmaster."""
    with contextlib.suppress(OSError, ValueError):
        return Path(f"/proc/{server.pid}").exists()
    return False
