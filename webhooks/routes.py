"""`POST /webhooks`: 200 only once the delivery is stored."""

from typing import Any

from litestar import Request, Router, post
from litestar.di import NamedDependency
from litestar.types import Guard

from backend.db import Database
from webhooks.payloads import delivery
from webhooks.receive import receive

MAX_BODY = 5_000_000  # bytes; products with many variants are really that large


@post("/", status_code=200, request_max_body_size=MAX_BODY)
async def receive_webhook(
    request: Request[Any, Any, Any], database: NamedDependency[Database]
) -> None:
    """Store the delivery for the worker. A copy of one that is here already changes nothing."""
    incoming = delivery(request.scope["headers"], await request.body())
    async with database.transaction() as connection:
        await receive(connection, incoming)


def webhooks_router(guard: Guard) -> Router:
    """The route, behind the guard it is given."""
    return Router("/webhooks", route_handlers=[receive_webhook], guards=[guard])
