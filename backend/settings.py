"""Settings, read once from the environment and passed down; never read anywhere else.

AWS credentials and region are not here: boto3 reads `AWS_*` itself.
"""

import os
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import msgspec

from backend.errors import ConfigurationError

# `atelier dev` and `atelier demo` invent secrets with this prefix. The rest are values that
# examples and tutorials use; a server that starts on one of them has no lock on its doors.
DEMO_SECRET_PREFIX = "atelier-demo-"
PLACEHOLDER_SECRETS = frozenset({"secret", "hush", "changeme", "change-me", "test", "demo"})

# Where `make` puts the weights, as seen from the project's folder or from anywhere in its clone.
MODEL_FILE = Path(".models/rembg/u2netp.onnx")
MODEL_PATH = MODEL_FILE if MODEL_FILE.exists() else Path(__file__).parents[1] / MODEL_FILE


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What a process needs to know about its surroundings."""

    database_url: str
    s3_bucket: str
    s3_endpoint_url: str | None = None  # None: AWS itself
    s3_public_endpoint_url: str | None = None  # the host in presigned URLs, where it differs
    shopify_api_key: str
    shopify_api_secret: str
    shopify_api_secret_previous: str = ""
    shopify_api_secret_previous_not_after: Annotated[datetime, msgspec.Meta(tz=True)] | None = None
    shopify_app_url: str = ""
    token_keys: str = ""  # see `backend.shops.sealing`; no server starts without
    segment_model_path: Path = MODEL_PATH
    rate_limit_reads: str = "30000/minute"  # for each shop, door and web process
    rate_limit_writes: str = "1200/minute"
    rate_limit_misses: str = "60/minute"  # 404s on ids, for each shop and web process
    storefront_daily_cap: int = 200  # jobs that a shop's visitors may start in a day (UTC)
    disabled_workflows: str = ""  # names as in POST /v1/<name>, with commas between
    body_budget_mb: Annotated[int, msgspec.Meta(ge=80)] = 128  # bodies under way, each web process
    metrics_listen: str = ""  # host:port for Prometheus; empty: no metrics are served

    def __repr__(self) -> str:
        """Without what is in it: secrets, keys and the database's password."""
        return "Settings(…)"

    @classmethod
    def from_env(cls, environ: Mapping[str, str] = os.environ) -> "Settings":
        """Read each field from the variable of its upper-case name; blank counts as unset."""
        raw = {
            field.name: value
            for field in msgspec.structs.fields(cls)
            if (value := environ.get(field.name.upper(), "").strip())
        }
        missing = [
            field.name.upper()
            for field in msgspec.structs.fields(cls)
            if field.required and field.name not in raw
        ]
        if missing:
            raise ConfigurationError(f"Set {', '.join(missing)} in the environment.")
        try:
            settings = msgspec.convert(
                raw, cls, strict=False, dec_hook=lambda kind, value: kind(value)
            )
        except msgspec.ValidationError as error:  # it tells the field and the type, not the value
            raise ConfigurationError(f"A setting is not what it should be: {error}.") from None
        settings.require_safe_urls()
        settings.require_an_end_of_the_previous_secret()
        return settings

    def shopify_secrets(self, now: float) -> tuple[bytes, ...]:
        """The app's client secrets at that time (seconds since the epoch), current first.

        The previous one is among them while it is being rotated, and not from its `not_after` on.
        """
        previous = self.shopify_api_secret_previous if now < self.previous_secret_ends_at else ""
        secrets = (self.shopify_api_secret, previous)
        return tuple(secret.encode() for secret in secrets if secret)

    @property
    def previous_secret_ends_at(self) -> float:
        """When the previous secret ends, in seconds since the epoch; without a time, long ago."""
        not_after = self.shopify_api_secret_previous_not_after
        return not_after.timestamp() if not_after else 0.0

    @property
    def disabled(self) -> frozenset[str]:
        """The names of the workflows that are switched off."""
        return frozenset(
            name.strip() for name in self.disabled_workflows.split(",") if name.strip()
        )

    def require_safe_urls(self) -> None:
        """Refuse URLs that would fail later and further away from their cause."""
        if not self.database_url.startswith(("postgresql://", "postgres://")):
            raise ConfigurationError("DATABASE_URL must start with postgresql://")
        for name in ("s3_endpoint_url", "s3_public_endpoint_url", "shopify_app_url"):
            url = getattr(self, name)
            if url and urlsplit(url).scheme not in {"http", "https"}:
                raise ConfigurationError(f"{name.upper()} must be an http(s) URL, not {url!r}.")

    def require_an_end_of_the_previous_secret(self) -> None:
        """Refuse an old secret that opens the doors until somebody thinks of it."""
        if self.shopify_api_secret_previous and not self.shopify_api_secret_previous_not_after:
            raise ConfigurationError(
                "Set SHOPIFY_API_SECRET_PREVIOUS_NOT_AFTER to when the previous secret ends, "
                "such as 2026-12-24T18:00:00Z; a day from now is usual."
            )

    def require_real_secrets(self) -> None:
        """Refuse to serve strangers on a secret that everybody knows."""
        for name in ("shopify_api_secret", "shopify_api_secret_previous"):
            secret = getattr(self, name)
            if secret.startswith(DEMO_SECRET_PREFIX) or secret.lower() in PLACEHOLDER_SECRETS:
                raise ConfigurationError(
                    f"{name.upper()} is a demo value. Set it to the client secret of your app "
                    "(Shopify Dev Dashboard → your app → Settings), or run `atelier dev`."
                )


def required(name: str, environ: Mapping[str, str] = os.environ) -> str:
    """One variable, for a command that needs no more. Raises `ConfigurationError`."""
    value = environ.get(name, "").strip()
    if not value:
        raise ConfigurationError(f"Set {name} in the environment.")
    return value
