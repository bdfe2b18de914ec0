"""Verifies the HMAC of a webhook body.

`X-Shopify-Hmac-Sha256` proves only that somebody with the app's secret signed the body. It does not
cover the topic, the shop or any other header, and Shopify signs session tokens with the same
secret: the first two parts of a token, sent as a body with the third as its signature, pass here.
The receiver therefore accepts JSON objects only, and takes the shop from the body if the topic has
it.

Source: shopify.dev, "Verify webhook deliveries": base64(HMAC-SHA256(raw body, client secret)).
"""

import base64
import hmac
import re
from collections.abc import Sequence

# 32 bytes in base64: 43 characters of the standard alphabet and one of padding.
_SHA256_IN_BASE64 = re.compile(rb"[A-Za-z0-9+/]{43}=")


def verify_webhook(raw: bytes, signature: bytes, secrets: Sequence[bytes]) -> bool:
    """Whether `signature` signs the body `raw`, as received, under one of `secrets`.

    While a secret is rotated Shopify signs with the oldest one not yet revoked, so pass all
    that are current; empty ones are ignored. Never raises.
    """
    # The signature of an empty body is a constant: once seen, it would be valid for ever.
    # A signature of another format cannot match, and is not worth hashing megabytes for.
    if not raw or not could_be_signature(signature):
        return False
    return any(
        hmac.compare_digest(signature, _webhook_signature(raw, secret))
        for secret in secrets
        if secret
    )


def could_be_signature(signature: bytes) -> bool:
    """Whether it has the format of a signature; if not, the body need not be read."""
    return _SHA256_IN_BASE64.fullmatch(signature) is not None


def _webhook_signature(raw: bytes, secret: bytes) -> bytes:
    return base64.b64encode(hmac.digest(secret, raw, "sha256"))
