"""A shop's token pair: renewed in time, once for everybody, and never lost on the way."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from structlog.testing import capture_logs

from backend import db
from backend.db import Database
from backend.dev.shopify.state import Fault, HttpResponse
from backend.dev.transport import LoopbackShopify
from backend.errors import ConfigurationError, ShopifyUnavailable
from backend.shops import admin_api, tokens
from backend.shops.admin_api import AdminApi, TokenRefused
from backend.shops.service import known_shop, uninstall
from backend.shops.shopify_responses import OfflineToken
from backend.shops.token_encryption import UnknownKey, generate_key
from backend.shops.tokens import (
    InstalledShop,
    NeedsReauth,
    installed_row,
    installed_shop,
    park,
    refresh_lock,
    with_fresh_token,
)
from backend.tenancy import WORKER
from tests.conftest import SECRET
from tests.running_app import RunningApp
from tests.scenarios import expire_token, lock_out, new_shop, wait_for_call
from tests.wait import wait_until


async def get_installed_shop(shared_app: RunningApp, shop: str) -> InstalledShop | None:
    """The shop as a handler gets it."""
    return await installed_shop(shared_app.database, shared_app.handler_context.admin, shop)


async def assert_token_works(shared_app: RunningApp, shop: str) -> None:
    """What a handler gets can be used, if need be after a renewal."""
    found = await get_installed_shop(shared_app, shop)
    assert found is not None
    admin = shared_app.handler_context.admin
    await with_fresh_token(
        shared_app.database, admin, found, lambda it: admin.installation(it.domain, it.access_token)
    )


async def shop_row(shared_app: RunningApp, shop: str) -> dict[str, Any]:
    """The shop's own row."""
    return (await shared_app.rows("SELECT * FROM shops WHERE domain = :d", d=shop))[0]


async def store_plain(shared_app: RunningApp, shop: str) -> None:
    """Put the shop's tokens back as they were before sealing existed."""
    keys, stored = shared_app.handler_context.admin.token_keys, await shop_row(shared_app, shop)
    plain = {
        name: keys.decrypt(stored[name], shop=shop, column=name)
        for name in ("access_token", "refresh_token")
    }
    await shared_app.execute(
        "UPDATE shops SET access_token = :a, refresh_token = :r WHERE domain = :d",
        a=plain["access_token"],
        r=plain["refresh_token"],
        d=shop,
    )


@pytest.mark.parametrize(("left", "renewals"), [(6, 0), (4, 1), (-60, 1)])
async def test_a_token_is_refreshed_in_its_last_five_minutes(
    shared_app: RunningApp, shop: str, left: int, renewals: int
) -> None:
    before = shared_app.shopify.calls["refresh"]
    await expire_token(shared_app, shop, timedelta(minutes=left))
    assert await get_installed_shop(shared_app, shop) is not None
    assert await get_installed_shop(shared_app, shop) is not None
    assert shared_app.shopify.calls["refresh"] == before + renewals


async def test_a_non_expiring_token_is_never_refreshed(shared_app: RunningApp, shop: str) -> None:
    await shared_app.execute(
        "UPDATE shops SET access_token_expires_at = NULL, refresh_token = NULL WHERE domain = :d",
        d=shop,
    )
    before = shared_app.shopify.calls["refresh"]
    assert await get_installed_shop(shared_app, shop) is not None
    assert shared_app.shopify.calls["refresh"] == before


async def test_twenty_concurrent_users_share_one_refreshed_token(
    shared_app: RunningApp, shop: str
) -> None:
    before = shared_app.shopify.calls["refresh"]
    await expire_token(shared_app, shop)
    shops = await asyncio.gather(*(get_installed_shop(shared_app, shop) for _ in range(20)))
    assert len({each.access_token for each in shops if each}) == 1
    assert shared_app.shopify.calls["refresh"] == before + 1


async def test_a_refresh_with_a_lost_response_is_repeated(
    shared_app: RunningApp, shop: str
) -> None:
    await expire_token(shared_app, shop)
    shared_app.shopify.lose_next_answer("refresh")
    with pytest.raises(ShopifyUnavailable):
        await get_installed_shop(shared_app, shop)
    found = await get_installed_shop(shared_app, shop)
    assert found is not None
    await shared_app.handler_context.admin.installation(shop, found.access_token)


async def test_a_dead_refresh_token_parks_the_shop_without_further_calls(
    shared_app: RunningApp, shop: str
) -> None:
    await lock_out(shared_app, shop)
    before = await shop_row(shared_app, shop)
    with pytest.raises(NeedsReauth):
        await get_installed_shop(shared_app, shop)
    after = await shop_row(shared_app, shop)
    assert after.pop("reauth_needed_at") is not None
    assert {**after, "reauth_needed_at": None} == before
    calls = shared_app.shopify.calls.copy()
    with pytest.raises(NeedsReauth):
        await get_installed_shop(shared_app, shop)
    assert shared_app.shopify.calls == calls


