"""A Postgres that syncs to disk, and killing it with its children."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import psutil

import migrations
from backend.dev.services import EmbeddedPostgres, LocalServices
from backend.renderers.base import Renderer
from backend.settings import Settings
from tests.conftest import settings_for
from tests.faults.proxy import FaultProxy
from tests.running_app import RunningApp, open_running_app


@contextlib.contextmanager
def durable_postgres(directory: Path | None = None) -> Iterator[EmbeddedPostgres]:
    """A server of the test's own, with `fsync` on."""
    server = EmbeddedPostgres(directory, durable=True)
    try:
        yield server.start()
    finally:
        server.stop()


@contextlib.asynccontextmanager
async def durable_app(
    services: LocalServices,
    renderer: Renderer,
    directory: Path | None = None,
    **changes: Any,
) -> AsyncIterator[tuple[RunningApp, EmbeddedPostgres]]:
    """A running app on a Postgres that tests may kill; `changes` are to its settings."""
    with durable_postgres(directory) as server:
        settings = msgspec.structs.replace(
            settings_for(services, server.url()), rate_limit_writes="1000000/minute", **changes
        )
        await asyncio.to_thread(migrations.upgrade, settings.database_url)
        async with open_running_app(settings, renderer) as running_app:
            yield running_app, server


def kill_outright(server: EmbeddedPostgres) -> None:
    """kill -9, the postmaster first, so that it cannot tidy up after its children."""
    postmaster = psutil.Process(server.pid)
    postmaster.suspend()  # so that none is born while they are counted
    children = postmaster.children(recursive=True)
    for process in (postmaster, *children):
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    deadline = time.monotonic() + 10
    while any(is_alive(process) for process in (postmaster, *children)):
        assert time.monotonic() < deadline, "Postgres does not die"
        time.sleep(0.01)
    # Where nobody collects orphans at once its zombie still "runs", as Postgres sees it.
    for lock in (Path(server.directory, "postmaster.pid"), Path(f"{socket_of(server)}.lock")):
        lock.unlink(missing_ok=True)


def is_alive(process: psutil.Process) -> bool:
    """Whether it still does anything."""
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def socket_of(server: EmbeddedPostgres) -> str:
    """The path of the server's unix socket."""
    directory = server.url().split("host=")[1].replace("%2F", "/")
    return f"{directory}/.s.PGSQL.5432"


def before_postgres(server: EmbeddedPostgres) -> FaultProxy:
    """A proxy before the server, reached over TCP."""
    return FaultProxy(partial(asyncio.open_unix_connection, socket_of(server)))


def through(proxy: FaultProxy, settings: Settings) -> Settings:
    """The same settings, with the database behind the proxy."""
    name = settings.database_url.rpartition("?")[0].rpartition("/")[2]
    url = f"postgresql://postgres@127.0.0.1:{proxy.port}/{name}"
    return msgspec.structs.replace(settings, database_url=url)
