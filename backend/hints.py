"""Tell listeners of what was committed: after the commit, and many hints in one statement.

The commit of a transaction with a NOTIFY holds a lock of the whole database until it is on disk. So
such commits do not share a flush of the log, and of frequent transactions, such as the ends of jobs
and the receipts of webhooks, one after the other waits for the disk. These leave the NOTIFY of
their trigger out, by `HINTS_SETTING`, and once they are committed their process sends the hint
here, in a transaction that does not wait for the disk.

If the process dies between the commit and its hint, or no connection is free for some seconds, the
hint is lost. Whoever listens also looks without one: waiting requests after 10 s
(`backend.jobs.wakeups`), workers after 5 s (`backend.worker.run`).
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import Context
from functools import partial
from typing import Any

import asyncpg
import structlog

log = structlog.get_logger(__name__)

MOST_TRIES = 3  # of a statement: all connections may be busy, or Postgres away
CLOSE_WITHIN = 2.0  # seconds
HINT_INTERVAL = 0.02  # seconds between two statements; hints that come meanwhile share the next
# A transaction that sets it to a channel sends the hints of that channel itself, after the commit.
HINTS_SETTING = "app.hints_after_commit"
SEND_HINTS = """
SELECT set_config('synchronous_commit', 'off', true), pg_notify(hint.channel, hint.payload)
FROM unnest($1::text[], $2::text[]) AS hint (channel, payload)
"""

RunOnConnection = Callable[[Callable[[asyncpg.Connection], Awaitable[Any]]], Awaitable[Any]]


class Hints:
    """The hints of a process that are still to be sent. `run` is `Database.run`."""

    def __init__(self, run: RunOnConnection) -> None:
        self.run = run
        self.waiting: dict[tuple[str, str], None] = {}  # a repeated hint tells nothing
        self.sender: asyncio.Task[None] | None = None

    def send(self, channel: str, payload: str) -> None:
        """Send it at once, or with all others of an interval after the last statement."""
        self.waiting[channel, payload] = None
        if self.sender is None or self.sender.done():
            # Without the context of the request or job that happens to be the first.
            self.sender = asyncio.create_task(self.keep_sending(), context=Context())

    async def keep_sending(self) -> None:
        """Send what waits, in one statement each time, until nothing does."""
        tries = 0
        while self.waiting:
            sent, self.waiting = self.waiting, {}
            try:
                await self.run(partial(send_all, list(sent)))
                tries = 0
            except Exception as error:  # whatever it is, whoever listens also looks without a hint
                tries += 1
                if tries < MOST_TRIES:
                    self.waiting = sent | self.waiting
                else:
                    tries = 0
                    log.warning("hints_lost", count=len(sent), cause=repr(error)[:300])
            await asyncio.sleep(HINT_INTERVAL)

    async def close(self) -> None:
        """Send the last ones, if that takes no longer than `CLOSE_WITHIN`."""
        if self.sender is not None:
            await asyncio.wait([self.sender], timeout=CLOSE_WITHIN)
            self.sender.cancel()


async def send_all(hints: list[tuple[str, str]], connection: asyncpg.Connection) -> None:
    """Send hints, pairs of a channel and a payload, in one statement."""
    channels, payloads = zip(*hints, strict=True)
    await connection.execute(SEND_HINTS, channels, payloads)
