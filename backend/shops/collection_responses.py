"""Shopify's responses about a collection: pages of its products."""

import msgspec

from backend.shops.shopify_responses import PageInfo, ShopMedia


class CollectionProduct(
    msgspec.Struct, frozen=True, rename={"gid": "id", "featured_media": "featuredMedia"}
):
    """A product of the collection, and its first media if it has one."""

    gid: str
    featured_media: ShopMedia | None = None

    @property
    def has_image(self) -> bool:
        """Whether the first media is an image, ready or still processing."""
        return self.featured_media is not None and self.featured_media.id is not None


class Products(msgspec.Struct, frozen=True, rename="camel"):
    """A page of a collection's products."""

    nodes: list[CollectionProduct]
    page_info: PageInfo


class Count(msgspec.Struct, frozen=True):
    """A count; for a large collection, a lower bound."""

    count: int


class CollectionPage(msgspec.Struct, frozen=True, rename="camel"):
    """A page of a collection's products, and how many it has in all."""

    products: Products
    products_count: Count | None = None

    @property
    def next_cursor(self) -> str | None:
        """The cursor of the next page, or None after the last."""
        info = self.products.page_info
        return info.end_cursor if info.has_next_page else None


class CollectionAnswer(msgspec.Struct, frozen=True):
    """The data of `documents.COLLECTION_PRODUCTS`."""

    collection: CollectionPage | None
