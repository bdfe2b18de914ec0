"""Guards: every Router has exactly one; it alone resolves which shop a request acts for.

A guard does cryptography only, no I/O beyond reading the body, and stores what it verified in
`scope["auth"]`. It reads a signed body only after everything else about the request is valid.
Whether the shop is installed is checked by the SQL statement that follows.
"""

import hashlib
import time
from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC, datetime
from typing import Any

import msgspec
from litestar import Request
from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler
from litestar.types import Receive

from backend.auth.app_proxy import unknown_parameters, verify_app_proxy
from backend.auth.merchant import BEARER_PREFIX, Merchant, TokenCache
from backend.auth.rate_limits import RateLimits
from backend.auth.session_token import verify_session_token
from backend.auth.signed_request import claimed_shop, verify_signed_request
from backend.auth.visitors import visitor_number
from backend.auth.webhook_hmac import could_be_signature, verify_webhook
from backend.body import HUNG_UP
from backend.body_budget import declared_size, mark_body_verified
from backend.errors import (
    AmbiguousCredentials,
    BadRequest,
    BodyTooLarge,
    InvalidSessionToken,
    Unauthenticated,
    UnsupportedMedia,
)
from backend.http_semantics import is_encoded, sent_method
from backend.settings import Settings
from backend.spool import spool_body

HttpConnection = ASGIConnection[Any, Any, Any, Any]
Headers = Iterable[tuple[bytes, bytes]]
SIGNATURE_HEADER = b"x-shopify-hmac-sha256"
FORWARDED_FOR = b"x-forwarded-for"
NOT_A_WEBHOOK = "X-Shopify-Hmac-Sha256 is missing or does not match the body."
NOT_PROXIED = (
    "The app proxy's signature is missing or wrong, or its timestamp is too old. "
    "Use the shop's app proxy."
)
NOT_SIGNED = (
    "X-Shopify-Hmac-Sha256 does not match the request, or its timestamp is too old. "
    "See `atelier sign --help`."
)
MAX_SHOWN_CHARACTERS = 50  # of a parameter's name, in an error


class Visitor(msgspec.Struct, frozen=True, kw_only=True):
    """A visitor of the shop's storefront, authenticated by Shopify's app proxy; maybe logged in.

    `number` identifies them for the day (`auth.visitors`).
    """

    shop: str
    customer_id: str | None = None
    number: str = ""


class MerchantGuard:
    """`/v1/*`: exactly one of a Shopify session token and our own request signature.

    On these routes `X-Shopify-Hmac-Sha256` is never an HMAC of the body alone, which for a GET
    would be a constant that is valid for every shop: see `signed_request`. A route with large
    bodies sets `spooled_body` and finds a signed body in `scope[SPOOL_KEY]`.
    """

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.time) -> None:
        self.api_key = settings.shopify_api_key
        self.secrets = settings.shopify_secrets  # takes the time: the previous secret expires
        self.previous_ends_at = settings.previous_secret_ends_at
        self.limits = RateLimits(reads=settings.rate_limit_reads, writes=settings.rate_limit_writes)
        self.clock = clock
        self.token_cache = TokenCache()

    async def __call__(self, connection: HttpConnection, handler: BaseRouteHandler) -> None:
        """Store a `Merchant` in the scope, or raise."""
        merchant = await self.authenticate(connection, handler)
        mark_body_verified(connection.scope)
        self.limits.count(merchant.shop, as_request(connection).method)
        connection.scope["auth"] = merchant

    async def authenticate(self, connection: HttpConnection, handler: BaseRouteHandler) -> Merchant:
        """The merchant of the request's one credential."""
        headers = connection.scope["headers"]
        authorizations = header_values(headers, b"authorization")
        signatures = header_values(headers, SIGNATURE_HEADER)
        if len(authorizations) + len(signatures) > 1:
            raise AmbiguousCredentials
        if signatures:
            return await self.by_signature(connection, handler, signatures[0])
        return self.by_token(authorizations)

    def by_token(self, authorizations: list[bytes]) -> Merchant:
        """The merchant of a session token."""
        if authorizations and (merchant := self.cached(authorizations[0])) is not None:
            return merchant
        if not authorizations or authorizations[0][: len(BEARER_PREFIX)].lower() != BEARER_PREFIX:
            raise Unauthenticated("Send a session token: Authorization: Bearer <token>.")
        # Several blanks are allowed (RFC 9110 §11.4). They are dropped first, or the cache would
        # hold one token many times.
        length = len(BEARER_PREFIX)
        authorization = authorizations[0][:length] + authorizations[0][length:].lstrip(b" ")
        return self.cached(authorization) or self.verify_token(authorization)

    def cached(self, authorization: bytes) -> Merchant | None:
        """The merchant of a header that was verified before, until its token expires."""
        return self.token_cache.get(authorization, self.clock())

    def verify_token(self, authorization: bytes) -> Merchant:
        """Verify the header's token and cache its merchant. Raises `InvalidSessionToken`."""
        token = authorization[len(BEARER_PREFIX) :].decode("latin-1")
        now = self.clock()
        verified = verify_session_token(token, api_key=self.api_key, secrets=self.secrets(now))
        if verified is None:
            raise InvalidSessionToken
        merchant = Merchant(
            shop=verified.shop, authorization=authorization, user_id=verified.user_id
        )
        until = verified.expires_at.timestamp()
        if now < self.previous_ends_at:  # the previous secret may have verified it
            until = min(until, self.previous_ends_at)
        self.token_cache.put(authorization, merchant, until=until, now=now)
        return merchant

    async def by_signature(
        self, connection: HttpConnection, handler: BaseRouteHandler, signature: bytes
    ) -> Merchant:
        """The merchant of a signed request, which must be fresh on arrival."""
        request = as_request(connection)
        arrived = int(self.clock())
        query = request.scope["query_string"]
        if claimed_shop(signature, query, now=arrived) is None:
            raise Unauthenticated(NOT_SIGNED)
        if is_encoded(request.headers.get("content-encoding")):
            raise UnsupportedMedia("Send a signed body without a Content-Encoding.")
        digest = await digest_of_body(request, handler)
        shop = verify_signed_request(
            signature,
            self.secrets(self.clock()),
            method=sent_method(request.scope),
            path=request.scope["raw_path"],
            query=query,
            digest=digest,
            now=arrived,
        )
        if shop is None:
            raise Unauthenticated(NOT_SIGNED)
        return Merchant(shop=shop)


