"""The product of a job, with its media as Shopify has them now."""

import asyncio
from typing import Any

import structlog
from sqlalchemy import Select, select
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.db import Database
from backend.errors import (
    JobHasNoProduct,
    ProductNotFound,
    ScopeMissing,
    ShopifyUnavailable,
    ShopNotInstalled,
)
from backend.jobs.ids import lookup_id
from backend.jobs.lookup import shop_row
from backend.jobs.models import Job
from backend.jobs.queries import installed
from backend.publications.models import PublishedMedia
from backend.publications.schemas import ProductMediaItem, ProductResponse
from backend.shops import media_api
from backend.shops.admin_api import AdminApi, ShopifyRefused
from backend.shops.media_responses import ShownProduct
from backend.shops.models import Shop
from backend.shops.tokens import NeedsReauth, installed_shop, with_fresh_token

log = structlog.get_logger(__name__)

READ_SCOPE_MISSING = "The app may not read this shop's products. Grant read_products."
TOKEN_REFUSED = "Shopify no longer accepts the app's token. POST /v1/installation, then retry."
SHOPIFY_SECONDS = 8.0  # for all pages together


async def job_product(
    database: Database, admin: AdminApi, *, shop_domain: str, public_id: str
) -> ProductResponse:
    """The job's product, read from Shopify; no transaction is open meanwhile.

    Raises `ShopNotInstalled`, `JobNotFound`, `JobHasNoProduct`, `ProductNotFound`, `ScopeMissing`
    or `ShopifyUnavailable`.
    """
    async with database.reading(shop_domain) as connection:
        job = await shop_row(connection, product_of_job(shop_domain, lookup_id(public_id)))
    if job.product_id is None:
        raise JobHasNoProduct
    product = await product_in_shopify(database, admin, shop_domain, job.product_id)
    async with database.reading(shop_domain) as connection:
        ours = await own_among(connection, job.shop_id, [media.id for media in product.media])
    return ProductResponse(
        id=product.id,
        title=product.title,
        handle=product.handle,
        media=[
            ProductMediaItem(
                id=media.id,
                type=media.media_content_type,
                alt=media.alt or "",
                image_url=media.image_url,
                ours=media.id in ours,
            )
            for media in product.media
        ],
    )


def product_of_job(shop_domain: str, public_id: str) -> Select[Any]:
    """The job's product; no row if the shop is not installed, nulls if it has no such job."""
    columns: Select[Any] = select(
        Job.public_id,
        Job.request["product_id"].astext.label("product_id"),
        Shop.id.label("shop_id"),
    ).select_from(Shop)
    job = (Job.shop_id == Shop.id) & (Job.public_id == public_id)
    return columns.outerjoin(Job, job).where(*installed(shop_domain))


async def product_in_shopify(
    database: Database, admin: AdminApi, shop_domain: str, gid: str
) -> ShownProduct:
    """The product, read with the shop's token."""
    try:
        async with asyncio.timeout(SHOPIFY_SECONDS):
            shop = await installed_shop(database, admin, shop_domain)
            if shop is None:
                raise ShopNotInstalled
            if not shop.has_granted("read_products"):
                raise ScopeMissing(READ_SCOPE_MISSING)
            product = await with_fresh_token(
                database, admin, shop, lambda shop: media_api.shown_product(admin, shop, gid)
            )
    except TimeoutError as error:
        raise ShopifyUnavailable from error
    except NeedsReauth as error:
        raise ShopNotInstalled(TOKEN_REFUSED) from error
    except ShopifyRefused as error:
        log.warning("product_refused", cause=str(error)[:300])
        raise (ScopeMissing(READ_SCOPE_MISSING) if error.is_denied else ShopifyUnavailable()) from (
            error
        )
    if product is None:
        raise ProductNotFound
    return product


async def own_among(connection: AsyncConnection, shop_id: int, media: list[str]) -> set[str]:
    """Those of the media that Atelier created in this shop."""
    found = select(PublishedMedia.media_id).where(
        PublishedMedia.shop_id == shop_id, PublishedMedia.media_id.in_(media)
    )
    return {str(media_id) for media_id in await connection.scalars(found)}
