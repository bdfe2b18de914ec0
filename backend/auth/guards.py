"""The doors: each Router carries one guard, and the guard alone decides whose request it is.

A guard does cryptography only, no I/O beyond reading the body, and leaves what it verified in
`scope["auth"]`. Whether the shop is installed is for the one SQL statement that follows.
"""

from collections.abc import Iterable
from typing import Any

import msgspec
from litestar import Request
from litestar.connection import ASGIConnection
from litestar.exceptions import InternalServerException
from litestar.handlers import BaseRouteHandler

from backend.auth.session_token import SessionToken, verify_session_token
from backend.auth.webhook_hmac import verify_webhook
from backend.errors import (
    AmbiguousCredentials,
    BadRequest,
    InvalidSessionToken,
    Unauthenticated,
    UnsupportedMedia,
)
from backend.settings import Settings

Connection = ASGIConnection[Any, Any, Any, Any]
BEARER = b"bearer "


class Merchant(msgspec.Struct, frozen=True, kw_only=True):
    """Who a bearer token proves: a member of staff of `shop`, and the token itself."""

    shop: str
    user_id: str
    token: str


class MerchantGuard:
    """`/v1/*`: a Shopify session token in `Authorization: Bearer`, and no other credential."""

    def __init__(self, settings: Settings) -> None:
        self.api_key = settings.shopify_api_key
        self.secrets = settings.shopify_secrets

    async def __call__(self, connection: Connection, _handler: BaseRouteHandler) -> None:
        """Put a `Merchant` into the scope, or raise."""
        token = bearer_token(connection.scope["headers"])
        verified = self.verify(token)
        connection.scope["auth"] = Merchant(
            shop=verified.shop, user_id=verified.user_id, token=token
        )

    def verify(self, token: str) -> SessionToken:
        """The token's claims."""
        verified = verify_session_token(token, api_key=self.api_key, secrets=self.secrets)
        if verified is None:
            raise InvalidSessionToken
        return verified


class WebhookGuard:
    """`POST /webhooks`: Shopify's HMAC over the body's raw bytes."""

    def __init__(self, settings: Settings) -> None:
        self.secrets = settings.shopify_secrets

    async def __call__(self, connection: Connection, _handler: BaseRouteHandler) -> None:
        """Read the body within the route's limit and verify it before anything parses it."""
        headers = connection.scope["headers"]
        if values(headers, b"content-encoding"):
            raise UnsupportedMedia("Webhook bodies are taken as they are; send no encoding.")
        raw = await whole_body(connection)
        signatures = values(headers, b"x-shopify-hmac-sha256")
        if len(signatures) + len(values(headers, b"authorization")) > 1:
            raise AmbiguousCredentials
        if not signatures or not verify_webhook(raw, signatures[0], self.secrets):
            raise Unauthenticated("X-Shopify-Hmac-Sha256 is missing or does not match the body.")


async def whole_body(connection: Connection) -> bytes:
    """The body, within the route's limit; the handler finds it read already."""
    request = Request[Any, Any, Any](connection.scope, connection.receive, connection.send)
    try:
        return await request.body()
    except InternalServerException as error:  # so Litestar calls a caller that hung up
        raise BadRequest("The connection closed before the body was complete.") from error


def bearer_token(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """The one bearer token among the headers; raises unless it is the only credential."""
    authorizations = values(headers, b"authorization")
    if len(authorizations) + len(values(headers, b"x-shopify-hmac-sha256")) > 1:
        raise AmbiguousCredentials
    if not authorizations or authorizations[0][: len(BEARER)].lower() != BEARER:
        raise Unauthenticated("Send a session token: Authorization: Bearer <token>.")
    return authorizations[0][len(BEARER) :].decode("latin-1")


def values(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> list[bytes]:
    """Every value of a header, in order; ASGI gives names in lower case."""
    return [value for key, value in headers if key == name]
