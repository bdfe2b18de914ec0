"""Cancels work when the client hangs up, which ASGI does not do by itself."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from litestar import Request

from backend.errors import BadRequest

Result = TypeVar("Result")


async def while_connected(
    request: Request[Any, Any, Any], work: Coroutine[Any, Any, Result]
) -> Result:
    """The result of `work`, which is cancelled if the client hangs up. Raises `BadRequest` then."""
    working = asyncio.create_task(work)
    leaving = asyncio.create_task(hung_up(request))
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        raise BadRequest("The connection closed before the response.")
    finally:
        working.cancel()
        leaving.cancel()
        await asyncio.gather(working, leaving, return_exceptions=True)


async def hung_up(request: Request[Any, Any, Any]) -> None:
    """Return when the client has hung up; the body must have been read already."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
