"""Download a product's picture from Shopify's CDN, and from nowhere else.

The address comes from Shopify, but through data that a merchant can influence; so the host is on
an allow-list, redirects are not followed, and every byte counts against a limit. Where the name
may lead is `public_internet`'s matter.
"""

import asyncio
from urllib.parse import urlsplit

import httpx

ALLOWED_HOSTS = frozenset({"cdn.shopify.com"})
MAX_BYTES = 25_000_000
DEADLINE = 10  # seconds for the whole download


class ImageUnavailable(Exception):
    """The CDN does not answer now; trying later can help."""


class ImageRefused(Exception):
    """The picture cannot be had: `code` is stable, `message` is for the merchant."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


async def download(http: httpx.AsyncClient, url: str) -> bytes:
    """The picture's bytes, at most `MAX_BYTES`. Raises `ImageUnavailable` or `ImageRefused`."""
    require_allowed(url)
    try:
        async with asyncio.timeout(DEADLINE):
            return await limited_get(http, url)
    except httpx.InvalidURL as error:
        raise refused() from error
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
        raise refused()


def refused() -> ImageRefused:
    """What is said of any other address."""
    return ImageRefused("IMAGE_SOURCE_REFUSED", "The photo is not on Shopify's CDN.")


async def limited_get(http: httpx.AsyncClient, url: str) -> bytes:
    """GET without content coding, so that the bytes counted are the bytes kept."""
    chunks: list[bytes] = []
    size = 0
    headers = {"Accept-Encoding": "identity"}
    async with http.stream("GET", url, headers=headers, follow_redirects=False) as response:
        if response.is_server_error or response.status_code == 429:
            raise ImageUnavailable(f"HTTP {response.status_code}")
        if response.status_code != 200 or "content-encoding" in response.headers:
            raise ImageRefused(
                "IMAGE_NOT_FOUND",
                f"Shopify's CDN returned HTTP {response.status_code} for the photo.",
            )
        async for chunk in response.aiter_raw():
            size += len(chunk)
            if size > MAX_BYTES:
                raise ImageRefused(
                    "IMAGE_TOO_LARGE",
                    f"The photo is larger than {MAX_BYTES // 1_000_000} MB. Upload a smaller one.",
                )
            chunks.append(chunk)
    return b"".join(chunks)
