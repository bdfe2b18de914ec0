"""Shopify's responses about a collection: pages of its products."""

import msgspec

from backend.shops.shopify_responses import PageInfo, ProductMediaPage


class CollectionProduct(msgspec.Struct, frozen=True, rename={"gid": "id"}):
    """A product of the collection, and its first media if it has one."""

    gid: str
    media: ProductMediaPage

    @property
    def can_have_image(self) -> bool:
        """Whether the first media is an image, or others follow, which the job will look at."""
        return self.media.first_image is not None or self.media.page_info.has_next_page


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
