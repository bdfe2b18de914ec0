"""Add the images of a publication to its product, continuing wherever it was interrupted.

No transaction is open while Shopify is called. First all images become files of the shop, which are
not shown anywhere. Adding one to the product is a separate step that can be repeated.
"""

from backend.failures.codes import MEDIA_LIMIT_REACHED, PRODUCT_NOT_FOUND
from backend.publications.context import PublicationContext, StillBusy
from backend.publications.failures import PublicationFailed
from backend.publications.files import create, wait_until_ready
from backend.publications.gallery import arranged, moves, without_media
from backend.publications.leases import Picture, PublicationLease, note_picture, note_publication
from backend.publications.states import MediaStatus
from backend.shops import media_api
from backend.shops.media_responses import Gallery

MAX_PRODUCT_MEDIA = 250  # of one product


async def publish(lease: PublicationLease, context: PublicationContext) -> None:
    """Do all remaining steps in order."""
    if lease.snapshot is None:
        await take_snapshot(lease, context)
    created = [await create(picture, lease, context) for picture in lease.own]
    ready = [await wait_until_ready(picture, lease, context) for picture in created]
    shown = [await attach_to_product(picture, lease, context) for picture in ready]
    await arrange(shown, lease, context)


async def take_snapshot(lease: PublicationLease, context: PublicationContext) -> None:
    """Store the product's media before anything is changed."""
    gallery = await product_gallery(lease, context)
    if gallery is None:
        raise PublicationFailed(PRODUCT_NOT_FOUND)
    if len(gallery.media) + len(lease.own) > MAX_PRODUCT_MEDIA:
        raise PublicationFailed(MEDIA_LIMIT_REACHED)
    ours = [picture.media_id for picture in lease.pictures if picture.media_id]
    async with context.database.transaction(lease.ref.shop_id) as connection:
        await note_publication(connection, lease, snapshot=as_stored(without_media(gallery, ours)))


async def product_gallery(lease: PublicationLease, context: PublicationContext) -> Gallery | None:
    """The product's media as they are now; None if there is no such product."""
    return await context.ask(
        lease, lambda admin, shop: media_api.gallery(admin, shop, lease.product_id)
    )


async def attach_to_product(
    picture: Picture, lease: PublicationLease, context: PublicationContext
) -> Picture:
    """Add the file to the product, after its other media."""
    if picture.status is MediaStatus.ATTACHED:
        return picture
    media_id = str(picture.media_id)
    if picture.status is MediaStatus.READY or not await is_shown(media_id, lease, context):
        async with context.database.transaction(lease.ref.shop_id) as connection:
            await note_picture(connection, lease, picture, status=MediaStatus.ATTACHING)
        await context.ask(
            lease,
            lambda admin, shop: media_api.attach(
                admin, shop, media=media_id, product=lease.product_id
            ),
        )
    async with context.database.transaction(lease.ref.shop_id) as connection:
        return await note_picture(connection, lease, picture, status=MediaStatus.ATTACHED)


async def is_shown(media_id: str, lease: PublicationLease, context: PublicationContext) -> bool:
    """Whether the product has it already."""
    return media_id in await media_ids(lease, context)


async def media_ids(lease: PublicationLease, context: PublicationContext) -> list[str]:
    """The product's media in order. Raises `PublicationFailed` if the product was deleted."""
    media = await context.ask(
        lease, lambda admin, shop: media_api.media_of(admin, shop, lease.product_id)
    )
    if media is None:
        raise PublicationFailed(PRODUCT_NOT_FOUND)
    return [shown.id for shown in media]


async def arrange(
    shown: list[Picture], lease: PublicationLease, context: PublicationContext
) -> None:
    """Move the images to their positions; images that are there already stay."""
    positions = {
        picture.media_id: picture.position
        for picture in shown
        if picture.media_id and picture.position
    }
    if positions:
        await wait_for_move(lease.shopify_job, lease, context)
        current = await media_ids(lease, context)
        await put_in_order(current, arranged(current, positions), lease, context)


async def put_in_order(
    current: list[str], wanted: list[str], lease: PublicationLease, context: PublicationContext
) -> bool:
    """Bring the product's media into the wanted order; return whether anything had to be moved."""
    steps = [(move.id, move.position) for move in moves(current, wanted)]
    if not steps:
        return False
    job = await context.change(
        lease, lambda admin, shop: media_api.reorder(admin, shop, lease.product_id, steps)
    )

    await wait_for_move(job, lease, context)
    return True


async def wait_for_move(
    job: str | None, lease: PublicationLease, context: PublicationContext
) -> None:
    """Wait for a reordering that Shopify has started. Raises `StillBusy` if it takes long."""
    if job is None:
        return

    async def look() -> bool | None:
        return (
            await context.ask(lease, lambda admin, shop: media_api.is_done(admin, shop, job))
            or None
        )

    if await context.until(look) is None:
        raise StillBusy(job)


def as_stored(gallery: Gallery) -> dict[str, object]:
    """The snapshot in the form of its column."""
    return {
        "media": [{"id": shown.id, "alt": shown.alt} for shown in gallery.media],
        "variants": gallery.variants,
    }
