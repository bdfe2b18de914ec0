"""Grants: what Shopify says is granted once, whoever asks, how often, and in which order."""

import asyncio
from datetime import UTC, datetime

import httpx
import pytest

from backend.billing.refresh import ShopifyBillingRefresh
from backend.billing.sync import begin_read, settle_billing
from backend.dev.shopify.payloads import charge_payload
from backend.dev.shopify.state import ShopRecord
from backend.dev.transport import NO_TLS
from backend.shops.billing_api import billing_state
from backend.shops.tokens import installed_shop
from tests.backend.billing.buying import (
    bought,
    lots,
    order,
    ordered,
    pass_months,
    purchases,
    read_billing,
)
from tests.running_app import RunningApp
from tests.scenarios import process_webhook, wait_for_lock

PURCHASE_UPDATE = "app_purchases_one_time/update"
SUBSCRIPTION_UPDATE = "app_subscriptions/update"
TRIAL_AND_MORE = 8  # days
MONTH = 35  # days: more than one, so that no later period ends when an earlier one did


async def subscribed(app: RunningApp, shop: str, plan: str) -> str:
    """A plan that has been approved and read; its global ID."""
    gid = await bought(app, shop, plan=plan)
    await read_billing(app, shop)
    return gid


async def plan_of(app: RunningApp, shop: str) -> tuple[str, str]:
    """Handle and status of the plan that is stored."""
    rows = await app.rows(
        "SELECT handle, subscriptions.status FROM subscriptions JOIN shops ON shops.id = shop_id "
        "WHERE domain = :d",
        d=shop,
    )
    return rows[0]["handle"], rows[0]["status"]


# Packs


async def test_a_paid_pack_is_granted_once(shared_app: RunningApp, shop: str) -> None:
    gid = await bought(shared_app, shop, pack="pack-100")
    assert [await read_billing(shared_app, shop) for _ in range(3)] == [1, 0, 0]
    assert await lots(shared_app, shop) == [("pack", 100)]
    refs = await shared_app.rows("SELECT ref FROM credit_grants WHERE ref = :r", r=gid)
    assert len(refs) == 1


@pytest.mark.parametrize("decision", ["decline_charge", "none"])
async def test_an_unpaid_pack_is_not_granted(
    shared_app: RunningApp, shop: str, decision: str
) -> None:
    gid = await ordered(shared_app, shop, pack="pack-100")
    if decision != "none":
        getattr(shared_app.shopify, decision)(shop, gid)
    assert await read_billing(shared_app, shop) == 0
    assert await lots(shared_app, shop) == []


async def test_eight_readers_at_once_grant_each_charge_once(
    shared_app: RunningApp, shop: str
) -> None:
    await bought(shared_app, shop, plan="studio")
    for pack in ("pack-100", "pack-1000", "pack-100"):
        await bought(shared_app, shop, pack=pack)
    await asyncio.gather(*(read_billing(shared_app, shop) for _ in range(8)))
    await read_billing(shared_app, shop)
    assert sorted(await lots(shared_app, shop)) == [
        ("pack", 100),
        ("pack", 100),
        ("pack", 1000),
        ("plan", 1000),
    ]


async def test_a_test_charge_grants_nothing_unless_allowed(
    shared_app: RunningApp, shop: str
) -> None:
    gid = await bought(shared_app, shop, pack="pack-100")
    shared_app.shopify.charge(shop, gid).test = True
    await subscribed(shared_app, shop, "studio")
    shared_app.shopify.latest_charge(shop).test = True
    other = await bought(shared_app, shop, pack="pack-1000")
    assert other
    await read_billing(shared_app, shop)
    assert ("pack", 100) not in await lots(shared_app, shop)
    assert ("pack", 1000) in await lots(shared_app, shop)


async def test_a_charge_that_nobody_asked_for_grants_nothing(
    shared_app: RunningApp, shop: str
) -> None:
    gid = await bought(shared_app, shop, pack="pack-100")
    shared_app.shopify.charge(shop, gid).name = "1,000,000 credits"
    assert await read_billing(shared_app, shop) == 0


# Plans


async def test_a_plan_grants_once_a_period(shared_app: RunningApp, shop: str) -> None:
    await bought(shared_app, shop, plan="studio")
    assert [await read_billing(shared_app, shop) for _ in range(3)] == [1, 0, 0]
    await pass_months(shared_app, shop, MONTH)
    assert [await read_billing(shared_app, shop) for _ in range(3)] == [1, 0, 0]
    assert await lots(shared_app, shop) == [("plan", 1000)] * 2
    assert await plan_of(shared_app, shop) == ("studio", "ACTIVE")


