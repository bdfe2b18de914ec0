"""Waiting for a condition, instead of sleeping and hoping that it has come true."""

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, overload

T = TypeVar("T")


@overload
async def wait_until(
    condition: Callable[[], Awaitable[T]], timeout: float = ..., *, poll: float = ...
) -> T: ...
@overload
async def wait_until(
    condition: Callable[[], T], timeout: float = ..., *, poll: float = ...
) -> T: ...
async def wait_until(
    condition: Callable[[], Any], timeout: float = 10, *, poll: float = 0.01
) -> Any:
    """The first true value of `condition`, which is asked every `poll` seconds.

    Raises `TimeoutError`, with the condition's source, when there is none within `timeout` seconds.
    """
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if inspect.isawaitable(value):
            value = await value
        if value:
            return value
        if time.monotonic() > deadline:
            raise TimeoutError(f"Not true within {timeout} s: {source_of(condition)}")
        await asyncio.sleep(poll)


def source_of(condition: Callable[[], object]) -> str:
    """The condition as it stands in the test, or its name."""
    try:
        return inspect.getsource(condition).strip()
    except OSError:
        return repr(condition)
