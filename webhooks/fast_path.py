"""The fast path of `POST /webhooks`: deliveries are received before the framework is entered.

Shopify sends them in storms, and the framework took longer than everything else except the
database. The guard and the functions are those of the route, which still answers any other method
and documents the endpoint.
"""

from functools import partial
from typing import Any

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Receive, Scope, Send

from backend.auth.guards import WebhookGuard, read_body
from backend.db import Database
from backend.errors import AtelierError
from backend.web import JsonResponse, response_to_bug, response_to_error, send_response
from webhooks.receive import receive_delivery
from webhooks.routes import MAX_WEBHOOK_BYTES, WEBHOOKS_PATH

RECEIVED = JsonResponse(200, {"content-type": "application/json", "content-length": "0"}, None)


class WebhookFastPath:
    """ASGI middleware directly around the framework, with the guard of the route."""

    def __init__(self, app: ASGIApp, guard: WebhookGuard, database: Database) -> None:
        self.app = app
        self.guard = guard
        self.database = database

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a delivery; pass on any other request."""
        if is_webhook(scope):
            response = await self.response(scope, receive)
            await send_response(send, response)
        else:
            await self.app(scope, receive, send)

    async def response(self, scope: Any, receive: Receive) -> JsonResponse:
        """The response of the route."""
        scope["path_template"] = WEBHOOKS_PATH
        try:
            body = await self.guard.verified_body(
                scope, partial(read_body, scope, receive, MAX_WEBHOOK_BYTES)
            )
            await receive_delivery(self.database, scope["headers"], body)
        except AtelierError as error:
            return response_to_error(error)
        except Exception as error:
            return response_to_bug(error)
        return RECEIVED


def is_webhook(scope: Any) -> bool:
    """Whether the request is for the route itself, by its usual path."""
    return (
        scope["type"] == ScopeType.HTTP
        and scope["path"] == WEBHOOKS_PATH
        and scope["method"] == "POST"
        and not scope["root_path"]
    )
