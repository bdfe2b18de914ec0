"""Connections to Postgres for what is one statement, or a few: lent in turn, and for no longer.

asyncpg's own pool wraps every connection anew, resets it and waits for that in a task of its own,
which is much beside one short statement. What is lent here leaves nothing behind: a connection on
which anything went wrong is closed, and not lent again.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg

# What asyncpg says when Postgres has closed the connection: just now, or a while ago.
CONNECTION_LOST = (
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.PostgresConnectionError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
)


class Connections:
    """At most `size` of them, made when they are first needed; `patience` is in seconds.

    First come, first served: in asyncpg's pool, as in SQLAlchemy's, whoever comes just then
    overtakes those who wait, some of whom starve.
    """

    def __init__(
        self, connect: Callable[[], Awaitable[asyncpg.Connection]], *, size: int, patience: float
    ) -> None:
        self.connect = connect
        self.size = size
        self.patience = patience
        self.turns = asyncio.Semaphore(size)
        self.idle: list[asyncpg.Connection] = []

    async def run(
        self, work: Callable[[asyncpg.Connection], Awaitable[Any]], *, is_repeatable: bool = True
    ) -> Any:
        """What `work` returns. Raises `TimeoutError` when no connection comes free in time.

        On a connection that turns out to be cut it is done again, on another, if doing it twice
        does no harm.
        """
        if self.turns.locked():
            async with asyncio.timeout(self.patience):
                await self.turns.acquire()
        else:
            await self.turns.acquire()
        try:
            # All that are idle may have been cut, unnoticed until now.
            for _ in range(self.size if is_repeatable else 0):
                try:
                    return await self.lent(work)
                except CONNECTION_LOST:
                    continue
            return await self.lent(work)
        finally:
            self.turns.release()

    async def lent(self, work: Callable[[asyncpg.Connection], Awaitable[Any]]) -> Any:
        """What `work` returns, on the connection that was used last or on a new one."""
        connection = self.open_one() or await self.connect()
        try:
            result = await work(connection)
        except BaseException:
            connection.terminate()
            raise
        self.idle.append(connection)
        return result

    def open_one(self) -> asyncpg.Connection | None:
        """An idle connection that is not known to be closed."""
        while self.idle:
            connection = self.idle.pop()
            if not connection.is_closed():
                return connection
        return None

    def close(self) -> None:
        """Close those that are idle."""
        while self.idle:
            self.idle.pop().terminate()
