"""Downloads product images, from Shopify's CDN only.

The URL comes from Shopify, but from data that a merchant can influence: so the host must be on an
allow-list, redirects are not followed, and the size is limited. `ssrf_transport` checks the
addresses that the name resolves to.
"""

import asyncio
from urllib.parse import urlsplit

import httpx

ALLOWED_HOSTS = frozenset({"cdn.shopify.com"})
MAX_DOWNLOAD_BYTES = 25_000_000
DOWNLOAD_DEADLINE = 10  # seconds for the whole download


class ProductImageUnavailable(Exception):
    """The CDN does not respond now; a retry can help."""


class ProductImageRefused(Exception):
    """The image cannot be downloaded: `code` is stable, `message` is for the merchant."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


async def download_image(http: httpx.AsyncClient, url: str) -> bytes:
    """The image's bytes, at most `MAX_DOWNLOAD_BYTES`.

    Raises `ProductImageUnavailable` or `ProductImageRefused`.
    """
    require_allowed_url(url)
    try:
        async with asyncio.timeout(DOWNLOAD_DEADLINE):
            return await limited_get(http, url)
    except httpx.InvalidURL as error:
        raise url_refused() from error
    except (httpx.HTTPError, TimeoutError) as error:
        raise ProductImageUnavailable(str(error)) from error


def require_allowed_url(url: str) -> None:
    """Allow only https to an allowed host on its default port, without user info."""
    try:
        parts = urlsplit(url)
        allowed = parts.scheme == "https" and parts.netloc in ALLOWED_HOSTS
    except ValueError:
        allowed = False
    if not allowed:
        raise url_refused()


def url_refused() -> ProductImageRefused:
    """The error for any other URL."""
    return ProductImageRefused("IMAGE_SOURCE_REFUSED", "The photo is not on Shopify's CDN.")


async def limited_get(http: httpx.AsyncClient, url: str) -> bytes:
    """GET without content coding, so that the bytes counted are the bytes kept."""
    chunks: list[bytes] = []
    size = 0
    headers = {"Accept-Encoding": "identity"}
    async with http.stream("GET", url, headers=headers, follow_redirects=False) as response:
        if response.is_server_error or response.status_code == 429:
            raise ProductImageUnavailable(f"HTTP {response.status_code}")
        if response.status_code != 200 or "content-encoding" in response.headers:
            raise ProductImageRefused(
                "IMAGE_NOT_FOUND", f"Shopify's CDN answers {response.status_code} for the photo."
            )
        async for chunk in response.aiter_raw():
            size += len(chunk)
            if size > MAX_DOWNLOAD_BYTES:
                raise ProductImageRefused(
                    "IMAGE_TOO_LARGE",
                    f"The photo is larger than {MAX_DOWNLOAD_BYTES // 1_000_000} MB; "
                    "upload a smaller one.",
                )
            chunks.append(chunk)
    return b"".join(chunks)
