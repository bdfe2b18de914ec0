"""Wake requests that wait for a job's next event, with one LISTEN connection per process.

A notification is only a hint to read again; the rows are the truth. While the connection is down,
waiting requests read once a second.
"""

import asyncio
import contextlib
import random
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager
from typing import Any

import asyncpg
import structlog

from backend.concurrency import acquire_within
from backend.errors import DatabaseUnavailable
from backend.tenancy import WEB

log = structlog.get_logger(__name__)

NAME = "atelier-wakeups"  # as pg_stat_activity shows the connection
CHANNEL = "job_events"  # migrations/…_notify_job_events.py
WHILE_LISTENING = 10.0  # seconds between two reads of a waiting request, in case a hint was lost
WHILE_DEAF = 1.0
PROBE = 5.0  # seconds between two probes of the connection, and the time-out of each
RECONNECT = 1.0  # seconds
TURNS = (
    5  # waiting requests that may read at once: half of the pool; the rest is for other requests
)


class Wakeups:
    """The process's listener. `listening()` keeps it connected until the block ends."""

    def __init__(self, database_url: str, *, role: str = WEB) -> None:
        self.database_url = database_url
        self.settings = {"application_name": NAME, "role": role}
        self.hears = False
        self.is_closing = False
        self.turns = asyncio.Semaphore(TURNS)
        self.waiters: defaultdict[str, set[asyncio.Event]] = defaultdict(set)

    @contextlib.contextmanager
    def watching(self, public_id: str) -> Iterator[asyncio.Event]:
        """An event that is set at each hint about the job; enter before reading its rows."""
        woken = asyncio.Event()
        self.waiters[public_id].add(woken)
        try:
            yield woken
        finally:
            self.waiters[public_id].discard(woken)
            if not self.waiters[public_id]:
                del self.waiters[public_id]

    async def wait(self, woken: asyncio.Event, seconds: float) -> None:
        """Return at the next hint, after `seconds`, or when it is time to read anyway.

        That time is random, so that requests that arrived together do not read together.
        """
        look = (WHILE_LISTENING if self.hears else WHILE_DEAF) * random.uniform(0.5, 1.0)  # noqa: S311
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(woken.wait(), min(seconds, look))
        woken.clear()

    def turn(self, seconds: float) -> AbstractAsyncContextManager[None]:
        """A turn to read: five hundred at once would empty the pool.

        Raises `DatabaseUnavailable` if there is none within `seconds`.
        """
        return acquire_within(self.turns, seconds, DatabaseUnavailable)

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        """Listen in the background, and reconnect whenever the connection is lost."""
        ear = asyncio.create_task(self.listen_for_ever())
        try:
            yield
        finally:
            ear.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await ear
            self.wake_all()

    async def listen_for_ever(self) -> None:
        """Open one connection after the other."""
        while True:
            try:
                await self.listen()
            except Exception as error:  # whatever the error is, the next connection may work
                log.warning("wakeups_deaf", cause=type(error).__name__)
            await asyncio.sleep(RECONNECT)

    async def listen(self) -> None:
        """Listen on one connection until it fails; `hears` is true only meanwhile."""
        connection = await asyncpg.connect(
            self.database_url, timeout=PROBE, server_settings=self.settings
        )
        connection.add_termination_listener(self.deafen)  # before a probe finds out
        try:
            await connection.add_listener(CHANNEL, self.wake)
            self.hears = True
            self.wake_all()  # for everything that was missed before
            while True:
                await asyncio.sleep(PROBE)
                await connection.execute("SELECT 1", timeout=PROBE)
        finally:
            connection.remove_termination_listener(self.deafen)
            connection.terminate()
            self.deafen()

    def deafen(self, _connection: Any = None) -> None:
        """Let all waiting requests read, and more often from now on."""
        self.hears = False
        self.wake_all()

    def close(self) -> None:
        """End all waits: the process is about to stop and finishes its requests."""
        self.is_closing = True
        self.wake_all()

    def wake(self, _connection: Any, _pid: int, _channel: str, public_id: object) -> None:
        """Wake the requests that wait for this job."""
        for woken in self.waiters.get(str(public_id), ()):
            woken.set()

    def wake_all(self) -> None:
        """Wake all waiting requests, which then read."""
        for waiters in self.waiters.values():
            for woken in waiters:
                woken.set()