async def test_a_trial_comes_first_and_once(shared_app: RunningApp, shop: str) -> None:
    await subscribed(shared_app, shop, "starter")
    assert await lots(shared_app, shop) == [("trial", 20)]
    assert await read_billing(shared_app, shop) == 0
    await pass_months(shared_app, shop, TRIAL_AND_MORE)
    await read_billing(shared_app, shop)
    assert await lots(shared_app, shop) == [("trial", 20), ("plan", 200)]


async def test_a_shop_that_reinstalls_gets_no_second_trial(
    shared_app: RunningApp, shop: str
) -> None:
    await subscribed(shared_app, shop, "starter")
    shared_app.shopify.uninstall(shop)
    await process_webhook(shared_app, "app/uninstalled", shop=shop)
    await process_webhook(shared_app, "shop/redact", shop=shop)
    assert await shared_app.rows("SELECT 1 FROM shops WHERE domain = :d", d=shop) == []
    shared_app.shopify.reinstall(shop)
    await shared_app.install(shop)
    gid = await ordered(shared_app, shop, plan="starter")
    assert shared_app.shopify.charge(shop, gid).trial_days == 0
    shared_app.shopify.approve_charge(shop, gid)
    await read_billing(shared_app, shop)
    assert await lots(shared_app, shop) == [("plan", 200)]


async def test_two_trials_that_were_approved_one_after_the_other_grant_one(
    shared_app: RunningApp, shop: str
) -> None:
    gids = [await ordered(shared_app, shop, plan="starter") for _ in range(2)]
    for gid in gids:
        shared_app.shopify.approve_charge(shop, gid)
        await read_billing(shared_app, shop)
    assert await lots(shared_app, shop) == [("trial", 20)]


async def test_a_dearer_plan_grants_the_difference(shared_app: RunningApp, shop: str) -> None:
    await subscribed(shared_app, shop, "starter")
    await pass_months(shared_app, shop, TRIAL_AND_MORE)
    await read_billing(shared_app, shop)
    await subscribed(shared_app, shop, "studio")
    assert await lots(shared_app, shop) == [("trial", 20), ("plan", 200), ("plan", 800)]
    assert await plan_of(shared_app, shop) == ("studio", "ACTIVE")
    await pass_months(shared_app, shop, 29)  # the first plan's period is over, the second's not
    await read_billing(shared_app, shop)
    assert (await lots(shared_app, shop))[3:] == [("plan", 200)]


async def test_changing_plans_back_and_forth_grants_nothing_more(
    shared_app: RunningApp, shop: str
) -> None:
    await subscribed(shared_app, shop, "studio")
    changes = (("studio-annual", "EUR"), ("studio", "USD"), ("studio-annual", "EUR"))
    for plan, currency in changes:
        gid = await ordered(shared_app, shop, plan=plan)
        shared_app.shopify.charge(shop, gid).currency = currency  # another one replaces at once
        shared_app.shopify.approve_charge(shop, gid)
        await read_billing(shared_app, shop)
        assert (await plan_of(shared_app, shop))[0] == plan
    assert await lots(shared_app, shop) == [("plan", 1000)]


async def test_removing_and_installing_the_app_grants_no_period_again(
    shared_app: RunningApp, shop: str
) -> None:
    await subscribed(shared_app, shop, "studio")
    shared_app.shopify.uninstall(shop)
    await process_webhook(shared_app, "app/uninstalled", shop=shop)
    shared_app.shopify.reinstall(shop)
    await shared_app.install(shop)
    await subscribed(shared_app, shop, "studio")
    assert await lots(shared_app, shop) == [("plan", 1000)]


async def test_a_frozen_plan_grants_nothing_and_packs_still_do(
    shared_app: RunningApp, shop: str
) -> None:
    await subscribed(shared_app, shop, "studio")
    shared_app.shopify.freeze_subscription(shop)
    await pass_months(shared_app, shop, MONTH)
    await bought(shared_app, shop, pack="pack-100")
    await read_billing(shared_app, shop)
    assert await lots(shared_app, shop) == [("plan", 1000), ("pack", 100)]
    assert await plan_of(shared_app, shop) == ("studio", "FROZEN")
    shared_app.shopify.thaw_subscription(shop)
    await read_billing(shared_app, shop)
    assert (await lots(shared_app, shop))[2:] == [("plan", 1000)]


