"""Concurrency limits: FIFO, with a timeout."""

import asyncio
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager


@asynccontextmanager
async def acquire_within(
    slots: asyncio.Lock | asyncio.Semaphore, seconds: float, on_timeout: type[Exception]
) -> AsyncIterator[None]:
    """Hold one slot; raises `on_timeout` when none is free within `seconds`."""
    try:
        async with asyncio.timeout(seconds):
            await slots.acquire()
    except TimeoutError as error:
        raise on_timeout from error
    try:
        yield
    finally:
        slots.release()


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


class KeyedSemaphores:
    """A semaphore of `size` slots per key, which exists only while somebody holds or awaits one."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.semaphores: dict[Hashable, KeyedSemaphore] = {}

    @asynccontextmanager
    async def acquire(self, key: Hashable) -> AsyncIterator[None]:
        """Hold one of the key's slots; waits for it without a limit."""
        semaphore = self.semaphores.get(key)
        if semaphore is None:
            semaphore = self.semaphores[key] = KeyedSemaphore(self.size)
        semaphore.users += 1
        try:
            async with semaphore.slots:
                yield
        finally:
            semaphore.users -= 1
            if semaphore.users == 0:
                del self.semaphores[key]


class KeyedSemaphore:
    """One key's slots, and how many callers hold or await one."""

    def __init__(self, size: int) -> None:
        self.slots = asyncio.Semaphore(size)
        self.users = 0
