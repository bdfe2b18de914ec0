"""The products of all shops and the files behind their image URLs."""

import itertools
import uuid
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path, PurePosixPath

CDN_HOST = "cdn.shopify.com"


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """What a merchant uploads. Any bytes will do: the stand-in looks at none of them."""

    content: bytes
    content_type: str
    filename: str
    width: int
    """In pixels, as Shopify would report it."""
    height: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Media:
    """One picture of a product. A replaced picture is another media with another id."""

    id: int
    path: str
    """On the CDN, without the version."""
    version: int
    picture: Picture
    created_at: datetime

    @property
    def gid(self) -> str:
        """The id as GraphQL has it."""
        return f"gid://shopify/MediaImage/{self.id}"

    @property
    def url(self) -> str:
        """Where the bytes are; `v` changes with them."""
        return f"https://{CDN_HOST}{self.path}?v={self.version}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Product:
    """A product as it is at one moment; changing it makes another."""

    id: int
    shop: str
    """Its domain."""
    shop_number: int
    title: str
    handle: str
    created_at: datetime
    updated_at: datetime
    status: str = "ACTIVE"
    media: tuple[Media, ...] = ()

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


class Catalogue:
    """All products, and the CDN's files by their path."""

    def __init__(self) -> None:
        # Beyond 32 bits, as Shopify's ids have long been.
        self._ids = itertools.count(8_000_000_000_001)
        self._versions = itertools.count(1_790_000_000)
        self._products: dict[int, Product] = {}
        self._files: dict[str, Media] = {}

    def add(
        self, shop: str, shop_number: int, title: str, picture: Picture | None, now: datetime
    ) -> Product:
        """Create an active product with this one picture, or with none."""
        product = Product(
            id=next(self._ids),
            shop=shop,
            shop_number=shop_number,
            title=title,
            handle="-".join(title.lower().split()),
            created_at=now,
            updated_at=now,
        )
        if picture is not None:
            product = replace(product, media=(self._publish(shop_number, picture, now),))
        self._products[product.id] = product
        return product

    def replace_picture(self, product: Product, picture: Picture, now: datetime) -> Product:
        """Put `picture` in the place of all the product has; the old URLs answer 404."""
        self._unpublish(product.id)
        media = (self._publish(product.shop_number, picture, now),)
        changed = replace(self._products[product.id], media=media, updated_at=now)
        self._products[product.id] = changed
        return changed

    def delete(self, product_id: int) -> None:
        """Remove a product and its files. Raises KeyError when there is no such product."""
        self._unpublish(product_id)
        del self._products[product_id]

    def product(self, shop_number: int, product_id: int) -> Product | None:
        """Return the product if it is this shop's."""
        product = self._products.get(product_id)
        foreign = product is None or product.shop_number != shop_number
        return None if foreign else product

    def newest(self, shop_number: int) -> Product:
        """Return the product this shop created last. Raises ValueError when it has none."""
        return max(
            (product for product in self._products.values() if product.shop_number == shop_number),
            key=lambda product: product.id,
        )

    def file(self, path: str, version: str | None) -> Picture | None:
        """Return what the CDN serves at this path; without a version, the current one."""
        media = self._files.get(path)
        if media is None or version not in (None, str(media.version)):
            return None
        return media.picture

    def _publish(self, shop_number: int, picture: Picture, now: datetime) -> Media:
        media = Media(
            id=next(self._ids),
            path=self._free_path(shop_number, picture.filename),
            version=next(self._versions),
            picture=picture,
            created_at=now,
        )
        self._files[media.path] = media
        return media

    def _unpublish(self, product_id: int) -> None:
        for media in self._products[product_id].media:
            del self._files[media.path]

    def _free_path(self, shop_number: int, filename: str) -> str:
        """Return the file's path; a name that is taken gets a UUID, as it does at Shopify."""
        path = PurePosixPath(f"/s/files/1/{shop_number}/files", filename)
        if str(path) in self._files:
            path = path.with_stem(f"{path.stem}_{uuid.uuid4()}")
        return str(path)


def picture_from(
    image: Path | bytes, *, content_type: str, filename: str | None, size: tuple[int, int]
) -> Picture:
    """Describe an upload. `size` is width and height in pixels; a path names its own file."""
    width, height = size
    return Picture(
        content=image if isinstance(image, bytes) else image.read_bytes(),
        content_type=content_type,
        filename=filename or (image.name if isinstance(image, Path) else "image.jpg"),
        width=width,
        height=height,
    )
