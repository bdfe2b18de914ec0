"""What Shopify answers, as far as we read it: typed shapes, and what to make of the rest.

An answer that lacks what it should have is an outage on the way (`ShopifyUnavailable`), not news.
"""

from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import httpx
import msgspec

from backend.errors import ShopifyUnavailable

T = TypeVar("T")
UNREADABLE = "Shopify's response could not be parsed."
SPELLING = {
    "gid": "id",
    "product_type": "productType",
    "created_at": "createdAt",
    "published_at": "publishedAt",
    "updated_at": "updatedAt",
    "featured_media": "featuredMedia",
}


class OfflineToken(msgspec.Struct, frozen=True, kw_only=True):
    """An expiring offline token pair; without `expires_in` it is one of the old, lasting kind."""

    access_token: str
    scope: str = ""
    expires_in: int | None = None
    refresh_token: str | None = None

    def __repr__(self) -> str:
        """Without the tokens: what is printed ends up in logs."""
        return f"OfflineToken(scope={self.scope!r}, expires_in={self.expires_in})"

    @property
    def expires_at(self) -> datetime | None:
        """When the access token dies, by our clock."""
        if self.expires_in is None:
            return None
        return datetime.now(UTC) + timedelta(seconds=self.expires_in)


class Installation(msgspec.Struct, frozen=True, kw_only=True):
    """What a shop says of itself: its global id and the scopes it has granted."""

    shop_gid: str
    scopes: str


class Image(msgspec.Struct, frozen=True):
    """A picture on Shopify's CDN."""

    url: str


class ProductImage(msgspec.Struct, frozen=True, kw_only=True):
    """A picture of the shop: its media id and its address on Shopify's CDN."""

    media_gid: str
    url: str


class Media(msgspec.Struct, frozen=True):
    """A media of the shop; only a ready picture has an id and an image here."""

    id: str | None = None
    image: Image | None = None

    @property
    def ready(self) -> ProductImage | None:
        """The picture, if it is one and ready."""
        if self.id is None or self.image is None:
            return None
        return ProductImage(media_gid=self.id, url=self.image.url)


class Product(msgspec.Struct, frozen=True, rename=SPELLING):
    """A product as it is now."""

    gid: str
    title: str
    status: str
    vendor: str
    product_type: str
    tags: list[str]
    created_at: datetime
    updated_at: datetime
    published_at: datetime | None = None
    featured_media: Media | None = None

    @property
    def is_published(self) -> bool:
        """Whether the online store shows it."""
        return self.status == "ACTIVE" and self.published_at is not None

    @property
    def image(self) -> ProductImage | None:
        """The featured picture, or None when the featured media is not a ready picture."""
        return self.featured_media.ready if self.featured_media else None


class ProductAnswer(msgspec.Struct, frozen=True):
    """The data of `documents.PRODUCT`."""

    product: Product | None


class PageInfo(msgspec.Struct, frozen=True, rename="camel"):
    """Where a page ends."""

    has_next_page: bool
    end_cursor: str | None = None


class ProductPage(msgspec.Struct, frozen=True, rename="camel"):
    """Some of a shop's products."""

    nodes: list[Product]
    page_info: PageInfo


class ProductsAnswer(msgspec.Struct, frozen=True):
    """The data of `documents.CHANGED_PRODUCTS`."""

    products: ProductPage


class MediaAnswer(msgspec.Struct, frozen=True):
    """The data of `documents.MEDIA_IMAGE`."""

    node: Media | None


class Identified(msgspec.Struct, frozen=True):
    """A thing with a global id."""

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
    """The shop's bucket of points, and the points a second that come back."""

    currently_available: float
    restore_rate: float


class Cost(msgspec.Struct, frozen=True, rename="camel"):
    """What a question costs, in points, whether it was answered or not."""

    requested_query_cost: float
    throttle_status: ThrottleStatus


def cost_of(answer: dict[str, Any]) -> Cost | None:
    """The cost that an answer tells, if it does."""
    extensions = answer.get("extensions")
    try:
        return msgspec.convert(extensions.get("cost"), Cost)  # type: ignore[union-attr]
    except (AttributeError, msgspec.ValidationError):
        return None


def readable(answer: Any, kind: type[T]) -> T:
    """The answer as a `kind`; one that lacks what it should have is an outage too."""
    try:
        return msgspec.convert(answer, kind)
    except msgspec.ValidationError as error:
        raise ShopifyUnavailable(UNREADABLE) from error


def json_object(response: httpx.Response) -> dict[str, Any]:
    """The body as a JSON object; anything else is an outage on the way, not an answer."""
    try:
        return msgspec.json.decode(response.content, type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ShopifyUnavailable(UNREADABLE) from error


def error_codes(errors: object) -> list[str]:
    """The codes of the top-level GraphQL errors, or what can be said instead of one."""
    found = errors if isinstance(errors, list) else [errors] if errors else []
    return [error_code(error) for error in found]


def error_code(error: object) -> str:
    """The code of one of them, whose every part may be missing."""
    if not isinstance(error, dict):
        return str(error)
    extensions = error.get("extensions")
    code = extensions.get("code") if isinstance(extensions, dict) else None
    return str(code or error.get("message"))
