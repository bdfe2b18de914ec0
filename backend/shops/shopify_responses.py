"""Shopify's responses: the types that we read, and errors.

A response without a required field counts as an outage (`ShopifyUnavailable`), not as a result.
"""

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, TypeVar

import httpx
import msgspec

from backend.errors import ShopifyUnavailable

T = TypeVar("T")
NUL_ESCAPE = rb"\u0000"
NUL = re.compile(rb"(?<!\\)((?:\\\\)*)(?:\\u0000)+")  # not after a backslash that is escaped itself
UNREADABLE_RESPONSE = "Shopify's response could not be parsed."
# Shopify's CDN converts the others, at some loss: a worker may have no decoder for HEIC.
ORIGINALS_AS_THEY_ARE = frozenset({"image/jpeg", "image/png", "image/webp"})
MAX_LIFETIME = 10**9  # seconds, of a token; with more, the time of its end may not exist
PRODUCT_FIELDS = {
    "gid": "id",
    "product_type": "productType",
    "created_at": "createdAt",
    "published_at": "publishedAt",
    "updated_at": "updatedAt",
}


class OfflineToken(msgspec.Struct, frozen=True, kw_only=True):
    """An offline token pair that expires; without `expires_in` it is the older, permanent kind."""

    access_token: str
    scope: str = ""
    expires_in: Annotated[int, msgspec.Meta(ge=0, le=MAX_LIFETIME)] | None = None
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


class ConvertibleImage(msgspec.Struct, frozen=True, rename="camel"):
    """An image on Shopify's CDN: the merchant's file, and the same picture as WebP."""

    url: str
    webp_url: str


class ProductImage(msgspec.Struct, frozen=True, kw_only=True):
    """An image of the shop: its media id and its URLs on Shopify's CDN.

    `url` is the merchant's file; it changes when the image does, and keys are made of it.
    `download_url` is the same picture in a format that every worker reads.
    """

    media_gid: str
    url: str
    download_url: str


class ShopMedia(msgspec.Struct, frozen=True, rename="camel"):
    """A media of the shop. Only an image has an id here, and only one that is ready an image."""

    id: str | None = None
    status: str = ""
    mime_type: str | None = None
    image: ConvertibleImage | None = None

    @property
    def has_failed(self) -> bool:
        """Whether Shopify could not process the image."""
        return self.status == "FAILED"

    @property
    def ready(self) -> ProductImage | None:
        """The image, if the media is one and ready. A format that we read is not converted."""
        if self.id is None or self.image is None:
            return None
        as_it_is = self.mime_type in ORIGINALS_AS_THEY_ARE
        return ProductImage(
            media_gid=self.id,
            url=self.image.url,
            download_url=self.image.url if as_it_is else self.image.webp_url,
        )


class PageInfo(msgspec.Struct, frozen=True, rename="camel"):
    """The end of a page."""

    has_next_page: bool
    end_cursor: str | None = None


class ProductMediaPage(msgspec.Struct, frozen=True, rename="camel"):
    """A page of a product's media."""

    nodes: list[ShopMedia]
    page_info: PageInfo

    @property
    def first_image(self) -> ShopMedia | None:
        """The first image, ready or still processing; None if there is none on this page."""
        return next((each for each in self.nodes if each.id and not each.has_failed), None)


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
    media: ProductMediaPage
    published_at: datetime | None = None

    @property
    def is_published(self) -> bool:
        """Whether the online store shows it, if only to those who have its link."""
        return self.status in {"ACTIVE", "UNLISTED"} and self.published_at is not None

    @property
    def stored_title(self) -> str:
        """The title as a job keeps it: not longer than Shopify allows."""
        return self.title[:MAX_TITLE_CHARACTERS]

    @property
    def image(self) -> ProductImage | None:
        """The first of its media that is an image; None if there is none, or it is not ready."""
        return self.media.first_image.ready if self.media.first_image else None


class ProductAnswer(msgspec.Struct, frozen=True):
    """The data of `documents.PRODUCT`."""

    product: Product | None


class ProductPage(msgspec.Struct, frozen=True, rename="camel"):
    """A page of a shop's products."""

    nodes: list[Product]
    page_info: PageInfo


class ProductsAnswer(msgspec.Struct, frozen=True):
    """The data of `documents.CHANGED_PRODUCTS`."""

    products: ProductPage


class ProductMedia(msgspec.Struct, frozen=True):
    """A product with a page of its media."""

    media: ProductMediaPage


class FurtherMediaAnswer(msgspec.Struct, frozen=True):
    """The data of `documents.FURTHER_MEDIA`."""

    product: ProductMedia | None


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
    """The body as a JSON object, without NUL. Raises `ShopifyUnavailable` for anything else."""
    try:
        return msgspec.json.decode(without_nul(response.content), type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ShopifyUnavailable(UNREADABLE_RESPONSE) from error


def without_nul(body: bytes) -> bytes:
    """The JSON without NUL in its texts, which Postgres cannot store."""
    return NUL.sub(rb"\1", body) if NUL_ESCAPE in body else body


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
