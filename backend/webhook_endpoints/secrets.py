"""The secret that an endpoint shares with its receiver: made, stored encrypted, and signed with.

As in Standard Webhooks: `whsec_` and the base64 of the key. A delivery has one signature for each
secret that is valid, so a receiver can change over while it is rotated.
"""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Sequence
from datetime import timedelta

from backend.shops.token_encryption import TokenKeys

SECRET_PREFIX = "whsec_"
SECRET_BYTES = 32  # Standard Webhooks: 24 to 64
ROTATION_OVERLAP = timedelta(hours=24)  # how long the previous secret stays valid
SECRET_COLUMN = "webhook_endpoints.secret"  # of both tables: what the encryption is bound to


def new_secret() -> str:
    """A fresh secret, as the receiver has it."""
    return SECRET_PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def encrypted_secret(keys: TokenKeys, endpoint_id: str, secret: str) -> str:
    """The secret as it is stored for that endpoint."""
    return keys.encrypt(secret, shop=endpoint_id, column=SECRET_COLUMN)


def decrypted_secret(keys: TokenKeys, endpoint_id: str, stored: str) -> str:
    """The endpoint's secret. Raises `TokenUnreadable` or `UnknownKey`."""
    return keys.decrypt(stored, shop=endpoint_id, column=SECRET_COLUMN)


def signature_header(secrets_: Sequence[str], event_id: str, timestamp: int, body: bytes) -> str:
    """The value of `webhook-signature`: a signature for each secret, newest first."""
    return " ".join(f"v1,{signature(secret, event_id, timestamp, body)}" for secret in secrets_)


def signature(secret: str, event_id: str, timestamp: int, body: bytes) -> str:
    """Base64 of the HMAC-SHA256 over ID, time (Unix seconds) and body."""
    key = base64.b64decode(secret.removeprefix(SECRET_PREFIX))
    signed = f"{event_id}.{timestamp}.".encode() + body
    return base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
