"""Immutable snapshots of products, variants and collections."""

from dataclasses import dataclass, replace
from datetime import datetime

from backend.dev.shopify.media import Media


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One thing to buy of a product. It shows at most one of the product's pictures."""

    id: int
    title: str
    position: int
    price: str = "49.00"
    media_id: int | None = None

    @property
    def gid(self) -> str:
        """The id as GraphQL has it."""
        return f"gid://shopify/ProductVariant/{self.id}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProductRecord:
    """An immutable snapshot of a product; a change makes another."""

    id: int
    shop: str
    """Its domain."""
    shop_number: int
    title: str
    handle: str
    created_at: datetime
    updated_at: datetime
    published_at: datetime | None
    """In the online store; None while it is not shown there."""
    status: str = "ACTIVE"
    vendor: str = "Atelier"
    product_type: str = ""
    tags: tuple[str, ...] = ()
    media: tuple[Media, ...] = ()
    """In the order of the gallery."""
    variants: tuple[Variant, ...] = ()

    @property
    def gid(self) -> str:
        """The id as GraphQL has it."""
        return f"gid://shopify/Product/{self.id}"

    @property
    def media_gid(self) -> str:
        """The id of the featured picture. Raises IndexError when the product has none."""
        return self.media[0].gid

    @property
    def image_url(self) -> str:
        """The URL of the featured picture. Raises IndexError when the product has none."""
        return self.media[0].url


@dataclass(frozen=True, slots=True, kw_only=True)
class Collection:
    """A merchant's selection of products, in the merchant's order."""

    id: int
    shop_number: int
    title: str
    handle: str
    product_ids: tuple[int, ...]

    @property
    def gid(self) -> str:
        """The id as GraphQL has it."""
        return f"gid://shopify/Collection/{self.id}"


def without_files(product: ProductRecord, media_ids: set[int]) -> ProductRecord:
    """The product without these files, in its gallery and at its variants."""
    return replace(
        product,
        media=tuple(media for media in product.media if media.id not in media_ids),
        variants=tuple(
            replace(variant, media_id=None) if variant.media_id in media_ids else variant
            for variant in product.variants
        ),
    )
