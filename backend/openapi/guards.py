"""The documentation of the guards: the credentials they take, and the errors they raise."""

from typing import Any

import msgspec
from litestar.handlers import HTTPRouteHandler

from backend.auth.guards import MerchantGuard, ProxyGuard, WebhookGuard
from backend.errors import (
    AmbiguousCredentials,
    AtelierError,
    BadRequest,
    BodyTooLarge,
    BodyTooSlow,
    InvalidSessionToken,
    ServerBusy,
    TooManyRequests,
    Unauthenticated,
    UnsupportedMedia,
)

Requirements = list[dict[str, list[str]]]

SCHEMES: dict[str, dict[str, Any]] = {
    "sessionToken": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "The session token that App Bridge gives to the embedded page. It is "
        "valid for one minute, so fetch one for each request.",
    },
    "signedRequest": {
        "type": "apiKey",
        "in": "header",
        "name": "X-Shopify-Hmac-Sha256",
        "description": "For your own servers, which know the app's secret. Base64 of "
        "HMAC-SHA256(k, METHOD + LF + path + LF + query + LF + hex(SHA-256(body))), "
        "where k = HMAC-SHA256(secret, 'atelier/signed-request/v1') and the query has `shop` and "
        "`timestamp`. `atelier sign METHOD URL --shop SHOP` prints one.",
    },
    "webhookSignature": {
        "type": "apiKey",
        "in": "header",
        "name": "X-Shopify-Hmac-Sha256",
        "description": "Base64 of HMAC-SHA256(secret, body), as Shopify signs its webhooks.",
    },
    "proxySignature": {
        "type": "apiKey",
        "in": "query",
        "name": "signature",
        "description": "Added by Shopify's app proxy, with `shop`, `timestamp`, `path_prefix` and "
        "`logged_in_customer_id`. A storefront page calls its own domain, for example "
        "`/apps/atelier/v1/jobs/…`, and signs nothing itself.",
    },
    "shop": {
        "type": "apiKey",
        "in": "query",
        "name": "shop",
        "description": "The shop's `*.myshopify.com` domain; part of the signed data.",
    },
    "timestamp": {
        "type": "apiKey",
        "in": "query",
        "name": "timestamp",
        "description": "Unix time in seconds, at most 90 from now; part of the signed data.",
    },
}


class GuardDocumentation(msgspec.Struct, frozen=True, kw_only=True):
    """A guard's alternative credentials, of which a request has exactly one, and its errors."""

    security: Requirements = []
    errors: tuple[type[AtelierError], ...] = ()


UNGUARDED = GuardDocumentation()
GUARDS_DOCUMENTED: dict[type, GuardDocumentation] = {
    MerchantGuard: GuardDocumentation(
        security=[{"sessionToken": []}, {"signedRequest": [], "shop": [], "timestamp": []}],
        # The whole body is read to check a signature: it can be too long, or end too soon.
        errors=(
            AmbiguousCredentials,
            BadRequest,
            Unauthenticated,
            InvalidSessionToken,
            BodyTooSlow,
            BodyTooLarge,
            UnsupportedMedia,
            TooManyRequests,
            ServerBusy,
        ),
    ),
    ProxyGuard: GuardDocumentation(
        security=[{"proxySignature": [], "shop": [], "timestamp": []}],
        errors=(
            AmbiguousCredentials,
            BadRequest,
            Unauthenticated,
            BodyTooSlow,
            TooManyRequests,
            ServerBusy,
        ),
    ),
    WebhookGuard: GuardDocumentation(
        security=[{"webhookSignature": []}],
        errors=(
            AmbiguousCredentials,
            BadRequest,
            Unauthenticated,
            BodyTooSlow,
            BodyTooLarge,
            UnsupportedMedia,
            ServerBusy,
        ),
    ),
}


def guard_of(handler: HTTPRouteHandler) -> GuardDocumentation:
    """The documentation of the route's guard. Raises `KeyError` for an undocumented guard."""
    guards = handler.resolve_guards()
    return GUARDS_DOCUMENTED[type(guards[0])] if guards else UNGUARDED