class ProxyGuard:
    """`/proxy/v1/*`: Shopify's app proxy signed the query, and only the query.

    A handler lists its parameters in `opt["proxy_params"]`; any other is refused.
    """

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.time) -> None:
        self.secrets = settings.shopify_secrets
        self.secret = settings.shopify_api_secret
        self.limits = RateLimits(reads=settings.rate_limit_reads, writes=settings.rate_limit_writes)
        self.clock = clock

    async def __call__(self, connection: HttpConnection, handler: BaseRouteHandler) -> None:
        """Store a `Visitor` in the scope, or raise."""
        headers = connection.scope["headers"]
        if header_values(headers, b"authorization") or header_values(headers, SIGNATURE_HEADER):
            raise AmbiguousCredentials
        now = self.clock()
        query, secrets = connection.scope["query_string"], self.secrets(now)
        allowed: frozenset[str] = handler.opt.get("proxy_params", frozenset())
        proven = verify_app_proxy(query, secrets, now=int(now), allowed=allowed)
        if proven is None:
            unknown = unknown_parameters(query, secrets, now=int(now), allowed=allowed)
            raise unknown_here(unknown) if unknown else Unauthenticated(NOT_PROXIED)
        self.limits.count(proven.shop, as_request(connection).method)
        customer_id = proven.logged_in_customer_id
        number = visitor_number(
            shop=proven.shop,
            customer_id=customer_id,
            forwarded=header_values(headers, FORWARDED_FOR),
            day=datetime.fromtimestamp(now, UTC).date(),
            secret=self.secret,
        )
        connection.scope["auth"] = Visitor(shop=proven.shop, customer_id=customer_id, number=number)


class WebhookGuard:
    """`POST /webhooks`: Shopify's HMAC over the raw bytes of the body.

    `require_headers` raises for headers that no webhook delivery can have.
    """

    def __init__(
        self,
        settings: Settings,
        require_headers: Callable[[Headers], object],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.secrets = settings.shopify_secrets
        self.require_headers = require_headers
        self.clock = clock

    async def __call__(self, connection: HttpConnection, _handler: BaseRouteHandler) -> None:
        """Verify the body, which stays available to the handler."""
        await self.verified_body(connection.scope, as_request(connection).body)

    async def verified_body(self, scope: Any, read: Callable[[], Awaitable[bytes]]) -> bytes:
        """Read the body and verify it before it is parsed."""
        signature = self.signature_of(scope["headers"])
        raw = await read()
        if not verify_webhook(raw, signature, self.secrets(self.clock())):
            raise Unauthenticated(NOT_A_WEBHOOK)
        mark_body_verified(scope)
        return raw

    def signature_of(self, headers: Headers) -> bytes:
        """The request's one signature. Raises if the headers cannot be those of a delivery."""
        if header_values(headers, b"content-encoding"):
            raise UnsupportedMedia("Send the webhook body without a Content-Encoding.")
        signatures = header_values(headers, SIGNATURE_HEADER)
        if len(signatures) + len(header_values(headers, b"authorization")) > 1:
            raise AmbiguousCredentials
        if not signatures or not could_be_signature(signatures[0]):
            raise Unauthenticated(NOT_A_WEBHOOK)
        self.require_headers(headers)
        return signatures[0]


def unknown_here(parameters: list[str]) -> BadRequest:
    """The error for query parameters that the route does not know."""
    name = min(parameters)[:MAX_SHOWN_CHARACTERS]
    return BadRequest(f"This endpoint does not know the query parameter {name!r}. Remove it.")


def as_request(connection: HttpConnection) -> Request[Any, Any, Any]:
    """The connection as a request; Litestar types a guard's argument as a connection only."""
    assert isinstance(connection, Request)
    return connection


async def digest_of_body(request: Request[Any, Any, Any], handler: BaseRouteHandler) -> str:
    """The body's SHA-256 in hex; the body stays available to the handler, or is spooled."""
    if handler.opt.get("spooled_body"):
        return await spool_body(request)
    return hashlib.sha256(await request.body()).hexdigest()


async def read_body(scope: Any, receive: Receive, limit: int) -> bytes:
    """The body of a request that the framework does not see, within the limit."""
    if declared_size(scope) > limit:
        raise BodyTooLarge
    chunks: list[bytes] = []
    size, more = 0, True
    while more:
        message: Any = await receive()
        if message["type"] == "http.disconnect":
            raise BadRequest(HUNG_UP)
        chunks.append(message.get("body", b""))
        size += len(chunks[-1])
        if size > limit:
            raise BodyTooLarge
        more = message.get("more_body", False)
    return b"".join(chunks)


def header_values(headers: Headers, name: bytes) -> list[bytes]:
    """All values of a header, in order; ASGI header names are lower case."""
    return [value for key, value in headers if key == name]
