"""The stand-in's token endpoint, over its own HTTP."""

import httpx
import pytest

from backend.dev import signing
from backend.dev.shopify import grants
from tests.backend.dev.calls import (
    API_KEY,
    INSTALLATION,
    NOW,
    OTHER_SHOP,
    SECRET,
    SHOP,
    ask,
    exchange,
    refresh,
)

pytestmark = pytest.mark.slow

DAY = 24 * 3600.0
NEW_YEAR = 1_798_761_600.0  # 2027-01-01T00:00:00Z


async def test_an_id_token_is_exchanged_for_an_expiring_offline_token(shopify, client):
    answer = await exchange(client, SHOP, shopify.id_token(SHOP))
    granted = answer.json()
    assert answer.status_code == 200
    assert granted["access_token"].startswith("shpat_")
    assert granted["refresh_token"].startswith("shprt_")
    assert granted["scope"] == "write_files,write_products"
    assert granted["expires_in"] == 3600
    assert granted["refresh_token_expires_in"] == 7_776_000
    assert shopify.calls["exchange"] == 1


@pytest.mark.parametrize(
    "id_token",
    [
        signing.session_token(SHOP, api_key=API_KEY, secret="other", now=NOW),
        signing.session_token(SHOP, api_key="other", secret=SECRET, now=NOW),
        signing.session_token(OTHER_SHOP, api_key=API_KEY, secret=SECRET, now=NOW),
        signing.session_token(SHOP, api_key=API_KEY, secret=SECRET, now=NOW - 100),
        signing.session_token(SHOP, api_key=API_KEY, secret=SECRET, now=NOW + 100),
        signing.session_token(
            SHOP, api_key=API_KEY, secret=SECRET, now=NOW, iss=f"https://{SHOP}/checkouts"
        ),
        signing.session_token(SHOP, api_key=API_KEY, secret=SECRET, now=NOW, exp=None),
        "garbage",
        "",
        None,
        "ä.ö.ü",
    ],
    ids=[
        "wrong secret",
        "another app's",
        "another shop's",
        "expired",
        "not yet valid",
        "a buyer's",
        "without expiry",
        "garbage",
        "empty",
        "absent",
        "not ASCII",
    ],
)
async def test_an_invalid_id_token_is_refused(client, id_token):
    answer = await exchange(client, SHOP, id_token)
    assert (answer.status_code, answer.json()) == (400, {"error": "invalid_subject_token"})


async def test_a_wrong_client_secret_is_refused(shopify, client):
    answer = await exchange(client, SHOP, shopify.id_token(SHOP), client_secret="guess")
    assert (answer.status_code, answer.json()) == (400, {"error": "invalid_client"})


async def test_a_request_for_a_non_expiring_token_is_refused(shopify, client):
    answer = await exchange(client, SHOP, shopify.id_token(SHOP), expiring=0)
    assert (answer.status_code, answer.json()) == (400, {"error": "invalid_request"})


async def test_an_unknown_shop_is_not_found(client):
    assert (await exchange(client, "nobody.myshopify.com", "x")).status_code == 404


async def test_an_uninstalled_shop_gets_no_token_until_it_reinstalls(shopify, client):
    shopify.uninstall(SHOP)
    assert (await exchange(client, SHOP, shopify.id_token(SHOP))).status_code == 400
    shopify.reinstall(SHOP)
    assert (await exchange(client, SHOP, shopify.id_token(SHOP))).status_code == 200


# Refresh

DEAD = {
    "error": "invalid_request",
    "error_description": "This request requires an active refresh_token",
}


async def test_every_refresh_rotates_the_refresh_token(shopify, client):
    first = (await exchange(client, SHOP, shopify.id_token(SHOP))).json()
    second = (await refresh(client, SHOP, first["refresh_token"])).json()
    third = (await refresh(client, SHOP, second["refresh_token"])).json()
    assert len({each["refresh_token"] for each in (first, second, third)}) == 3
    # The replacement of the first has been used, so the first is dead.
    late = await refresh(client, SHOP, first["refresh_token"])
    assert (late.status_code, late.json()) == (401, DEAD)
    assert shopify.calls["refresh"] == 3
    # A token that is out stays good until it expires.
    assert (await ask(client, SHOP, first["access_token"], INSTALLATION)).status_code == 200


async def test_a_refresh_with_a_lost_response_can_be_repeated(shopify, client):
    first = (await exchange(client, SHOP, shopify.id_token(SHOP))).json()
    shopify.lose_next_answer("refresh")
    lost = await refresh(client, SHOP, first["refresh_token"])
    again = await refresh(client, SHOP, first["refresh_token"])
    assert (lost.status_code, again.status_code) == (502, 200)
    assert (await ask(client, SHOP, again.json()["access_token"], INSTALLATION)).status_code == 200


async def test_a_new_exchange_retires_earlier_refresh_tokens(shopify, client):
    first = (await exchange(client, SHOP, shopify.id_token(SHOP))).json()
    second = (await refresh(client, SHOP, first["refresh_token"])).json()
    await exchange(client, SHOP, shopify.id_token(SHOP))
    for before in (first, second):
        assert (await refresh(client, SHOP, before["refresh_token"])).status_code == 401


