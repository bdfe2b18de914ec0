"""Which of a storefront's visitors somebody is, as far as it takes to give each a share of the day.

A customer who is logged in is one visitor, by the id that Shopify signs. Anybody else is the
address that Shopify's proxy tells of in `X-Forwarded-For`. What the header holds before that is the
visitor's own to invent, so it is read from its end: the last address that is public, for what
comes behind it are machines within. Nothing signs the header, but a request whose query is signed
comes from Shopify.

Of either only a number is kept: an HMAC under the app's secret, of the day and the shop as well,
cut to 20 bits. Four thousand IPv4 addresses have the same one, so that not even who has the secret
can tell an address from it; two visitors of a shop with two hundred jobs a day hardly ever do.
"""

import hmac
import ipaddress
from collections.abc import Iterable
from datetime import date

MAX_ADDRESSES = 64  # of the header, from its end
IPV6_PREFIX = 64  # bits of an IPv6 address that one household has for itself
NUMBER_DIGITS = 5  # hexadecimal


def visitor_number(
    *, shop: str, customer_id: str | None, forwarded: Iterable[bytes], day: date, secret: str
) -> str:
    """The visitor's number for that day; `forwarded` are the values of `X-Forwarded-For`.

    All who are neither logged in nor have an address are one visitor. Never raises.
    """
    who = f"customer {customer_id}" if customer_id else f"address {visitor_address(forwarded)}"
    text = f"{day.isoformat()}\0{shop}\0{who}".encode()
    return hmac.digest(secret.encode(), text, "sha256").hex()[:NUMBER_DIGITS]


def visitor_address(forwarded: Iterable[bytes]) -> str:
    """The last public address, or its network where it is IPv6; "" if there is none."""
    told = b",".join(forwarded).decode("latin-1").split(",")
    for text in reversed(told[-MAX_ADDRESSES:]):
        try:
            address = ipaddress.ip_address(text.strip())
        except ValueError:
            return ""  # whatever comes before it may be invented
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
            address = address.ipv4_mapped
        if address.is_global:
            return network_of(address)
    return ""


def network_of(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str:
    """An IPv4 address as it is, or an IPv6 one's network: within that a visitor may choose."""
    if address.version == 4:
        return str(address)
    return str(ipaddress.ip_network((int(address), IPV6_PREFIX), strict=False))
