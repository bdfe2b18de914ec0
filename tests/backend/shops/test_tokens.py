"""A shop's token pair: renewed in time, once for everybody, and never lost on the way."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from structlog.testing import capture_logs

from backend import db
from backend.db import Database
from backend.dev.shopify.state import Answer, Fault
from backend.dev.transport import LoopbackShopify
from backend.errors import ConfigurationError, ShopifyUnavailable
from backend.shops import admin_api, tokens
from backend.shops.admin_api import AdminApi, TokenRefused
from backend.shops.answers import OfflineToken
from backend.shops.sealing import UnknownKey, new_key
from backend.shops.service import known_shop, uninstall
from backend.shops.tokens import (
    InstalledShop,
    NeedsReauth,
    asked,
    installed_row,
    installed_shop,
    park,
    sole_fetch,
)
from backend.tenancy import WORKER
from tests.conftest import SECRET
from tests.doors import called, end_token, lock_out, new_shop
from tests.world import World


async def opened(house: World, shop: str) -> InstalledShop | None:
    """The shop as a handler gets it."""
    return await installed_shop(house.database, house.desk.admin, shop)


async def assert_opens(house: World, shop: str) -> None:
    """What a handler gets can be used, if need be after a renewal."""
    found = await opened(house, shop)
    assert found is not None
    admin = house.desk.admin
    await asked(
        house.database, admin, found, lambda it: admin.installation(it.domain, it.access_token)
    )


async def row(house: World, shop: str) -> dict[str, Any]:
    """The shop's own row."""
    return (await house.rows("SELECT * FROM shops WHERE domain = :d", d=shop))[0]


async def store_plain(house: World, shop: str) -> None:
    """Put the shop's tokens back as they were before sealing existed."""
    keys, stored = house.desk.admin.token_keys, await row(house, shop)
    plain = {
        name: keys.open(stored[name], shop=shop, column=name)
        for name in ("access_token", "refresh_token")
    }
    await house.execute(
        "UPDATE shops SET access_token = :a, refresh_token = :r WHERE domain = :d",
        a=plain["access_token"],
        r=plain["refresh_token"],
        d=shop,
    )


@pytest.mark.parametrize(("left", "renewals"), [(6, 0), (4, 1), (-60, 1)])
async def test_a_token_is_renewed_in_its_last_five_minutes(
    house: World, shop: str, left: int, renewals: int
) -> None:
    before = house.shopify.calls["refresh"]
    await end_token(house, shop, timedelta(minutes=left))
    assert await opened(house, shop) is not None
    assert await opened(house, shop) is not None
    assert house.shopify.calls["refresh"] == before + renewals


async def test_a_lasting_token_of_the_old_kind_is_never_renewed(house: World, shop: str) -> None:
    await house.execute(
        "UPDATE shops SET access_token_expires_at = NULL, refresh_token = NULL WHERE domain = :d",
        d=shop,
    )
    before = house.shopify.calls["refresh"]
    assert await opened(house, shop) is not None
    assert house.shopify.calls["refresh"] == before


async def test_twenty_who_need_it_at_once_get_one_and_the_same_new_token(
    house: World, shop: str
) -> None:
    before = house.shopify.calls["refresh"]
    await end_token(house, shop)
    shops = await asyncio.gather(*(opened(house, shop) for _ in range(20)))
    assert len({each.access_token for each in shops if each}) == 1
    assert house.shopify.calls["refresh"] == before + 1


async def test_a_renewal_whose_answer_was_lost_is_asked_for_again(house: World, shop: str) -> None:
    await end_token(house, shop)
    house.shopify.lose_next_answer("refresh")
    with pytest.raises(ShopifyUnavailable):
        await opened(house, shop)
    found = await opened(house, shop)
    assert found is not None
    await house.desk.admin.installation(shop, found.access_token)


async def test_a_refresh_token_that_has_died_parks_the_shop_and_shopify_is_asked_no_more(
    house: World, shop: str
) -> None:
    await lock_out(house, shop)
    before = await row(house, shop)
    with pytest.raises(NeedsReauth):
        await opened(house, shop)
    after = await row(house, shop)
    assert after.pop("reauth_needed_at") is not None
    assert {**after, "reauth_needed_at": None} == before
    calls = house.shopify.calls.copy()
    with pytest.raises(NeedsReauth):
        await opened(house, shop)
    assert house.shopify.calls == calls


async def test_a_parked_shop_that_opens_the_app_can_be_worked_for(house: World, shop: str) -> None:
    await lock_out(house, shop)
    with pytest.raises(NeedsReauth):
        await opened(house, shop)
    await house.install(shop)
    assert (await row(house, shop))["reauth_needed_at"] is None
    assert await opened(house, shop) is not None


