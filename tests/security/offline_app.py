"""The whole ASGI application without a database or storage behind it."""

import functools
from typing import Any

import pytest

from backend.app import create_app
from backend.settings import Settings
from backend.shops.token_encryption import generate_key
from tests.backend.auth import signing

SETTINGS = Settings(
    database_url="postgresql://127.0.0.1:1/none",
    s3_bucket="none",
    shopify_api_key=signing.API_KEY,
    shopify_api_secret=signing.SECRET.decode(),
    token_keys=generate_key(),
)


@functools.cache
def offline_app() -> Any:
    """The whole app; requests get no further than authentication."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("AWS_ACCESS_KEY_ID", "none")
        environment.setenv("AWS_SECRET_ACCESS_KEY", "none")
        return create_app(SETTINGS)