async def test_a_refresh_token_works_for_its_own_shop_for_90_days(shopify, client, clock):
    granted = (await exchange(client, SHOP, shopify.id_token(SHOP))).json()
    assert (await refresh(client, OTHER_SHOP, granted["refresh_token"])).status_code == 401
    clock.now += 90 * 24 * 3600
    assert (await refresh(client, SHOP, granted["refresh_token"])).status_code == 401


async def test_a_used_refresh_token_can_be_repeated_for_30_days(shopify, client, clock):
    first = (await exchange(client, SHOP, shopify.id_token(SHOP))).json()
    await refresh(client, SHOP, first["refresh_token"])
    clock.now += 30 * DAY - 1
    assert (await refresh(client, SHOP, first["refresh_token"])).status_code == 200
    clock.now += 1  # a second try does not begin the 30 days anew
    assert (await refresh(client, SHOP, first["refresh_token"])).status_code == 401


async def test_repeating_a_refresh_does_not_extend_its_90_days(shopify, client, clock):
    first = (await exchange(client, SHOP, shopify.id_token(SHOP))).json()
    clock.now += 89 * DAY
    await refresh(client, SHOP, first["refresh_token"])
    clock.now += DAY
    assert (await refresh(client, SHOP, first["refresh_token"])).status_code == 401


async def test_a_retired_refresh_token_does_not_affect_a_later_exchange(shopify, client):
    first = (await exchange(client, SHOP, shopify.id_token(SHOP))).json()
    second = (await exchange(client, SHOP, shopify.id_token(SHOP))).json()
    assert (await refresh(client, SHOP, first["refresh_token"])).status_code == 401
    assert (await refresh(client, SHOP, second["refresh_token"])).status_code == 200


# Tokens of the old kind


async def test_an_app_from_before_april_2026_gets_a_non_expiring_token(
    shopify, client, monkeypatch
):
    monkeypatch.setattr(shopify.platform, "app_kind", "old")
    granted = (await exchange(client, SHOP, shopify.id_token(SHOP), expiring=0)).json()
    assert sorted(granted) == ["access_token", "scope"]
    assert (await ask(client, SHOP, granted["access_token"], INSTALLATION)).status_code == 200


@pytest.mark.parametrize(
    ("kind", "now", "status"),
    [
        ("new", NOW, 403),
        ("old", NEW_YEAR - 1, 200),
        ("old", NEW_YEAR, 403),
        ("custom", NEW_YEAR, 200),
    ],
)
async def test_from_2027_a_public_app_cannot_use_non_expiring_tokens(
    shopify, client, clock, monkeypatch, kind, now, status
):
    monkeypatch.setattr(shopify.platform, "app_kind", kind)
    clock.now = now
    token = shopify.grant_lasting_token(SHOP)
    answer = await ask(client, SHOP, token, INSTALLATION)
    assert answer.status_code == status
    if status == 403:
        assert answer.json()["errors"] == "Non-expiring access tokens are no longer accepted"


async def migrate(client: httpx.AsyncClient, token: str | None) -> httpx.Response:
    return await exchange(client, SHOP, token, subject_token_type=grants.OFFLINE_TOKEN)


async def test_a_non_expiring_token_is_migrated_and_then_dead(shopify, client, monkeypatch):
    monkeypatch.setattr(shopify.platform, "app_kind", "old")
    lasting = shopify.grant_lasting_token(SHOP)
    pair = (await migrate(client, lasting)).json()
    assert (await ask(client, SHOP, pair["access_token"], INSTALLATION)).status_code == 200
    assert (await ask(client, SHOP, lasting, INSTALLATION)).status_code == 401
    assert (await refresh(client, SHOP, pair["refresh_token"])).status_code == 200


async def test_a_lost_migration_returns_the_same_pair_for_seven_days(shopify, client, clock):
    lasting = shopify.grant_lasting_token(SHOP)
    first = (await migrate(client, lasting)).json()
    clock.now += 7 * DAY - 1
    again = (await migrate(client, lasting)).json()
    assert again == first
    assert (await ask(client, SHOP, first["access_token"], INSTALLATION)).status_code == 200
    clock.now += 1
    assert (await migrate(client, lasting)).json() == {"error": "invalid_subject_token"}


async def test_a_refreshed_pair_cannot_be_migrated_again(shopify, client):
    lasting = shopify.grant_lasting_token(SHOP)
    pair = (await migrate(client, lasting)).json()
    await refresh(client, SHOP, pair["refresh_token"])
    assert (await migrate(client, lasting)).status_code == 400


@pytest.mark.parametrize("token", ["shpat_made_up", "", None])
async def test_a_foreign_token_cannot_be_migrated(shopify, client, token):
    shopify.grant_lasting_token(SHOP)
    assert (await migrate(client, token)).json() == {"error": "invalid_subject_token"}


# Shops that are closed for a while


@pytest.mark.parametrize("status", [402, 403, 423])
async def test_a_frozen_shop_answers_nothing_and_keeps_its_tokens(shopify, client, status):
    granted = (await exchange(client, SHOP, shopify.id_token(SHOP))).json()
    shopify.lock_shop(SHOP, status)
    answers = [
        await ask(client, SHOP, granted["access_token"], INSTALLATION),
        await refresh(client, SHOP, granted["refresh_token"]),
        await exchange(client, SHOP, shopify.id_token(SHOP)),
    ]
    assert [answer.status_code for answer in answers] == [status] * 3
    shopify.unlock_shop(SHOP)
    assert (await refresh(client, SHOP, granted["refresh_token"])).status_code == 200
