"""Settings, read once from the environment and passed down; never read anywhere else.

AWS credentials and region are not here: boto3 reads `AWS_*` itself.
"""

import math
import os
import re
import sys
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal, get_args, get_type_hints
from urllib.parse import parse_qsl, urlsplit

import msgspec

from backend.errors import ConfigurationError
from backend.providers_config import ProvidersConfig, stage_pairs

# `atelier dev` and `atelier demo` invent secrets with this prefix. The rest are values that
# examples and tutorials use; a server must not start with one of them.
DEMO_SECRET_PREFIX = "atelier-demo-"
PLACEHOLDER_SECRETS = frozenset({"secret", "hush", "changeme", "change-me", "test", "demo"})
SHORTEST_SECRET = 16  # characters, half of Shopify's; whoever guesses it is in every shop

# Where `make` and the README's commands put the weights.
MODEL_FILE = Path(".models/rembg/u2netp.onnx")


def default_model_path() -> Path:
    """The weights in the current folder, beside the virtual environment, or in the clone."""
    places = (Path(), Path(sys.prefix).parent, Path(__file__).parents[1])
    return next((p / MODEL_FILE for p in places if (p / MODEL_FILE).exists()), MODEL_FILE)


MODEL_PATH = default_model_path()

Days = Annotated[int, msgspec.Meta(ge=0, le=36_500)]
# Requests per time, such as 600/minute or 20 per 5 seconds: `auth.rate_limits` takes it apart.
RATE = r"(?i)^ *([1-9]\d*) *(?:/|per) *([1-9]\d*)? *(second|minute|hour|day)s? *$"
Rate = Annotated[str, msgspec.Meta(pattern=RATE)]
# The parameters of DATABASE_URL that name a file.
TLS_FILES = frozenset({"sslrootcert", "sslcert", "sslkey", "sslcrl"})
PRICE = re.compile("[0-9]{1,4}")  # `jobs.credits_cost` is a smallint
Amount = Annotated[int, msgspec.Meta(ge=0, le=1_000_000_000)]


class Quotas(msgspec.Struct, frozen=True, kw_only=True):
    """How much of each a shop may have at once; 0 is as much as it likes.

    If `prepaid`, its jobs are paid with its credits too. `prices` are those, in credits, that the
    operator has set; other workflows have the price of the registry.
    """

    open_jobs: int = 20_000
    open_batches: int = 20
    stored_mb: int = 100_000
    prepaid: bool = False
    prices: Mapping[str, int] = {}

    @property
    def jobs_of_batches(self) -> float:
        """Up to how many open jobs batches make more: the last tenth is for whoever asks now."""
        return (self.open_jobs or math.inf) * 0.9

    def has_room_for(self, open_jobs: int) -> bool:
        """Whether a shop may have so many open jobs."""
        return open_jobs <= (self.open_jobs or math.inf)

    def has_room_for_batches(self, open_batches: int) -> bool:
        """Whether a shop may have so many open batches."""
        return open_batches <= (self.open_batches or math.inf)

    def has_room_left(self, stored_bytes: int) -> bool:
        """Whether a shop with so many bytes in the bucket may have more."""
        return stored_bytes < (self.stored_mb * 1_000_000 or math.inf)


UNLIMITED = Quotas(open_jobs=0, open_batches=0, stored_mb=0)


