"""A pool of asyncpg connections for work of one or a few statements.

asyncpg's own pool wraps and resets a connection at every use and waits for that in a separate task,
which is expensive beside one short statement. This pool does not reset: a connection on which
anything failed is closed and never reused.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg

# What asyncpg raises when Postgres has closed the connection, just now or earlier.
CONNECTION_LOST = (
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.PostgresConnectionError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
)


class ConnectionSlots(asyncio.Semaphore):
    """One slot for each connection. `waits` counts the requests that had to wait for one."""

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self.size = size
        self.waits = 0

    @property
    def in_use(self) -> int:
        """How many slots are taken."""
        return self.size - self._value


class Connections:
    """At most `size` connections, opened on demand; `timeout` is the wait for one, in seconds.

    Callers are served in FIFO order. In asyncpg's and SQLAlchemy's pools a newcomer can overtake
    those who wait, so that some of them starve.
    """

    def __init__(
        self, connect: Callable[[], Awaitable[asyncpg.Connection]], *, size: int, timeout: float
    ) -> None:
        self.connect = connect
        self.size = size
        self.timeout = timeout
        self.slots = ConnectionSlots(size)
        self.idle: list[asyncpg.Connection] = []

    async def run(
        self, work: Callable[[asyncpg.Connection], Awaitable[Any]], *, is_repeatable: bool = True
    ) -> Any:
        """The result of `work`. Raises `TimeoutError` when no connection comes free in time.

        If the connection turns out to be closed and `work` is repeatable, it runs again on another.
        """
        if self.slots.locked():
            self.slots.waits += 1
            async with asyncio.timeout(self.timeout):
                await self.slots.acquire()
        else:
            await self.slots.acquire()
        try:
            # Every idle connection may have been closed without our notice.
            for _ in range(self.size if is_repeatable else 0):
                try:
                    return await self.run_once(work)
                except CONNECTION_LOST:
                    continue
            return await self.run_once(work)
        finally:
            self.slots.release()

    async def run_once(self, work: Callable[[asyncpg.Connection], Awaitable[Any]]) -> Any:
        """The result of `work` on the most recently used idle connection, or on a new one."""
        connection = self.pop_idle() or await self.connect()
        try:
            result = await work(connection)
        except BaseException:
            connection.terminate()
            raise
        self.idle.append(connection)
        return result

    def pop_idle(self) -> asyncpg.Connection | None:
        """An idle connection that is not known to be closed."""
        while self.idle:
            connection = self.idle.pop()
            if not connection.is_closed():
                return connection
        return None

    def close(self) -> None:
        """Close the idle connections."""
        while self.idle:
            self.idle.pop().terminate()
