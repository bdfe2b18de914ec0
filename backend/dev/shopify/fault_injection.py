"""Sends a response over HTTP: counts the call, and applies injected delays and faults."""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection
from typing import Any

import msgspec
from litestar import Request, Response
from litestar.response import Stream

from backend.dev.shopify.embedded_server import cut
from backend.dev.shopify.state import Call, HttpResponse, Platform


async def respond(
    platform: Platform,
    call: Call,
    work: Callable[[], HttpResponse],
    request: Request[Any, Any, Any],
    *,
    fields: Collection[str] = (),
) -> Response[Any]:
    """Count the call, wait, and answer: with the trouble that is due, or with the work's answer.

    `fields` are the root fields of a GraphQL request.
    """
    platform.calls[call] += 1
    fault = platform.next_fault(call, fields)
    await asyncio.sleep(platform.latency + (fault.delay if fault else 0.0))
    if fault is None or fault.answer is None:
        answer = work()
    else:
        answer = fault.answer
        if fault.processed:
            work()
    if fault is not None and fault.is_cut:
        return cut_short(answer, request)
    return Response(
        answer.body,
        status_code=answer.status,
        headers=answer.headers,
        media_type=answer.content_type,
    )


def cut_short(answer: HttpResponse, request: Request[Any, Any, Any]) -> Stream:
    """The first half of the answer, and the end of the connection."""
    content = answer.body if isinstance(answer.body, bytes) else msgspec.json.encode(answer.body)

    async def half() -> AsyncIterator[bytes]:
        yield content[: len(content) // 2]
        await cut(request.scope["client"])

    return Stream(
        half(),
        status_code=answer.status,
        headers={**answer.headers, "Content-Length": str(len(content))},
        media_type=answer.content_type,
    )
