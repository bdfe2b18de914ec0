"""An image as a file of the shop: created once, found again, waited for. Not shown anywhere yet.

The intent is stored before the file is created, under a unique name. A worker that finds an intent
without a result first searches for that name, and Shopify refuses a second file with it.
"""

import contextlib
from functools import partial

from backend.leased_task import Fenced
from backend.publications.context import PublicationContext, StillBusy
from backend.publications.failures import (
    EXPECTED_PUBLICATION_ERRORS,
    PublicationFailed,
    refused_by_shopify,
)
from backend.publications.leases import Picture, PublicationLease, is_meant_to_be, note_picture
from backend.publications.states import MediaStatus
from backend.shops import media_api
from backend.shops.admin_api import AdminApi
from backend.shops.media_responses import File
from backend.shops.tokens import InstalledShop


async def create(picture: Picture, lease: PublicationLease, context: PublicationContext) -> Picture:
    """Create a file from the image, unless there is one."""
    if picture.media_id is not None:
        return picture
    media_id = None
    if picture.status is MediaStatus.CREATING:
        media_id = await found_by_name(picture, lease, context)
    if media_id is None:
        media_id = await created(picture, lease, context)
    try:
        async with context.database.transaction(lease.ref.shop_id) as connection:
            return await note_picture(
                connection, lease, picture, status=MediaStatus.PROCESSING, media_id=media_id
            )
    except Fenced:
        await discard(media_id, lease, context)
        raise


async def discard(media_id: str, lease: PublicationLease, context: PublicationContext) -> None:
    """Delete a file that our successor may not know of; it is not shown anywhere yet.

    If the successor is a worker with the same task, it finds the file by its name and keeps it.
    """
    async with context.database.reading(lease.ref.shop_id) as connection:
        if await is_meant_to_be(connection, lease.ref):
            return
    with contextlib.suppress(*EXPECTED_PUBLICATION_ERRORS):  # a leftover file is harmless
        await context.ask(lease, lambda admin, shop: media_api.delete_file(admin, shop, media_id))


async def created(picture: Picture, lease: PublicationLease, context: PublicationContext) -> str:
    """Upload the bytes, store the intent, and create the file; return its media ID."""
    data = await context.store.get(picture.key)
    target = await context.ask(
        lease,
        lambda admin, shop: media_api.stage(
            admin,
            shop,
            filename=picture.filename,
            content_type=picture.content_type,
            size=len(data),
        ),
    )
    await media_api.upload(context.admin, target, data, content_type=picture.content_type)
    async with context.database.transaction(lease.ref.shop_id) as connection:
        await note_picture(connection, lease, picture, status=MediaStatus.CREATING)
    return await context.ask(
        lease,
        lambda admin, shop: media_api.create_file(
            admin,
            shop,
            source=target.resource_url,
            filename=picture.filename,
            alt=picture.alt,
        ),
    )


async def found_by_name(
    picture: Picture, lease: PublicationLease, context: PublicationContext
) -> str | None:
    """The media ID of a file that may have been created although we got no response.

    Shopify's search index can lag behind for longer than we search.
    """

    async def look() -> File | None:
        return await context.ask(
            lease, lambda admin, shop: media_api.find_file(admin, shop, picture.filename)
        )

    file = await context.until(look)
    return file.id if file else None


async def wait_until_ready(
    picture: Picture, lease: PublicationLease, context: PublicationContext
) -> Picture:
    """Wait until Shopify has processed the file. Raises `StillBusy` if that takes long."""
    if picture.status is not MediaStatus.PROCESSING:
        return picture
    ready = await context.until(partial(ready_file, picture, lease, context))
    if ready is None:
        raise StillBusy
    async with context.database.transaction(lease.ref.shop_id) as connection:
        return await note_picture(connection, lease, picture, status=MediaStatus.READY)


async def ready_file(
    picture: Picture, lease: PublicationLease, context: PublicationContext
) -> File | None:
    """The file once it is ready. Raises `PublicationFailed` if it never will be."""

    async def state(admin: AdminApi, shop: InstalledShop) -> File | None:
        return await media_api.file_state(admin, shop, str(picture.media_id))

    file = await context.ask(lease, state)
    if file is None:
        raise PublicationFailed(refused_by_shopify("FILE_DOES_NOT_EXIST"))
    if file.file_status == "FAILED":
        codes = [error.code for error in file.file_errors]
        raise PublicationFailed(refused_by_shopify(" ".join(codes) or "FAILED"))
    return file if file.file_status == "READY" else None
