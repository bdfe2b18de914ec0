"""Tells storefront visitors apart, for a daily limit per visitor, without storing who they are.

A logged-in customer is identified by the id that Shopify signs, anybody else by the IP address
that Shopify's proxy adds to `X-Forwarded-For`. A visitor can forge the earlier part of that header,
so it is read from the end: the last public address, because internal machines may come after it.
The header is not signed, but a request with a signed query comes from Shopify.

Only a number is stored: an HMAC of the visitor, the day and the shop under the app's secret, cut to
20 bits. Four thousand IPv4 addresses share each number, so that even somebody with the secret
cannot recover an address; two visitors of a shop with two hundred jobs a day hardly ever collide.
"""

import hmac
import ipaddress
from collections.abc import Iterable
from datetime import date

MAX_ADDRESSES = 64  # of the header, from its end
IPV6_PREFIX = 64  # bits of an IPv6 address that identify one household
NUMBER_DIGITS = 5  # hexadecimal


def visitor_number(
    *, shop: str, customer_id: str | None, forwarded: Iterable[bytes], day: date, secret: str
) -> str:
    """The visitor's number for that day; `forwarded` are the values of `X-Forwarded-For`.

    Everybody without a login and an address counts as one visitor. Never raises.
    """
    who = f"customer {customer_id}" if customer_id else f"address {visitor_address(forwarded)}"
    text = f"{day.isoformat()}\0{shop}\0{who}".encode()
    return hmac.digest(secret.encode(), text, "sha256").hex()[:NUMBER_DIGITS]


def visitor_address(forwarded: Iterable[bytes]) -> str:
    """The last public address, or its network where it is IPv6; "" if there is none."""
    addresses = b",".join(forwarded).decode("latin-1").split(",")
    for text in reversed(addresses[-MAX_ADDRESSES:]):
        try:
            address = ipaddress.ip_address(text.strip())
        except ValueError:
            return ""  # whatever comes before it may be forged
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
            address = address.ipv4_mapped
        if address.is_global:
            return network_of(address)
    return ""


def network_of(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str:
    """An IPv4 address, or the network of an IPv6 one, within which a visitor can change it."""
    if address.version == 4:
        return str(address)
    return str(ipaddress.ip_network((int(address), IPV6_PREFIX), strict=False))
