"""Tell the images that we published from the merchant's, so that no image is made from our own.

A merchant who exports and imports products, duplicates one or uploads a downloaded file gets the
same image under another media id. Its file keeps our name, with what Shopify or an importer adds to
it; else it has the same bytes.
"""

import hashlib
from collections.abc import Iterable

import httpx
import structlog
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.db import Database
from backend.publications.queries import (
    is_own_file,
    is_own_media,
    published_digests,
)
from backend.rules.models import PastJob
from backend.shops.product_image import (
    ProductImageRefused,
    ProductImageUnavailable,
    download_image,
    size_of_image,
)
from backend.shops.shopify_responses import ProductImage

log = structlog.get_logger(__name__)


async def is_own_image(connection: AsyncConnection, shop_id: int, image: ProductImage) -> bool:
    """Whether the image's media id or the name of its file says that we published it."""
    return await is_own_media(connection, shop_id, image.media_gid) or await is_own_file(
        connection, shop_id, image.url
    )


async def has_own_bytes(
    database: Database, files: httpx.AsyncClient, shop_id: int, image: ProductImage
) -> bool:
    """Whether the image has the bytes of one that we published.

    It is downloaded only if its size is that of one of ours. One that cannot be downloaded now
    counts as the merchant's: the job will see.
    """
    try:
        size = await size_of_image(files, image.url)
        async with database.reading(shop_id) as connection:
            digests = await published_digests(connection, shop_id, size)
        if not digests:
            return False
        data = await download_image(files, image.url)
    except (ProductImageRefused, ProductImageUnavailable) as error:
        log.warning("image_not_compared", cause=str(error)[:300])
        return False
    return hashlib.sha256(data).hexdigest() in digests


async def remember(connection: AsyncConnection, shop_id: int, keys: Iterable[str]) -> None:
    """Let the jobs with these keys count as made, so that the image is not compared again."""
    rows = [{"shop_id": shop_id, "natural_key": key} for key in keys]
    await connection.execute(upsert(PastJob).values(rows).on_conflict_do_nothing())
