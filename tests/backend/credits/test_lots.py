"""Lots: each granted once, burnt in order, closed when they expire or their money goes back."""

import asyncio
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
import structlog

from backend.credits.accounts import balance_of
from backend.credits.lots import void_lot
from backend.credits.trials import claim_trial
from backend.failures.images import IMAGE_CORRUPT
from backend.worker.credits import expire_credits
from tests.backend.credits.ledger import (
    COSTS_5,
    TOO_FEW,
    balance,
    end_job,
    entries,
    grant,
    id_of,
    lots,
    made_job,
    post_job,
)
from tests.running_app import RunningApp
from tests.scenarios import jobs_of, process_webhook, refusal

NOW = datetime.now(UTC)
TOMORROW, NEXT_WEEK = NOW + timedelta(days=1), NOW + timedelta(days=7)


async def test_a_lot_is_granted_once_whoever_tells_of_it(shared_app: RunningApp, shop: str) -> None:
    told = [grant(shared_app, shop, 5, source="pack", ref="gid://1") for _ in range(6)]
    assert sorted(await asyncio.gather(*told)) == [False] * 5 + [True]
    assert await grant(shared_app, shop, 5, source="manual", ref="gid://1")
    assert await balance(shared_app, shop) == (10, 0)
    assert await entries(shared_app, shop) == [("grant", 5, 0)] * 2


async def test_lots_are_burnt_by_source_then_expiry_then_age(
    shared_app: RunningApp, shop: str
) -> None:
    for ref, source, ends in (
        ("f", "manual", None),
        ("e", "pack", None),
        ("d", "pack", NEXT_WEEK),
        ("b", "plan", NEXT_WEEK),
        ("c", "plan", NEXT_WEEK),
        ("a", "trial", NEXT_WEEK),
        ("a2", "plan", TOMORROW),
    ):
        await grant(shared_app, shop, 1, source=source, ref=ref, expires_at=ends)  # type: ignore[arg-type]
    burnt: list[str] = []
    for _ in range(7):
        await made_job(shared_app, shop)
        empty = {lot["ref"] for lot in await lots(shared_app, shop) if not lot["remaining"]}
        burnt.append(*(empty - set(burnt)))
    assert burnt == ["a", "a2", "b", "c", "d", "e", "f"]


async def test_a_price_may_come_from_several_lots(shared_app: RunningApp, shop: str) -> None:
    for _ in range(3):
        await grant(shared_app, shop, 2)
    ref = await made_job(shared_app, shop, COSTS_5)
    assert [lot["remaining"] for lot in await lots(shared_app, shop)] == [0, 0, 1]
    await end_job(shared_app, ref, IMAGE_CORRUPT)
    assert [lot["remaining"] for lot in await lots(shared_app, shop)] == [2, 2, 2]
    assert await balance(shared_app, shop) == (6, 0)


async def test_expired_lots_are_closed(shared_app: RunningApp, shop: str) -> None:
    await grant(shared_app, shop, 3, source="plan", expires_at=TOMORROW)
    await grant(shared_app, shop, 2)
    await expire(shared_app, shop)
    async with shared_app.database.reading(shop) as connection:
        found = await balance_of(connection, await id_of(shared_app, shop))
    assert (found.available, found.held) == (2, 0)  # also before anybody closes it
    assert refusal(await post_job(shared_app, shop, COSTS_5)) == TOO_FEW
    await expire_credits(shared_app.database)
    await expire_credits(shared_app.database)
    assert await balance(shared_app, shop) == (2, 0)
    assert (await entries(shared_app, shop))[2:] == [("expire", -3, 0)]


async def test_an_account_that_differs_from_its_lots_keeps_no_other_shops_lots_open(
    shared_app: RunningApp,
) -> None:
    shops = [f"{name}-lots.myshopify.com" for name in ("first", "differing", "last")]
    for shop in shops:
        await shared_app.install(shop)
        await grant(shared_app, shop, 3, source="plan", expires_at=TOMORROW)
        await expire(shared_app, shop)
    await shared_app.execute(
        "UPDATE credit_accounts SET available = 2 WHERE shop_id = :s",
        s=await id_of(shared_app, shops[1]),
    )
    with structlog.testing.capture_logs() as lines:
        await expire_credits(shared_app.database)
    assert [await balance(shared_app, shop) for shop in shops[::2]] == [(0, 0)] * 2
    (failed,) = [line for line in lines if line["event"] == "credits_not_expired"]
    assert failed["shop_id"] == await id_of(shared_app, shops[1])


@pytest.mark.parametrize("is_closed", [False, True])
async def test_what_an_expired_lot_gets_back_lives_for_a_month(
    shared_app: RunningApp, shop: str, is_closed: bool
) -> None:
    await grant(shared_app, shop, 1, source="plan", ref="november", expires_at=TOMORROW)
    ref = await made_job(shared_app, shop)
    await expire(shared_app, shop)
    if is_closed:
        await expire_credits(shared_app.database)
    await end_job(shared_app, ref, IMAGE_CORRUPT)
    assert await balance(shared_app, shop) == (1, 0)
    old, new = await lots(shared_app, shop)
    assert (old["remaining"], new["remaining"], new["source"]) == (0, 1, "plan")
    assert timedelta(days=29) < new["expires_at"] - datetime.now(UTC) < timedelta(days=31)
    await made_job(shared_app, shop)