class Settings(ProvidersConfig, frozen=True, kw_only=True):
    """What a process needs to know about its surroundings."""

    database_url: str
    s3_bucket: str
    s3_endpoint_url: str | None = None  # None: AWS itself
    s3_public_endpoint_url: str | None = None  # the host in presigned URLs, where it differs
    shopify_api_key: str
    shopify_api_secret: str
    shopify_api_secret_previous: str = ""
    shopify_api_secret_previous_not_after: Annotated[datetime, msgspec.Meta(tz=True)] | None = None
    token_keys: str = ""  # see `backend.shops.token_encryption`; no server starts without
    segment_model_path: Path = MODEL_PATH
    rate_limit_reads: Rate = "30000/minute"  # for each shop, guard and web process
    rate_limit_writes: Rate = "1200/minute"
    rate_limit_misses: Rate = "60/minute"  # 404s on ids, for each shop and web process
    storefront_daily_cap: Amount = 200  # jobs that a shop's visitors may start in a day (UTC)
    engines: str = ""  # stage=engine, with commas between; `local` runs all other stages
    disabled_workflows: str = ""  # names as in POST /v1/<name>, with commas between
    credits_by_workflow: str = ""  # name=credits, with commas between; others as in the registry
    storefront_visitor_daily_cap: Amount = 10  # of them, jobs that one visitor may start
    quota_open_jobs: Amount = 20_000  # unfinished jobs of a shop; 0 is no quota
    quota_open_batches: Amount = 20  # batches of a shop that are still creating jobs; 0: no quota
    quota_stored_mb: Amount = 100_000  # megabytes of a shop's objects in the bucket; 0 is no quota
    billing: Literal["none", "manual", "app_pricing"] = "none"  # who charges for a shop's jobs
    rollover_days: Days = 0  # how long a plan's credits can be spent after their period
    plans_file: str = ""  # what merchants can buy: see `billing.plans`
    billing_test_charges: bool = False  # charges are test charges, and grant credits all the same
    shopify_app_handle: str = ""  # the app's name in Shopify's URLs, for its pricing page
    partner_organization_id: str = ""  # the Partner API: see `shops.partner_api`
    partner_app_id: str = ""
    partner_api_token: str = ""
    webhook_endpoint_ports: str = "443"  # that endpoints may have, with commas between
    s3_connections: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 10  # of each process, at once
    body_budget_mb: Annotated[int, msgspec.Meta(ge=80)] = 128  # bodies under way, each web process
    metrics_listen: str = ""  # host:port for Prometheus; empty: no metrics are served
    retention_intermediates_days: Days = 30  # after a job's end; also for uploads. 0: for ever
    retention_jobs_days: Days = 0  # after a job's end, unless it is published. 0: for ever

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
        except msgspec.ValidationError as error:
            raise setting_error(error) from None
        settings.require_safe_urls()
        settings.require_safe_addresses()
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
    def quotas(self) -> Quotas:
        """What a shop may have at once."""
        return Quotas(
            open_jobs=self.quota_open_jobs,
            open_batches=self.quota_open_batches,
            stored_mb=self.quota_stored_mb,
            prepaid=self.billing != "none",
            prices=self.chosen_prices,
        )

    @property
    def disabled(self) -> frozenset[str]:
        """The names of the workflows that are switched off."""
        return frozenset(
            name.strip() for name in self.disabled_workflows.split(",") if name.strip()
        )

    @property
    def chosen_prices(self) -> dict[str, int]:
        """The price, in credits, of each workflow that has one of its own. See `jobs.prices`.

        Raises `ConfigurationError`.
        """
        pairs = [pair.partition("=") for pair in self.credits_by_workflow.split(",")]
        named = [(name.strip(), price.strip()) for name, _, price in pairs if name.strip() or price]
        prices = {name: int(price) for name, price in named if PRICE.fullmatch(price)}
        if len(prices) < len(named):
            raise ConfigurationError(
                f"CREDITS_BY_WORKFLOW is {self.credits_by_workflow!r}; name each workflow once, "
                "with 0 to 9999 credits, such as try-on=12,extract=2."
            )
        return prices

    @property
    def endpoint_ports(self) -> frozenset[int]:
        """The ports that webhook endpoints may have. Raises `ConfigurationError`."""
        words = [word.strip() for word in self.webhook_endpoint_ports.split(",") if word.strip()]
        ports = frozenset(int(word) for word in words if word.isdecimal())
        if not words or len(ports) != len(words) or not all(0 < port < 65536 for port in ports):
            raise ConfigurationError(
                f"WEBHOOK_ENDPOINT_PORTS is {self.webhook_endpoint_ports!r}; list ports such as "
                "443,8443."
            )
        return ports

    @property
    def chosen_engines(self) -> dict[str, str]:
        """The name of the engine for each stage that has one of its own. See `providers.engines`.

        Raises `ConfigurationError`.
        """
        return stage_pairs("ENGINES", self.engines, "dress=local")

    def require_safe_urls(self) -> None:
        """Refuse URLs that would fail later and further away from their cause."""
        require_database_url(self.database_url)
        for name in ("s3_endpoint_url", "s3_public_endpoint_url"):
            url = getattr(self, name)
            if url and not is_http_url(url):
                raise ConfigurationError(
                    f"{name.upper()} must be an http(s) URL with a host, not {url!r}."
                )

    def require_an_end_of_the_previous_secret(self) -> None:
        """Refuse a previous secret that would stay valid without a time limit."""
        if self.shopify_api_secret_previous and not self.shopify_api_secret_previous_not_after:
            raise ConfigurationError(
                "Set SHOPIFY_API_SECRET_PREVIOUS_NOT_AFTER to the previous secret's expiry, "
                "such as 2026-12-24T18:00:00Z; one day from now is usual."
            )

    def require_real_secrets(self) -> None:
        """Refuse to serve with a secret that is public knowledge, or that can be guessed."""
        for name in ("shopify_api_secret", "shopify_api_secret_previous"):
            secret = getattr(self, name)
            if secret.startswith(DEMO_SECRET_PREFIX) or secret.lower() in PLACEHOLDER_SECRETS:
                raise ConfigurationError(
                    f"{name.upper()} is a demo value. Set it to your app's client secret "
                    "(Shopify Dev Dashboard → your app → Settings), or run `atelier dev`."
                )
            if 0 < len(secret) < SHORTEST_SECRET:
                raise ConfigurationError(
                    f"{name.upper()} is too short: it must have at least {SHORTEST_SECRET} "
                    "characters. Copy the whole client secret."
                )


