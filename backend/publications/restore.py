"""Remove a publication: delete our media, and restore the product's other media.

Every step is a difference between the current and the old state, so it can be repeated from the
start. The merchant's changes meanwhile are kept: the product is read again before each change.
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

SEARCH_LAG = timedelta(
    seconds=5
)  # after this, a file that is not found by its name was never created
ROUNDS = 12  # of reading and changing one thing; five are enough without concurrent changes


async def restore(lease: PublicationLease, context: PublicationContext) -> None:
    """Restore the product's media."""
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
    """Delete the files that we created for this job, wherever they are shown."""
    for picture in lease.pictures:
        if picture.status is not MediaStatus.REMOVED:
            await remove(picture, lease, context)


async def remove(picture: Picture, lease: PublicationLease, context: PublicationContext) -> None:
    """Delete one file. Its media ID stays stored, as the record that it was ours."""
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
    """Restore one thing that differs; return whether there was any."""
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
