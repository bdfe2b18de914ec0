"""Shopify's webhooks: the headers of a delivery, and the few body fields that we use.

Only the body is signed. Headers are hints, and a body is a hint too: everything that matters is
read again from Shopify with that shop's own token before we act on it.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Annotated, Any, TypeVar

import msgspec

from backend.auth.guards import header_values
from backend.auth.shop_domain import normalized_shop_domain
from backend.errors import BadRequest

T = TypeVar("T")

MAX_HEADER = 255  # characters


class PayloadMismatch(Exception):
    """The body is not one of its topic."""


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """One verified delivery."""

    shop_domain: str
    topic: str
    webhook_id: str
    event_id: str | None
    api_version: str | None
    body: bytes

    def read(self, kind: type[T]) -> T:
        """The body as a `kind`. Raises `PayloadMismatch` if a required field is missing."""
        try:
            return msgspec.json.decode(self.body, type=kind)
        except msgspec.ValidationError as error:
            raise PayloadMismatch(str(error)) from error


class UnsettledDelivery(Delivery, frozen=True, kw_only=True):
    """A stored delivery; `tries`, `done` and `crashes` as in `WebhookDelivery`."""

    received_at: datetime
    tries: int
    done: int
    crashes: int


class ProductPayload(msgspec.Struct, frozen=True):
    """`products/create` and `products/update`: the product's ID. The rest is read from Shopify."""

    id: int

    @property
    def gid(self) -> str:
        """The product's global ID."""
        return f"gid://shopify/Product/{self.id}"


class ShopPayload(msgspec.Struct, frozen=True):
    """`app/uninstalled`: the Shop resource. Shopify's own sample has null for the domain."""

    id: int | None = None
    myshopify_domain: str | None = None

    @property
    def gid(self) -> str | None:
        """The shop's global ID."""
        return None if self.id is None else f"gid://shopify/Shop/{self.id}"


class ScopesPayload(msgspec.Struct, frozen=True):
    """`app/scopes_update`: the shop's global ID; the scopes are read from Shopify."""

    shop_id: str | None = None


class ChargeOfShop(msgspec.Struct, frozen=True):
    """A charge in a billing topic: whose it is. The rest is read from Shopify."""

    admin_graphql_api_shop_id: str | None = None


class SubscriptionPayload(msgspec.Struct, frozen=True):
    """`app_subscriptions/update`."""

    app_subscription: ChargeOfShop


class OneTimePurchasePayload(msgspec.Struct, frozen=True):
    """`app_purchases_one_time/update`."""

    app_purchase_one_time: ChargeOfShop


class CustomerPayload(msgspec.Struct, frozen=True):
    """The customer that a compliance request is about."""

    id: int


class DataRequest(msgspec.Struct, frozen=True):
    """Shopify's number of a customer's request; a larger one could not be stored."""

    id: Annotated[int, msgspec.Meta(ge=1, le=2**63 - 1)]


class DataRequestPayload(msgspec.Struct, frozen=True):
    """`customers/data_request`, recognized by its `data_request`."""

    shop_domain: str
    customer: CustomerPayload
    data_request: DataRequest


class CustomerRedactPayload(msgspec.Struct, frozen=True):
    """`customers/redact`, recognized by its `orders_to_redact`."""

    shop_domain: str
    customer: CustomerPayload
    orders_to_redact: list[Any]


class ShopRedactPayload(msgspec.Struct, frozen=True):
    """`shop/redact`, recognized by having no `customer`."""

    shop_domain: str
    customer: CustomerPayload | None = None


def delivery_from(headers: Iterable[tuple[bytes, bytes]], body: bytes) -> Delivery:
    """The delivery in a request whose body has been verified. Raises `BadRequest`."""
    found = delivery_headers(headers)
    require_object(body)
    return Delivery(**found, body=body)


def delivery_headers(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, Any]:
    """The delivery's fields in the headers. Raises `BadRequest` if one is impossible."""
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
    """Refuse anything that is not a JSON object, however it is malformed.

    The signed part of a session token and Shopify's query strings verify with the same secret.
    Neither can start with a brace: a token starts with `eyJ`, and the first of a query's sorted
    parts is never after `shop=`. With white space before the brace, which JSON allows, one could.
    """
    if not body.startswith(b"{"):
        raise BadRequest("The body is not a JSON object.")
    try:
        msgspec.json.decode(body, type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequest("The body is not a JSON object.") from error


def required_header(headers: list[tuple[bytes, bytes]], name: str) -> str:
    """The one value of a required header."""
    value = optional_header(headers, name)
    if not value:
        raise BadRequest(f"{name} is missing.")
    return value


def optional_header(headers: list[tuple[bytes, bytes]], name: str) -> str | None:
    """The value of an optional header: printable ASCII within the limit, sent at most once."""
    found = header_values(headers, name.lower().encode())
    if len(found) > 1:
        raise BadRequest(f"{name} was sent more than once.")
    if not found:
        return None
    text = found[0].decode("latin-1")
    if len(text) > MAX_HEADER or not (text.isascii() and text.isprintable()):
        raise BadRequest(f"{name} is too long or not printable ASCII.")
    return text
