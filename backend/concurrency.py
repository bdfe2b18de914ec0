"""Take turns at what there is only so much of: first come, first served, and nobody for ever."""

import asyncio
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager


@asynccontextmanager
async def acquire_within(
    turns: asyncio.Lock | asyncio.Semaphore, seconds: float, otherwise: type[Exception]
) -> AsyncIterator[None]:
    """One turn; raises `otherwise` when it does not come within `seconds`."""
    try:
        async with asyncio.timeout(seconds):
            await turns.acquire()
    except TimeoutError as error:
        raise otherwise from error
    try:
        yield
    finally:
        turns.release()


class KeyedSemaphores:
    """At most `size` turns at once for each of many, kept only for those who have or want one."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.shares: dict[Hashable, KeyedSemaphore] = {}

    @asynccontextmanager
    async def turn(self, owner: Hashable) -> AsyncIterator[None]:
        """One of the owner's turns, however long it takes to come."""
        share = self.shares.get(owner)
        if share is None:
            share = self.shares[owner] = KeyedSemaphore(self.size)
        share.users += 1
        try:
            async with share.turns:
                yield
        finally:
            share.users -= 1
            if share.users == 0:
                del self.shares[owner]


class KeyedSemaphore:
    """One owner's turns, and how many have or want one."""

    def __init__(self, size: int) -> None:
        self.turns = asyncio.Semaphore(size)
        self.users = 0
