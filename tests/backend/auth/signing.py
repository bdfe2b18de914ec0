"""Signs as Shopify does, from the documentation and the standard library alone.

An oracle for the tests: it shares no line with the verifiers, so a mistake in one of them
cannot hide in the other.
"""

import base64
import hashlib
import hmac
import json
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote

NOW = 1_795_000_000
API_KEY = "3c1f0f7d5b8e4a2d9c6b7a8f9e0d1c2b"
SECRET = b"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"
PREVIOUS_SECRET = b"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"
FOREIGN_SECRET = b"shpss_0000000000000000deadbeefdeadbeef"
SHOP = "north-wind.myshopify.com"


def webhook_signature(body: bytes, secret: bytes = SECRET) -> bytes:
    return base64.b64encode(hmac.new(secret, body, hashlib.sha256).digest())


def claims(**changes: Any) -> dict[str, Any]:
    """What Shopify puts into the token of a member of staff."""
    return {
        "iss": f"https://{SHOP}/admin",
        "dest": f"https://{SHOP}",
        "aud": API_KEY,
        "sub": "94732817",
        "exp": NOW + 60,
        "nbf": NOW,
        "iat": NOW,
        "jti": "f8912129-1af6-4cad-9ca3-76b0f7621087",
        "sid": "aaea182f2732d44c23057c0fea584021a4485b2bd25d3eb7fd349313ad24c685",
    } | changes


def without(claims: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in claims.items() if name not in names}


def session_token(
    payload: Mapping[str, Any] | bytes,
    secret: bytes = SECRET,
    header: Mapping[str, Any] | bytes = b'{"alg":"HS256","typ":"JWT"}',
    digest: str = "sha256",
) -> str:
    """A compact JWT over any payload and header, well-formed or not."""
    signed = ".".join(_base64url(_as_bytes(part)) for part in (header, payload))
    return f"{signed}.{_base64url(hmac.new(secret, signed.encode(), digest).digest())}"


def proxy_query(pairs: Iterable[tuple[str, str]], secret: bytes = SECRET) -> bytes:
    """The query string of a proxied request: `pairs` as the visitor and Shopify wrote them."""
    pairs = list(pairs)
    joined: dict[str, str] = {}
    for name, value in pairs:
        joined[name] = f"{joined[name]},{value}" if name in joined else value
    text = "".join(sorted(f"{name}={value}" for name, value in joined.items()))
    signature = hmac.new(secret, text.encode(), hashlib.sha256).hexdigest()
    return query([*pairs, ("signature", signature)])


def query(pairs: Iterable[tuple[str, str]]) -> bytes:
    return "&".join(f"{quote(name)}={quote(value)}" for name, value in pairs).encode()


def _as_bytes(part: Mapping[str, Any] | bytes) -> bytes:
    return part if isinstance(part, bytes) else json.dumps(part).encode()


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
