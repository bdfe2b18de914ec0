"""The settings of the hosted providers. They are part of `backend.settings.Settings`.

They stand apart so that the adapters, which know of no other setting, can be given them.
"""

import math
from ipaddress import ip_address
from typing import Annotated, Literal
from urllib.parse import urlsplit

import msgspec

from backend.errors import ConfigurationError

Concurrency = Annotated[int, msgspec.Meta(ge=1, le=10_000)]
PerMinute = Annotated[int, msgspec.Meta(ge=0, le=100_000)]  # 0: no limit of our own
MICROS = 1_000_000  # of a US dollar


class ProvidersConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Keys, addresses, models, limits and prices of the hosted providers.

    `…_models` and `fal_prices` are `stage=value` pairs with commas between. Prices are US dollars
    for a unit that the provider counts: a FASHN credit, a billable unit of a fal endpoint, an image
    of Gemini.
    """

    public_url: str = ""  # our https origin, for callbacks; empty: providers are only polled
    provider_deadlines: str = ""  # stage=minutes, where not `providers.deadlines`
    provider_inputs: Literal["url", "inline"] = (
        "url"  # how pictures go out, where both are possible
    )
    fashn_api_key: str = ""
    fashn_base_url: str = "https://api.fashn.ai/v1"
    fashn_models: str = ""
    fashn_concurrency: Concurrency = 6  # FASHN's own default
    fashn_per_minute: PerMinute = 50
    fashn_price: str = ""
    fal_key: str = ""
    fal_base_url: str = "https://queue.fal.run"
    fal_platform_url: str = "https://api.fal.ai/v1"  # lists our requests
    fal_jwks_url: str = "https://rest.fal.ai/.well-known/jwks.json"  # keys of the callbacks
    fal_models: str = ""
    fal_concurrency: Concurrency = 20
    fal_per_minute: PerMinute = 0
    fal_prices: str = ""
    gemini_api_key: str = ""
    gemini_base_url: str = "https://generativelanguage.googleapis.com/v1beta"
    gemini_models: str = ""
    gemini_concurrency: Concurrency = 4
    gemini_per_minute: PerMinute = 10
    gemini_price: str = ""

    def __repr__(self) -> str:
        """Without the keys."""
        return "ProvidersConfig(…)"

    def require_safe_addresses(self) -> None:
        """Raise `ConfigurationError` for an address over which a key or a picture could leak."""
        for name in PROVIDER_URLS:
            url = getattr(self, name)
            if not is_safe_origin(url):
                raise ConfigurationError(
                    f"{name.upper()} must be an https URL with a host, or an http URL of this "
                    f"machine such as http://127.0.0.1:9000, not {url!r}."
                )
        if self.public_url and not is_bare_origin(self.public_url):
            raise ConfigurationError(
                f"PUBLIC_URL must be an origin such as https://app.example.com, without a path, "
                f"not {self.public_url!r}."
            )


PROVIDER_URLS = (
    "fashn_base_url",
    "fal_base_url",
    "fal_platform_url",
    "fal_jwks_url",
    "gemini_base_url",
)


def is_safe_origin(url: str) -> bool:
    """Whether it is an https URL, or an http URL of this machine."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return False
    if not host or port == 0 or parts.username is not None or parts.query or parts.fragment:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and is_loopback(host))


def is_loopback(host: str) -> bool:
    """Whether the host is this machine. Other names than `localhost` are not resolved."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def is_bare_origin(url: str) -> bool:
    """Whether it is a safe URL of nothing but scheme, host and port."""
    return is_safe_origin(url) and urlsplit(url).path in {"", "/"}


def stage_pairs(variable: str, text: str, example: str) -> dict[str, str]:
    """The `stage=value` pairs of a setting. Raises `ConfigurationError`."""
    pairs = [pair.partition("=") for pair in text.split(",") if pair.strip()]
    found = {stage.strip(): value.strip() for stage, _, value in pairs}
    if not all(stage and value for stage, value in found.items()) or len(found) < len(pairs):
        raise ConfigurationError(
            f"{variable} is {text!r}; name each stage once, such as {example}."
        )
    return found


def price_micros(variable: str, text: str) -> int | None:
    """A price in US dollars as millionths of one; None without it. Raises `ConfigurationError`."""
    if not text:
        return None
    try:
        dollars = float(text)
    except ValueError:
        dollars = math.nan
    if not 0 <= dollars <= 1000:
        raise ConfigurationError(f"{variable} must be US dollars such as 0.075, not {text!r}.")
    return round(dollars * MICROS)
