"""The images a job needs: from our uploads, or from the shop, read with its own token.

They have not been decoded yet; `validate` does that in a child process.
"""

from collections.abc import AsyncIterator

import structlog

from backend.errors import ShopifyUnavailable
from backend.failures.codes import (
    MEDIA_NOT_FOUND,
    NO_IMAGE,
    PRODUCT_NOT_FOUND,
    SCOPE_MISSING,
    SHOP_NOT_INSTALLED,
    SHOPIFY_REFUSED,
    UPLOAD_EXPIRED,
)
from backend.failures.registry import Failed
from backend.jobs.lifecycle import JobLease
from backend.shops.admin_api import AdminApi, ShopifyRefused
from backend.shops.product_image import download_image
from backend.shops.shopify_responses import Product, ShopMedia
from backend.shops.tokens import InstalledShop, installed_shop, with_fresh_token
from backend.storage.objects import ObjectMissing
from backend.worker.context import WorkerContext
from backend.workflows.stages import StageFile

log = structlog.get_logger(__name__)

# A visitor could repeat these requests without end.
NOT_THERE = (PRODUCT_NOT_FOUND, MEDIA_NOT_FOUND, NO_IMAGE)


class SourceFailed(Failed):
    """A picture cannot be had."""


async def source_files(
    claimed: JobLease, context: WorkerContext
) -> AsyncIterator[tuple[str, bytes]]:
    """Each image of the job's request, by the name its stages use.

    Raises `SourceFailed`, `NeedsReauth`, and the errors of Shopify, storage and downloads.
    """
    request = claimed.request
    if "upload_key" in request:
        yield StageFile.SOURCE, await uploaded(request["upload_key"], context)
    else:
        url = request.get("source_url") or await shop_photo(claimed, context)
        yield StageFile.SOURCE, await download_image(context.files, url)
    if "background_upload_key" in request:
        yield StageFile.BACKGROUND, await uploaded(request["background_upload_key"], context)


async def uploaded(key: str | None, context: WorkerContext) -> bytes:
    """An upload's bytes. An upload that has expired since is not an error of the store."""
    if key is None:
        raise SourceFailed(UPLOAD_EXPIRED)
    try:
        return await context.store.get(key)
    except ObjectMissing as error:
        await context.store.clock()  # raises if the whole bucket is unavailable
        raise SourceFailed(UPLOAD_EXPIRED) from error


async def shop_photo(claimed: JobLease, context: WorkerContext) -> str:
    """The current URL from which to download the product's or the media's photo."""
    try:
        shop = await installed_shop(context.database, context.admin, claimed.shop_domain)
        if shop is None:
            raise SourceFailed(SHOP_NOT_INSTALLED)
        if not shop.has_granted("read_products"):
            raise SourceFailed(SCOPE_MISSING)
        return await with_fresh_token(
            context.database,
            context.admin,
            shop,
            lambda shop: photo_url(claimed, context.admin, shop),
        )
    except ShopifyRefused as error:
        log.warning("photo_refused", cause=str(error)[:300])
        raise SourceFailed(SCOPE_MISSING if error.is_denied else SHOPIFY_REFUSED) from error


async def photo_url(claimed: JobLease, admin: AdminApi, shop: InstalledShop) -> str:
    """Query the shop."""
    if media_id := claimed.request.get("media_id"):
        media = await admin.media_image(shop.domain, shop.access_token, media_id)
        if media is None or media.has_failed:
            raise SourceFailed(MEDIA_NOT_FOUND)
        return ready_url(media)
    product = await admin.product(shop.domain, shop.access_token, claimed.request["product_id"])
    if product is None or not may_be_seen(product, claimed.origin):
        raise SourceFailed(PRODUCT_NOT_FOUND)
    first = product.media.first_image
    if first is None:
        raise SourceFailed(NO_IMAGE)
    return ready_url(first)


def ready_url(image: ShopMedia) -> str:
    """Where to download it. Raises `ShopifyUnavailable` while Shopify still processes it."""
    if image.ready is None:
        raise ShopifyUnavailable("Shopify is still processing the image.")
    return image.ready.download_url


def may_be_seen(product: Product, origin: str) -> bool:
    """A visitor may use only photos of products that the storefront shows."""
    return origin != "storefront" or product.is_published
