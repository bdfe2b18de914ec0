"""Launches of the page, as Shopify's admin does them."""

from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from backend.settings import Settings
from tests.backend.auth.signing import (
    API_KEY,
    NOW,
    PREVIOUS_SECRET,
    SECRET,
    SHOP,
    claims,
    session_token,
)


def page_settings(**changes: Any) -> Settings:
    """Settings in the middle of a rotation of the client secret."""
    defaults: dict[str, Any] = {
        "database_url": "postgresql://unused",
        "s3_bucket": "pictures",
        "s3_public_endpoint_url": "https://files.example.net:9000/s3",
        "shopify_api_key": API_KEY,
        "shopify_api_secret": SECRET.decode(),
        "shopify_api_secret_previous": PREVIOUS_SECRET.decode(),
        "shopify_api_secret_previous_not_after": datetime.fromtimestamp(NOW + 30, UTC),
    }
    return Settings(**{**defaults, **changes})


def id_token(secret: bytes = SECRET, **changes: Any) -> str:
    """The launch's token; `changes` replace its claims."""
    return session_token(claims(**changes), secret)


def launch(*tokens: str, path: str = "/") -> str:
    """The address that the admin opens in its frame."""
    known = [("embedded", "1"), ("hmac", "0" * 64), ("locale", "de"), ("shop", SHOP)]
    return f"{path}?{urlencode([*known, *(('id_token', token) for token in tokens)])}"
