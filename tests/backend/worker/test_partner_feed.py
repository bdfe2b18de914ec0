"""The history of the Partner API: it names the shops to read, and the money that went back."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
import structlog

from backend.billing.sync import sync_billing
from backend.dev.services import LocalServices
from backend.dev.shopify import partner_api
from backend.failures.images import IMAGE_CORRUPT
from backend.metrics import REFUNDS_NOT_READ
from backend.worker.billing_sweep import due_shops, sweep_billing
from backend.worker.credits import expire_credits
from backend.worker.partner_feed import read_partner_events
from tests.backend.billing.buying import bought, lots, pass_months, read_billing
from tests.backend.credits.ledger import balance, end_job, made_job
from tests.prepaid_apps import PARTNER_TOKEN, SELLING, open_managed_app, running_app_with
from tests.running_app import RunningApp
from tests.scenarios import NoRenderer, new_shop

shared_app = pytest.fixture(open_managed_app, scope="module")
shop = pytest.fixture(new_shop)


@pytest.fixture(scope="module")
async def selling_app(services: LocalServices, template: str) -> AsyncIterator[RunningApp]:
    """Sells by the Billing API, and knows the Partner API too."""
    settings = {
        **SELLING,
        "partner_organization_id": "1000001",
        "partner_app_id": "70000001",
        "partner_api_token": PARTNER_TOKEN,
    }
    async with running_app_with(services, template, NoRenderer(), **settings) as running_app:
        running_app.shopify.platform.partner.token = PARTNER_TOKEN
        await running_app.install()
        yield running_app


@pytest.fixture(autouse=True)
async def rested(shared_app: RunningApp, selling_app: RunningApp) -> None:
    """A turn at the Partner API is free at once."""
    for app in (shared_app, selling_app):
        partner = app.shopify.platform.partner
        partner.bucket.give_back(partner.bucket.maximum)
        await app.execute("UPDATE partner_state SET next_call_at = now()")


async def last_read(app: RunningApp, shop: str, **ago: float) -> None:
    """Have the shop been read so long ago, with nothing expected."""
    await app.execute(
        "UPDATE subscriptions SET asked_at = now() - cast(:ago AS interval), expected_until = NULL "
        "FROM shops WHERE shops.id = shop_id AND domain = :d",
        ago=timedelta(**ago),
        d=shop,
    )


async def transactions(app: RunningApp, shop: str) -> list[tuple[str, int, str]]:
    """Kind, change and status of the shop's purchases, newest first."""
    response = await app.http.get("/v1/transactions?kind=purchases", headers=app.bearer(shop))
    return [
        (item["kind"], item["credits_delta"], item["status"]) for item in response.json()["items"]
    ]


async def available(app: RunningApp, shop: str) -> int:
    """What the shop can spend."""
    balance = await app.http.get("/v1/credits", headers=app.bearer(shop))
    return int(balance.json()["available"])


# Whom the sweep reads


async def test_a_plan_chosen_at_shopify_without_the_app_is_found(
    shared_app: RunningApp, shop: str
) -> None:
    await shared_app.execute("UPDATE subscriptions SET asked_at = now()")
    shared_app.shopify.choose_plan(shop, "studio")
    assert shop not in await due_shops(shared_app.worker_context)
    await sweep_billing(shared_app.worker_context)
    assert await lots(shared_app, shop) == [("plan", 1000)]


async def test_shops_are_read_when_a_period_is_over_else_once_a_week(
    shared_app: RunningApp, shop: str
) -> None:
    context = shared_app.worker_context
    shared_app.shopify.choose_plan(shop, "studio-annual")
    await read_billing(shared_app, shop)
    await last_read(shared_app, shop, days=6)
    assert shop not in await due_shops(context)
    await last_read(shared_app, shop, days=8)
    assert shop in await due_shops(context)
    await pass_months(shared_app, shop, 35)  # a month of the paid year
    await last_read(shared_app, shop, minutes=61)
    assert shop in await due_shops(context)
    await last_read(shared_app, shop, minutes=59)
    assert shop not in await due_shops(context)


async def test_the_end_of_a_trial_is_read(shared_app: RunningApp, shop: str) -> None:
    shared_app.shopify.choose_plan(shop, "starter")
    await read_billing(shared_app, shop)
    await last_read(shared_app, shop, hours=2)
    assert shop not in await due_shops(shared_app.worker_context)
    await pass_months(shared_app, shop, 8)
    assert shop in await due_shops(shared_app.worker_context)


async def test_the_history_is_read_from_its_mark_on(shared_app: RunningApp, shop: str) -> None:
    await shared_app.execute("UPDATE partner_state SET events_read_until = now() - interval '3 d'")
    before = shared_app.shopify.calls["partner"]
    await read_partner_events(shared_app.worker_context)
    assert shared_app.shopify.calls["partner"] == before + 1
    rows = await shared_app.rows("SELECT now() - events_read_until AS behind FROM partner_state")
    assert timedelta(hours=1) <= rows[0]["behind"] < timedelta(hours=1, minutes=1)


