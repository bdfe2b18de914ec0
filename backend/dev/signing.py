"""Creates Shopify's signatures: session tokens, webhook bodies and app-proxy queries.

Written from Shopify's documentation with the standard library only, and independent of
`backend.auth`, so that an error in a verifier cannot be hidden by the same error here.
"""

import base64
import hashlib
import hmac
import json
import secrets
import time
import uuid
from collections.abc import Mapping, Sequence
from urllib.parse import urlencode


def session_token(
    shop: str,
    *,
    api_key: str,
    secret: str,
    user_id: str = "1",
    now: float | None = None,
    lifetime: int = 60,
    **overrides: object,
) -> str:
    """Return the session (ID) token that App Bridge would hand to a page of this shop's admin.

    `now` is in seconds since the epoch, `lifetime` in seconds. Each of `overrides` replaces one
    claim, and None leaves the claim out: `session_token(..., aud="another app", jti=None)`.
    """
    issued_at = int(time.time() if now is None else now)
    claims: dict[str, object] = {
        "iss": f"https://{shop}/admin",
        "dest": f"https://{shop}",
        "aud": api_key,
        "sub": user_id,
        "exp": issued_at + lifetime,
        "nbf": issued_at,
        "iat": issued_at,
        "jti": str(uuid.uuid4()),
        "sid": secrets.token_hex(32),
    }
    claims |= overrides
    return json_web_token(
        {name: value for name, value in claims.items() if value is not None}, secret
    )


def json_web_token(claims: Mapping[str, object], secret: str) -> str:
    """Return `claims` as a compact JWT signed with HS256 (RFC 7515 §3.1)."""
    header = _base64url(_compact_json({"alg": "HS256", "typ": "JWT"}))
    signing_input = f"{header}.{_base64url(_compact_json(claims))}"
    return f"{signing_input}.{jwt_signature(signing_input, secret)}"


def jwt_signature(signing_input: str, secret: str) -> str:
    """Return the third part of a token whose first two, with the dot, are `signing_input`."""
    return _base64url(_hmac_sha256(signing_input.encode(), secret).digest())


def webhook_signature(body: bytes, secret: str) -> str:
    """Return the value of `X-Shopify-Hmac-Sha256` for exactly these bytes."""
    return base64.b64encode(_hmac_sha256(body, secret).digest()).decode()


def app_proxy_query(params: Mapping[str, str | Sequence[str]], secret: str) -> str:
    """Return the query string with which Shopify's app proxy forwards `params`, signature last.

    A list stands for a repeated parameter. Nothing is added but the signature: `shop`,
    `path_prefix`, `timestamp` and `logged_in_customer_id` are the caller's to give.
    """
    values = {name: [value] if isinstance(value, str) else value for name, value in params.items()}
    # The joined strings are sorted, not the keys: `a1=…` comes before `a=…`.
    message = b"".join(sorted(f"{name}={','.join(each)}".encode() for name, each in values.items()))
    signature = _hmac_sha256(message, secret).hexdigest()
    return urlencode({**values, "signature": [signature]}, doseq=True)


def launch_signature(params: Mapping[str, str], secret: str) -> str:
    """Return the `hmac` with which the admin signs the query that opens an app."""
    message = "&".join(f"{name}={params[name]}" for name in sorted(params))
    return _hmac_sha256(message.encode(), secret).hexdigest()


def _hmac_sha256(message: bytes, secret: str) -> hmac.HMAC:
    return hmac.new(secret.encode(), message, hashlib.sha256)


def _base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _compact_json(value: Mapping[str, object]) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