async def test_a_parked_shop_works_again_after_opening_the_app(
    shared_app: RunningApp, shop: str
) -> None:
    await lock_out(shared_app, shop)
    with pytest.raises(NeedsReauth):
        await get_installed_shop(shared_app, shop)
    await shared_app.install(shop)
    assert (await shop_row(shared_app, shop))["reauth_needed_at"] is None
    assert await get_installed_shop(shared_app, shop) is not None


async def test_a_late_refusal_does_not_park_a_reopened_shop(
    shared_app: RunningApp, shop: str
) -> None:
    """The refusal was of the tokens of before."""
    async with shared_app.database.reading() as connection:
        stale = await installed_row(connection, shop)
    assert stale is not None
    await shared_app.install(shop)
    async with shared_app.database.transaction() as connection:
        await park(connection, stale, TokenRefused("late"))
    assert await get_installed_shop(shared_app, shop) is not None


@pytest.mark.parametrize("status", [402, 403, 423, 429, 500, 503])
async def test_temporary_errors_do_not_park_the_shop(
    shared_app: RunningApp, shop: str, status: int
) -> None:
    await expire_token(shared_app, shop)
    shared_app.shopify.fail_next("refresh", status)
    with pytest.raises(ShopifyUnavailable):
        await get_installed_shop(shared_app, shop)
    assert await get_installed_shop(shared_app, shop) is not None


