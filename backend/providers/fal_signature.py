"""Verifies that a callback is fal's: Ed25519, with keys that fal publishes as a JWKS.

Read on 2026-11-29: fal's page on webhooks. The signed message is four lines: the request's id, the
user's id, the time in seconds and the SHA-256 of the raw body in hex. Times more than five minutes
away are refused, and keys are kept for at most a day.
"""

import asyncio
import base64
import binascii
import hashlib
import time
from collections.abc import Callable, Mapping

import httpx
import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from backend.providers.client import ProviderHttp, origin_of
from backend.providers.provider import CallbackRefused, ProviderUnavailable

MOST_SKEW = 300  # seconds
KEYS_LIVE = 24 * 3600  # seconds
# Seconds between two looks for a new key, so that forged callbacks cannot make us ask fal.
FRESH_FOR = 300
HEADERS = ("request-id", "user-id", "timestamp", "signature")


class JsonWebKey(msgspec.Struct):
    """A key, as RFC 8037 writes those of Ed25519."""

    x: str = ""
    crv: str = ""


class JsonWebKeys(msgspec.Struct):
    """The document of the keys."""

    keys: list[JsonWebKey]


class FalSignatures:
    """The keys of one process. `clock` has the time in seconds since the epoch."""

    def __init__(
        self,
        url: str,
        transport: httpx.AsyncBaseTransport | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.url = url
        self.http = ProviderHttp(origin_of(url), {}, transport)
        self.clock = clock
        self.keys: list[Ed25519PublicKey] = []
        self.read_at = float("-inf")
        self.lock = asyncio.Lock()

    async def verify(self, headers: Mapping[str, str], body: bytes) -> str:
        """The request's id that was signed with the body.

        Raises `CallbackRefused`, or `ProviderUnavailable` if there are no keys to be had.
        """
        lower = {name.lower(): value for name, value in headers.items()}
        values = [lower.get(f"x-fal-webhook-{name}", "") for name in HEADERS]
        if not all(values):
            raise CallbackRefused("it has not all of fal's headers")
        request_id, user_id, timestamp, signature = values
        self._require_recent(timestamp)
        digest = hashlib.sha256(body).hexdigest()
        message = "\n".join((request_id, user_id, timestamp, digest)).encode()
        await self._require_keys(KEYS_LIVE)
        if not self._is_signed(message, signature):
            await self._require_keys(FRESH_FOR)  # fal may have a new one
            if not self._is_signed(message, signature):
                raise CallbackRefused("none of fal's keys has signed it")
        return request_id

    async def close(self) -> None:
        """Close the connections."""
        await self.http.close()

    def _require_recent(self, timestamp: str) -> None:
        if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) < 15):
            raise CallbackRefused("its time is no number")
        if abs(self.clock() - int(timestamp)) > MOST_SKEW:
            raise CallbackRefused("it is too old, or from the future")

    def _is_signed(self, message: bytes, signature: str) -> bool:
        try:
            signed = bytes.fromhex(signature)
        except ValueError:
            return False
        return any(verifies(key, signed, message) for key in self.keys)

    async def _require_keys(self, most_age: float) -> None:
        """Read the keys unless they were read within that time."""
        async with self.lock:
            if self.clock() - self.read_at <= most_age:
                return
            answer = await self.http.ask("GET", self.url)
            document = answer.read(JsonWebKeys)
            keys = [key for each in document.keys if (key := public_key(each))] if document else []
            if not keys:
                raise ProviderUnavailable("fal's keys cannot be read")
            self.keys, self.read_at = keys, self.clock()


def public_key(key: JsonWebKey) -> Ed25519PublicKey | None:
    """The key; None for one of another kind."""
    if key.crv and key.crv != "Ed25519":
        return None
    try:
        raw = base64.urlsafe_b64decode(key.x + "=" * (-len(key.x) % 4))
        return Ed25519PublicKey.from_public_bytes(raw)
    except (binascii.Error, ValueError):
        return None


def verifies(key: Ed25519PublicKey, signature: bytes, message: bytes) -> bool:
    """Whether the key has signed the message."""
    try:
        key.verify(signature, message)
    except InvalidSignature:
        return False
    return True