async def test_a_plan_that_is_frozen_at_once_grants_nothing(
    shared_app: RunningApp, shop: str
) -> None:
    await bought(shared_app, shop, plan="studio")
    shared_app.shopify.freeze_subscription(shop)
    await read_billing(shared_app, shop)
    assert await lots(shared_app, shop) == []


async def test_two_readers_of_a_new_period_grant_it_once(shared_app: RunningApp, shop: str) -> None:
    """The second has begun before the first has committed."""
    await subscribed(shared_app, shop, "studio")
    await pass_months(shared_app, shop, MONTH)
    context = shared_app.worker_context
    found = await installed_shop(context.database, context.admin, shop)
    assert found is not None
    state = await billing_state(context.admin, found)

    async def settle() -> int:
        async with context.database.transaction(shop) as connection:
            return await settle_billing(connection, found, state, context.prices, datetime.now(UTC))

    async with context.database.transaction(shop) as connection:
        await settle_billing(connection, found, state, context.prices, datetime.now(UTC))
        second = asyncio.create_task(settle())
        await wait_for_lock(shared_app)
    assert await second == 0
    assert await lots(shared_app, shop) == [("plan", 1000)] * 2


async def test_a_cancelled_plan_grants_nothing_more(shared_app: RunningApp, shop: str) -> None:
    await subscribed(shared_app, shop, "studio")
    shared_app.shopify.cancel_subscription(shop)
    await pass_months(shared_app, shop, MONTH)
    await read_billing(shared_app, shop)
    assert await lots(shared_app, shop) == [("plan", 1000)]
    assert await plan_of(shared_app, shop) == ("studio", "CANCELLED")


async def test_an_annual_plan_grants_each_month(shared_app: RunningApp, shop: str) -> None:
    await subscribed(shared_app, shop, "studio-annual")
    for _ in range(2):
        await pass_months(shared_app, shop, MONTH)
        assert [await read_billing(shared_app, shop) for _ in range(2)] == [1, 0]
    assert await lots(shared_app, shop) == [("plan", 1000)] * 3


async def test_the_price_is_stored_in_the_currency_that_shopify_tells(
    shared_app: RunningApp, shop: str
) -> None:
    gid = await bought(shared_app, shop, pack="pack-100")
    shared_app.shopify.charge(shop, gid).currency = "EUR"
    await read_billing(shared_app, shop)
    assert [row["currency"] for row in await purchases(shared_app, shop)] == ["EUR"]


# Who asks


def record(app: RunningApp, shop: str) -> ShopRecord:
    """The shop at the stand-in."""
    return app.shopify.platform.shops[shop]


async def test_a_webhook_grants_what_shopify_says(shared_app: RunningApp, shop: str) -> None:
    await bought(shared_app, shop, pack="pack-100")
    assert await process_webhook(shared_app, PURCHASE_UPDATE, shop=shop) == (
        "processed",
        "CREDITS_GRANTED",
    )
    assert await process_webhook(shared_app, PURCHASE_UPDATE, shop=shop) == (
        "processed",
        "BILLING_READ",
    )
    assert await lots(shared_app, shop) == [("pack", 100)]


async def test_a_webhook_is_not_believed(shared_app: RunningApp, shop: str) -> None:
    gid = await ordered(shared_app, shop, pack="pack-100")
    payload = charge_payload(
        shared_app.shopify.charge(shop, gid), record(shared_app, shop), "ACTIVE"
    )
    await process_webhook(shared_app, PURCHASE_UPDATE, payload, shop=shop)
    assert await lots(shared_app, shop) == []


@pytest.mark.parametrize("order_of", [("CANCELLED", "ACTIVE"), ("ACTIVE", "CANCELLED")])
async def test_the_webhooks_of_a_plan_change_come_in_any_order(
    shared_app: RunningApp, shop: str, order_of: tuple[str, str]
) -> None:
    first = shared_app.shopify.charge(shop, await subscribed(shared_app, shop, "starter"))
    second = shared_app.shopify.charge(shop, await bought(shared_app, shop, plan="studio"))
    for status in order_of:
        charge = first if status == "CANCELLED" else second
        payload = charge_payload(charge, record(shared_app, shop), status)
        await process_webhook(shared_app, SUBSCRIPTION_UPDATE, payload, shop=shop)
    assert await plan_of(shared_app, shop) == ("studio", "ACTIVE")
    assert await lots(shared_app, shop) == [("trial", 20), ("plan", 1000)]