async def test_a_refresh_that_takes_too_long_is_abandoned_and_repeated(
    shared_app: RunningApp, shop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await expire_token(shared_app, shop)
    before = shared_app.shopify.calls["refresh"]
    grants = shared_app.shopify.platform.shops[shop].grants
    first_refresh_token = grants.current
    shared_app.shopify.platform.latency = 0.4
    with monkeypatch.context() as impatient, pytest.raises(ShopifyUnavailable):
        impatient.setattr(tokens, "CALL_TIMEOUT", 0.1)
        await get_installed_shop(shared_app, shop)
    shared_app.shopify.platform.latency = 0.0
    await wait_for_call(shared_app, "refresh", before + 1)
    # Shopify has renewed them, and nobody has heard of it.
    await wait_until(lambda: grants.current != first_refresh_token)
    await assert_token_works(shared_app, shop)


async def test_a_refresh_during_an_exchange_waits_and_is_skipped(
    shared_app: RunningApp, shop: str
) -> None:
    """Each would retire the other's tokens."""
    await expire_token(shared_app, shop)
    calls = shared_app.shopify.calls.copy()
    shared_app.shopify.platform.latency = 0.4
    exchange = asyncio.create_task(shared_app.install(shop))
    await wait_for_call(shared_app, "exchange", calls["exchange"] + 1)
    assert await get_installed_shop(shared_app, shop) is not None
    shared_app.shopify.platform.latency = 0.0
    await exchange
    assert shared_app.shopify.calls["refresh"] == calls["refresh"]
    await assert_token_works(shared_app, shop)


async def test_an_exchange_during_a_refresh_waits_and_wins(
    shared_app: RunningApp, shop: str
) -> None:
    await expire_token(shared_app, shop)
    before = shared_app.shopify.calls["refresh"]
    shared_app.shopify.platform.latency = 0.4
    renewal = asyncio.create_task(get_installed_shop(shared_app, shop))
    await wait_for_call(shared_app, "refresh", before + 1)
    await shared_app.install(shop)
    shared_app.shopify.platform.latency = 0.0
    assert await renewal is not None
    await assert_token_works(shared_app, shop)


async def test_a_refresh_stores_no_tokens_for_an_uninstalled_shop(
    shared_app: RunningApp, shop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    admin = shared_app.handler_context.admin
    refresh = admin.refresh

    async def refresh_and_leave(*told: Any) -> OfflineToken:
        pair = await refresh(*told)
        known = await known_shop(shared_app.database, shop)
        assert known is not None
        async with shared_app.database.transaction() as connection:
            assert await uninstall(connection, known) is not None
        return pair

    monkeypatch.setattr(admin, "refresh", refresh_and_leave)
    await expire_token(shared_app, shop)
    assert await get_installed_shop(shared_app, shop) is None
    stored = await shop_row(shared_app, shop)
    assert (stored["access_token"], stored["refresh_token"]) == (None, None)


async def test_a_slow_shopify_does_not_take_every_connection(
    shared_app: RunningApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    *shops, bystander = [await new_shop(shared_app) for _ in range(3)]
    for each in shops:
        await expire_token(shared_app, each)
    monkeypatch.setattr(db, "POOL_TIMEOUT", 0.3)
    monkeypatch.setattr(admin_api, "MAX_TOKEN_CALLS", 1)
    database = db.Database(shared_app.settings.database_url, pool_size=2)
    admin = AdminApi(shared_app.settings, LoopbackShopify(shared_app.shopify.origin))
    shared_app.shopify.platform.latency = 0.8
    before = shared_app.shopify.calls["refresh"]
    fetching = [asyncio.create_task(installed_shop(database, admin, each)) for each in shops]
    await wait_for_call(shared_app, "refresh", before + 1)
    while not all(task.done() for task in fetching):
        async with database.reading(bystander) as connection:
            assert await installed_row(connection, bystander) is not None
        await asyncio.sleep(0.05)
    assert None not in await asyncio.gather(*fetching)
    shared_app.shopify.platform.latency = 0.0
    await admin.close()
    await database.close()


async def test_a_token_without_expiry_is_refreshed_once_refused(
    shared_app: RunningApp, shop: str
) -> None:
    """Shopify did not say `expires_in`; its token ends all the same."""
    await shared_app.execute(
        "UPDATE shops SET access_token_expires_at = NULL WHERE domain = :d", d=shop
    )
    shared_app.shopify.revoke_access_tokens(shop)
    await assert_token_works(shared_app, shop)


async def test_a_response_without_expires_in_is_stored_and_used(
    shared_app: RunningApp, shop: str
) -> None:
    pair = {"access_token": "shpat_a", "refresh_token": "shprt_b"}
    await expire_token(shared_app, shop)
    shared_app.shopify.platform.faults["refresh"].append(Fault(HttpResponse(200, pair)))
    found = await get_installed_shop(shared_app, shop)
    assert found is not None
    assert found.access_token == "shpat_a"
    assert (await shop_row(shared_app, shop))["access_token_expires_at"] is None


@pytest.mark.parametrize("lifetime", [-1, 10**12])
async def test_a_response_with_an_impossible_lifetime_is_an_outage(
    shared_app: RunningApp, shop: str, lifetime: int
) -> None:
    await expire_token(shared_app, shop)
    pair = {"access_token": "shpat_a", "refresh_token": "shprt_b", "expires_in": lifetime}
    shared_app.shopify.platform.faults["refresh"].append(Fault(HttpResponse(200, pair)))
    with pytest.raises(ShopifyUnavailable):
        await get_installed_shop(shared_app, shop)
    await assert_token_works(shared_app, shop)


async def test_a_response_without_a_refresh_token_keeps_the_old_one(
    shared_app: RunningApp, shop: str
) -> None:
    await expire_token(shared_app, shop)
    before = (await shop_row(shared_app, shop))["refresh_token"]
    only = {"access_token": "shpat_a", "expires_in": 3600}
    shared_app.shopify.platform.faults["refresh"].append(Fault(HttpResponse(200, only)))
    await get_installed_shop(shared_app, shop)
    assert (await shop_row(shared_app, shop))["refresh_token"] == before
    await expire_token(shared_app, shop)
    await assert_token_works(shared_app, shop)


async def test_a_token_of_the_previous_client_secret_is_refreshed_with_it(
    shared_app: RunningApp, shop: str
) -> None:
    """The operator has put the new secret in first, and Shopify does not know it yet."""
    settings = msgspec.structs.replace(
        shared_app.settings, shopify_api_secret="brand-new", shopify_api_secret_previous=SECRET
    )
    admin = AdminApi(settings, LoopbackShopify(shared_app.shopify.origin))
    await expire_token(shared_app, shop)
    assert await installed_shop(shared_app.database, admin, shop) is not None
    await admin.close()


async def test_an_expired_previous_client_secret_refreshes_nothing(
    shared_app: RunningApp, shop: str
) -> None:
    settings = msgspec.structs.replace(
        shared_app.settings,
        shopify_api_secret="brand-new",
        shopify_api_secret_previous=SECRET,
        shopify_api_secret_previous_not_after=datetime.now(UTC),
    )
    admin = AdminApi(settings, LoopbackShopify(shared_app.shopify.origin))
    await expire_token(shared_app, shop)
    with pytest.raises(ConfigurationError):
        await installed_shop(shared_app.database, admin, shop)
    await admin.close()


async def test_a_refresh_updates_the_scopes(shared_app: RunningApp, shop: str) -> None:
    shared_app.shopify.set_scopes(shop, {"read_files"})
    await expire_token(shared_app, shop)
    found = await get_installed_shop(shared_app, shop)
    assert found is not None
    assert found.scopes == (await shop_row(shared_app, shop))["scopes"] == "read_files"


# At rest


async def test_only_encrypted_tokens_are_stored(shared_app: RunningApp, shop: str) -> None:
    for _ in range(2):
        stored = await shop_row(shared_app, shop)
        for name in ("access_token", "refresh_token"):
            assert stored[name].startswith(shared_app.handler_context.admin.token_keys.prefix)
        await expire_token(shared_app, shop)
        await get_installed_shop(shared_app, shop)


async def test_plain_tokens_work_and_are_encrypted_at_the_next_refresh(
    shared_app: RunningApp, shop: str
) -> None:
    await store_plain(shared_app, shop)
    await assert_token_works(shared_app, shop)
    assert (await shop_row(shared_app, shop))["access_token"].startswith("shpat_"), (
        "nobody wrote it"
    )
    await expire_token(shared_app, shop)
    await assert_token_works(shared_app, shop)
    stored = await shop_row(shared_app, shop)
    assert stored["access_token"].startswith("v1.")
    assert stored["refresh_token"].startswith("v1.")


SWAPS = {
    "the rows": "UPDATE shops SET access_token = o.access_token FROM shops o "
    "WHERE shops.domain = :d AND o.domain = :o",
    "the columns": "UPDATE shops SET access_token = refresh_token, refresh_token = access_token "
    "WHERE domain = :d AND :o <> ''",
    "the refresh tokens": "UPDATE shops SET refresh_token = o.refresh_token, "
    "access_token_expires_at = now() FROM shops o WHERE shops.domain = :d AND o.domain = :o",
}


@pytest.mark.parametrize("what", SWAPS)
async def test_swapped_tokens_do_not_decrypt_and_park_the_shop(
    shared_app: RunningApp, shop: str, what: str
) -> None:
    other = await new_shop(shared_app)
    await shared_app.execute(SWAPS[what], d=shop, o=other)
    calls = shared_app.shopify.calls.copy()
    with capture_logs() as logs, pytest.raises(NeedsReauth):
        await get_installed_shop(shared_app, shop)
    assert shared_app.shopify.calls == calls, "nothing of it was sent anywhere"
    assert [(line["event"], line["log_level"]) for line in logs] == [("shop_parked", "error")]
    await assert_token_works(shared_app, other)
    await shared_app.install(shop)
    await assert_token_works(shared_app, shop)


async def test_a_missing_token_key_parks_no_shop(shared_app: RunningApp, shop: str) -> None:
    """It is the operator's mistake, and mended by them."""
    admin = AdminApi(
        msgspec.structs.replace(shared_app.settings, token_keys=generate_key()),
        LoopbackShopify(shared_app.shopify.origin),
    )
    with pytest.raises(UnknownKey):
        await installed_shop(shared_app.database, admin, shop)
    await admin.close()
    await assert_token_works(shared_app, shop)


async def test_an_unknown_shop_has_no_token(shared_app: RunningApp) -> None:
    assert await get_installed_shop(shared_app, "stranger.myshopify.com") is None


@pytest.mark.parametrize(
    ("granted", "asked", "covered"),
    [
        ("read_products", "read_products", True),
        ("write_products", "read_products", True),
        ("read_products", "write_products", False),
        ("write_files", "read_products", False),
        ("", "read_products", False),
    ],
)
def test_a_write_scope_implies_only_its_read_scope(granted: str, asked: str, covered: bool) -> None:
    shop = InstalledShop(id=1, domain="a.myshopify.com", scopes=granted, access_token="x")
    assert shop.has_granted(asked) is covered


async def test_waiting_for_a_refresh_outlasts_the_statement_timeout(
    shared_app: RunningApp, shop: str
) -> None:
    """A refresh may take 8 s; a statement of the web process 3, or here a fifth of a second."""
    waiters = Database(shared_app.settings.database_url, role=WORKER, statement_timeout=0.2)
    entered = asyncio.Event()

    async def wait() -> None:
        async with refresh_lock(waiters, AdminApi(shared_app.settings, None), shop):
            entered.set()

    async with refresh_lock(shared_app.database, shared_app.handler_context.admin, shop):
        waiting = asyncio.create_task(wait())
        await asyncio.sleep(1.2)
        assert not waiting.done() and not entered.is_set()
    await waiting
    assert entered.is_set()
    await waiters.close()


async def test_waiting_for_a_refresh_ends_at_a_deadline(
    shared_app: RunningApp, shop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokens, "LOCK_TIMEOUT", 0.3)
    another = AdminApi(shared_app.settings, None)
    async with refresh_lock(shared_app.database, shared_app.handler_context.admin, shop):
        with pytest.raises(ShopifyUnavailable):
            async with refresh_lock(shared_app.database, another, shop):
                pass
    async with refresh_lock(shared_app.database, another, shop):
        pass
