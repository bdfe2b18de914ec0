"""The way out for addresses that somebody else has named: to the public internet, and no further.

A name is resolved once, every answer is checked, and what was checked is what is dialled; the
certificate is still the name's. So neither a name of the inside nor one that changes its mind
between the check and the call leads to a machine of ours or to the cloud's metadata.

The table is IANA's: of IPv4 what the special-purpose registry lists, of IPv6 nothing but global
unicast less what is special in it. `ipaddress.is_global` would let multicast and the tunnels that
carry an IPv4 address (6to4, NAT64, IPv4-compatible) through.
"""

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

import httpx
import structlog

log = structlog.get_logger(__name__)

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
    """The name leads to an address that is not public."""


class PublicInternet(httpx.AsyncBaseTransport):
    """Carries https on its own port to public addresses, and nothing else anywhere."""

    def __init__(
        self, resolve: Resolve | None = None, *, verify: ssl.SSLContext | bool = True
    ) -> None:
        self.resolve = resolve or resolve_host
        # No connection is kept: it would be found again by its address, and be another name's.
        self.transport = httpx.AsyncHTTPTransport(
            verify=verify, trust_env=False, limits=httpx.Limits(max_keepalive_connections=0)
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Dial the name's addresses in turn until one takes the connection."""
        url = request.url
        if url.scheme != "https" or url.port is not None or url.userinfo:
            raise httpx.UnsupportedProtocol("only https on port 443", request=request)
        failure: httpx.TransportError | None = None
        for address in await self.public_addresses(request):
            try:
                return await self.transport.handle_async_request(pinned_request(request, address))
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                failure = error
        raise failure or httpx.ConnectError("the name has no address", request=request)

    async def aclose(self) -> None:
        """Nothing is kept, so this ends what is under way."""
        await self.transport.aclose()

    async def public_addresses(self, request: httpx.Request) -> list[Address]:
        """The addresses of the request's host. Raises `NotPublic` if one of them is not."""
        host = request.url.raw_host.decode("ascii")
        try:
            addresses = [ip_address(answer) for answer in await self.resolve(host)]
        except (OSError, ValueError) as error:  # ValueError: a name that no DNS can have
            raise httpx.ConnectError(str(error), request=request) from error
        if not all(is_public(address) for address in addresses):
            log.warning("address_refused", host=host, addresses=[str(each) for each in addresses])
            raise NotPublic(f"{host} is not on the public internet", request=request)
        return addresses


def is_public(address: Address) -> bool:
    """Whether the address can only be a stranger's, anywhere on the internet."""
    if isinstance(address, IPv4Address):
        return not any(address in network for network in SPECIAL_V4)
    return address in GLOBAL_UNICAST and not any(address in network for network in SPECIAL_V6)


async def resolve_host(host: str) -> list[str]:
    """The host's addresses, as the system finds them."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, 443, type=socket.SOCK_STREAM)
    return [str(sockaddr[0]) for *_, sockaddr in found]


def pinned_request(request: httpx.Request, address: Address) -> httpx.Request:
    """The same request, to be sent to that address: `Host` and certificate stay the name's."""
    return httpx.Request(
        request.method,
        request.url.copy_with(host=str(address)),
        headers=request.headers,
        stream=request.stream,
        extensions={**request.extensions, "sni_hostname": request.url.raw_host.decode("ascii")},
    )
