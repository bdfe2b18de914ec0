"""The images a job needs: from our uploads, or from the shop, read with its own token.

They have not been decoded yet; `validate` does that in a child process.
"""

from collections.abc import AsyncIterator
from typing import NamedTuple

import structlog
from sqlalchemy import select

from backend.errors import ShopifyUnavailable
from backend.failures.codes import (
    CATALOG_IMAGE_GONE,
    MEDIA_NOT_FOUND,
    NO_IMAGE,
    PRODUCT_NOT_FOUND,
    SCOPE_MISSING,
    SHOP_NOT_INSTALLED,
    SHOPIFY_REFUSED,
    SOURCE_JOB_EXPIRED,
    UPLOAD_EXPIRED,
)
from backend.failures.registry import Failed, Failure
from backend.jobs.lifecycle import JobLease
from backend.jobs.models import JobStage
from backend.jobs.rerun import SOURCE_JOB
from backend.shops.admin_api import AdminApi, ShopifyRefused
from backend.shops.product_image import download_image
from backend.shops.shopify_responses import Product, ShopMedia
from backend.shops.tokens import InstalledShop, installed_shop, with_fresh_token
from backend.storage.objects import ObjectMissing
from backend.worker.context import WorkerContext
from backend.workflows import WORKFLOWS
from backend.workflows.compatibility import category_for
from backend.workflows.further_images import object_field_of
from backend.workflows.stages import StageFile, StageName

log = structlog.get_logger(__name__)

# A visitor could repeat these requests without end.
NOT_THERE = (PRODUCT_NOT_FOUND, MEDIA_NOT_FOUND, NO_IMAGE)


class SourceFailed(Failed):
    """A picture cannot be had; the title of its product if that was read for it."""

    def __init__(self, failure: Failure, product_title: str | None = None) -> None:
        super().__init__(failure)
        self.product_title = product_title


class ShopPhoto(NamedTuple):
    """A photo on Shopify's CDN; title and category of its product if that was read for it."""

    url: str
    product_title: str | None = None
    category: str | None = None


class SourceFile(NamedTuple):
    """An image of a job's request, by the name its stages use."""

    name: StageFile
    data: bytes
    product_title: str | None = None
    category: str | None = None


async def source_files(claimed: JobLease, context: WorkerContext) -> AsyncIterator[SourceFile]:
    """Each image of the job's request.

    Raises `SourceFailed`, `NeedsReauth`, and the errors of Shopify, storage and downloads.
    """
    request, workflow = claimed.request, WORKFLOWS[claimed.job_type]
    if "upload_key" in request:
        yield SourceFile(StageFile.SOURCE, await stored_image(request["upload_key"], context))
    elif SOURCE_JOB in request:
        yield await photo_of_job(claimed, context)
    else:
        known = request.get("source_url")
        photo = ShopPhoto(known) if known else await shop_photo(claimed, context)
        data = await download_image(context.files, photo.url)
        yield SourceFile(StageFile.SOURCE, data, photo.product_title, photo.category)
    for image in workflow.further_images:
        if image.upload_field in request:
            yield SourceFile(image.file, await stored_image(request[image.upload_field], context))
        elif image.entry_field in request:
            key = request[object_field_of(image.entry_field)]
            data = await stored_image(key, context, missing=CATALOG_IMAGE_GONE)
            yield SourceFile(image.file, data)


async def stored_image(
    key: str | None, context: WorkerContext, *, missing: Failure = UPLOAD_EXPIRED
) -> bytes:
    """An image in our own bucket. One that has been deleted since is not an error of the store."""
    if key is None:
        raise SourceFailed(missing)
    try:
        return await context.store.get(key)
    except ObjectMissing as error:
        await context.store.clock()  # raises if the whole bucket is unavailable
        raise SourceFailed(missing) from error


async def photo_of_job(claimed: JobLease, context: WorkerContext) -> SourceFile:
    """The photo that the job to repeat has fetched, as long as that keeps its files."""
    source = StageFile.SOURCE.value
    fetched = select(
        JobStage.files[source].astext.label("key"),
        JobStage.facts[source]["category"].astext.label("category"),
    ).where(
        JobStage.shop_id == claimed.ref.shop_id,
        JobStage.job_id == claimed.request[SOURCE_JOB],
        JobStage.stage == StageName.FETCH,
    )
    async with context.database.reading(claimed.ref.shop_id) as connection:
        row = (await connection.execute(fetched)).one_or_none()
    key, category = (row.key, row.category) if row else (None, None)
    data = await stored_image(key, context, missing=SOURCE_JOB_EXPIRED)
    return SourceFile(StageFile.SOURCE, data, category=category)


async def shop_photo(claimed: JobLease, context: WorkerContext) -> ShopPhoto:
    """The product's or the media's current photo."""
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
            lambda shop: photo_in_shop(claimed, context.admin, shop),
        )
    except ShopifyRefused as error:
        log.warning("photo_refused", cause=str(error)[:300])
        raise SourceFailed(SCOPE_MISSING if error.is_denied else SHOPIFY_REFUSED) from error


async def photo_in_shop(claimed: JobLease, admin: AdminApi, shop: InstalledShop) -> ShopPhoto:
    """Query the shop."""
    if media_id := claimed.request.get("media_id"):
        media = await admin.media_image(shop.domain, shop.access_token, media_id)
        if media is None or media.has_failed:
            raise SourceFailed(MEDIA_NOT_FOUND)
        return ShopPhoto(ready_url(media))
    product = await admin.product(shop.domain, shop.access_token, claimed.request["product_id"])
    if product is None or not may_be_seen(product, claimed.origin):
        raise SourceFailed(PRODUCT_NOT_FOUND)
    first = product.media.first_image
    if first is None:
        raise SourceFailed(NO_IMAGE, product.stored_title)
    workflow = WORKFLOWS[claimed.job_type].name
    category = category_for(workflow, product.product_type, product.tags)
    return ShopPhoto(ready_url(first), product.stored_title, category)


def ready_url(image: ShopMedia) -> str:
    """Where to download it. Raises `ShopifyUnavailable` while Shopify still processes it."""
    if image.ready is None:
        raise ShopifyUnavailable("Shopify is still processing the image.")
    return image.ready.download_url


def may_be_seen(product: Product, origin: str) -> bool:
    """A visitor may use only photos of products that the storefront shows."""
    return origin != "storefront" or product.is_published
