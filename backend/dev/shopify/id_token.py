"""Verifies session (ID) tokens with code of the stand-in's own, independent of `backend.auth`."""

import base64
import hmac
import json
from typing import Any

from backend.dev import signing

LEEWAY = 10  # seconds of clock difference that Shopify's libraries allow


def is_of(shop: str, token: object, *, api_key: str, secret: str, now: float) -> bool:
    """Verify a session token: bytes, times, app and shop."""
    try:
        claims = _signed_claims(str(token), secret)
        in_time = bool(claims["nbf"] - LEEWAY <= now < claims["exp"] + LEEWAY)
        party = (claims["aud"], claims["dest"], claims["iss"])
    except (ValueError, KeyError, TypeError):
        return False
    return in_time and party == (api_key, f"https://{shop}", f"https://{shop}/admin")


def _signed_claims(token: str, secret: str) -> dict[str, Any]:
    """Return the claims of an HS256 token. Raises ValueError when it is not one of ours."""
    signing_input, _, signature = token.rpartition(".")
    header, _, payload = signing_input.partition(".")
    expected = signing.jwt_signature(signing_input, secret)
    if not hmac.compare_digest(signature.encode(), expected.encode()):
        raise ValueError("signature")
    if _decoded(header).get("alg") != "HS256":
        raise ValueError("algorithm")
    return _decoded(payload)


def _decoded(part: str) -> dict[str, Any]:
    padded = part + "=" * (-len(part) % 4)
    value = json.loads(base64.urlsafe_b64decode(padded))
    if not isinstance(value, dict):
        raise ValueError("not an object")
    return value
