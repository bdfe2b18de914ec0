"""An httpx transport against SSRF: connects to public internet addresses only.

A name is resolved once, every address is checked, and the connection goes to a checked address; the
certificate is still verified for the name. So neither an internal name nor DNS rebinding leads to
one of our machines or to the cloud's metadata service.

Names are looked up in threads of the transport's own. A shop chooses the names of its endpoints,
and a name server that never answers holds a look-up for up to half a minute. uvloop makes only two
of them at a time, those of Shopify's and Postgres's names included.

The table is IANA's: of IPv4 what the special-purpose registry lists, of IPv6 nothing but global
unicast less what is special in it. `ipaddress.is_global` would let multicast and the tunnels that
carry an IPv4 address (6to4, NAT64, IPv4-compatible) through.
"""

import asyncio
import functools
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

import httpx
import structlog

log = structlog.get_logger(__name__)

HTTPS_PORT = 443
MAX_LOOKUPS = 64  # at once, each in a thread: as many as a worker makes deliveries
Address = IPv4Address | IPv6Address
Resolve = Callable[[str], Awaitable[Sequence[str]]]

GLOBAL_UNICAST = IPv6Network("2000::/3")
SPECIAL_V4 = [
    IPv4Network(network)
    for network in (
        "0.0.0.0/8",  # this network
        "10.0.0.0/8",  # private
        "100.64.0.0/10",  # shared: carriers, and some clouds' metadata
        "127.0.0.0/8",  # loopback
        "168.63.129.16/32",  # Azure's platform, on a public address
        "169.254.0.0/16",  # link-local: metadata
        "172.16.0.0/12",  # private
        "192.0.0.0/24",  # protocol assignments
        "192.0.2.0/24",  # documentation
        "192.31.196.0/24",  # AS112
        "192.52.193.0/24",  # multicast tunnels
        "192.88.99.0/24",  # 6to4 relays
        "192.168.0.0/16",  # private
        "192.175.48.0/24",  # AS112
        "198.18.0.0/15",  # benchmarking
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, and broadcast
    )
]
SPECIAL_V6 = [
    IPv6Network(network)
    for network in (
        "2001::/23",  # protocol assignments: Teredo, benchmarking, ORCHID
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4
        "2620:4f:8000::/48",  # AS112
        "3fff::/20",  # documentation
    )
]


class NotPublic(httpx.ConnectError):
    """The name resolves to an address that is not public."""


@functools.cache
def certificates() -> ssl.SSLContext:
    """The authorities that httpx trusts, read once: that takes a tenth of a second."""
    return httpx.create_ssl_context(trust_env=False)


class PublicInternet(httpx.AsyncBaseTransport):
    """Sends https requests to public addresses on certain ports, and refuses all others."""

    def __init__(
        self,
        resolve: Resolve | None = None,
        *,
        verify: ssl.SSLContext | bool | None = None,
        ports: frozenset[int] = frozenset({HTTPS_PORT}),
    ) -> None:
        self.lookups = ThreadPoolExecutor(MAX_LOOKUPS, thread_name_prefix="dns")
        self.resolve = resolve or functools.partial(resolve_host, threads=self.lookups)
        self.ports = ports
        # No keep-alive: connections are pooled by address, and another name may share it.
        self.transport = httpx.AsyncHTTPTransport(
            verify=certificates() if verify is None else verify,
            trust_env=False,
            limits=httpx.Limits(max_keepalive_connections=0),
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Try the name's addresses in turn until one accepts the connection."""
        url = request.url
        if url.scheme != "https" or (url.port or HTTPS_PORT) not in self.ports or url.userinfo:
            raise httpx.UnsupportedProtocol("only https on its own port", request=request)
        failure: httpx.TransportError | None = None
        for address in await self.public_addresses(request):
            try:
                return await self.transport.handle_async_request(pinned_request(request, address))
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                failure = error
        raise failure or httpx.ConnectError("the name has no address", request=request)

    async def aclose(self) -> None:
        """Close the open connections; look-ups that have not begun are dropped."""
        self.lookups.shutdown(wait=False, cancel_futures=True)
        await self.transport.aclose()

    async def public_addresses(self, request: httpx.Request) -> list[Address]:
        """The addresses of the request's host. Raises `NotPublic` if one of them is not."""
        host = request.url.raw_host.decode("ascii")
        try:
            addresses = [ip_address(answer) for answer in await self.resolve(host)]
        except (OSError, ValueError) as error:  # ValueError: an invalid DNS name
            raise httpx.ConnectError(str(error), request=request) from error
        if not all(is_public(address) for address in addresses):
            log.warning("address_refused", host=host, addresses=[str(each) for each in addresses])
            raise NotPublic(f"{host} is not on the public internet", request=request)
        return addresses


def is_public(address: Address) -> bool:
    """Whether the address is on the public internet, in no special-purpose range."""
    if isinstance(address, IPv4Address):
        return not any(address in network for network in SPECIAL_V4)
    return address in GLOBAL_UNICAST and not any(address in network for network in SPECIAL_V6)


async def resolve_host(host: str, *, threads: Executor) -> list[str]:
    """The host's addresses from the system's resolver, which blocks one of the threads."""
    look_up = functools.partial(socket.getaddrinfo, host, HTTPS_PORT, type=socket.SOCK_STREAM)
    found = await asyncio.get_running_loop().run_in_executor(threads, look_up)
    return [str(sockaddr[0]) for *_, sockaddr in found]


def pinned_request(request: httpx.Request, address: Address) -> httpx.Request:
    """The same request to that address; `Host` and the certificate's name stay the same."""
    return httpx.Request(
        request.method,
        request.url.copy_with(host=str(address)),
        headers=request.headers,
        stream=request.stream,
        extensions={**request.extensions, "sni_hostname": request.url.raw_host.decode("ascii")},
    )