def required_variable(name: str, environ: Mapping[str, str] = os.environ) -> str:
    """One variable, for a command that needs no more. Raises `ConfigurationError`."""
    value = environ.get(name, "").strip()
    if not value:
        raise ConfigurationError(f"Set {name} in the environment.")
    return value


def required_database_url(environ: Mapping[str, str] = os.environ) -> str:
    """`DATABASE_URL`, for a command that needs no more. Raises `ConfigurationError`."""
    url = required_variable("DATABASE_URL", environ)
    require_database_url(url)
    return url


def require_database_url(url: str) -> None:
    """Raise `ConfigurationError` unless it is a URL of Postgres, whose TLS files can be read."""
    if not url.startswith(("postgresql://", "postgres://")):
        raise ConfigurationError("DATABASE_URL must start with postgresql://")
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:  # such as a password with / or #, which ends the host early
        raise ConfigurationError(
            "DATABASE_URL is not a valid URL. It reads postgresql://user:password@host:5432/name; "
            "write special characters of the password as %XX, such as %2F for a slash."
        ) from None
    require_database_parameters(parts.query)


def require_database_parameters(query: str) -> None:
    """Raise `ConfigurationError` for a parameter without a value, or a TLS file that is not there.

    An empty `sslmode` would be the default, which does not insist on TLS. The message does not name
    the parameter: what follows a `?` can be the end of a password.
    """
    given = [part.partition("=") for part in query.split("&")] if query else []
    if not all(name and value for name, _, value in given):
        raise ConfigurationError(
            "DATABASE_URL has a parameter without a value. Its end reads ?name=value&name=value, "
            "such as ?sslmode=require; write a ? of the password as %3F."
        )
    for name, path in parse_qsl(query):
        # In this order: `is_file` raises an error for a folder that only others may enter.
        if name in TLS_FILES and not (os.access(path, os.R_OK) and Path(path).is_file()):
            raise ConfigurationError(
                f"DATABASE_URL names a file that cannot be read: {name}={path}."
            )


def is_http_url(url: str) -> bool:
    """Whether it is an absolute http or https URL."""
    try:
        parts = urlsplit(url)
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:  # such as a port that is no number
        return False


def setting_error(error: msgspec.ValidationError) -> ConfigurationError:
    """The variable and what it must be; never its value, which may be a secret."""
    expected, _, field = str(error).partition(" - at `$.")
    expected = re.sub(r"^Expected `int`(, got `\w+`)?", "it must be a whole number", expected)
    expected = re.sub(
        "^Invalid RFC3339 .*|^Expected `datetime`.*",
        "it must be a time with a time zone, such as 2026-12-24T18:00:00Z",
        expected,
    )
    if expected.startswith("Invalid enum value"):
        choices = get_args(get_type_hints(Settings)[field.rstrip("`")])
        expected = f"it must be one of {', '.join(choices)}"
    expected = re.sub("^Expected .* regex .*", "it must be a rate such as 600/minute", expected)
    return ConfigurationError(f"{field.rstrip('`').upper()} is invalid: {expected}.")
