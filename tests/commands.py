"""The `atelier` command as a process of its own, and what such a process leaves behind."""

import asyncio
import contextlib
import json
import os
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import psutil

COMPLETE_ENVIRONMENT = {
    "DATABASE_URL": "postgresql://localhost/atelier",
    "S3_BUCKET": "atelier",
    "SHOPIFY_API_KEY": "key",
    "SHOPIFY_API_SECRET": "shpss_0123456789abcdef0123456789abcdef",
}
ROOT = Path(__file__).parents[1]


SECRET = "an-outsider-knows-this-secret-of-the-app"


async def start_atelier(*arguments: str, **env: Any) -> asyncio.subprocess.Process:
    """Start a command, from another folder than the project's; with `stdin`, or without any."""
    stdin = env.pop("stdin", asyncio.subprocess.DEVNULL)
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("SHOPIFY_", "AWS_", "S3_", "DATABASE_"))
    }
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "backend.cli", *arguments),
        cwd=ROOT,
        env={**inherited, **env},
        stdin=stdin,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )


def make_service_directory() -> Iterator[Path]:
    """For a fixture: a directory for the services' data.

    Not pytest's own, which the user that Postgres runs as cannot reach.
    """
    directory = Path(tempfile.mkdtemp(prefix="atelier-cli-"))
    yield directory
    shutil.rmtree(directory, ignore_errors=True)


def assert_nothing_left(directory: Path, processes: list[psutil.Process]) -> None:
    """No process still runs from the directory, and no file is left in it."""
    _, alive = psutil.wait_procs(processes, timeout=5)
    assert alive == []
    assert [
        process.pid
        for process in psutil.process_iter(["cmdline"])
        if any(str(directory) in word for word in process.info["cmdline"] or [])
    ] == []
    # `runtime-<uid>` holds the lock file of the library that starts Postgres.
    assert [path for path in directory.iterdir() if not path.name.startswith("runtime-")] == []


@contextlib.asynccontextmanager
async def running_dev(
    directory: Path,
) -> AsyncIterator[tuple[asyncio.subprocess.Process, dict[str, Any]]]:
    """`atelier dev`, ready, with what it said of itself."""
    process = await start_atelier("dev", TMPDIR=str(directory), SHOPIFY_API_SECRET=SECRET)
    assert process.stdout is not None
    try:
        line = await asyncio.wait_for(process.stdout.readline(), 60)
        yield process, json.loads(line)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def repairs_by_kind(out: str) -> dict[str, tuple[int, int]]:
    """Found and repaired by kind, as printed; log lines aside."""
    lines = [line.split() for line in out.splitlines() if line.endswith(" repaired")]
    return {words[-5]: (int(words[-4]), int(words[-2])) for words in lines}


async def run_reconcile(*arguments: str) -> tuple[int | None, str, str]:
    """`atelier reconcile …` as a process: exit code, stdout and stderr."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "backend.cli", "reconcile", *arguments),
        env=dict(os.environ),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(process.communicate(), 60)
    return process.returncode, out.decode(), err.decode()
