"""Download a product's picture from Shopify's CDN, and from nowhere else.

The address comes from Shopify, but through data that a merchant can influence; so the host is on
an allow-list, redirects are not followed, and every byte counts against a limit. Where the name
may lead is `public_internet`'s matter.
"""

import asyncio
from urllib.parse import urlsplit

import httpx

from backend.failures.codes import IMAGE_NOT_FOUND, IMAGE_SOURCE_REFUSED, IMAGE_TOO_LARGE
from backend.failures.registry import Failed
from backend.metrics import SHOPIFY_CALLS, count_call
from backend.tracing import span

ALLOWED_HOSTS = frozenset({"cdn.shopify.com"})
MAX_BYTES = 25_000_000
DEADLINE = 10  # seconds for the whole download


class ImageUnavailable(Exception):
    """The CDN does not answer now; trying later can help."""


class ImageRefused(Failed):
    """The picture cannot be had from there."""


async def download(http: httpx.AsyncClient, url: str) -> bytes:
    """The picture's bytes, at most `MAX_BYTES`. Raises `ImageUnavailable` or `ImageRefused`."""
    require_allowed(url)
    try:
        with count_call(SHOPIFY_CALLS, "photo"), span("shopify photo", is_call=True):
            async with asyncio.timeout(DEADLINE):
                return await limited_get(http, url)
    except httpx.InvalidURL as error:
        raise ImageRefused(IMAGE_SOURCE_REFUSED) from error
    except (httpx.HTTPError, TimeoutError) as error:
        raise ImageUnavailable(str(error)) from error


def require_allowed(url: str) -> None:
    """Only https to an allowed host on its usual port, without user info."""
    try:
        parts = urlsplit(url)
        allowed = parts.scheme == "https" and parts.netloc in ALLOWED_HOSTS
    except ValueError:
        allowed = False
    if not allowed:
        raise ImageRefused(IMAGE_SOURCE_REFUSED)


async def limited_get(http: httpx.AsyncClient, url: str) -> bytes:
    """GET without content coding, so that the bytes counted are the bytes kept."""
    chunks: list[bytes] = []
    size = 0
    headers = {"Accept-Encoding": "identity"}
    async with http.stream("GET", url, headers=headers, follow_redirects=False) as response:
        if response.is_server_error or response.status_code == 429:
            raise ImageUnavailable(f"HTTP {response.status_code}")
        if response.status_code != 200 or "content-encoding" in response.headers:
            message = f"Shopify's CDN answered {response.status_code} instead of the photo."
            raise ImageRefused(IMAGE_NOT_FOUND.with_message(message))
        async for chunk in response.aiter_raw():
            size += len(chunk)
            if size > MAX_BYTES:
                limit = MAX_BYTES // 1_000_000
                message = f"The photo is larger than {limit} MB. Upload a smaller one."
                raise ImageRefused(IMAGE_TOO_LARGE.with_message(message))
            chunks.append(chunk)
    return b"".join(chunks)