async def test_whoever_sees_the_refusal_late_does_not_park_a_shop_that_is_open_again(
    house: World, shop: str
) -> None:
    """The refusal was of the tokens of before."""
    async with house.database.reading() as connection:
        stale = await installed_row(connection, shop)
    assert stale is not None
    await house.install(shop)
    async with house.database.transaction() as connection:
        await park(connection, stale, TokenRefused("late"))
    assert await opened(house, shop) is not None


@pytest.mark.parametrize("status", [402, 403, 423, 429, 500, 503])
async def test_trouble_that_passes_parks_nobody(house: World, shop: str, status: int) -> None:
    await end_token(house, shop)
    house.shopify.fail_next("refresh", status)
    with pytest.raises(ShopifyUnavailable):
        await opened(house, shop)
    assert await opened(house, shop) is not None


async def test_a_renewal_that_takes_too_long_is_given_up_and_asked_for_again(
    house: World, shop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await end_token(house, shop)
    before = house.shopify.calls["refresh"]
    house.shopify.platform.latency = 0.4
    with monkeypatch.context() as impatient, pytest.raises(ShopifyUnavailable):
        impatient.setattr(tokens, "CALL_DEADLINE", 0.1)
        await opened(house, shop)
    house.shopify.platform.latency = 0.0
    await called(house, "refresh", before + 1)
    await asyncio.sleep(0.5)  # by now Shopify has renewed them, and nobody has heard of it
    await assert_opens(house, shop)


async def test_a_renewal_during_an_exchange_waits_for_it_and_is_not_needed(
    house: World, shop: str
) -> None:
    """Each would retire the other's tokens."""
    await end_token(house, shop)
    calls = house.shopify.calls.copy()
    house.shopify.platform.latency = 0.4
    exchange = asyncio.create_task(house.install(shop))
    await called(house, "exchange", calls["exchange"] + 1)
    assert await opened(house, shop) is not None
    house.shopify.platform.latency = 0.0
    await exchange
    assert house.shopify.calls["refresh"] == calls["refresh"]
    await assert_opens(house, shop)


async def test_an_exchange_during_a_renewal_waits_for_it_and_has_the_last_word(
    house: World, shop: str
) -> None:
    await end_token(house, shop)
    before = house.shopify.calls["refresh"]
    house.shopify.platform.latency = 0.4
    renewal = asyncio.create_task(opened(house, shop))
    await called(house, "refresh", before + 1)
    await house.install(shop)
    house.shopify.platform.latency = 0.0
    assert await renewal is not None
    await assert_opens(house, shop)


async def test_a_renewal_gives_no_tokens_to_a_shop_that_leaves_meanwhile(
    house: World, shop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    admin = house.desk.admin
    refresh = admin.refresh

    async def refresh_and_leave(*told: Any) -> OfflineToken:
        pair = await refresh(*told)
        known = await known_shop(house.database, shop)
        assert known is not None
        async with house.database.transaction() as connection:
            assert await uninstall(connection, known) is not None
        return pair

    monkeypatch.setattr(admin, "refresh", refresh_and_leave)
    await end_token(house, shop)
    assert await opened(house, shop) is None
    stored = await row(house, shop)
    assert (stored["access_token"], stored["refresh_token"]) == (None, None)


async def test_a_slow_shopify_does_not_take_all_connections(
    house: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    *shops, bystander = [await new_shop(house) for _ in range(3)]
    for each in shops:
        await end_token(house, each)
    monkeypatch.setattr(db, "POOL_TIMEOUT", 0.3)
    monkeypatch.setattr(admin_api, "FETCHES", 1)
    database = db.Database(house.settings.database_url, pool_size=2)
    admin = AdminApi(house.settings, LoopbackShopify(house.shopify.origin))
    house.shopify.platform.latency = 0.8
    before = house.shopify.calls["refresh"]
    fetching = [asyncio.create_task(installed_shop(database, admin, each)) for each in shops]
    await called(house, "refresh", before + 1)
    await asyncio.sleep(0.2)
    async with database.reading(bystander) as connection:
        assert await installed_row(connection, bystander) is not None
    assert None not in await asyncio.gather(*fetching)
    house.shopify.platform.latency = 0.0
    await admin.close()
    await database.close()


async def test_a_token_without_an_end_is_renewed_once_shopify_refuses_it(
    house: World, shop: str
) -> None:
    """Shopify did not say `expires_in`; its token ends all the same."""
    await house.execute("UPDATE shops SET access_token_expires_at = NULL WHERE domain = :d", d=shop)
    house.shopify.revoke_access_tokens(shop)
    await assert_opens(house, shop)


async def test_an_answer_without_expires_in_is_stored_and_used(house: World, shop: str) -> None:
    pair = {"access_token": "shpat_a", "refresh_token": "shprt_b"}
    await end_token(house, shop)
    house.shopify.platform.faults["refresh"].append(Fault(Answer(200, pair)))
    found = await opened(house, shop)
    assert found is not None
    assert found.access_token == "shpat_a"
    assert (await row(house, shop))["access_token_expires_at"] is None


async def test_a_token_of_the_previous_client_secret_is_renewed_with_it(
    house: World, shop: str
) -> None:
    """The operator has put the new secret in first, and Shopify does not know it yet."""
    settings = msgspec.structs.replace(
        house.settings, shopify_api_secret="brand-new", shopify_api_secret_previous=SECRET
    )
    admin = AdminApi(settings, LoopbackShopify(house.shopify.origin))
    await end_token(house, shop)
    assert await installed_shop(house.database, admin, shop) is not None
    await admin.close()


async def test_a_previous_client_secret_that_has_ended_renews_nothing(
    house: World, shop: str
) -> None:
    settings = msgspec.structs.replace(
        house.settings,
        shopify_api_secret="brand-new",
        shopify_api_secret_previous=SECRET,
        shopify_api_secret_previous_not_after=datetime.now(UTC),
    )
    admin = AdminApi(settings, LoopbackShopify(house.shopify.origin))
    await end_token(house, shop)
    with pytest.raises(ConfigurationError):
        await installed_shop(house.database, admin, shop)
    await admin.close()


async def test_what_a_renewal_says_of_the_scopes_counts(house: World, shop: str) -> None:
    house.shopify.set_scopes(shop, {"read_files"})
    await end_token(house, shop)
    found = await opened(house, shop)
    assert found is not None
    assert found.scopes == (await row(house, shop))["scopes"] == "read_files"


# At rest


async def test_only_sealed_tokens_are_in_the_row(house: World, shop: str) -> None:
    for _ in range(2):
        stored = await row(house, shop)
        for name in ("access_token", "refresh_token"):
            assert stored[name].startswith(house.desk.admin.token_keys.prefix)
        await end_token(house, shop)
        await opened(house, shop)


async def test_plain_tokens_of_before_work_and_are_sealed_at_the_next_renewal(
    house: World, shop: str
) -> None:
    await store_plain(house, shop)
    await assert_opens(house, shop)
    assert (await row(house, shop))["access_token"].startswith("shpat_"), "nobody wrote it"
    await end_token(house, shop)
    await assert_opens(house, shop)
    stored = await row(house, shop)
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
async def test_swapped_tokens_open_nothing_and_the_shop_is_parked(
    house: World, shop: str, what: str
) -> None:
    other = await new_shop(house)
    await house.execute(SWAPS[what], d=shop, o=other)
    calls = house.shopify.calls.copy()
    with capture_logs() as logs, pytest.raises(NeedsReauth):
        await opened(house, shop)
    assert house.shopify.calls == calls, "nothing of it was sent anywhere"
    assert [(line["event"], line["log_level"]) for line in logs] == [("shop_parked", "error")]
    await assert_opens(house, other)
    await house.install(shop)
    await assert_opens(house, shop)


async def test_a_key_that_this_process_lacks_parks_nobody(house: World, shop: str) -> None:
    """It is the operator's mistake, and mended by them."""
    admin = AdminApi(
        msgspec.structs.replace(house.settings, token_keys=new_key()),
        LoopbackShopify(house.shopify.origin),
    )
    with pytest.raises(UnknownKey):
        await installed_shop(house.database, admin, shop)
    await admin.close()
    await assert_opens(house, shop)


async def test_a_shop_that_is_not_here_has_no_token(house: World) -> None:
    assert await opened(house, "stranger.myshopify.com") is None


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
def test_writing_implies_reading_and_nothing_else(granted: str, asked: str, covered: bool) -> None:
    shop = InstalledShop(id=1, domain="a.myshopify.com", scopes=granted, access_token="x")
    assert shop.has_granted(asked) is covered


async def test_who_waits_for_anothers_refresh_waits_longer_than_a_statement_may_take(
    house: World, shop: str
) -> None:
    """A refresh may take 8 s; a statement of the web process 3, or here a fifth of a second."""
    waiters = Database(house.settings.database_url, role=WORKER, statement_timeout=0.2)
    entered = asyncio.Event()

    async def wait() -> None:
        async with sole_fetch(waiters, AdminApi(house.settings, None), shop):
            entered.set()

    async with sole_fetch(house.database, house.desk.admin, shop):
        waiting = asyncio.create_task(wait())
        await asyncio.sleep(1.2)
        assert not waiting.done() and not entered.is_set()
    await waiting
    assert entered.is_set()
    await waiters.close()


async def test_who_waits_for_anothers_refresh_does_not_wait_for_ever(
    house: World, shop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokens, "TURN_DEADLINE", 0.3)
    another = AdminApi(house.settings, None)
    async with sole_fetch(house.database, house.desk.admin, shop):
        with pytest.raises(ShopifyUnavailable):
            async with sole_fetch(house.database, another, shop):
                pass
    async with sole_fetch(house.database, another, shop):
        pass
