"""Which URLs the product fetches, and its limits (T-28 to T-32).

Here no packet leaves: what would be dialled is written down instead. `tests/faults/test_egress.py`
does the same with the kernel as the witness.
"""

import asyncio
import contextlib
import gzip
import ssl
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from ipaddress import IPv4Address, IPv6Address, ip_address

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.dev.transport import LoopbackShopify
from backend.shops import product_image
from backend.shops.product_image import ProductImageRefused, ProductImageUnavailable, download_image
from backend.ssrf_transport import PublicInternet, is_public
from tests.security.addresses import INSIDE, NOT_PUBLIC, PUBLIC, not_the_cdns

PHOTO = "https://cdn.shopify.com/s/files/1/1/files/tee.jpg?v=1"
SHOPIFYS = "23.227.38.33"
NOTHING_TRUSTED = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # nobody is called; certificates are slow


class WrittenDown(httpx.AsyncBaseTransport):
    """The network, as far as this test lets it be: it notes whom it was to call, and as whom."""

    def __init__(self, *unreachable: str) -> None:
        self.dialled: list[tuple[str, str, str]] = []
        self.unreachable = unreachable

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        address = request.url.host
        self.dialled.append((address, request.extensions["sni_hostname"], request.headers["host"]))
        if address in self.unreachable:
            raise httpx.ConnectError("no route", request=request)
        return httpx.Response(200, stream=httpx.ByteStream(b"a photo"))


def outside(*answers: list[str]) -> tuple[httpx.AsyncClient, WrittenDown]:
    """A client whose resolver gives these answers, one after the other, and what it dials."""
    left = iter(answers)

    async def resolve(_host: str) -> list[str]:
        return next(left)

    transport = PublicInternet(resolve, verify=NOTHING_TRUSTED)
    network = transport.transport = WrittenDown()  # type: ignore[assignment]
    return httpx.AsyncClient(transport=transport, trust_env=False), network


# Which URLs


async def test_only_the_cdn_is_resolved() -> None:
    client, network = outside()  # a look-up would find no answer left
    for url in not_the_cdns():
        with pytest.raises(ProductImageRefused) as caught:
            await download_image(client, url)
        assert caught.value.code == "IMAGE_SOURCE_REFUSED", url
    assert network.dialled == []


async def test_private_addresses_are_unreachable_even_without_an_allow_list() -> None:
    """As the system itself resolves it, which knows more spellings of an address than we do."""
    transport = PublicInternet(verify=NOTHING_TRUSTED)
    network = transport.transport = WrittenDown()  # type: ignore[assignment]
    async with httpx.AsyncClient(transport=transport, trust_env=False) as client:
        for url in INSIDE:
            with pytest.raises((httpx.TransportError, httpx.InvalidURL)):
                await client.get(url)
            assert network.dialled == [], url


# Which addresses


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_a_special_address_is_not_public(address: str) -> None:
    assert not is_public(ip_address(address))


@pytest.mark.parametrize("address", PUBLIC)
def test_an_ordinary_address_is_public(address: str) -> None:
    assert is_public(ip_address(address))


@given(st.ip_addresses())
def test_an_address_that_python_calls_special_is_never_public(
    address: IPv4Address | IPv6Address,
) -> None:
    assert address.is_global or not is_public(address)


async def test_the_checked_address_is_the_one_connected_to() -> None:
    client, network = outside([SHOPIFYS])
    assert await download_image(client, PHOTO) == b"a photo"
    assert network.dialled == [(SHOPIFYS, "cdn.shopify.com", "cdn.shopify.com")]


async def test_one_private_address_in_the_dns_answer_is_refused() -> None:
    for answer in ([SHOPIFYS, "127.0.0.1"], ["::1", SHOPIFYS], ["169.254.169.254"]):
        client, network = outside(answer)
        with pytest.raises(ProductImageUnavailable):
            await download_image(client, PHOTO)
        assert network.dialled == []


async def test_dns_rebinding_is_refused_at_every_lookup() -> None:
    """Rebinding: the answer changes with every look-up, and there is one look-up a request."""
    client, network = outside([SHOPIFYS], ["127.0.0.1"], [SHOPIFYS, "10.0.0.1"], [SHOPIFYS])
    for opens in (True, False, False, True):
        with contextlib.nullcontext() if opens else pytest.raises(ProductImageUnavailable):
            await download_image(client, PHOTO)
    assert [address for address, *_ in network.dialled] == [SHOPIFYS, SHOPIFYS]


async def test_the_next_address_is_tried_when_one_does_not_answer() -> None:
    client, network = outside(["2620:127:f00f:5::", SHOPIFYS])
    network.unreachable = ("2620:127:f00f:5::",)
    assert await download_image(client, PHOTO) == b"a photo"
    assert len(network.dialled) == 2
    network.unreachable += (SHOPIFYS,)
    client, _ = outside([])
    with pytest.raises(ProductImageUnavailable):
        await download_image(client, PHOTO)


# Which answers

Writer = asyncio.StreamWriter
Evil = Callable[[Writer], Awaitable[None]]


