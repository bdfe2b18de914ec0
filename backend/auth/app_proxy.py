"""Verifies storefront requests that Shopify's app proxy signed and forwarded.

The proxy adds `shop`, `timestamp`, `path_prefix`, `logged_in_customer_id` and `signature` to
whatever query the visitor sent. The signature covers that query alone: not the method, not
the path, not the body. A request can be replayed until its timestamp is stale.

The signed text has no separators, so `a=1b=2` is both one parameter and two, and a visitor
who may choose any name could have Shopify sign a text that also reads as somebody else's
customer id. Three rules close that: all parameters are refused but those that the route
knows and those of a theme preview, Shopify's own appear once and in their own shape, and no
value holds a "=". They rest on Shopify's own customer id being in every text, empty for an
anonymous visitor, as it is today: a forged one is then always a second one.

Source: shopify.dev, "Authenticate app proxies"; the order is that of the gem shopify_app.
"""

import hmac
import re
from collections.abc import Callable, Mapping, Sequence
from urllib.parse import parse_qs

import msgspec

from backend.auth.shop_domain import is_shop_domain

_MAX_PARAMETERS = 64
_MAX_AGE_SECONDS = 90  # either way; what Shopify's own libraries allow

# Shopify's own parameters, each at most once, and the shape of each.
_RESERVED: Mapping[str, Callable[[str], object]] = {
    "shop": is_shop_domain,
    "timestamp": re.compile(r"[0-9]{1,12}").fullmatch,
    "signature": re.compile(r"[0-9a-f]{64}").fullmatch,
    "path_prefix": re.compile(r"/[A-Za-z0-9_/-]{1,100}").fullmatch,
    "logged_in_customer_id": re.compile(r"[0-9]{0,20}").fullmatch,
    "hmac": re.compile(r"[0-9a-f]{64}").fullmatch,
}
# What Shopify adds to the links of a theme preview and of `shopify theme dev`; ignored here.
_PREVIEW = frozenset(
    {
        *("preview_theme_id", "preview_key", "key", "pb", "design_mode", "oseid"),
        *("profile_liquid", "_ab", "_bt", "_cd", "_fd", "_sc"),
    }
)
_PREVIEW_VALUE = re.compile(r"[\w.~-]{0,200}", re.ASCII)
_REQUIRED = frozenset({"shop", "timestamp", "signature"})


class ProxyRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A verified storefront request. The customer is logged in; what they own is not said."""

    shop: str
    logged_in_customer_id: str | None  # None: nobody is logged in
    path_prefix: str  # such as "/apps/atelier"; "" if Shopify did not say
    params: dict[str, list[str]]  # the visitor's own, decoded


def verify_app_proxy(
    raw_query: bytes,
    secrets: Sequence[bytes],
    *,
    now: int,
    allowed: frozenset[str] = frozenset(),
) -> ProxyRequest | None:
    """The request that Shopify signed into `raw_query`, or None if it did not. Never raises.

    `raw_query` is the query string as received, without "?"; `now` is Unix time in seconds;
    `allowed` names the visitor's parameters that this route knows. Empty secrets are ignored.
    """
    query = _signed_query(raw_query, secrets, now)
    if query is None or _unknown(query, allowed):
        return None
    return _proxy_request(query, allowed)


def unknown_parameters(
    raw_query: bytes, secrets: Sequence[bytes], *, now: int, allowed: frozenset[str] = frozenset()
) -> list[str]:
    """The parameters because of which alone `verify_app_proxy` refuses the query. Never raises.

    For the message to whoever wrote the storefront's request. They are the sender's own words.
    """
    query = _signed_query(raw_query, secrets, now)
    return [] if query is None else _unknown(query, allowed)


def decoded_query(raw_query: bytes) -> dict[str, list[str]] | None:
    """The decoded parameters, blank ones kept; None for a query that is not ASCII or UTF-8."""
    try:
        return parse_qs(
            raw_query.decode("ascii"),
            keep_blank_values=True,
            errors="strict",
            max_num_fields=_MAX_PARAMETERS,
        )
    except ValueError:
        return None


def proxy_signature(query: Mapping[str, Sequence[str]], secret: bytes) -> bytes:
    """What Shopify writes into `signature`: lower-case hex of the HMAC-SHA256 of all the rest.

    The joined `name=value` texts are sorted, not the names: with `a` and `a1` that differs.
    """
    texts = sorted(
        f"{name}={','.join(values)}".encode()
        for name, values in query.items()
        if name != "signature"
    )
    return hmac.digest(secret, b"".join(texts), "sha256").hex().encode()


def _signed_query(
    raw_query: bytes, secrets: Sequence[bytes], now: int
) -> dict[str, list[str]] | None:
    """The query if Shopify signed it just now; the visitor's parameters are not checked yet."""
    query = decoded_query(raw_query)
    if query is None or not _is_well_formed(query):
        return None
    return query if _is_fresh(query, now) and _is_signed(query, secrets) else None


def _unknown(query: Mapping[str, Sequence[str]], allowed: frozenset[str]) -> list[str]:
    """The visitor's parameters that the route does not know."""
    return [
        name
        for name in query.keys() - _RESERVED.keys() - allowed
        if name not in _PREVIEW or not all(map(_PREVIEW_VALUE.fullmatch, query[name]))
    ]


def _is_well_formed(query: Mapping[str, Sequence[str]]) -> bool:
    return (
        query.keys() >= _REQUIRED
        and all(_is_reserved_shape(name, query[name]) for name in query.keys() & _RESERVED.keys())
        and not any("=" in value for values in query.values() for value in values)
    )


def _is_reserved_shape(name: str, values: Sequence[str]) -> bool:
    return len(values) == 1 and bool(_RESERVED[name](values[0]))


def _is_fresh(query: Mapping[str, Sequence[str]], now: int) -> bool:
    return abs(now - int(query["timestamp"][0])) <= _MAX_AGE_SECONDS


def _is_signed(query: Mapping[str, Sequence[str]], secrets: Sequence[bytes]) -> bool:
    signature = query["signature"][0].encode()
    return any(
        hmac.compare_digest(signature, proxy_signature(query, secret))
        for secret in secrets
        if secret
    )


def _proxy_request(query: Mapping[str, list[str]], allowed: frozenset[str]) -> ProxyRequest:
    return ProxyRequest(
        shop=query["shop"][0],
        logged_in_customer_id=query.get("logged_in_customer_id", [""])[0] or None,
        path_prefix=query.get("path_prefix", [""])[0],
        params={name: values for name, values in query.items() if name in allowed},
    )
