"""Fetches the pictures that a provider has made: from its URL, a data URI, or its answer's bytes.

The URL is the provider's word, so each address, also of a redirect, is checked by
`backend.ssrf_transport`. Whether the bytes are a whole picture is seen later, in a child process
that paints them anew; here only their first ones are looked at.
"""

import asyncio
import binascii
from base64 import b64decode

import httpx

from backend.failures.codes import PROVIDER_OUTPUT_INVALID
from backend.failures.registry import Failure
from backend.providers.client import CodedBody, TooLong, checked_client, read_capped
from backend.providers.provider import OutputImage, ProviderFailed, ProviderUnavailable
from backend.ssrf_transport import NotPublic

MAX_OUTPUT_BYTES = 25_000_000
OUTPUT_DEADLINE = 60  # seconds for a whole download
MAX_REDIRECTS = 3
FIRST_BYTES = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF8", b"II*\x00", b"MM\x00*")
BUSY = frozenset({408, 425, 429})
UNUSABLE_ADDRESS = (
    httpx.InvalidURL,
    httpx.UnsupportedProtocol,
    httpx.TooManyRedirects,
    NotPublic,
)


class OutputFetcher:
    """The client for one provider's outputs. `own_origin` is the one the operator has set for it.

    That origin may be on this machine; every other must be public. `transport` stands in for the
    network in tests.
    """

    def __init__(self, own_origin: str, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self.http = checked_client(own_origin, transport, max_redirects=MAX_REDIRECTS)

    async def fetch(self, image: OutputImage) -> bytes:
        """The bytes of a picture, of at most `MAX_OUTPUT_BYTES`.

        Raises `ProviderFailed` if there is none to be had, `ProviderUnavailable` if there may be
        later.
        """
        if image.data is not None:
            data = image.data
        elif image.url is not None and image.url.startswith("data:"):
            data = decoded_uri(image.url)
        else:
            data = await self._download(image.url or "")
        if len(data) > MAX_OUTPUT_BYTES:
            raise ProviderFailed(too_large())
        if not is_image(data):
            raise ProviderFailed(PROVIDER_OUTPUT_INVALID, provider_code="not_an_image")
        return data

    async def close(self) -> None:
        """Close the connections."""
        await self.http.aclose()

    async def _download(self, url: str) -> bytes:
        """GET without content coding, so that the bytes counted are the bytes kept."""
        try:
            async with asyncio.timeout(OUTPUT_DEADLINE), self.http.stream("GET", url) as response:
                status = response.status_code
                if status >= 500 or status in BUSY:
                    raise ProviderUnavailable(f"an output: HTTP {status}")
                if status != 200:  # such as 403 and 410 of an expired URL
                    raise ProviderFailed(PROVIDER_OUTPUT_INVALID, provider_code=str(status))
                return await read_capped(response, MAX_OUTPUT_BYTES)
        except TooLong as error:
            raise ProviderFailed(too_large()) from error
        except CodedBody as error:
            raise ProviderFailed(PROVIDER_OUTPUT_INVALID, provider_code="encoding") from error
        except UNUSABLE_ADDRESS as error:
            raise ProviderFailed(PROVIDER_OUTPUT_INVALID, provider_code="url") from error
        except (httpx.HTTPError, TimeoutError) as error:
            raise ProviderUnavailable(f"an output: {type(error).__name__}") from error


def decoded_uri(uri: str) -> bytes:
    """The bytes of a base64 data URI."""
    head, _, encoded = uri.partition(",")
    if len(encoded) > MAX_OUTPUT_BYTES * 4 // 3 + 4:
        raise ProviderFailed(too_large())
    return decoded_base64(encoded) if head.endswith(";base64") else b""


def decoded_base64(encoded: str) -> bytes:
    """The bytes; none where it is not base64."""
    try:
        return b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        return b""


def is_image(data: bytes) -> bool:
    """Whether the first bytes are those of a format that we read."""
    is_heif = data[4:8] == b"ftyp" and data[8:12] in {b"avif", b"avis", b"heic", b"mif1"}
    is_webp = data[:4] == b"RIFF" and data[8:12] == b"WEBP"
    return data.startswith(FIRST_BYTES) or is_webp or is_heif


def too_large() -> Failure:
    """The failure of a picture over the cap."""
    limit = MAX_OUTPUT_BYTES // 1_000_000
    return PROVIDER_OUTPUT_INVALID.with_message(
        f"The provider delivered a picture of more than {limit} MB."
    )
