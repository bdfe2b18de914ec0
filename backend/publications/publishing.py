"""Put the pictures of a publication on its product, going on wherever it was left.

No transaction is open while Shopify is asked. First all pictures become files of the shop, which
show nowhere; showing one on the product is a step of its own, and one that can be repeated.
"""

from backend.publications.failures import MEDIA_LIMIT_REACHED, PRODUCT_NOT_FOUND, PublicationFailed
from backend.publications.files import create, wait_until_ready
from backend.publications.gallery import arranged, moves, without
from backend.publications.ledger import Held, Picture, note, note_picture
from backend.publications.press import Press, StillBusy
from backend.publications.states import MediaStatus
from backend.shops import media_api
from backend.shops.media_answers import Gallery

MAX_MEDIA = 250  # of one product


async def publish(held: Held, press: Press) -> None:
    """All that is still to be done, in order."""
    if held.snapshot is None:
        await take_snapshot(held, press)
    created = [await create(picture, held, press) for picture in held.own]
    ready = [await wait_until_ready(picture, held, press) for picture in created]
    shown = [await show(picture, held, press) for picture in ready]
    await arrange(shown, held, press)


async def take_snapshot(held: Held, press: Press) -> None:
    """Store what the product shows before anything of it is changed."""
    gallery = await product_gallery(held, press)
    if gallery is None:
        raise PublicationFailed(PRODUCT_NOT_FOUND)
    if len(gallery.media) + len(held.own) > MAX_MEDIA:
        raise PublicationFailed(MEDIA_LIMIT_REACHED)
    ours = [picture.media_id for picture in held.pictures if picture.media_id]
    async with press.database.transaction(held.ref.shop_id) as connection:
        await note(connection, held, snapshot=as_stored(without(gallery, ours)))


async def product_gallery(held: Held, press: Press) -> Gallery | None:
    """The product's media as they are now; None if there is no such product."""
    return await press.ask(
        held, lambda admin, shop: media_api.gallery(admin, shop, held.product_id)
    )


async def show(picture: Picture, held: Held, press: Press) -> Picture:
    """Show the file on the product, behind its other media."""
    if picture.status is MediaStatus.ATTACHED:
        return picture
    media_id = str(picture.media_id)
    if picture.status is MediaStatus.READY or not await is_shown(media_id, held, press):
        async with press.database.transaction(held.ref.shop_id) as connection:
            await note_picture(connection, held, picture, status=MediaStatus.ATTACHING)
        await press.ask(
            held,
            lambda admin, shop: media_api.attach(
                admin, shop, media=media_id, product=held.product_id
            ),
        )
    async with press.database.transaction(held.ref.shop_id) as connection:
        return await note_picture(connection, held, picture, status=MediaStatus.ATTACHED)


async def is_shown(media_id: str, held: Held, press: Press) -> bool:
    """Whether the product shows it already."""
    return media_id in await media_ids(held, press)


async def media_ids(held: Held, press: Press) -> list[str]:
    """The product's media in their order. Raises `PublicationFailed` if it has gone."""
    media = await press.ask(
        held, lambda admin, shop: media_api.media_of(admin, shop, held.product_id)
    )
    if media is None:
        raise PublicationFailed(PRODUCT_NOT_FOUND)
    return [shown.id for shown in media]


async def arrange(shown: list[Picture], held: Held, press: Press) -> None:
    """Put the pictures where they were asked for; those that are there already stay."""
    positions = {
        picture.media_id: picture.position
        for picture in shown
        if picture.media_id and picture.position
    }
    if positions:
        await wait_for_move(held.shopify_job, held, press)
        current = await media_ids(held, press)
        await put_in_order(current, arranged(current, positions), held, press)


async def put_in_order(current: list[str], wanted: list[str], held: Held, press: Press) -> bool:
    """Bring the product's media into the wanted order; whether there was something to do."""
    steps = [(move.id, move.position) for move in moves(current, wanted)]
    if not steps:
        return False
    job = await press.change(
        held, lambda admin, shop: media_api.reorder(admin, shop, held.product_id, steps)
    )

    await wait_for_move(job, held, press)
    return True


async def wait_for_move(job: str | None, held: Held, press: Press) -> None:
    """Wait for a move of the media that Shopify has begun. Raises `StillBusy` if it takes long."""
    if job is None:
        return

    async def look() -> bool | None:
        return (
            await press.ask(held, lambda admin, shop: media_api.is_done(admin, shop, job)) or None
        )

    if await press.until(look) is None:
        raise StillBusy(job)


def as_stored(gallery: Gallery) -> dict[str, object]:
    """The snapshot as its column holds it."""
    return {
        "media": [{"id": shown.id, "alt": shown.alt} for shown in gallery.media],
        "variants": gallery.variants,
    }
