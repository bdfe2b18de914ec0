"""Secrets at rest: AES-256-GCM under keys that can be rotated, bound to where the secret belongs.

A sealed value is text, `v1.<key id>.<base64url of nonce and ciphertext>`. Shop, column and key id
are authenticated with it, so a value that was moved to another row or column does not open. A value
that says no version was stored before sealing existed: it is read as it is, and sealed when it is
next written or by `atelier keys reencrypt`.
"""

import base64
import binascii
import re
import secrets
from datetime import UTC, datetime

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from backend.errors import ConfigurationError

VERSION = "v1"
KEY_BYTES, NONCE_BYTES = 32, 12
FEWEST_VALUES = 8  # different bytes in a key; a random one has about thirty

_KEY_ID = re.compile(r"[A-Za-z0-9_-]{1,32}")
_HAS_VERSION = re.compile(r"v[0-9]+\.")
_ENCRYPTED = re.compile(rf"{VERSION}\.([A-Za-z0-9_-]{{1,32}})\.([A-Za-z0-9_-]{{38,}})")


class TokenUnreadable(Exception):
    """The value was changed, or moved here from another row or column."""


class UnknownKey(Exception):
    """The value is sealed under a key that `TOKEN_KEYS` does not hold (any more, or yet)."""


class TokenKeys:
    """What `TOKEN_KEYS` holds: `id:base64,id:base64,…`. The first key seals, all of them open."""

    def __init__(self, text: str) -> None:
        """Raises `ConfigurationError` for anything that is not at least one good key."""
        self.ciphers: dict[str, AESGCM] = {}
        for entry in filter(None, (part.strip() for part in text.split(","))):
            key_id, _, key = entry.partition(":")
            if _KEY_ID.fullmatch(key_id) is None or key_id in self.ciphers:
                raise refused("an entry has no unique ID")
            self.ciphers[key_id] = AESGCM(key_bytes(key_id, key))
        if not self.ciphers:
            raise refused("it is empty")
        self.first = next(iter(self.ciphers))

    def __repr__(self) -> str:
        """The ids, and no key."""
        return f"TokenKeys({', '.join(self.ciphers)})"

    @property
    def prefix(self) -> str:
        """How every value begins that is sealed under the first key."""
        return f"{VERSION}.{self.first}."

    def encrypt(self, secret: str, *, shop: str, column: str) -> str:
        """The secret as it may be stored in that column of that shop's row."""
        nonce = secrets.token_bytes(NONCE_BYTES)
        place = associated_data(shop, column, self.first)
        box = nonce + self.ciphers[self.first].encrypt(nonce, secret.encode(), place)
        return self.prefix + base64.urlsafe_b64encode(box).decode().rstrip("=")

    def open(self, stored: str, *, shop: str, column: str) -> str:
        """The secret in that column of that shop's row. Raises `SealBroken` or `UnknownKey`."""
        if _HAS_VERSION.match(stored) is None:
            return stored
        parts = _ENCRYPTED.fullmatch(stored)
        if parts is None:
            raise TokenUnreadable(f"{column} of {shop} is not an encrypted value")
        key_id, text = parts.groups()
        if key_id not in self.ciphers:
            raise UnknownKey(f"{column} of {shop} is encrypted with the unknown key {key_id!r}")
        place = associated_data(shop, column, key_id)
        try:
            box = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
            nonce, ciphertext = box[:NONCE_BYTES], box[NONCE_BYTES:]
            return self.ciphers[key_id].decrypt(nonce, ciphertext, place).decode()
        except (binascii.Error, InvalidTag) as error:
            raise TokenUnreadable(
                f"{column} of {shop} cannot be decrypted with {key_id!r}"
            ) from error


def associated_data(*parts: str) -> bytes:
    """The parts, each with its length before it, so that none can be shifted into the next."""
    return b"".join(len(data := part.encode()).to_bytes(4, "big") + data for part in parts)


def key_bytes(key_id: str, text: str) -> bytes:
    """The key in base64, of either alphabet."""
    try:
        key = base64.b64decode(text.replace("-", "+").replace("_", "/"), validate=True)
    except ValueError as error:  # not ASCII, or not base64
        raise refused(f"the key {key_id!r} is not base64") from error
    if len(key) != KEY_BYTES or len(set(key)) < FEWEST_VALUES:
        raise refused(f"the key {key_id!r} is not {KEY_BYTES} random bytes")
    return key


def new_key() -> str:
    """A fresh entry for `TOKEN_KEYS`."""
    key_id = f"{datetime.now(UTC):%Y-%m-%d}-{secrets.token_hex(2)}"
    return f"{key_id}:{base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode()}"


def refused(why: str) -> ConfigurationError:
    """What to say of a `TOKEN_KEYS` that will not do; never what is in it."""
    return ConfigurationError(
        f"TOKEN_KEYS is invalid: {why}. It holds the keys that encrypt the shops' tokens in the "
        "database, as comma-separated id:base64 entries. `atelier keys new` prints one."
    )
