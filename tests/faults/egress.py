"""Run inside a network namespace of its own: does the product dial what it must not?

Every IP address is made local here, so a call to any of them arrives at the canary.
Prints what came in, as JSON.
"""

import asyncio
import contextlib
import datetime
import json
import socket
import ssl
import subprocess
import tempfile
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import httpx
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from backend.shops.product_image import ProductImageRefused, ProductImageUnavailable, download_image
from backend.ssrf_transport import PublicInternet
from tests.security.addresses import INSIDE, NOT_PUBLIC, not_the_cdns

PORTS = (80, 443, 8080, 8443)
REAL, IMPOSTOR = "23.227.38.33", "23.227.38.34"
PHOTO = "https://cdn.shopify.com/s/files/1/1/files/tee.jpg"
LOCATIONS = ["https://169.254.169.254/", "//127.0.0.1/", "http://10.0.0.1/", "https://[::1]/"]


def make_network_local() -> None:
    """Every address, of both families, is this machine's."""
    for command in (
        "ip link set lo up",
        "ip route add local 0.0.0.0/0 dev lo",
        "ip -6 route add local ::/0 dev lo",
    ):
        subprocess.run(command.split(), check=True)


@contextlib.asynccontextmanager
async def canaries() -> AsyncIterator[list[str]]:
    """Listeners on every address; the list grows by each address that somebody called."""
    sung: list[str] = []

    async def sing(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        sung.append(str(writer.get_extra_info("sockname")[0]))
        writer.close()

    async with contextlib.AsyncExitStack() as stack:
        for port in PORTS:
            for host in ("0.0.0.0", "::"):
                await stack.enter_async_context(
                    await asyncio.start_server(sing, host, port, reuse_port=True)
                )
        yield sung


@contextlib.asynccontextmanager
async def web_server(address: str, name: str, folder: Path) -> AsyncIterator[Path]:
    """A server at that address with a certificate for that name; the certificate's file.

    It hands out a photo, and for `/to/<n>` a redirect to the n-th of `LOCATIONS`.
    """

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        path = head.split()[1]
        if path.startswith("/to/"):
            location = LOCATIONS[int(path.removeprefix("/to/"))]
            answer = f"HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n"
        else:
            answer = "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\na photo"
        writer.write(answer.encode())
        await writer.drain()
        writer.close()

    certificate = certificate_for(name, folder)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    async with await asyncio.start_server(serve, address, 443, ssl=context, reuse_port=True):
        yield certificate


def certificate_for(name: str, folder: Path) -> Path:
    """A file with a key and a certificate that the key has signed itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    file = folder / f"{name}.pem"
    file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    return file


def client(*answers: Sequence[str], trusted: Path | None = None) -> httpx.AsyncClient:
    """The product's way out; its resolver gives these answers in turn, without any it is real."""
    left = iter(answers)

    async def resolve(_host: str) -> Sequence[str]:
        return next(left)

    context = ssl.create_default_context(cafile=str(trusted)) if trusted else True
    transport = PublicInternet(resolve if answers else None, verify=context)
    return httpx.AsyncClient(transport=transport, trust_env=False, timeout=2)


async def outcome(http: httpx.AsyncClient, url: str = PHOTO) -> str:
    """How a download ends."""
    try:
        return (await download_image(http, url)).decode()
    except ProductImageRefused as refused:
        return refused.code
    except ProductImageUnavailable:
        return "later"


def call(address: str) -> None:
    """Dial an address as nobody in the product would."""
    with contextlib.suppress(OSError):
        socket.create_connection((address, 443), timeout=2).close()


async def witnessed() -> dict[str, Any]:
    """Everything that is tried, and whom the canaries say was called."""
    async with canaries() as sung:
        for address in NOT_PUBLIC:
            await asyncio.to_thread(call, address)
        async with httpx.AsyncClient(verify=False, trust_env=False, timeout=2) as naive:
            with contextlib.suppress(httpx.TransportError):
                await naive.get("https://2852039166/")
        await asyncio.sleep(0)
        control = list(sung)

        sung.clear()
        async with client() as http:
            refused = [await outcome(http, url) for url in not_the_cdns()]
            for url in INSIDE:
                with contextlib.suppress(httpx.TransportError, httpx.InvalidURL):
                    await http.get(url)
        by_url = list(sung)

        sung.clear()
        inner = [[address.partition("%")[0]] for address in NOT_PUBLIC]
        mixed = [[REAL, address] for (address,) in inner]
        async with client(*inner, *mixed) as http:
            rebound = {await outcome(http) for _ in (*inner, *mixed)}
        by_name = list(sung)

        sung.clear()
        with tempfile.TemporaryDirectory() as folder:
            async with (
                web_server(REAL, "cdn.shopify.com", Path(folder)) as trusted,
                web_server(IMPOSTOR, "evil.example", Path(folder)) as evil,
            ):
                async with client([REAL], trusted=trusted) as http:
                    honest = await outcome(http)
                async with client([IMPOSTOR], trusted=evil) as http:
                    impostor = await outcome(http)
                answers = [[REAL]] * len(LOCATIONS)
                async with client(*answers, trusted=trusted) as http:
                    led = [
                        await outcome(http, f"https://cdn.shopify.com/to/{number}")
                        for number in range(len(LOCATIONS))
                    ]
        by_redirect = list(sung)
    return {
        "control": control,
        "refused": sorted(set(refused)),
        "rebound": sorted(rebound),
        "honest": honest,
        "impostor": impostor,
        "led": led,
        "called": {"by_url": by_url, "by_name": by_name, "by_redirect": by_redirect},
        "tried": len(refused) + len(INSIDE) + len(inner) + len(mixed) + len(led),
    }


if __name__ == "__main__":
    make_network_local()
    print(json.dumps(asyncio.run(witnessed())))
