"""Signed requests from the operator's own servers: a Flow action, a private integration.

The signature covers method, path, query and body, under a key derived from the app's client
secret. So nothing that Shopify signs with the secret itself (webhooks, session tokens, proxy
queries) is valid here, and no signature of this kind is valid there.
"""

import base64
import hashlib
import hmac
import re
from collections.abc import Sequence
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from backend.auth.shop_domain import is_shop_domain

KEY_PURPOSE = b"atelier/signed-request/v1"
MAX_AGE = 90  # seconds, either way
MAX_QUERY = 8192  # bytes
MAX_FIELDS = 64
SIGNATURE_FORMAT = re.compile(rb"[A-Za-z0-9+/]{43}=")  # base64 of 32 bytes
TIMESTAMP_FORMAT = re.compile(r"[0-9]{1,12}")


def request_signature(
    secret: bytes, *, method: str, path: bytes, query: bytes, digest: str
) -> bytes:
    """The base64 signature of a request; `path` and `query` are the raw bytes.

    `digest` is the body's SHA-256 in lower-case hex, so that the body need not be in memory.
    """
    key = hmac.digest(secret, KEY_PURPOSE, hashlib.sha256)
    text = b"\n".join([method.upper().encode(), path, query, digest.encode()])
    return base64.b64encode(hmac.digest(key, text, hashlib.sha256))


def claimed_shop(signature: bytes, query: bytes, *, now: int) -> str | None:
    """The shop of the request if its signature is valid, which is not checked yet; never raises.

    None if no body could make it valid: the signature has another format, or the query is not
    fresh or names no shop. `now` is in seconds since the epoch.
    """
    if not SIGNATURE_FORMAT.fullmatch(signature) or len(query) > MAX_QUERY:
        return None
    return shop_named(query, now)


def verify_signed_request(
    signature: bytes,
    secrets: Sequence[bytes],
    *,
    method: str,
    path: bytes,
    query: bytes,
    digest: str,
    now: int,
) -> str | None:
    """The shop that the signed query names, or None if anything is invalid; never raises.

    `now` is in seconds since the epoch. Empty secrets are ignored.
    """
    shop = claimed_shop(signature, query, now=now)
    if shop is None:
        return None
    matching = [
        hmac.compare_digest(
            signature,
            request_signature(secret, method=method, path=path, query=query, digest=digest),
        )
        for secret in secrets
        if secret
    ]
    return shop if any(matching) else None


def shop_named(query: bytes, now: int) -> str | None:
    """The shop of a fresh query: `shop` and `timestamp` once each, the latter whole seconds."""
    try:
        pairs = parse_qsl(query.decode("ascii"), keep_blank_values=True, max_num_fields=MAX_FIELDS)
    except ValueError:
        return None
    shops = [value for name, value in pairs if name == "shop"]
    stamps = [value for name, value in pairs if name == "timestamp"]
    if len(shops) != 1 or len(stamps) != 1 or not TIMESTAMP_FORMAT.fullmatch(stamps[0]):
        return None
    is_fresh = abs(now - int(stamps[0])) <= MAX_AGE
    return shops[0] if is_fresh and is_shop_domain(shops[0]) else None


def signed_request(
    secret: bytes, *, method: str, url: str, shop: str, body: bytes, now: int
) -> tuple[str, str]:
    """The URL with `shop` and `timestamp` added to its query, and the signature to send with it."""
    parts = urlsplit(url)
    added = urlencode({"shop": shop, "timestamp": now})
    query = f"{parts.query}&{added}" if parts.query else added
    parts = parts._replace(path=parts.path or "/", query=query)
    signature = request_signature(
        secret,
        method=method,
        path=parts.path.encode(),
        query=query.encode(),
        digest=hashlib.sha256(body).hexdigest(),
    )
    return urlunsplit(parts), signature.decode()
