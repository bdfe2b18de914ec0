"""The doors: each Router carries one guard, and the guard alone decides whose request it is.

A guard does cryptography only, no I/O beyond reading the body, and leaves what it verified in
`scope["auth"]`. Of a body that its signature covers it reads nothing before all else about the
request could be good. Whether the shop is installed is for the one SQL statement that follows.
"""

import hashlib
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any

import msgspec
from litestar import Request
from litestar.connection import ASGIConnection
from litestar.exceptions import InternalServerException
from litestar.handlers import BaseRouteHandler

from backend.auth.app_proxy import verify_app_proxy
from backend.auth.rate_limits import RateLimits
from backend.auth.session_token import verify_session_token
from backend.auth.signed_request import claimed_shop, verify_signed_request
from backend.auth.visitors import visitor_number
from backend.auth.webhook_hmac import could_be_signature, verify_webhook
from backend.body_budget import body_is_signed
from backend.errors import (
    AmbiguousCredentials,
    BadRequest,
    InvalidSessionToken,
    Unauthenticated,
    UnsupportedMedia,
)
from backend.settings import Settings
from backend.spool import spool_body

Connection = ASGIConnection[Any, Any, Any, Any]
Headers = Iterable[tuple[bytes, bytes]]
BEARER = b"bearer "
SIGNATURE = b"x-shopify-hmac-sha256"
FORWARDED_FOR = b"x-forwarded-for"
NOT_A_WEBHOOK = "X-Shopify-Hmac-Sha256 is missing or does not match the body."
NOT_SIGNED = (
    "X-Shopify-Hmac-Sha256 does not match the request, or its timestamp is too old. "
    "See `atelier sign --help`."
)
REMEMBERED = 10_000  # session tokens, some megabytes


class Merchant(msgspec.Struct, frozen=True, kw_only=True):
    """Whom the credential proves: `shop`, and by which session token, if it was one."""

    shop: str
    token: str | None = None

    def __repr__(self) -> str:
        """Without the token: what is printed ends up in logs."""
        return f"Merchant(shop={self.shop!r})"


class Visitor(msgspec.Struct, frozen=True, kw_only=True):
    """Whom Shopify's proxy vouches for: somebody in the shop's storefront, logged in or not.

    `number` is theirs for the day (`auth.visitors`).
    """

    shop: str
    customer_id: str | None = None
    number: str = ""


class MerchantGuard:
    """`/v1/*`: a Shopify session token, or the signature of a server of ours; exactly one.

    On these routes `X-Shopify-Hmac-Sha256` never means an HMAC of the body, which for a GET would
    be a constant that opens every shop: see `signed_request`. A route whose bodies are large says
    `spooled_body` and finds a signed one in `scope[SPOOL]`.
    """

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.time) -> None:
        self.api_key = settings.shopify_api_key
        self.secrets = settings.shopify_secrets  # asked with the time: the previous one ends
        self.previous_ends_at = settings.previous_secret_ends_at
        self.limits = RateLimits(reads=settings.rate_limit_reads, writes=settings.rate_limit_writes)
        self.clock = clock
        # A page sends one token for about a minute. Within its own time it proves again what it has
        # proved to these secrets; whether its shop still has the app is asked each time.
        self.verified_before: dict[bytes, tuple[Merchant, float]] = {}

    def __deepcopy__(self, _memo: dict[int, object]) -> "MerchantGuard":
        """Litestar copies each router's guards; what they remember must stay one."""
        return self

    async def __call__(self, connection: Connection, handler: BaseRouteHandler) -> None:
        """Put a `Merchant` into the scope, or raise."""
        merchant = await self.verified(connection, handler)
        body_is_signed(connection.scope)
        self.limits.count(merchant.shop, as_request(connection).method)
        connection.scope["auth"] = merchant

    async def verified(self, connection: Connection, handler: BaseRouteHandler) -> Merchant:
        """Whom the one credential proves."""
        headers = connection.scope["headers"]
        authorizations = values(headers, b"authorization")
        signatures = values(headers, SIGNATURE)
        if len(authorizations) + len(signatures) > 1:
            raise AmbiguousCredentials
        if signatures:
            return await self.by_signature(connection, handler, signatures[0])
        return self.by_token(authorizations)

    def by_token(self, authorizations: list[bytes]) -> Merchant:
        """Whom a session token proves."""
        if not authorizations or authorizations[0][: len(BEARER)].lower() != BEARER:
            raise Unauthenticated("Send a session token: Authorization: Bearer <token>.")
        return self.known(authorizations[0]) or self.verified_anew(authorizations[0])

    def known(self, authorization: bytes) -> Merchant | None:
        """Whom this header has proved before, while its token holds."""
        known = self.verified_before.get(authorization)
        return known[0] if known is not None and self.clock() < known[1] else None

    def verified_anew(self, authorization: bytes) -> Merchant:
        """Whom the header's token proves. Raises `InvalidSessionToken`."""
        token = authorization[len(BEARER) :].decode("latin-1")
        now = self.clock()
        verified = verify_session_token(token, api_key=self.api_key, secrets=self.secrets(now))
        if verified is None:
            raise InvalidSessionToken
        merchant = Merchant(shop=verified.shop, token=token)
        if len(self.verified_before) >= REMEMBERED:
            self.verified_before.clear()
        until = verified.expires_at.timestamp()
        if now < self.previous_ends_at:  # what it has proved, it may have proved to that secret
            until = min(until, self.previous_ends_at)
        self.verified_before[authorization] = (merchant, until)
        return merchant

    async def by_signature(
        self, connection: Connection, handler: BaseRouteHandler, signature: bytes
    ) -> Merchant:
        """Whom a signed request proves; it has to be fresh when it arrives."""
        request = as_request(connection)
        arrived = int(self.clock())
        query = request.scope["query_string"]
        if claimed_shop(signature, query, now=arrived) is None:
            raise Unauthenticated(NOT_SIGNED)
        if values(request.scope["headers"], b"content-encoding"):
            raise UnsupportedMedia("Send a signed body without a Content-Encoding.")
        digest = await digest_of_body(request, handler)
        shop = verify_signed_request(
            signature,
            self.secrets(self.clock()),
            method=request.method,
            path=request.scope["raw_path"],
            query=query,
            digest=digest,
            now=arrived,
        )
        if shop is None:
            raise Unauthenticated(NOT_SIGNED)
        return Merchant(shop=shop)


