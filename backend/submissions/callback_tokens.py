"""The token in a callback's URL: which submission it is about, signed by us.

A callback comes from outside, and some providers do not sign theirs. So the URL says which request
it belongs to, and only we can make one. It is verified without a look-up: what is wrong is a 404.
"""

import base64
import binascii
import hmac
import time
from collections.abc import Callable, Sequence

import msgspec

from backend.settings import Settings
from backend.submissions.records import SubmissionKey

PURPOSE = b"atelier provider callbacks 1"  # derives a key of its own from the app's secret
MAX_TOKEN = 600  # characters
DIGEST_SIZE = 32  # bytes


class CallbackToken(msgspec.Struct, frozen=True, array_like=True):
    """What a token says. The shop's domain lets the web process enter the shop."""

    shop: str
    shop_id: int
    job_id: str
    stage: str
    number: int
    provider: str

    @property
    def key(self) -> SubmissionKey:
        """The submission."""
        return SubmissionKey(
            shop_id=self.shop_id, job_id=self.job_id, stage=self.stage, number=self.number
        )


class CallbackUrls:
    """Makes the URLs at this installation's public address; `secrets` has the current one first."""

    def __init__(self, public_url: str, secrets: Callable[[], Sequence[bytes]]) -> None:
        self.public_url = public_url.rstrip("/")
        self.secrets = secrets

    @classmethod
    def of(cls, settings: Settings) -> "CallbackUrls | None":
        """Those of this installation; None without a public address: providers are only polled."""
        if not settings.public_url:
            return None
        return cls(settings.public_url, lambda: settings.shopify_secrets(time.time()))

    def url(self, token: CallbackToken) -> str:
        """Where the provider of that token reports."""
        signed = sign_callback(token, self.secrets()[0])
        return f"{self.public_url}/callbacks/{token.provider}/{signed}"


def sign_callback(token: CallbackToken, secret: bytes) -> str:
    """The token as it is in the URL."""
    told = msgspec.json.encode(token)
    return base64.urlsafe_b64encode(callback_mac(told, secret) + told).rstrip(b"=").decode()


def verify_callback(text: str, provider: str, secrets: Sequence[bytes]) -> CallbackToken | None:
    """What the token says, if one of the secrets has signed it for this provider."""
    if len(text) > MAX_TOKEN:
        return None
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return None
    mac, told = raw[:DIGEST_SIZE], raw[DIGEST_SIZE:]
    if not any(hmac.compare_digest(mac, callback_mac(told, secret)) for secret in secrets):
        return None
    token = msgspec.json.decode(told, type=CallbackToken)
    return token if token.provider == provider else None


def callback_mac(told: bytes, secret: bytes) -> bytes:
    """The signature over what a token says."""
    key = hmac.digest(secret, PURPOSE, "sha256")
    return hmac.digest(key, told, "sha256")
