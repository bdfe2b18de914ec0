"""The settings of a local stack, and the environment in which its processes find them."""

import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import msgspec

from backend.dev.providers import StandInProvider
from backend.dev.services import LocalServices
from backend.dev.shopify.embedded_admin import APP_HANDLE
from backend.settings import DEMO_SECRET_PREFIX, MODEL_PATH, Settings
from backend.shops.token_encryption import generate_key

BUCKET = "atelier"
# The provider of each stage in this stack, unless the environment has ENGINES.
STAND_IN_ENGINES = (
    "dress=fashn,extract=fashn,swap_model=fashn,generate_model=fashn,change_background=fashn,"
    "try_on=fal,look=fal,generate_background=fal,generate_garment=fal"
)


def local_settings(
    services: LocalServices, base_url: str, environ: Mapping[str, str], provider: StandInProvider
) -> Settings:
    """The settings of the local processes: Shopify's from the environment, or invented.

    What merchants are charged is from the environment, too, and with ENGINES the hosted providers.
    """
    hosted: dict[str, Any] = {"engines": STAND_IN_ENGINES, "public_url": base_url}
    if environ.get("ENGINES"):
        hosted = {"engines": environ["ENGINES"]}  # their settings are inherited
    else:
        hosted |= provider.settings
    secret = environ.get("SHOPIFY_API_SECRET") or DEMO_SECRET_PREFIX + secrets.token_hex(16)
    return Settings(
        database_url=services.postgres.url("postgres"),
        s3_endpoint_url=services.s3.endpoint_url,
        s3_bucket=BUCKET,
        shopify_api_key=environ.get("SHOPIFY_API_KEY") or secrets.token_hex(16),
        shopify_api_secret=secret,
        token_keys=environ.get("TOKEN_KEYS") or generate_key(),
        segment_model_path=Path(environ.get("SEGMENT_MODEL_PATH") or MODEL_PATH),
        billing=cast("Any", environ.get("BILLING") or "none"),  # the processes check it
        plans_file=environ.get("PLANS_FILE", ""),
        **hosted,
        **invented_partner(environ),
    )


def invented_partner(environ: Mapping[str, str]) -> dict[str, Any]:
    """The settings of App Pricing, where the stand-in is the partner's organization too."""
    if environ.get("BILLING") != "app_pricing":
        return {}
    return {
        "shopify_app_handle": APP_HANDLE,
        "partner_organization_id": "1000001",
        "partner_app_id": "70000001",
        "partner_api_token": secrets.token_hex(16),
    }


def process_environment(
    settings: Settings, services: LocalServices, environ: Mapping[str, str]
) -> dict[str, str]:
    """What a child process finds in its environment: ours, with the local settings on top."""
    ours = {
        name.upper(): str(value)
        for name, value in msgspec.structs.asdict(settings).items()
        if value
    }
    aws = {
        "AWS_ACCESS_KEY_ID": services.s3.access_key,
        "AWS_SECRET_ACCESS_KEY": services.s3.secret_key,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    inherited = {name: value for name, value in environ.items() if not name.startswith("AWS_")}
    return {**inherited, **ours, **aws}
