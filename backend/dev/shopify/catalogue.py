"""The products and collections of all shops. Their pictures are in `media`."""

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime

from backend.dev.shopify.media import ImageContent, Library, Media
from backend.dev.shopify.products import Collection, ProductRecord, Variant, without_files

_VARIANT_IDS = 1_000_000_000  # from a product's id to that of its first variant


class Catalogue:
    """All products and collections; `library` has the files."""

    def __init__(self) -> None:
        # Beyond 32 bits, as Shopify's ids have long been.
        self._ids = itertools.count(8_000_000_000_001)
        self.library = Library(self._ids)
        self._products: dict[int, ProductRecord] = {}
        self._collections: dict[int, Collection] = {}

    def add(
        self,
        shop: str,
        shop_number: int,
        title: str,
        pictures: Sequence[ImageContent],
        now: datetime,
        *,
        variants: Sequence[str] = ("Default Title",),
        vendor: str = "Atelier",
        product_type: str = "",
        tags: Sequence[str] = (),
    ) -> ProductRecord:
        """Create an active product with these pictures, in their order."""
        product_id = next(self._ids)
        self._products[product_id] = ProductRecord(
            id=product_id,
            shop=shop,
            shop_number=shop_number,
            title=title,
            handle=_handle(title),
            created_at=now,
            updated_at=now,
            published_at=now,
            vendor=vendor,
            product_type=product_type,
            tags=tuple(tags),
            media=tuple(self.library.add(shop_number, each, now, alt=title) for each in pictures),
            variants=tuple(
                # The first one's id follows from the product's; of the others nobody needs to know.
                Variant(
                    id=product_id + _VARIANT_IDS if index == 0 else next(self._ids),
                    title=name,
                    position=index + 1,
                )
                for index, name in enumerate(variants)
            ),
        )
        return self._products[product_id]

    def replace_picture(
        self, product: ProductRecord, picture: ImageContent, now: datetime
    ) -> ProductRecord:
        """Put `picture` in the place of all the product has; the old URLs answer 404."""
        self._forget_pictures(product.id)
        media = self.library.add(product.shop_number, picture, now, alt=product.title)
        current = self._products[product.id]
        bare = tuple(replace(variant, media_id=None) for variant in current.variants)
        return self.put(replace(current, media=(media,), variants=bare), now)

    def unpublish(self, product: ProductRecord, now: datetime) -> None:
        """Take the product out of the online store."""
        self.put(replace(self._products[product.id], published_at=None), now)

    def put(self, product: ProductRecord, now: datetime) -> ProductRecord:
        """Store this state of a product, changed now."""
        self._products[product.id] = replace(product, updated_at=now)
        return self._products[product.id]

    def delete(self, product_id: int) -> None:
        """Remove a product and its files. Raises KeyError when there is no such product."""
        self._forget_pictures(product_id)
        del self._products[product_id]

    def media(self, shop_number: int, gid: str) -> Media | None:
        """Return the media if it is this shop's, and of the kind that the id names."""
        number = gid.rpartition("/")[2]
        # `isdigit` alone would let other scripts' digits through, which int() reads.
        is_number = number.isascii() and number.isdigit() and len(number) < 20
        found = self.library.get(int(number)) if is_number else None
        if found is None or found.shop_number != shop_number or found.gid != gid:
            return None
        return found

    def delete_media(self, media: Media, now: datetime) -> list[ProductRecord]:
        """Delete a file, with every reference to it; the products that have changed."""
        self.library.remove(media.id)
        return [
            self.put(without_files(product, {media.id}), now) for product in self._showing(media.id)
        ]

    def showing(self, media: Media) -> list[ProductRecord]:
        """The products that have this file in their gallery."""
        return [self.fresh(product) for product in self._showing(media.id)]

    def product(self, shop_number: int, product_id: int) -> ProductRecord | None:
        """Return the product if it is this shop's."""
        product = self._products.get(product_id)
        foreign = product is None or product.shop_number != shop_number
        return None if product is None or foreign else self.fresh(product)

    def products(self, shop_number: int) -> list[ProductRecord]:
        """The shop's products, the oldest first; their files as they were: see `fresh`."""
        return [
            product for product in self._products.values() if product.shop_number == shop_number
        ]

    def fresh(self, product: ProductRecord) -> ProductRecord:
        """The product with its files as they are now: they change by themselves."""
        now = tuple(self.library.get(media.id) or media for media in product.media)
        unchanged = all(new is old for new, old in zip(now, product.media, strict=True))
        return product if unchanged else replace(product, media=now)

    def newest(self, shop_number: int) -> ProductRecord:
        """Return the product this shop created last. Raises ValueError when it has none."""
        return self.fresh(max(self.products(shop_number), key=lambda product: product.id))

    def collect(
        self, shop_number: int, title: str, products: Iterable[ProductRecord]
    ) -> Collection:
        """Create a collection of these products."""
        collection = Collection(
            id=next(self._ids),
            shop_number=shop_number,
            title=title,
            handle=_handle(title),
            product_ids=tuple(product.id for product in products),
        )
        self._collections[collection.id] = collection
        return collection

    def collection(self, shop_number: int, collection_id: int) -> Collection | None:
        """Return the collection if it is this shop's."""
        found = self._collections.get(collection_id)
        return found if found is not None and found.shop_number == shop_number else None

    def collections(self, shop_number: int) -> list[Collection]:
        """The shop's collections, the oldest first."""
        found = self._collections.values()
        return [collection for collection in found if collection.shop_number == shop_number]

    def delete_collection(self, collection: Collection) -> None:
        """Remove a collection; its products stay. Raises KeyError when there is none."""
        del self._collections[collection.id]

    def file(self, path: str, version: str | None) -> ImageContent | None:
        """Return what the CDN serves at this path; without a version, the current one."""
        return self.library.served(path, version)

    def _showing(self, media_id: int) -> list[ProductRecord]:
        return [
            product
            for product in self._products.values()
            if any(media.id == media_id for media in product.media)
        ]

    def _forget_pictures(self, product_id: int) -> None:
        for media in self._products[product_id].media:
            if len(self._showing(media.id)) == 1:
                self.library.remove(media.id)


def _handle(title: str) -> str:
    return "-".join(title.lower().split())