async def test_the_mark_stays_where_it_is_when_shopify_does_not_answer(
    shared_app: RunningApp, shop: str
) -> None:
    await shared_app.execute("UPDATE partner_state SET events_read_until = now() - interval '3 d'")
    shared_app.shopify.choose_plan(shop, "studio")
    await read_billing(shared_app, shop)
    await pass_months(shared_app, shop, 35)
    await last_read(shared_app, shop, minutes=61)
    shared_app.shopify.fail_next("partner", 500)
    await sweep_billing(shared_app.worker_context)
    assert await lots(shared_app, shop) == [("plan", 1000)] * 2  # the renewal was read anyway
    rows = await shared_app.rows("SELECT now() - events_read_until AS behind FROM partner_state")
    assert rows[0]["behind"] >= timedelta(days=3)


# Refunds


async def test_a_refunded_plan_is_voided_once_and_shown(shared_app: RunningApp, shop: str) -> None:
    context = shared_app.worker_context
    shared_app.shopify.choose_plan(shop, "studio")
    await read_billing(shared_app, shop)
    shared_app.shopify.refund_plan(shop)
    assert [await read_partner_events(context) for _ in range(2)] == [1000, 0]
    assert await transactions(shared_app, shop) == [
        ("subscription", -1000, "REFUNDED"),
        ("subscription", 1000, "PURCHASED"),
    ]
    assert await read_billing(shared_app, shop) == 0  # the period is not granted again
    await shared_app.execute("UPDATE partner_state SET events_read_until = now() - interval '50 d'")
    await pass_months(shared_app, shop, 35)
    await read_billing(shared_app, shop)
    assert await read_partner_events(context) == 0  # the next period is paid
    assert (await transactions(shared_app, shop))[0] == ("subscription", 1000, "PURCHASED")


async def test_what_came_back_of_an_earlier_period_goes_with_that_periods_refund(
    shared_app: RunningApp, shop: str
) -> None:
    context, book = shared_app.worker_context, shared_app.shopify.contracts(shop)
    book.last_trial_at = shared_app.shopify.platform.now()
    shared_app.shopify.choose_plan(shop, "studio")
    await read_billing(shared_app, shop)
    job = await made_job(shared_app, shop)
    await pass_months(shared_app, shop, 35)
    await shared_app.execute(
        "UPDATE credit_grants SET created_at = created_at - interval '35 days' WHERE shop_id = :s",
        s=job.shop_id,
    )
    await expire_credits(shared_app.database)
    await read_billing(shared_app, shop)
    await end_job(shared_app, job, IMAGE_CORRUPT)
    assert await available(shared_app, shop) == 1001
    first, second = book.charges()
    for charge, voided in ((second, 1000), (first, 1)):
        book.refund(charge, charge.amount, shared_app.shopify.platform.now())
        assert await read_partner_events(context) == voided
    assert await balance(shared_app, shop) == (0, 0)


async def test_only_what_is_left_is_voided(shared_app: RunningApp, shop: str) -> None:
    shared_app.shopify.choose_plan(shop, "studio")
    await read_billing(shared_app, shop)
    body = {"product_id": "gid://shopify/Product/1"}
    answer = await shared_app.http.post(
        "/v1/catalog-image", headers=shared_app.bearer(shop), json=body
    )
    assert answer.status_code == 202
    shared_app.shopify.refund_plan(shop)
    left = 1000 - answer.json()["credits_cost"]
    assert await read_partner_events(shared_app.worker_context) == left
    balance = await shared_app.http.get("/v1/credits", headers=shared_app.bearer(shop))
    assert balance.json()["available"] == 0


async def test_of_a_refund_of_a_part_that_part_is_voided_once(
    shared_app: RunningApp, shop: str
) -> None:
    context = shared_app.worker_context
    book = shared_app.shopify.contracts(shop)
    book.last_trial_at = shared_app.shopify.platform.now()
    shared_app.shopify.choose_plan(shop, "studio")
    await read_billing(shared_app, shop)
    charge = book.charges()[-1]
    parts = [charge.amount / 4, charge.amount / 4, charge.amount / 2]
    for part, expected in zip(parts, (250, 250, 500), strict=True):
        book.refund(charge, part, shared_app.shopify.platform.now())
        assert [await read_partner_events(context) for _ in range(2)] == [expected, 0]
    assert (await transactions(shared_app, shop))[0] == ("subscription", -500, "REFUNDED")
    assert await available(shared_app, shop) == 0
    rows = await shared_app.rows(
        "SELECT closed_at IS NOT NULL AS closed FROM credit_grants g JOIN shops s "
        "ON s.id = g.shop_id WHERE domain = :d",
        d=shop,
    )
    assert [row["closed"] for row in rows] == [True]