async def test_a_webhook_about_another_shop_is_ignored(shared_app: RunningApp, shop: str) -> None:
    gid = await bought(shared_app, shop, pack="pack-100")
    payload = charge_payload(shared_app.shopify.charge(shop, gid), record(shared_app, shop))
    payload["app_purchase_one_time"]["admin_graphql_api_shop_id"] = "gid://shopify/Shop/1"  # type: ignore[index]
    assert await process_webhook(shared_app, PURCHASE_UPDATE, payload, shop=shop) == (
        "ignored",
        "SHOP_MISMATCH",
    )


async def test_a_merchant_approves_in_a_browser_and_the_webhook_grants(
    shared_app: RunningApp, shop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_app.shopify, "auto_webhooks", True)
    answer = await order(shared_app, shop, "/v1/purchases", pack="pack-100")
    async with httpx.AsyncClient(verify=NO_TLS) as browser:
        approved = await browser.post(
            answer.json()["confirmation_url"], data={"decision": "approve"}
        )
    assert "/plan?charge_id=" in approved.headers["Location"]
    await shared_app.shopify.settled()
    await shared_app.drain(only_webhooks=True)
    assert await lots(shared_app, shop) == [("pack", 100)]


async def test_a_merchant_who_comes_back_from_the_approval_has_the_credits(
    shared_app: RunningApp, shop: str
) -> None:
    await bought(shared_app, shop, pack="pack-100")
    await shared_app.install(shop)
    assert await lots(shared_app, shop) == [("pack", 100)]


async def test_opening_the_app_again_and_again_asks_shopify_once_a_minute(
    shared_app: RunningApp, shop: str
) -> None:
    await shared_app.install(shop)
    before = shared_app.shopify.calls["graphql"]
    for _ in range(3):
        await shared_app.install(shop)
    assert shared_app.shopify.calls["graphql"] == before + 3  # of the installation itself


async def test_a_failing_read_does_not_keep_the_app_from_opening(
    shared_app: RunningApp, shop: str
) -> None:
    await bought(shared_app, shop, pack="pack-100")
    refresh = ShopifyBillingRefresh(
        shared_app.worker_context.database,
        shared_app.worker_context.admin,
        shared_app.worker_context.prices,
        shared_app.worker_context.partner,
    )
    shared_app.shopify.fail_next("graphql", 503, field="currentAppInstallation")
    await refresh.when_opened(shop)
    assert await lots(shared_app, shop) == []
    await refresh.when_opened(shop)
    assert await lots(shared_app, shop) == [("pack", 100)]


async def test_a_shop_is_not_refused_what_it_has_just_bought(
    shared_app: RunningApp, shop: str
) -> None:
    await bought(shared_app, shop, pack="pack-100")
    await shared_app.execute("UPDATE subscriptions SET asked_at = now() - interval '1 hour'")
    product = shared_app.product(shop=shop)
    response = await order(shared_app, shop, "/v1/catalog-image", product_id=product.gid)
    assert response.status_code == 202, response.text
    assert await lots(shared_app, shop) == [("pack", 100)]


async def test_shopify_is_asked_once_a_minute_before_refusals(
    shared_app: RunningApp, shop: str
) -> None:
    await shared_app.execute("UPDATE subscriptions SET asked_at = now() - interval '1 hour'")
    before = shared_app.shopify.calls["graphql"]
    for _ in range(3):
        product = {"product_id": "gid://shopify/Product/1"}
        response = await order(shared_app, shop, "/v1/catalog-image", **product)
        assert response.status_code == 402
        batch = {"workflow": "catalog-image", "product_ids": [product["product_id"]]}
        response = await shared_app.http.post(
            "/v1/batches", headers=shared_app.bearer(shop), json=batch
        )
        assert response.status_code == 402
    assert shared_app.shopify.calls["graphql"] == before + 1


async def test_what_was_read_before_is_dropped(shared_app: RunningApp, shop: str) -> None:
    """A slow reader, which asked before the plan was cancelled, comes last."""
    await subscribed(shared_app, shop, "studio")
    context = shared_app.worker_context
    found = await installed_shop(context.database, context.admin, shop)
    assert found is not None
    async with context.database.transaction(shop) as connection:
        asked_at = await begin_read(connection, found.id, 0.0)
    assert asked_at is not None
    early = await billing_state(context.admin, found)
    shared_app.shopify.cancel_subscription(shop)
    await read_billing(shared_app, shop)
    async with context.database.transaction(shop) as connection:
        await settle_billing(connection, found, early, context.prices, asked_at)
    assert await plan_of(shared_app, shop) == ("studio", "CANCELLED")
