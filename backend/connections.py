"""A pool of asyncpg connections for work of one or a few statements.

asyncpg's own pool wraps and resets a connection at every use and waits for that in a separate task,
which is expensive beside one short statement. This pool does not reset: a connection on which
anything failed is closed and never reused.

Nor is there a timer for each statement or caller: one timer ends whatever has taken too long.
"""

import asyncio
from collections import deque
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
TIMEOUT_PRECISION = 0.1  # seconds by which a wait or work may exceed its limit


class Connections:
    """At most `size` connections, opened on demand; both limits are in seconds.

    `wait_limit` is for the wait for a connection, `work_limit` for the work on it. Callers are
    served in FIFO order. In asyncpg's and SQLAlchemy's pools a newcomer can overtake those who
    wait, so that some of them starve. `waits` counts the callers that had to wait.
    """

    def __init__(
        self,
        connect: Callable[[], Awaitable[asyncpg.Connection]],
        *,
        size: int,
        wait_limit: float,
        work_limit: float,
    ) -> None:
        self.connect = connect
        self.size = size
        self.wait_limit = wait_limit
        self.work_limit = work_limit
        self.in_use = self.waits = 0
        self.idle: list[asyncpg.Connection] = []
        # Both in the order of their deadlines, on the loop's clock.
        self.waiting: deque[tuple[asyncio.Future[None], float]] = deque()
        self.working: dict[asyncpg.Connection, float] = {}
        self.timer: asyncio.TimerHandle | None = None

    async def run(
        self, work: Callable[[asyncpg.Connection], Awaitable[Any]], *, is_repeatable: bool = True
    ) -> Any:
        """The result of `work`. Raises `TimeoutError` when a limit is exceeded.

        If the connection turns out to be closed and `work` is repeatable, it runs again on another.
        """
        if self.in_use < self.size:
            self.in_use += 1
        else:
            await self.wait_for_turn()
        if self.timer is None:
            self.end_overdue()
        try:
            # Every idle connection may have been closed without our notice.
            for _ in range(self.size if is_repeatable else 0):
                try:
                    return await self.run_once(work)
                except CONNECTION_LOST:
                    continue
            return await self.run_once(work)
        finally:
            self.end_turn()

    async def wait_for_turn(self) -> None:
        """Wait until a caller before this one has ended."""
        self.waits += 1
        loop = asyncio.get_running_loop()
        turn = loop.create_future()
        self.waiting.append((turn, loop.time() + self.wait_limit))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self.end_turn()  # it came just before the cancellation
            raise

    def end_turn(self) -> None:
        """Let the next caller go on."""
        while self.waiting:
            turn, _ = self.waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self.in_use -= 1

    async def run_once(self, work: Callable[[asyncpg.Connection], Awaitable[Any]]) -> Any:
        """The result of `work` on the most recently used idle connection, or on a new one."""
        connection = self.pop_idle() or await self.connect()
        loop = asyncio.get_running_loop()
        deadline = self.working[connection] = loop.time() + self.work_limit
        try:
            result = await work(connection)
        except BaseException as error:
            connection.terminate()
            if isinstance(error, CONNECTION_LOST) and loop.time() >= deadline:
                raise TimeoutError from error
            raise
        finally:
            del self.working[connection]
        self.idle.append(connection)
        return result

    def pop_idle(self) -> asyncpg.Connection | None:
        """An idle connection that is not known to be closed."""
        while self.idle:
            connection = self.idle.pop()
            if not connection.is_closed():
                return connection
        return None

    def end_overdue(self) -> None:
        """End what has taken too long, and look again soon while anything is in use."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        while self.waiting and self.waiting[0][1] <= now:
            turn, _ = self.waiting.popleft()
            if not turn.done():
                turn.set_exception(TimeoutError())
        for connection, deadline in self.working.items():
            if deadline > now:
                break
            connection.terminate()  # its work gets one of `CONNECTION_LOST`
        busy = self.in_use > 0
        self.timer = loop.call_later(TIMEOUT_PRECISION, self.end_overdue) if busy else None

    def close(self) -> None:
        """Close the idle connections."""
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
        while self.idle:
            self.idle.pop().terminate()
