"""Take a publication back: our media go, and the product's others become as the snapshot has them.

Everything is a difference between what is and what was, so it can be repeated from the start. What
the merchant changes while we are at it stays: before each change the product is looked at again.
"""

from datetime import timedelta

from backend.failures.codes import RESTORE_INCOMPLETE
from backend.publications.context import PublicationContext, StillBusy
from backend.publications.failures import PublicationFailed
from backend.publications.files import found_by_name
from backend.publications.gallery import (
    changed_alts,
    changed_links,
    restored_order,
    with_later_edits,
)
from backend.publications.leases import Picture, PublicationLease, note_picture
from backend.publications.publish import product_gallery, put_in_order, wait_for_move
from backend.publications.states import MediaStatus
from backend.shops import media_api
from backend.shops.media_responses import Gallery

SEARCH_LAG = timedelta(seconds=5)  # until a file that is not found by its name was never made
ROUNDS = 12  # of looking and changing one thing; five are enough while nobody meddles


async def restore(lease: PublicationLease, context: PublicationContext) -> None:
    """Make the product's media what they were."""
    await remove_ours(lease, context)
    if lease.snapshot is None:  # nothing had been changed yet
        return
    await wait_for_move(lease.shopify_job, lease, context)
    found: Gallery | None = None
    for _ in range(ROUNDS):
        now = await product_gallery(lease, context)
        if now is None:
            return
        found = found or now
        before = with_later_edits(now, found=found, snapshot=lease.snapshot)
        if not await put_right(now, before, lease, context):
            return
    raise PublicationFailed(RESTORE_INCOMPLETE)


async def remove_ours(lease: PublicationLease, context: PublicationContext) -> None:
    """Delete the files that we made for this job, wherever they show."""
    for picture in lease.pictures:
        if picture.status is not MediaStatus.REMOVED:
            await remove(picture, lease, context)


async def remove(picture: Picture, lease: PublicationLease, context: PublicationContext) -> None:
    """Delete one file; its media id stays on record, for it says whose it was."""
    media_id = picture.media_id
    if media_id is None and picture.status is MediaStatus.CREATING:
        media_id = await found_by_name(picture, lease, context)
        if media_id is None and lease.busy_for < SEARCH_LAG:
            raise StillBusy
    if media_id is not None:
        doomed = media_id
        await context.ask(lease, lambda admin, shop: media_api.delete_file(admin, shop, doomed))
    async with context.database.transaction(lease.ref.shop_id) as connection:
        await note_picture(
            connection, lease, picture, status=MediaStatus.REMOVED, media_id=media_id
        )


async def put_right(
    now: Gallery, before: Gallery, lease: PublicationLease, context: PublicationContext
) -> bool:
    """Change back one thing that is not as it was; whether there was any."""
    product = lease.product_id
    if alts := changed_alts(now, before):
        await context.change(lease, lambda admin, shop: media_api.set_alts(admin, shop, alts))
        return True
    links = changed_links(now, before)
    if links.detach:
        await context.change(
            lease,
            lambda admin, shop: media_api.detach_from_variants(admin, shop, product, links.detach),
        )
        return True
    if links.attach:
        await context.change(
            lease,
            lambda admin, shop: media_api.append_to_variants(admin, shop, product, links.attach),
        )
        return True
    return await put_in_order(now.ids, restored_order(now.ids, before), lease, context)