class ProxyGuard:
    """`/proxy/v1/*`: Shopify's app proxy signed the query, and nothing but the query.

    A handler names the parameters it takes in `opt["proxy_params"]`; any other is refused.
    """

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.time) -> None:
        self.secrets = settings.shopify_secrets
        self.secret = settings.shopify_api_secret
        self.limits = RateLimits(reads=settings.rate_limit_reads, writes=settings.rate_limit_writes)
        self.clock = clock

    async def __call__(self, connection: Connection, handler: BaseRouteHandler) -> None:
        """Put a `Visitor` into the scope, or raise."""
        headers = connection.scope["headers"]
        if values(headers, b"authorization") or values(headers, SIGNATURE):
            raise AmbiguousCredentials
        now = self.clock()
        proven = verify_app_proxy(
            connection.scope["query_string"],
            self.secrets(now),
            now=int(now),
            allowed=handler.opt.get("proxy_params", frozenset()),
        )
        if proven is None:
            raise Unauthenticated("The app proxy's signature is missing. Use the shop's app proxy.")
        self.limits.count(proven.shop, as_request(connection).method)
        customer_id = proven.logged_in_customer_id
        number = visitor_number(
            shop=proven.shop,
            customer_id=customer_id,
            forwarded=values(headers, FORWARDED_FOR),
            day=datetime.fromtimestamp(now, UTC).date(),
            secret=self.secret,
        )
        connection.scope["auth"] = Visitor(shop=proven.shop, customer_id=customer_id, number=number)


class WebhookGuard:
    """`POST /webhooks`: Shopify's HMAC over the body's raw bytes.

    `require_headers` raises for headers that no delivery has, whatever its body.
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

    async def __call__(self, connection: Connection, _handler: BaseRouteHandler) -> None:
        """Read the body within the route's limit and verify it before anything parses it."""
        signature = self.signature_of(connection.scope["headers"])
        raw = await whole_body(as_request(connection))
        if not verify_webhook(raw, signature, self.secrets(self.clock())):
            raise Unauthenticated(NOT_A_WEBHOOK)
        body_is_signed(connection.scope)

    def signature_of(self, headers: Headers) -> bytes:
        """The one signature, of a request that may be a delivery. Raises what is wrong with it."""
        if values(headers, b"content-encoding"):
            raise UnsupportedMedia("Send the webhook body without a Content-Encoding.")
        signatures = values(headers, SIGNATURE)
        if len(signatures) + len(values(headers, b"authorization")) > 1:
            raise AmbiguousCredentials
        if not signatures or not could_be_signature(signatures[0]):
            raise Unauthenticated(NOT_A_WEBHOOK)
        self.require_headers(headers)
        return signatures[0]


def as_request(connection: Connection) -> Request[Any, Any, Any]:
    """What a guard is given for an HTTP route; its type only says that it is a connection."""
    assert isinstance(connection, Request)
    return connection


async def digest_of_body(request: Request[Any, Any, Any], handler: BaseRouteHandler) -> str:
    """The body's SHA-256 in hex; the handler finds the body read already, or put aside."""
    if handler.opt.get("spooled_body"):
        return await spool_body(request)
    return hashlib.sha256(await whole_body(request)).hexdigest()


async def whole_body(request: Request[Any, Any, Any]) -> bytes:
    """The body, within the route's limit; the handler finds it read already."""
    try:
        return await request.body()
    except InternalServerException as error:  # so Litestar calls a caller that hung up
        raise BadRequest("The connection closed before the body was complete.") from error


def values(headers: Headers, name: bytes) -> list[bytes]:
    """Every value of a header, in order; ASGI gives names in lower case."""
    return [value for key, value in headers if key == name]
