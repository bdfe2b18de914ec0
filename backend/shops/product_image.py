"""Downloads product images, from Shopify's CDN only.

The URL comes from Shopify, but from data that a merchant can influence: so the host must be on an
allow-list, redirects are not followed, and the size is limited. `backend.ssrf_transport` checks the
addresses that the name resolves to.
"""

import asyncio
from urllib.parse import urlsplit

import httpx

from backend.failures.codes import IMAGE_NOT_FOUND, IMAGE_SOURCE_REFUSED
from backend.failures.images import IMAGE_TOO_LARGE
from backend.failures.registry import Failed
from backend.metrics import SHOPIFY_CALLS, count_call
from backend.shops.response_status import is_busy
from backend.tracing import span

ALLOWED_HOSTS = frozenset({"cdn.shopify.com"})
MAX_DOWNLOAD_BYTES = 25_000_000
DOWNLOAD_DEADLINE = 10  # seconds for the whole download


class ProductImageUnavailable(Exception):
    """The CDN does not respond now; a retry can help."""


class ProductImageRefused(Failed):
    """The picture cannot be had from there."""


async def download_image(http: httpx.AsyncClient, url: str) -> bytes:
    """The image's bytes, at most `MAX_DOWNLOAD_BYTES`.

    Raises `ProductImageUnavailable` or `ProductImageRefused`.
    """
    require_allowed_url(url)
    try:
        with count_call(SHOPIFY_CALLS, "photo"), span("shopify photo", is_call=True):
            async with asyncio.timeout(DOWNLOAD_DEADLINE):
                return await limited_get(http, url)
    except httpx.InvalidURL as error:
        raise ProductImageRefused(IMAGE_SOURCE_REFUSED) from error
    except (httpx.HTTPError, TimeoutError) as error:
        raise ProductImageUnavailable(str(error)) from error


async def size_of_image(http: httpx.AsyncClient, url: str) -> int:
    """The image's size in bytes, without downloading it.

    Raises `ProductImageUnavailable` or `ProductImageRefused`.
    """
    require_allowed_url(url)
    try:
        with count_call(SHOPIFY_CALLS, "photo_size"), span("shopify photo size", is_call=True):
            headers = {"Accept-Encoding": "identity"}
            response = await http.head(url, headers=headers, follow_redirects=False)
    except httpx.InvalidURL as error:
        raise ProductImageRefused(IMAGE_SOURCE_REFUSED) from error
    except httpx.HTTPError as error:
        raise ProductImageUnavailable(str(error)) from error
    size = response.headers.get("Content-Length", "")
    if response.status_code != 200 or not (size.isascii() and size.isdigit()):
        raise ProductImageUnavailable(f"HTTP {response.status_code} without a size")
    return int(size[:19])


def require_allowed_url(url: str) -> None:
    """Allow only https to an allowed host on its default port, without user info."""
    try:
        parts = urlsplit(url)
        allowed = parts.scheme == "https" and parts.netloc in ALLOWED_HOSTS
    except ValueError:
        allowed = False
    if not allowed:
        raise ProductImageRefused(IMAGE_SOURCE_REFUSED)


async def limited_get(http: httpx.AsyncClient, url: str) -> bytes:
    """GET without content coding, so that the bytes counted are the bytes kept."""
    chunks: list[bytes] = []
    size = 0
    headers = {"Accept-Encoding": "identity"}
    async with http.stream("GET", url, headers=headers, follow_redirects=False) as response:
        if is_busy(response):
            raise ProductImageUnavailable(f"HTTP {response.status_code}")
        if response.status_code != 200 or "content-encoding" in response.headers:
            message = f"Shopify's CDN answered {response.status_code} instead of the photo."
            raise ProductImageRefused(IMAGE_NOT_FOUND.with_message(message))
        async for chunk in response.aiter_raw():
            size += len(chunk)
            if size > MAX_DOWNLOAD_BYTES:
                limit = MAX_DOWNLOAD_BYTES // 1_000_000
                message = f"The photo is larger than {limit} MB. Upload a smaller one."
                raise ProductImageRefused(IMAGE_TOO_LARGE.with_message(message))
            chunks.append(chunk)
    return b"".join(chunks)
