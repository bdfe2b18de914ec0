"""`POST /webhooks`: answers 200 only after the delivery is stored."""

from dataclasses import dataclass
from typing import Any

from litestar import Request, Response, Router, post
from litestar.di import NamedDependency
from litestar.openapi.spec import (
    OpenAPIMediaType,
    OpenAPIType,
    Operation,
    Parameter,
    RequestBody,
    Schema,
)
from litestar.types import Guard

from backend.db import Database
from backend.errors import BadRequest, DatabaseUnavailable
from backend.openapi_responses import documented
from webhooks.payloads import MAX_HEADER
from webhooks.receive import receive_delivery

WEBHOOKS_PATH = "/webhooks"
MAX_WEBHOOK_BYTES = 5_000_000  # bytes; products with many variants are that large


WEBHOOK_HEADERS = (
    ("X-Shopify-Topic", True, "^[!-~][ -~]*$", "For example `products/update`."),
    (
        "X-Shopify-Shop-Domain",
        True,
        r"^[A-Za-z0-9][A-Za-z0-9-]{0,62}\.myshopify\.com$",
        "The shop.",
    ),
    ("X-Shopify-Webhook-Id", True, "^[!-~][ -~]*$", "The delivery's ID; a duplicate is ignored."),
    ("X-Shopify-Event-Id", False, "^[ -~]*$", "The ID of the event that caused the delivery."),
    ("X-Shopify-API-Version", False, "^[ -~]*$", "The API version of the body."),
)


@dataclass
class Delivering(Operation):
    """Documents the delivery, which the route reads as raw bytes."""

    def __post_init__(self) -> None:
        payload = Schema(
            type=OpenAPIType.OBJECT,
            description="The topic's payload.",
            additional_properties=True,
        )
        self.request_body = RequestBody(
            {"application/json": OpenAPIMediaType(payload)}, required=True
        )
        self.parameters = [
            Parameter(
                name,
                "header",
                required=required,
                description=meaning,
                schema=Schema(type=OpenAPIType.STRING, pattern=pattern, max_length=MAX_HEADER),
            )
            for name, required, pattern, meaning in WEBHOOK_HEADERS
        ]


@post(
    "/",
    status_code=200,
    request_max_body_size=MAX_WEBHOOK_BYTES,
    operation_class=Delivering,
    responses=documented(None, BadRequest, DatabaseUnavailable),
)
async def receive_webhook(
    request: Request[Any, Any, Any], database: NamedDependency[Database]
) -> Response[bytes]:
    """Store the delivery for a worker. A duplicate is ignored."""
    await receive_delivery(database, request.scope["headers"], await request.body())
    return Response(b"")


def webhooks_router(guard: Guard) -> Router:
    """The route, protected by `guard`."""
    return Router(
        WEBHOOKS_PATH, route_handlers=[receive_webhook], guards=[guard], tags=["Webhooks"]
    )
