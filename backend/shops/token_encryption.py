"""Encryption of tokens at rest: AES-256-GCM with rotatable keys, bound to the shop and column.

An encrypted value is text, `v1.<key id>.<base64url of nonce and ciphertext>`. Shop, column and key
id are authenticated with it, so a value that was moved to another row or column is unreadable. A
value without a version was stored before encryption existed: it is read as plain text, and
encrypted when it is next written or by `atelier keys reencrypt`.
"""

import base64
import binascii
import re
import secrets
from datetime import UTC, datetime

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from backend.errors import ConfigurationError

TOKEN_FORMAT = "v1"
KEY_BYTES, NONCE_BYTES = 32, 12
MIN_DISTINCT_BYTES = 8  # in a key; a random one has about thirty

_KEY_ID = re.compile(r"[A-Za-z0-9_-]{1,32}")
_HAS_VERSION = re.compile(r"v[0-9]+\.")
_ENCRYPTED = re.compile(rf"{TOKEN_FORMAT}\.([A-Za-z0-9_-]{{1,32}})\.([A-Za-z0-9_-]{{38,}})")


class TokenUnreadable(Exception):
    """The value was changed, or moved here from another row or column."""


class UnknownKey(Exception):
    """The value is encrypted with a key that is not in `TOKEN_KEYS` (any more, or yet)."""


class TokenKeys:
    """The keys of `TOKEN_KEYS`, `id:base64,id:base64,…`: the first encrypts, all decrypt."""

    def __init__(self, text: str) -> None:
        """Raises `ConfigurationError` unless the text is a list of valid keys."""
        self.ciphers: dict[str, AESGCM] = {}
        for entry in filter(None, (part.strip() for part in text.split(","))):
            key_id, _, key = entry.partition(":")
            if _KEY_ID.fullmatch(key_id) is None or key_id in self.ciphers:
                raise token_keys_error("an entry has no unique ID")
            self.ciphers[key_id] = AESGCM(key_bytes(key_id, key))
        if not self.ciphers:
            raise token_keys_error("it is empty")
        self.primary = next(iter(self.ciphers))

    def __repr__(self) -> str:
        """The ids, and no key."""
        return f"TokenKeys({', '.join(self.ciphers)})"

    @property
    def prefix(self) -> str:
        """The prefix of every value that the primary key encrypted."""
        return f"{TOKEN_FORMAT}.{self.primary}."

    def encrypt(self, secret: str, *, shop: str, column: str) -> str:
        """Encrypt the secret for that column of that shop's row."""
        nonce = secrets.token_bytes(NONCE_BYTES)
        context = associated_data(shop, column, self.primary)
        payload = nonce + self.ciphers[self.primary].encrypt(nonce, secret.encode(), context)
        return self.prefix + base64.urlsafe_b64encode(payload).decode().rstrip("=")

    def decrypt(self, stored: str, *, shop: str, column: str) -> str:
        """Decrypt that column of that shop's row. Raises `TokenUnreadable` or `UnknownKey`."""
        if _HAS_VERSION.match(stored) is None:
            return stored
        parts = _ENCRYPTED.fullmatch(stored)
        if parts is None:
            raise TokenUnreadable(f"{column} of {shop} is not an encrypted value")
        key_id, text = parts.groups()
        if key_id not in self.ciphers:
            raise UnknownKey(f"{column} of {shop} is encrypted with {key_id!r}")
        context = associated_data(shop, column, key_id)
        try:
            payload = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
            nonce, ciphertext = payload[:NONCE_BYTES], payload[NONCE_BYTES:]
            return self.ciphers[key_id].decrypt(nonce, ciphertext, context).decode()
        except (binascii.Error, InvalidTag) as error:
            raise TokenUnreadable(
                f"{column} of {shop} cannot be decrypted with {key_id!r}"
            ) from error


def associated_data(*parts: str) -> bytes:
    """The parts, each prefixed with its length, so that no two lists have the same encoding."""
    return b"".join(len(data := part.encode()).to_bytes(4, "big") + data for part in parts)


def key_bytes(key_id: str, text: str) -> bytes:
    """Decode a key from standard or URL-safe base64. Raises `ConfigurationError`."""
    try:
        key = base64.b64decode(text.replace("-", "+").replace("_", "/"), validate=True)
    except ValueError as error:  # not ASCII, or not base64
        raise token_keys_error(f"the key {key_id!r} is not base64") from error
    if len(key) != KEY_BYTES or len(set(key)) < MIN_DISTINCT_BYTES:
        raise token_keys_error(f"the key {key_id!r} is not {KEY_BYTES} random bytes")
    return key


def generate_key() -> str:
    """A fresh entry for `TOKEN_KEYS`."""
    key_id = f"{datetime.now(UTC):%Y-%m-%d}-{secrets.token_hex(2)}"
    return f"{key_id}:{base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode()}"


def token_keys_error(why: str) -> ConfigurationError:
    """The error for an invalid `TOKEN_KEYS`, without its content."""
    return ConfigurationError(
        f"TOKEN_KEYS is invalid: {why}. It holds the keys that encrypt the shops' tokens in the "
        "database, as id:base64, separated by commas; `atelier keys new` prints one."
    )
