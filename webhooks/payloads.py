"""What Shopify sends: the headers of a delivery, and the few body fields that we act on.

Only the body is signed. Headers are hints, and a body is a hint too: whatever matters is read
again from Shopify with that shop's own token before anything is done.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Any, TypeVar

import msgspec

from backend.auth.guards import header_values
from backend.auth.shop_domain import normalized_shop_domain
from backend.errors import BadRequest

T = TypeVar("T")

MAX_HEADER = 255  # characters


class PayloadMismatch(Exception):
    """The body is not what its topic sends."""


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """One verified delivery."""

    shop_domain: str
    topic: str
    webhook_id: str
    event_id: str | None
    api_version: str | None
    body: bytes

    def read(self, kind: type[T]) -> T:
        """The body as a `kind`; raises `PayloadMismatch` when it lacks what that needs."""
        try:
            return msgspec.json.decode(self.body, type=kind)
        except msgspec.ValidationError as error:
            raise PayloadMismatch(str(error)) from error


class UnsettledDelivery(Delivery, frozen=True, kw_only=True):
    """One from the inbox; `tries`, `done` and `crashes` as in `WebhookDelivery`."""

    received_at: datetime
    tries: int
    done: int
    crashes: int


class ProductPayload(msgspec.Struct, frozen=True):
    """`products/create` and `products/update`: which product. The rest is read from Shopify."""

    id: int

    @property
    def gid(self) -> str:
        """The product's global id."""
        return f"gid://shopify/Product/{self.id}"


class ShopPayload(msgspec.Struct, frozen=True):
    """`app/uninstalled`: the Shop resource. Shopify's own sample has null for the domain."""

    id: int | None = None
    myshopify_domain: str | None = None

    @property
    def gid(self) -> str | None:
        """The shop's global id."""
        return None if self.id is None else f"gid://shopify/Shop/{self.id}"


class ScopesPayload(msgspec.Struct, frozen=True):
    """`app/scopes_update`: the shop's global id; the scopes are read from Shopify."""

    shop_id: str | None = None


class CustomerPayload(msgspec.Struct, frozen=True):
    """The customer that a compliance request is about."""

    id: int


class DataRequest(msgspec.Struct, frozen=True):
    """Shopify's number of a customer's request."""

    id: int


class DataRequestPayload(msgspec.Struct, frozen=True):
    """`customers/data_request`, told from the topics beside it by its `data_request`."""

    shop_domain: str
    customer: CustomerPayload
    data_request: DataRequest


class CustomerRedactPayload(msgspec.Struct, frozen=True):
    """`customers/redact`, told from the topics beside it by its `orders_to_redact`."""

    shop_domain: str
    customer: CustomerPayload
    orders_to_redact: list[Any]


class ShopRedactPayload(msgspec.Struct, frozen=True):
    """`shop/redact`, told from the topics beside it by naming no `customer`."""

    shop_domain: str
    customer: CustomerPayload | None = None


def delivery(headers: Iterable[tuple[bytes, bytes]], body: bytes) -> Delivery:
    """A delivery out of a request whose body has verified. Raises `BadRequest`."""
    found = delivery_headers(headers)
    require_object(body)
    return Delivery(**found, body=body)


def delivery_headers(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, Any]:
    """What the headers say of a delivery. Raises `BadRequest` for those that none can have."""
    found = list(headers)
    shop = normalized_shop_domain(required_header(found, "X-Shopify-Shop-Domain"))
    if shop is None:
        raise BadRequest("X-Shopify-Shop-Domain is not a *.myshopify.com domain.")
    return {
        "shop_domain": shop,
        "topic": required_header(found, "X-Shopify-Topic"),
        "webhook_id": required_header(found, "X-Shopify-Webhook-Id"),
        "event_id": optional_header(found, "X-Shopify-Event-Id"),
        "api_version": optional_header(found, "X-Shopify-API-Version"),
    }


def require_object(body: bytes) -> None:
    """Refuse anything but a JSON object, however it is malformed.

    A session token's signed part and Shopify's query strings verify under the same secret. None of
    them can begin with a brace: a token begins with `eyJ`, and of a query's sorted parts the first
    is never after `shop=`. With white space before the brace, which JSON allows, one could.
    """
    if not body.startswith(b"{"):
        raise BadRequest("The body is not a JSON object.")
    try:
        msgspec.json.decode(body, type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequest("The body is not a JSON object.") from error


def required_header(headers: list[tuple[bytes, bytes]], name: str) -> str:
    """The one value of a header that must be there."""
    value = optional_header(headers, name)
    if not value:
        raise BadRequest(f"{name} is missing.")
    return value


def optional_header(headers: list[tuple[bytes, bytes]], name: str) -> str | None:
    """The value of a header that may be there once: printable ASCII within the limit."""
    found = header_values(headers, name.lower().encode())
    if len(found) > 1:
        raise BadRequest(f"{name} was sent more than once.")
    if not found:
        return None
    text = found[0].decode("latin-1").strip()
    if len(text) > MAX_HEADER or not (text.isascii() and text.isprintable()):
        raise BadRequest(f"{name} is too long or not printable ASCII.")
    return text
