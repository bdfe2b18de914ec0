"""The reference deployment's edge on this machine: real nginx, two `atelier serve` behind it.

nginx runs on the files of `deploy/nginx` themselves; only what names a machine is changed:
addresses, ports, certificates and paths. It has to be installed already.
"""

import asyncio
import contextlib
import os
import shutil
import socket
import ssl
import sys
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from backend.dev.stack import stop_process
from tests.flows.processes import environment
from tests.running_app import RunningApp

DEPLOY = Path(__file__).parents[2] / "deploy"
NAME = "atelier.example.com"
LETSENCRYPT = f"/etc/letsencrypt/live/{NAME}"
INSTANCES = (1, 2)

# What the distribution's nginx.conf says, as far as it matters here.
MAIN = """
daemon off;
{user}
worker_processes 2;
worker_rlimit_nofile 16384;
pid {home}/nginx.pid;
error_log {home}/main.log info;
events {{ worker_connections 8192; }}
http {{
    access_log off;
    client_body_temp_path {home}/body;
    proxy_temp_path {home}/proxy;
    fastcgi_temp_path {home}/fastcgi;
    uwsgi_temp_path {home}/uwsgi;
    scgi_temp_path {home}/scgi;
    include {home}/http.conf;
    include {home}/site.conf;
}}
"""


@dataclass
class Edge:
    """Everything running, and how to reach it."""

    home: Path
    port: int
    plain_port: int
    env: dict[str, str] = field(repr=False)  # holds secrets
    stand_in: str
    sockets: dict[int, socket.socket] = field(default_factory=dict)
    web: dict[int, asyncio.subprocess.Process] = field(default_factory=dict)

    @property
    def access_log(self) -> str:
        """What nginx has written about requests so far."""
        return (self.home / "atelier.log").read_text()

    def client(self, address: str = "127.0.0.2") -> httpx.AsyncClient:
        """A client on an address of its own; names resolve to this machine."""
        return httpx.AsyncClient(
            base_url=f"https://{NAME}:{self.port}",
            transport=Dialled(self.port, self.trust(), address),
            timeout=60,
        )

    def trust(self) -> ssl.SSLContext:
        """Whoever trusts our certificate, and only that."""
        return ssl.create_default_context(cafile=str(self.home / "fullchain.pem"))

    async def start(self, instance: int) -> None:
        """Start a web process on the socket that is kept for it, as systemd would."""
        listening = self.sockets[instance]
        self.web[instance] = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "backend.cli", "serve", "--fd", str(listening.fileno())),
            *("--stand-in", self.stand_in),
            env=self.env,
            pass_fds=[listening.fileno()],
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            start_new_session=True,
        )

    async def stop(self, instance: int) -> None:
        """Ask a web process to end; its socket goes on listening."""
        await stop_process(self.web[instance])

    async def ready(self, instance: int) -> None:
        """Return once the process answers on its own socket."""
        transport = httpx.AsyncHTTPTransport(uds=str(self.home / f"web-{instance}.sock"))
        async with httpx.AsyncClient(transport=transport, timeout=30) as client:
            assert (await client.get("http://web/health/ready")).status_code == 200


class Dialled(httpx.AsyncBaseTransport):
    """Every request goes to the edge's port, by its name, from one address."""

    def __init__(self, port: int, trust: ssl.SSLContext, address: str) -> None:
        limits = httpx.Limits(max_connections=None)
        self.port = port
        self.inner = httpx.AsyncHTTPTransport(verify=trust, local_address=address, limits=limits)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send it there; the certificate is checked against the name."""
        request.extensions = {**request.extensions, "sni_hostname": NAME}
        request.url = request.url.copy_with(host="127.0.0.1", port=self.port)
        return await self.inner.handle_async_request(request)

    async def aclose(self) -> None:
        """Close the connections."""
        await self.inner.aclose()


@contextlib.asynccontextmanager
async def running_edge(running_app: RunningApp) -> AsyncIterator[Edge]:
    """Two web processes behind nginx; all stopped when the block ends."""
    nginx = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    if nginx is None:
        pytest.fail("This needs nginx 1.22 or newer: apt-get install nginx")
    async with contextlib.AsyncExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="atelier-edge-")))
        port, plain_port = free_port(), free_port()
        write_certificate(home)
        write_configuration(home, port, plain_port)
        edge = Edge(
            home=home,
            port=port,
            plain_port=plain_port,
            env={**os.environ, **environment(running_app.settings)},
            stand_in=running_app.shopify.origin,
        )
        for instance in INSTANCES:
            edge.sockets[instance] = stack.enter_context(unix_socket(home / f"web-{instance}.sock"))
            await edge.start(instance)
            stack.push_async_callback(edge.stop, instance)
        await stack.enter_async_context(proxy(nginx, home, port))
        for instance in INSTANCES:
            await edge.ready(instance)
        yield edge


@contextlib.asynccontextmanager
async def proxy(nginx: str, home: Path, port: int) -> AsyncIterator[None]:
    """nginx, from the moment it listens."""
    await checked(nginx, home)
    process = await asyncio.create_subprocess_exec(
        *(nginx, "-p", home, "-c", home / "nginx.conf", "-e", home / "main.log"),
        stdin=asyncio.subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(10):
            while True:
                assert process.returncode is None, (home / "main.log").read_text()
                with contextlib.suppress(OSError):
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                    writer.close()
                    break
                await asyncio.sleep(0.02)
        yield
    finally:
        await stop_process(process)


async def checked(nginx: str, home: Path) -> None:
    """`nginx -t`."""
    process = await asyncio.create_subprocess_exec(
        *(nginx, "-t", "-p", home, "-c", home / "nginx.conf", "-e", home / "main.log"),
        stderr=asyncio.subprocess.PIPE,
    )
    _, told = await process.communicate()
    assert process.returncode == 0, told.decode()
    assert b"[warn]" not in told, told.decode()


def write_configuration(home: Path, port: int, plain_port: int) -> None:
    """The deployment's files with this machine's places in them."""
    http = (DEPLOY / "nginx" / "http.conf").read_text()
    site = (DEPLOY / "nginx" / "site.conf").read_text()
    for old, new in (
        ("    listen [::]:80 default_server;\n", ""),
        ("    listen [::]:443 ssl http2 default_server;\n", ""),
        ("    listen [::]:443 ssl http2;\n", ""),
        ("listen 80 ", f"listen 127.0.0.1:{plain_port} "),
        ("listen 443 ", f"listen 127.0.0.1:{port} "),
        (LETSENCRYPT, str(home)),
        ("/var/log/nginx/", f"{home}/"),
    ):
        assert old in site, f"site.conf has no {old!r}"
        site = site.replace(old, new)
    assert "/run/atelier/" in http
    (home / "http.conf").write_text(http.replace("/run/atelier/", f"{home}/"))
    (home / "site.conf").write_text(site)
    user = "user root;" if os.getuid() == 0 else ""  # only it may look into our directory
    (home / "nginx.conf").write_text(MAIN.format(home=home, user=user))


def write_certificate(home: Path) -> None:
    """A certificate for the deployment's name, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, NAME)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(NAME)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    (home / "fullchain.pem").write_bytes(certificate.public_bytes(pem))
    (home / "privkey.pem").write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )


def unix_socket(path: Path) -> socket.socket:
    """A listening socket, as `atelier-web@.socket` keeps one."""
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(path))
    listening.listen(1024)
    return listening


def free_port() -> int:
    """A port that is free now."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])