async def test_a_refund_in_another_currency_is_for_the_operator(
    shared_app: RunningApp, shop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared_app.shopify.choose_plan(shop, "studio")
    await read_billing(shared_app, shop)
    shared_app.shopify.refund_plan(shop, "5.00")
    views = partner_api._event_view
    monkeypatch.setattr(partner_api, "_event_view", lambda *entry: in_euros(views(*entry)))
    with structlog.testing.capture_logs() as logged:
        await read_partner_events(shared_app.worker_context)
    [row] = await shared_app.rows("SELECT id FROM shops WHERE domain = :d", d=shop)
    told = [line for line in logged if line["event"] == "refund_partial"]
    assert [line["log_level"] for line in told if line["shop_id"] == row["id"]] == ["error"]
    assert await available(shared_app, shop) == 1000


def in_euros(view: Mapping[str, Any]) -> Mapping[str, Any]:
    """An event of the history; a refund is in euros."""
    is_refund = view["eventType"] == "EARNING_REFUND"
    return (
        {**view, "grossAmount": {**view["grossAmount"], "currencyCode": "EUR"}}
        if is_refund
        else view
    )


async def test_a_shop_whose_history_is_refused_holds_up_no_other_and_the_mark_for_a_day(
    shared_app: RunningApp, shop: str
) -> None:
    context, platform = shared_app.worker_context, shared_app.shopify.platform
    other = await new_shop(shared_app)
    for each in (shop, other):
        shared_app.shopify.choose_plan(each, "studio")
        await read_billing(shared_app, each)
        shared_app.shopify.refund_plan(each)
    platform.partner.hidden_shops.add(shop)
    try:
        await shared_app.execute(
            "UPDATE partner_state SET events_read_until = now() - interval '3 d'"
        )
        counted = REFUNDS_NOT_READ._value.get()
        with structlog.testing.capture_logs() as logged:
            await read_partner_events(context)
        assert (await available(shared_app, shop), await available(shared_app, other)) == (1000, 0)
        [told] = [line for line in logged if line["event"] == "refund_not_read"]
        assert (told["shop"], told["log_level"], len(told["charges"])) == (shop, "error", 1)
        assert REFUNDS_NOT_READ._value.get() == counted + 1
    finally:
        platform.partner.hidden_shops.remove(shop)
    await read_partner_events(context)
    assert await available(shared_app, shop) == 0, "it is tried again"


async def test_after_a_day_the_mark_leaves_a_refused_refund_behind(
    shared_app: RunningApp, shop: str
) -> None:
    context, platform = shared_app.worker_context, shared_app.shopify.platform
    shared_app.shopify.choose_plan(shop, "studio")
    await read_billing(shared_app, shop)
    shared_app.shopify.refund_plan(shop)
    history = shared_app.shopify.contracts(shop).history
    platform.partner.hidden_shops.add(shop)
    try:
        for hours, behind in ((20, timedelta(hours=21)), (25, timedelta(hours=1))):
            history[-1] = replace(history[-1], occurred_at=platform.now() - timedelta(hours=hours))
            await shared_app.execute(
                "UPDATE partner_state SET events_read_until = now() - interval '3 d'"
            )
            await read_partner_events(context)
            rows = await shared_app.rows("SELECT now() - events_read_until AS b FROM partner_state")
            assert behind <= rows[0]["b"] < behind + timedelta(minutes=1)
    finally:
        platform.partner.hidden_shops.remove(shop)


async def test_of_two_charges_of_a_day_the_refunded_one_is_voided(
    shared_app: RunningApp, shop: str
) -> None:
    book = shared_app.shopify.contracts(shop)
    book.last_trial_at = shared_app.shopify.platform.now()  # so that both plans are paid at once
    for plan in ("starter", "studio"):
        shared_app.shopify.choose_plan(shop, plan)
        await read_billing(shared_app, shop)
    small, difference = sorted(amount for _, amount in await lots(shared_app, shop))
    first, _ = book.charges()
    book.refund(first, first.amount, shared_app.shopify.platform.now())
    assert await read_partner_events(shared_app.worker_context) == small
    balance = await shared_app.http.get("/v1/credits", headers=shared_app.bearer(shop))
    assert balance.json()["available"] == difference


async def test_a_refunded_pack_of_the_billing_api_is_voided_once(selling_app: RunningApp) -> None:
    shop = await new_shop(selling_app)
    context = selling_app.worker_context
    gids = [await bought(selling_app, shop, pack=pack) for pack in ("pack-100", "pack-1000")]
    await sync_billing(
        context.database, context.admin, context.prices, shop, partner=context.partner
    )
    selling_app.shopify.refund_purchase(shop, gids[0])
    assert [await read_partner_events(context) for _ in range(2)] == [100, 0]
    assert (await transactions(selling_app, shop))[0] == ("pack", -100, "REFUNDED")
    assert await read_billing(selling_app, shop) == 0
    balance = await selling_app.http.get("/v1/credits", headers=selling_app.bearer(shop))
    assert balance.json()["available"] == 1000


async def test_a_refund_of_a_pack_that_was_not_granted_is_logged(selling_app: RunningApp) -> None:
    shop = await new_shop(selling_app)
    gid = await bought(selling_app, shop, pack="pack-100")
    selling_app.shopify.refund_purchase(shop, gid)
    with structlog.testing.capture_logs() as logged:
        assert await read_partner_events(selling_app.worker_context) == 0
    assert "refund_unmatched" in [line["event"] for line in logged]
