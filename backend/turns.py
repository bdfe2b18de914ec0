"""Take turns at what there is only so much of: first come, first served, and nobody for ever."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


@asynccontextmanager
async def turn(
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
