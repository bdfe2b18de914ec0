"""What a merchant does in the admin: shops, installs, scopes, products and their images."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

from backend.dev import signing
from backend.dev.shopify import products
from backend.dev.shopify.bucket import Bucket
from backend.dev.shopify.media import ImageContent, MediaKind, image_content
from backend.dev.shopify.products import ProductRecord
from backend.dev.shopify.state import Platform, ShopRecord

DEFAULT_SCOPES = frozenset({"write_products", "write_files"})


class MerchantActions:
    """A merchant's actions. They send no webhook by themselves; that is up to the caller."""

    platform: Platform

    # The app in the shop

    def create_shop(
        self, domain: str, *, scopes: Collection[str] = DEFAULT_SCOPES, installed: bool = True
    ) -> ShopRecord:
        """Open a store, by default with the app installed and these scopes granted.

        A domain that exists is opened anew: another shop, without tokens or products.
        """
        platform = self.platform
        shop = ShopRecord(
            domain=domain,
            number=next(platform.shop_numbers),
            scopes=frozenset(scopes),
            created_at=platform.now(),
            bucket=Bucket(platform.seconds, platform.bucket_size, platform.restore_rate),
            installed=installed,
        )
        platform.shops[domain] = shop
        return shop

    def id_token(self, shop: str, *, user_id: str = "1") -> str:
        """Return the session token a page of the app would get from App Bridge now."""
        platform = self.platform
        return signing.session_token(
            platform.shops[shop].domain,
            api_key=platform.api_key,
            secret=platform.secret,
            user_id=user_id,
            now=platform.clock(),
        )

    def uninstall(self, shop: str) -> None:
        """Remove the app: every token is dead at once, and its subscription is cancelled.

        The webhook is the caller's to send; of the subscription there is none.
        """
        self.platform.shops[shop].installed = False
        self.platform.shops[shop].grants.revoke_all()
        self.platform.shops[shop].charges.cancel_all(self.platform.now())
        self.platform.shops[shop].contracts.end(self.platform.now())

    def reinstall(self, shop: str) -> None:
        """Install the app again; it has no token until the next exchange."""
        self.platform.shops[shop].installed = True

    def set_scopes(self, shop: str, scopes: Collection[str]) -> None:
        """Change what the merchant grants, with effect on the tokens that are out."""
        record = self.platform.shops[shop]
        record.previous_scopes, record.scopes = record.scopes, frozenset(scopes)

    # Products

    def create_product(
        self,
        shop: str,
        title: str,
        image: Path | bytes | None,
        content_type: str = "image/jpeg",
        filename: str | None = None,
        *,
        size: tuple[int, int] = (1200, 1500),
        variants: Sequence[str] = ("Default Title",),
        vendor: str = "Atelier",
        product_type: str = "",
        tags: Sequence[str] = (),
    ) -> ProductRecord:
        """Create an active product. `size` is what Shopify reports of the image, in pixels."""
        pictures = []
        if image is not None:
            pictures = [
                image_content(image, content_type=content_type, filename=filename, size=size)
            ]
        return self.platform.catalogue.add(
            shop,
            self.platform.shops[shop].number,
            title,
            pictures,
            self.platform.now(),
            variants=variants,
            vendor=vendor,
            product_type=product_type,
            tags=tags,
        )

    def current(self, product: ProductRecord) -> ProductRecord:
        """The product as it is now. Raises KeyError when it was deleted."""
        found = self.platform.catalogue.product(product.shop_number, product.id)
        if found is None:
            raise KeyError(product.id)
        return found

    def add_image(
        self,
        product: ProductRecord,
        image: Path | bytes,
        content_type: str = "image/jpeg",
        filename: str | None = None,
        *,
        size: tuple[int, int] = (1200, 1500),
        alt: str | None = None,
    ) -> ProductRecord:
        """Put another picture at the end of the gallery."""
        picture = image_content(image, content_type=content_type, filename=filename, size=size)
        return self._add_to_gallery(product, picture, alt=alt)

    def add_video(self, product: ProductRecord, kind: MediaKind = "Video") -> ProductRecord:
        """Put a video, or a 3D model, at the end of the gallery; nobody looks at its bytes."""
        content = image_content(b"", content_type="", filename=f"{kind}.bin", size=(0, 0))
        return self._add_to_gallery(product, content, kind=kind)

    def _add_to_gallery(
        self,
        product: ProductRecord,
        content: ImageContent,
        *,
        alt: str | None = None,
        kind: MediaKind = "MediaImage",
    ) -> ProductRecord:
        platform = self.platform
        media = platform.catalogue.library.add(
            product.shop_number, content, platform.now(), alt=alt, kind=kind
        )
        current = self.current(product)
        return platform.catalogue.put(
            replace(current, media=(*current.media, media)), platform.now()
        )

    def move_image(self, product: ProductRecord, media_gid: str, position: int) -> ProductRecord:
        """Put a picture of the gallery elsewhere; the first place is 0."""
        current = self.current(product)
        gallery = [media for media in current.media if media.gid != media_gid]
        moved = next(media for media in current.media if media.gid == media_gid)
        gallery.insert(position, moved)
        return self.platform.catalogue.put(
            replace(current, media=tuple(gallery)), self.platform.now()
        )

    def remove_image(self, product: ProductRecord, media_gid: str) -> ProductRecord:
        """Delete a picture of the gallery, and its file."""
        media = next(media for media in self.current(product).media if media.gid == media_gid)
        self.platform.catalogue.delete_media(media, self.platform.now())
        return self.current(product)

    def set_alt(self, product: ProductRecord, media_gid: str, alt: str | None) -> ProductRecord:
        """Describe a picture of the gallery."""
        media = next(media for media in self.current(product).media if media.gid == media_gid)
        self.platform.catalogue.library.put(replace(media, alt=alt))
        return self.platform.catalogue.put(self.current(product), self.platform.now())

    def show_at_variant(
        self, product: ProductRecord, variant_gid: str, media_gid: str | None
    ) -> ProductRecord:
        """Have a variant show a picture of the gallery, or none."""
        current = self.current(product)
        shown = {media.gid: media.id for media in current.media}
        variants = tuple(
            replace(variant, media_id=shown[media_gid] if media_gid else None)
            if variant.gid == variant_gid
            else variant
            for variant in current.variants
        )
        return self.platform.catalogue.put(replace(current, variants=variants), self.platform.now())

    def replace_image(
        self,
        product: ProductRecord,
        image: Path | bytes,
        content_type: str = "image/jpeg",
        filename: str | None = None,
        *,
        size: tuple[int, int] = (1200, 1500),
    ) -> ProductRecord:
        """Exchange the product's picture: another media, another URL; the old one answers 404."""
        platform = self.platform
        picture = image_content(image, content_type=content_type, filename=filename, size=size)
        return platform.catalogue.replace_picture(product, picture, platform.now())

    def unpublish_product(self, product: ProductRecord) -> None:
        """Take the product out of the online store; the admin still has it."""
        self.platform.catalogue.unpublish(product, self.platform.now())

    def set_status(self, product: ProductRecord, status: str) -> ProductRecord:
        """Give the product a ProductStatus, such as UNLISTED: open only to those with its link."""
        current = replace(self.current(product), status=status)
        return self.platform.catalogue.put(current, self.platform.now())

    def delete_product(self, product: ProductRecord) -> None:
        """Delete the product and its files."""
        self.platform.catalogue.delete(product.id)

    def create_collection(
        self, shop: str, title: str, contents: Sequence[ProductRecord]
    ) -> products.Collection:
        """Create a collection of these products, in their order."""
        number = self.platform.shops[shop].number
        return self.platform.catalogue.collect(number, title, contents)

    def delete_collection(self, collection: products.Collection) -> None:
        """Delete the collection; its products stay."""
        self.platform.catalogue.delete_collection(collection)
