"""Downloads the external URLs that files are made of, as Shopify does after the mutation."""

from dataclasses import replace

import httpx

from backend.dev.shopify.media import Library, Media
from backend.dev.shopify.processing import MAX_FILE_SIZE

DOWNLOAD_TIMEOUT = 5.0  # seconds


class NoInternet(httpx.AsyncBaseTransport):
    """The stand-in's internet, unless it is given another: nothing answers."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Raise httpx.ConnectError."""
        raise httpx.ConnectError("the stand-in reaches no host", request=request)


async def download_sources(library: Library, shop_number: int, internet: httpx.AsyncClient) -> None:
    """Fetch what this shop's files wait for; what cannot be had stays their source."""
    for media in library.under_way(shop_number):
        if media.source is not None:
            await _fetch(library, media, media.source, internet)


async def _fetch(library: Library, media: Media, url: str, internet: httpx.AsyncClient) -> None:
    content = bytearray()
    try:
        async with internet.stream("GET", url) as response:
            response.raise_for_status()
            async for chunk in response.aiter_bytes():
                content += chunk
                if len(content) > MAX_FILE_SIZE:
                    break
            kind = response.headers.get("content-type", "")
    except (httpx.HTTPError, httpx.InvalidURL):
        return
    picture = replace(media.picture, content=bytes(content), content_type=kind)
    # It may have been deleted, replaced or fetched for another request in the meantime.
    if library.get(media.id) is media:
        library.put(replace(media, picture=picture, source=None))
