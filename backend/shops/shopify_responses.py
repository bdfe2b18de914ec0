"""Shopify's responses: the types that we read, and errors.

A response without a required field counts as an outage (`ShopifyUnavailable`), not as a result.
"""

from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import httpx
import msgspec

from backend.errors import ShopifyUnavailable

T = TypeVar("T")
UNREADABLE_RESPONSE = "Shopify's response could not be parsed."
PRODUCT_FIELDS = {
    "gid": "id",
    "product_type": "productType",
    "created_at": "createdAt",
    "published_at": "publishedAt",
    "updated_at": "updatedAt",
    "featured_media": "featuredMedia",
}


class OfflineToken(msgspec.Struct, frozen=True, kw_only=True):
    """An offline token pair that expires; without `expires_in` it is the older, permanent kind."""

    access_token: str
    scope: str = ""
    expires_in: int | None = None
    refresh_token: str | None = None

    def __repr__(self) -> str:
        """Without the tokens: what is printed ends up in logs."""
        return f"OfflineToken(scope={self.scope!r}, expires_in={self.expires_in})"

    @property
    def expires_at(self) -> datetime | None:
        """When the access token expires, by our clock."""
        if self.expires_in is None:
            return None
        return datetime.now(UTC) + timedelta(seconds=self.expires_in)


class Installation(msgspec.Struct, frozen=True, kw_only=True):
    """A shop's global id and the scopes it has granted."""

    shop_gid: str
    scopes: str


class Image(msgspec.Struct, frozen=True):
    """An image on Shopify's CDN."""

    url: str


class ProductImage(msgspec.Struct, frozen=True, kw_only=True):
    """An image of the shop: its media id and its URL on Shopify's CDN."""

    media_gid: str
    url: str


class ShopMedia(msgspec.Struct, frozen=True):
    """A media of the shop; only an image that is ready has an id and an image here."""

    id: str | None = None
    image: Image | None = None

    @property
    def ready(self) -> ProductImage | None:
        """The image, if the media is one and ready."""
        if self.id is None or self.image is None:
            return None
        return ProductImage(media_gid=self.id, url=self.image.url)


MAX_TITLE_CHARACTERS = 255  # Shopify's limit


class Product(msgspec.Struct, frozen=True, rename=PRODUCT_FIELDS):
    """A product."""

    gid: str
    title: str
    status: str
    vendor: str
    product_type: str
    tags: list[str]
    created_at: datetime
    updated_at: datetime
    published_at: datetime | None = None
    featured_media: ShopMedia | None = None

    @property
    def is_published(self) -> bool:
        """Whether it is visible in the online store."""
        return self.status == "ACTIVE" and self.published_at is not None

    @property
    def stored_title(self) -> str:
        """The title as a job keeps it; Postgres stores no null character."""
        return self.title.replace("\0", "")[:MAX_TITLE_CHARACTERS]

    @property
    def image(self) -> ProductImage | None:
        """The featured image, or None if the featured media is not a ready image."""
        return self.featured_media.ready if self.featured_media else None


class ProductAnswer(msgspec.Struct, frozen=True):
    """The data of `documents.PRODUCT`."""

    product: Product | None


class PageInfo(msgspec.Struct, frozen=True, rename="camel"):
    """The end of a page."""

    has_next_page: bool
    end_cursor: str | None = None


class ProductPage(msgspec.Struct, frozen=True, rename="camel"):
    """A page of a shop's products."""

    nodes: list[Product]
    page_info: PageInfo


class ProductsAnswer(msgspec.Struct, frozen=True):
    """The data of `documents.CHANGED_PRODUCTS`."""

    products: ProductPage


class MediaAnswer(msgspec.Struct, frozen=True):
    """The data of `documents.MEDIA_IMAGE`."""

    node: ShopMedia | None


class Identified(msgspec.Struct, frozen=True):
    """An object with a global id."""

    id: str


class Scope(msgspec.Struct, frozen=True):
    """A granted access scope."""

    handle: str


class AppInstallation(msgspec.Struct, frozen=True, rename="camel"):
    """The app in a shop."""

    access_scopes: list[Scope]


class InstallationAnswer(msgspec.Struct, frozen=True, rename="camel"):
    """The data of `documents.INSTALLATION`."""

    shop: Identified
    current_app_installation: AppInstallation


class ThrottleStatus(msgspec.Struct, frozen=True, rename="camel"):
    """The points left in the shop's rate-limit bucket, and its refill rate per second."""

    currently_available: float
    restore_rate: float


class Cost(msgspec.Struct, frozen=True, rename="camel"):
    """The cost of a query in points, whether it was executed or throttled."""

    requested_query_cost: float
    throttle_status: ThrottleStatus


def cost_of(answer: dict[str, Any]) -> Cost | None:
    """The query cost in a response, if it has one."""
    extensions = answer.get("extensions")
    try:
        return msgspec.convert(extensions.get("cost"), Cost)  # type: ignore[union-attr]
    except (AttributeError, msgspec.ValidationError):
        return None


def readable(answer: Any, kind: type[T]) -> T:
    """The response as a `kind`. Raises `ShopifyUnavailable` if it does not fit."""
    try:
        return msgspec.convert(answer, kind)
    except msgspec.ValidationError as error:
        raise ShopifyUnavailable(UNREADABLE_RESPONSE) from error


def json_object(response: httpx.Response) -> dict[str, Any]:
    """The body as a JSON object. Raises `ShopifyUnavailable` for anything else."""
    try:
        return msgspec.json.decode(response.content, type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ShopifyUnavailable(UNREADABLE_RESPONSE) from error


def error_codes(errors: object) -> list[str]:
    """The codes of the top-level GraphQL errors, or their messages if they have no code."""
    found = errors if isinstance(errors, list) else [errors] if errors else []
    return [error_code(error) for error in found]


def error_code(error: object) -> str:
    """The code of one error; any part of it may be missing."""
    if not isinstance(error, dict):
        return str(error)
    extensions = error.get("extensions")
    code = extensions.get("code") if isinstance(extensions, dict) else None
    return str(code or error.get("message"))