@contextlib.asynccontextmanager
async def cdn(evil: Evil) -> AsyncIterator[tuple[httpx.AsyncClient, list[int]]]:
    """A CDN that answers as it likes; and how many bytes it got rid of."""
    sent: list[int] = []

    async def serve(reader: asyncio.StreamReader, writer: Writer) -> None:
        await reader.readuntil(b"\r\n\r\n")
        sent.append(0)
        with contextlib.suppress(ConnectionError, asyncio.CancelledError):
            written = writer.write

            def counted(data: bytes) -> None:
                sent[-1] += len(data)
                written(data)

            writer.write = counted  # type: ignore[assignment]
            await evil(writer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    transport = LoopbackShopify(f"http://127.0.0.1:{port}")
    async with httpx.AsyncClient(transport=transport, trust_env=False) as client:
        yield client, sent
    server.close()


async def say(writer: Writer, *lines: str) -> None:
    """The head of an answer."""
    writer.write("".join(f"{line}\r\n" for line in (*lines, "")).encode())
    await writer.drain()


async def pour(writer: Writer, wrap: Callable[[bytes], bytes] = bytes) -> None:
    """Bytes without an end."""
    while True:
        writer.write(wrap(bytes(65536)))
        await writer.drain()


async def too_long(writer: Writer) -> None:
    await say(writer, "HTTP/1.1 200 OK", "Content-Length: 4000000000")
    await pour(writer)


async def endless_chunks(writer: Writer) -> None:
    await say(writer, "HTTP/1.1 200 OK", "Transfer-Encoding: chunked")
    await pour(writer, lambda data: b"%x\r\n%s\r\n" % (len(data), data))


async def until_closed(writer: Writer) -> None:
    await say(writer, "HTTP/1.1 200 OK")
    await pour(writer)


BOMB = gzip.compress(bytes(60_000_000))


async def gzip_bomb(writer: Writer) -> None:
    data = BOMB
    await say(writer, "HTTP/1.1 200 OK", "Content-Encoding: gzip", f"Content-Length: {len(data)}")
    writer.write(data)
    await writer.drain()


async def lies(writer: Writer) -> None:
    await say(writer, "HTTP/1.1 200 OK", "Content-Length: 100")
    writer.write(b"x" * 50)
    await writer.drain()


async def drips(writer: Writer) -> None:
    await say(writer, "HTTP/1.1 200 OK", "Content-Length: 1000000")
    while True:
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(0.01)


async def drips_headers(writer: Writer) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n")
    while True:
        writer.write(b"X: 1\r\n")
        await writer.drain()
        await asyncio.sleep(0.01)


async def endless_headers(writer: Writer) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nX: ")
    await pour(writer, lambda data: data.replace(b"\0", b"x"))


async def silence(_writer: Writer) -> None:
    await asyncio.sleep(60)


async def no_http(writer: Writer) -> None:
    writer.write(b"\x16\x03\x01 SSH-2.0\r\n\r\n")
    await writer.drain()


BAD: dict[str, tuple[Evil, str]] = {
    "longer than a photo may be": (too_long, "IMAGE_TOO_LARGE"),
    "chunks without an end": (endless_chunks, "IMAGE_TOO_LARGE"),
    "bytes without an end": (until_closed, "IMAGE_TOO_LARGE"),
    "a gzip bomb": (gzip_bomb, "IMAGE_NOT_FOUND"),
    "shorter than it says": (lies, "later"),
    "a byte at a time": (drips, "later"),
    "a header at a time": (drips_headers, "later"),
    "headers without an end": (endless_headers, "later"),
    "nothing at all": (silence, "later"),
    "no HTTP": (no_http, "later"),
}


@contextlib.contextmanager
def memory() -> Iterator[Callable[[], int]]:
    """The most bytes that Python has taken meanwhile, for the server's answer as well."""
    tracemalloc.start()
    try:
        yield lambda: peak
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()


async def outcome(client: httpx.AsyncClient) -> str:
    """How a download ends: the refusal's code, or that it is to be tried later."""
    try:
        await download_image(client, PHOTO)
    except ProductImageRefused as refused:
        return refused.code
    except ProductImageUnavailable:
        return "later"
    return "a photo"


@pytest.mark.parametrize("what", BAD)
async def test_a_download_is_limited_in_bytes_time_and_memory(
    what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    evil, expected = BAD[what]
    assert product_image.DOWNLOAD_DEADLINE <= 10
    if expected == "later":
        monkeypatch.setattr(product_image, "DOWNLOAD_DEADLINE", 0.3)
    with memory() as peak:
        async with cdn(evil) as (client, sent), asyncio.timeout(8):
            assert await outcome(client) == expected
            assert sum(sent) < product_image.MAX_DOWNLOAD_BYTES + 10_000_000, (
                "the rest is what sockets hold"
            )
    assert peak() < 50_000_000


LOCATIONS = [
    "https://169.254.169.254/latest/meta-data/",
    "//169.254.169.254/",
    "http://127.0.0.1/",
    "file:///etc/passwd",
    PHOTO,
    "/elsewhere",
]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirects_are_never_followed(status: int) -> None:
    left = iter(LOCATIONS)

    async def redirect(writer: Writer) -> None:
        head = (f"HTTP/1.1 {status} X", f"Location: {next(left)}", "Content-Length: 0")
        await say(writer, *head, "Connection: close")

    async with cdn(redirect) as (client, sent):
        client.follow_redirects = True
        for asked in range(1, len(LOCATIONS) + 1):
            assert await outcome(client) == "IMAGE_NOT_FOUND"
            assert len(sent) == asked


async def test_the_products_http_client_ignores_redirects_and_proxies(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from backend.settings import Settings
    from backend.shops.admin_api import AdminApi
    from backend.shops.token_encryption import generate_key

    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    settings = Settings(
        database_url="",
        s3_bucket="",
        shopify_api_key="key",
        shopify_api_secret="secret",
        token_keys=generate_key(),
    )
    admin = AdminApi(settings, None)
    assert isinstance(admin.files._transport, PublicInternet)
    for client in (admin.files, admin.http):
        assert not client.follow_redirects
        assert client._mounts == {}
    await admin.close()
