"""A verified session token is remembered until it expires."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
import time_machine

from backend.auth import guards
from backend.auth.guards import MerchantGuard
from backend.auth.session_token import verify_session_token
from backend.dev import signing
from backend.errors import InvalidSessionToken
from backend.settings import Settings

SECRET = "a-client-secret-that-is-nobodys-own"
SETTINGS = Settings(
    database_url="postgresql://nobody/none",
    s3_bucket="none",
    shopify_api_key="key",
    shopify_api_secret=SECRET,
)
NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)


def header(shop: str = "north.myshopify.com", secret: str = SECRET) -> list[bytes]:
    """What App Bridge sends just now."""
    token = signing.session_token(shop, api_key="key", secret=secret)
    return [f"Bearer {token}".encode()]


@pytest.fixture
def verified_tokens(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The tokens that have been verified, in order."""
    seen: list[str] = []
    verify = verify_session_token

    def spy(token: str, **how: Any) -> Any:
        seen.append(token)
        return verify(token, **how)

    monkeypatch.setattr(guards, "verify_session_token", spy)
    return seen


def test_a_token_is_verified_once_and_then_remembered(
    verified_tokens: list[str],
) -> None:
    guard = MerchantGuard(SETTINGS)
    north, south = header(), header("south.myshopify.com")
    shops = [guard.by_token(each).shop for each in (north, south, north, south)]
    assert shops == ["north.myshopify.com", "south.myshopify.com"] * 2
    assert len(verified_tokens) == 2


def test_a_token_is_remembered_once_however_many_blanks_precede_it() -> None:
    guard = MerchantGuard(SETTINGS)
    token = header()[0].removeprefix(b"Bearer ")
    for blanks in (1, 2, 100):
        assert guard.by_token([b"Bearer" + b" " * blanks + token]).shop == "north.myshopify.com"
    assert list(guard.token_cache.entries) == [b"Bearer " + token]


def test_a_remembered_token_expires_on_time() -> None:
    guard = MerchantGuard(SETTINGS)
    with time_machine.travel(NOON, tick=False) as now:
        old = header()
        guard.by_token(old)
        now.shift(59)
        guard.by_token(old)
        now.shift(12)  # ten seconds of leeway, and one more
        with pytest.raises(InvalidSessionToken):
            guard.by_token(old)


def test_a_remembered_token_ends_with_its_secret() -> None:
    with time_machine.travel(NOON, tick=False) as now:
        settings = msgspec.structs.replace(
            SETTINGS,
            shopify_api_secret_previous="older",
            shopify_api_secret_previous_not_after=NOON + timedelta(seconds=30),
        )
        guard = MerchantGuard(settings)
        old, new = header(secret="older"), header()
        now.shift(29.9)
        guard.by_token(old)
        guard.by_token(new)
        now.shift(0.1)
        guard.by_token(new)
        with pytest.raises(InvalidSessionToken):
            guard.by_token(old)


def test_refused_tokens_are_verified_each_time(verified_tokens: list[str]) -> None:
    guard = MerchantGuard(SETTINGS)
    forged = header(secret="another")
    for _ in range(2):
        with pytest.raises(InvalidSessionToken):
            guard.by_token(forged)
    assert len(verified_tokens) == 2