async def test_a_job_keeps_what_it_holds_of_a_lot_that_expires(
    shared_app: RunningApp, shop: str
) -> None:
    await grant(shared_app, shop, 1, source="plan", expires_at=TOMORROW)
    ref = await made_job(shared_app, shop)
    await expire(shared_app, shop)
    await expire_credits(shared_app.database)
    await end_job(shared_app, ref)
    assert await balance(shared_app, shop) == (0, 0)


async def test_a_voided_lot_loses_what_is_not_spent(shared_app: RunningApp, shop: str) -> None:
    await grant(shared_app, shop, 3, source="pack", ref="gid://1", expires_at=NEXT_WEEK)
    ref = await made_job(shared_app, shop)
    shop_id = await id_of(shared_app, shop)
    for voided in (2, 0):
        async with shared_app.database.transaction(shop_id) as connection:
            assert await void_lot(connection, shop_id, source="pack", ref="gid://1") == voided
    assert await balance(shared_app, shop) == (0, 1)
    await end_job(shared_app, ref, IMAGE_CORRUPT)
    assert await balance(shared_app, shop) == (0, 0)
    assert (await entries(shared_app, shop))[2:] == [
        ("void", -2, 0),
        ("release", 1, -1),
        ("void", -1, 0),
    ]


@pytest.mark.parametrize("is_closed", [False, True])
@pytest.mark.parametrize("is_late", [False, True])
async def test_what_a_refunded_lot_gets_back_is_voided_whenever_it_expires(
    shared_app: RunningApp, shop: str, is_closed: bool, is_late: bool
) -> None:
    await grant(shared_app, shop, 1, source="plan", ref="november", expires_at=TOMORROW)
    ref = await made_job(shared_app, shop)
    steps = [partial(void, shared_app, shop), partial(expire, shared_app, shop)]
    for step in reversed(steps) if is_late else steps:
        await step()
        if is_closed:
            await expire_credits(shared_app.database)
    await end_job(shared_app, ref, IMAGE_CORRUPT)
    assert await balance(shared_app, shop) == (0, 0)
    assert [lot["remaining"] for lot in await lots(shared_app, shop)] == [0]


async def test_entries_cannot_be_changed(shared_app: RunningApp, shop: str) -> None:
    await grant(shared_app, shop, 1)
    shop_id = await id_of(shared_app, shop)
    update = f"UPDATE credit_entries SET d_available = 9 WHERE shop_id = {shop_id}"
    with pytest.raises(Exception, match="permission denied"):
        async with shared_app.database.transaction(shop_id) as connection:
            await connection.exec_driver_sql(update)
    async with shared_app.database.transaction(shop_id) as connection:
        await connection.exec_driver_sql(f"DELETE FROM credit_entries WHERE shop_id = {shop_id}")
    assert await entries(shared_app, shop) == [("grant", 1, 0)]


async def test_lots_outlive_an_uninstall_and_end_with_the_shops_erasure(
    shared_app: RunningApp, shop: str
) -> None:
    await grant(shared_app, shop, 2)
    ref = await made_job(shared_app, shop)
    shared_app.shopify.uninstall(shop)
    await process_webhook(shared_app, "app/uninstalled", shop=shop)
    assert await balance(shared_app, shop) == (2, 0)
    assert (await process_webhook(shared_app, "shop/redact", shop=shop))[0] == "processed"
    for table in ("credit_accounts", "credit_grants", "credit_hold_lots", "credit_entries"):
        rows = await shared_app.rows(f"SELECT 1 FROM {table} WHERE shop_id = :s", s=ref.shop_id)
        assert rows == [], table


async def test_a_reinstalled_shop_has_its_lots(shared_app: RunningApp, shop: str) -> None:
    await grant(shared_app, shop, 1)
    shared_app.shopify.uninstall(shop)
    await process_webhook(shared_app, "app/uninstalled", shop=shop)
    shared_app.shopify.reinstall(shop)
    await shared_app.install(shop)
    assert (await post_job(shared_app, shop)).status_code == 202


async def test_a_shop_has_one_trial_for_ever(shared_app: RunningApp, shop: str) -> None:
    rows = await shared_app.rows("SELECT shopify_gid FROM shops WHERE domain = :d", d=shop)
    gid = rows[0]["shopify_gid"]
    claims = []
    for is_erased in (False, False, True):
        if is_erased:
            await shared_app.execute("DELETE FROM shops WHERE domain = :d", d=shop)
        async with shared_app.database.transaction() as connection:
            claims.append(await claim_trial(connection, gid))
    assert claims == [True, False, False]
    marks = await shared_app.rows("SELECT * FROM trial_marks")
    assert gid not in str(marks)
    assert await jobs_of(shared_app, shop) == []


async def void(shared_app: RunningApp, shop: str) -> None:
    """Shopify has given the money of November's plan back."""
    shop_id = await id_of(shared_app, shop)
    async with shared_app.database.transaction(shop_id) as connection:
        await void_lot(connection, shop_id, source="plan", ref="november")


async def expire(shared_app: RunningApp, shop: str) -> None:
    """Let the time of the shop's lots that end be over."""
    await shared_app.execute(
        "UPDATE credit_grants g SET expires_at = now() - interval '1 second' "
        "FROM shops s WHERE s.id = g.shop_id AND s.domain = :d AND expires_at IS NOT NULL",
        d=shop,
    )
