"""Signatures of Shopify and of our own servers, implemented again from their documentation.

This shares no code with the verifiers, so a mistake in one does not hide in the other.
"""

import base64
import hashlib
import hmac
import json
from typing import Any
from urllib.parse import unquote_to_bytes


def mac(secret: bytes, text: bytes) -> bytes:
    """HMAC-SHA256, by RFC 2104's own definition."""
    key = hashlib.sha256(secret).digest() if len(secret) > 64 else secret
    inner, outer = (bytes(byte ^ pad for byte in key.ljust(64, b"\0")) for pad in (0x36, 0x5C))
    return hashlib.sha256(outer + hashlib.sha256(inner + text).digest()).digest()


def webhook_is_signed(body: bytes, signature: bytes, secrets: list[bytes]) -> bool:
    """base64(HMAC(secret, body)); never for an empty body or an empty secret."""
    signatures = [base64.b64encode(mac(secret, body)) for secret in secrets if secret]
    return bool(body) and signature in signatures


def token_is_signed(token: str, secrets: list[bytes]) -> bool:
    """base64url(HMAC(secret, header.payload)), with HS256 in the header and no other way to say it.

    RFC 7515, section 5.2.
    """
    head, _, signature = token.rpartition(".")
    algorithm = claims_of(head.partition(".")[0]).get("alg")
    macs = [base64.urlsafe_b64encode(mac(secret, head.encode())) for secret in secrets if secret]
    return algorithm == "HS256" and signature.encode() in [each.rstrip(b"=") for each in macs]


def claims_of(part: str) -> dict[str, Any]:
    """A part of a token, as the object that it is."""
    found = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return found if isinstance(found, dict) else {}


def query_is_proxied(raw_query: bytes, secrets: list[bytes]) -> bool:
    """hex(HMAC(secret, sorted name=v1,v2 without separators)), the signature's own left out."""
    values: dict[bytes, list[bytes]] = {}
    for pair in filter(None, raw_query.split(b"&")):
        name, _, value = (
            unquote_to_bytes(part.replace(b"+", b" ")) for part in pair.partition(b"=")
        )
        values.setdefault(name, []).append(value)
    signature = values.pop(b"signature", [])
    text = b"".join(sorted(name + b"=" + b",".join(each) for name, each in values.items()))
    return signature in [[mac(secret, text).hex().encode()] for secret in secrets if secret]


def request_is_signed(
    signature: bytes, secrets: list[bytes], *, method: str, path: bytes, query: bytes, body: bytes
) -> bool:
    """base64(HMAC(HMAC(secret, purpose), METHOD LF path LF query LF hex(SHA-256(body))))."""
    digest = hashlib.sha256(body).hexdigest().encode()
    text = method.upper().encode() + b"\n" + path + b"\n" + query + b"\n" + digest
    keys = [mac(secret, b"atelier/signed-request/v1") for secret in secrets if secret]
    return signature in [base64.b64encode(mac(key, text)) for key in keys]


assert mac(b"key", b"text") == hmac.new(b"key", b"text", "sha256").digest()
