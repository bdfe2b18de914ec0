"""Find a product's first image: videos and 3D models may come before it, in any number."""

from collections.abc import Awaitable, Callable

from backend.shops.pagination import PageCursor
from backend.shops.shopify_responses import ProductMediaPage

MAX_MEDIA_PAGES = 10  # a product has at most 250 media, and a page 50


async def page_with_first_image(
    media: ProductMediaPage, read: Callable[[str | None], Awaitable[ProductMediaPage | None]]
) -> ProductMediaPage:
    """This page of a product's media, or the first one after it that has an image; or the last.

    `read` returns the page behind a cursor, or None if the product was deleted meanwhile.
    """
    cursor = PageCursor()
    for _ in range(MAX_MEDIA_PAGES):
        if media.first_image is not None or not cursor.advance(media):
            break
        found = await read(cursor.after)
        if found is None:
            break
        media = found
    return media
