"""Credits on an Atelier that charges: balance, plans, packs, and what is said when they run out."""

import asyncio
import itertools
import os
from collections.abc import AsyncIterator
from typing import Any

import pytest
from playwright.async_api import Locator, Route, expect
from sqlalchemy import select

from backend.credits.grants import grant_credits
from backend.dev.stack import Stack, local_stack
from backend.shops.models import Shop as ShopRow
from tests.page.accessibility import axe_findings, make_narrow, sideways_overflow, small_targets
from tests.page.admin_page import AdminPage
from tests.page.api_answers import answer, error
from tests.page.measurements import measure_first_view
from tests.page.shops import Shop, photo
from tests.page.worker import paused_worker
from tests.source_tree import ROOT
from tests.wait import wait_until

SMALL = {"outputs": [{"size": 256, "format": "webp"}]}
STUDIO = {
    "handle": "studio",
    "name": "Studio",
    "status": "ACTIVE",
    "period_end": "2026-12-24T12:00:00Z",
}
CREDITS = {
    "available": 1207,
    "held": 24,
    "unlimited": False,
    "lots": [
        {"source": "plan", "remaining": 207, "expires_at": "2026-12-24T12:00:00Z"},
        {"source": "manual", "remaining": 1000, "expires_at": None},
    ],
    "plan": STUDIO,
}
MONTHLY = {
    "handle": "studio",
    "name": "Studio",
    "price": "29.00",
    "currency": "USD",
    "interval": "EVERY_30_DAYS",
    "credits": 1000,
    "trial_days": 0,
    "trial_credits": 0,
    "current": True,
}
ANNUAL = {
    **MONTHLY,
    "handle": "studio-annual",
    "name": "Studio, annual",
    "price": "290.00",
    "interval": "ANNUAL",
    "trial_days": 7,
    "trial_credits": 20,
    "current": False,
}
PACK = {
    "handle": "pack-100",
    "name": "100 credits",
    "price": "6.50",
    "currency": "USD",
    "credits": 100,
}
PLANS = {"plans": [MONTHLY, ANNUAL], "packs": [PACK]}

_numbers = itertools.count(1)


@pytest.fixture(scope="module")
async def stack() -> AsyncIterator[Stack]:
    """A stack that charges, for this module's shops."""
    sold = {"BILLING": "manual", "PLANS_FILE": str(ROOT / "deploy" / "plans.toml")}
    async with local_stack(environ={**os.environ, **sold}) as running:
        yield running


async def grant(shop: Shop, amount: int) -> None:
    """Give the shop credits, as support does."""
    async with shop.stack.database.transaction() as connection:
        shop_id = await connection.scalar(select(ShopRow.id).where(ShopRow.domain == shop.domain))
        assert shop_id is not None
        ref = f"test-{next(_numbers)}"
        await grant_credits(
            connection, shop_id, source="manual", ref=ref, amount=amount, expires_at=None
        )


def section(admin: AdminPage, name: str) -> Locator:
    """A section of the screen."""
    return admin.app.locator(f's-section[heading="{name}"]')


def badges(admin: AdminPage) -> Locator:
    """What the title bar has beside the heading."""
    return admin.page.locator("#title-bar .badge")


def notice(admin: AdminPage, text: str) -> Locator:
    """A banner with that text."""
    return admin.app.locator("s-banner", has_text=text)


async def confirm(admin: AdminPage) -> None:
    """Press Make images, and confirm."""
    await admin.app.locator("s-section").get_by_role("button", name="Make images").click()
    await admin.app.locator("#confirm").get_by_role("button", name="Make images").click()


def number_of(gid: str) -> str:
    """The number at the end of a global ID."""
    return gid.rsplit("/", 1)[1]


async def test_review_has_what_is_left_and_held_in_its_title_bar(
    admin: AdminPage, shop: Shop
) -> None:
    await grant(shop, 3)
    with paused_worker(shop.stack):
        await shop.request_job(shop.product(), **SMALL)
        await admin.open()
        await expect(badges(admin)).to_have_text(["2 credits left", "1 held"])


async def test_make_tells_price_and_balance_and_leads_to_the_plans(
    admin: AdminPage, shop: Shop
) -> None:
    first, second = (number_of(shop.product().gid) for _ in range(2))
    await grant(shop, 1)
    await admin.open(f"/make?id={first}")
    price = section(admin, "Price")
    await expect(price).to_contain_text("1 product × 1 credit = at most 1 credit")
    await expect(price).to_contain_text("1 credit left")
    await expect(notice(admin, "Not enough credits")).to_have_count(0)
    await admin.open(f"/make?ids[]={first}&ids[]={second}")
    shortage = price.locator("s-banner")
    await expect(shortage).to_contain_text("This costs 2 credits. You have 1 credit.")
    await shortage.get_by_role("link", name="Get credits").click()
    await expect(section(admin, "Plans")).to_be_visible()


async def test_a_refusal_says_what_is_missing_and_succeeds_once_there_are_credits(
    admin: AdminPage, shop: Shop
) -> None:
    await grant(shop, 1)
    admin.problems.allow("402 POST /v1/catalog-image")
    await admin.open(f"/make?id={number_of(shop.product().gid)}")
    await expect(section(admin, "Price")).to_contain_text("1 credit left")
    with paused_worker(shop.stack):
        await shop.request_job(shop.product(), **SMALL)  # spends it meanwhile
        await confirm(admin)
        refusal = notice(admin, "Not enough credits").first
        await expect(refusal).to_contain_text("This costs 1 credit. You have 0 credits.")
        await expect(section(admin, "Price")).to_contain_text("0 credits left")
        await expect(refusal.get_by_role("link", name="Get credits")).to_be_visible()
        await grant(shop, 1)
        await refusal.get_by_role("button", name="Try again").click()
        await admin.page.wait_for_url("**/jobs/*")


async def start_one_photo_of_two(admin: AdminPage, shop: Shop) -> None:
    """With the credits for one."""
    await grant(shop, 1)
    admin.problems.allow("402 POST /v1/catalog-image")
    await admin.open("/make")
    await admin.app.get_by_label("My own photos").check()
    files = [photo("tee_navy"), photo("tee_white")]
    await admin.app.locator("s-drop-zone input[type=file]").set_input_files(files)
    await expect(section(admin, "Price")).to_contain_text("2 photos × 1 credit")
    await confirm(admin)
    await expect(admin.app.get_by_text("1 of 2 photos were started.")).to_be_visible()


async def test_own_photos_that_could_not_be_paid_are_counted(admin: AdminPage, shop: Shop) -> None:
    await start_one_photo_of_two(admin, shop)
    await expect(notice(admin, "Not enough credits").first).to_be_visible()
    await expect(section(admin, "Price")).to_contain_text("1 photo × 1 credit")
    await expect(admin.app.get_by_role("button", name="Remove tee_navy.jpg")).to_have_count(0)
    await grant(shop, 1)
    await admin.app.get_by_role("button", name="Try again").click()
    await admin.page.wait_for_url("**/jobs/*")
    assert (await admin.call("GET", "/v1/jobs"))["count"] == 2


async def test_photos_that_were_started_are_not_paid_again_with_a_changed_form(
    admin: AdminPage, shop: Shop
) -> None:
    await start_one_photo_of_two(admin, shop)
    await grant(shop, 5)
    await admin.app.get_by_label("Margin").fill("12")
    await confirm(admin)
    await admin.page.wait_for_url("**/jobs/*")
    assert (await admin.call("GET", "/v1/jobs"))["count"] == 2


async def test_a_batch_waits_for_credits_and_goes_on(admin: AdminPage, shop: Shop) -> None:
    await grant(shop, 1)
    products = [shop.product(), shop.product()]
    collection = shop.stack.shopify.create_collection(shop.domain, "Summer", products)
    body = {
        "workflow": "catalog-image",
        "collection_id": collection.gid,
        "parameters": SMALL,
    }
    batch = (await shop.call("POST", "/v1/batches", json=body)).json()["public_id"]
    await admin.open(f"/batches/{batch}")
    waiting = notice(admin, "This batch waits for credits")
    await expect(waiting.get_by_role("link", name="Get credits")).to_be_visible(timeout=60_000)
    await grant(shop, 5)
    await expect(admin.app.get_by_text("2 of 2 done").first).to_be_visible(timeout=60_000)
    await expect(waiting).to_have_count(0)


async def test_balance_plan_and_offers_are_shown(admin: AdminPage) -> None:
    await answer(admin, "/v1/credits", CREDITS)
    await answer(admin, "/v1/plans", PLANS)
    await admin.open("/plan")
    await expect(badges(admin)).to_have_text(["1,207 credits left", "24 held"])
    balance = section(admin, "Balance")
    await expect(balance).to_contain_text("The current period ends on Dec 24, 2026.")
    lots = await balance.locator("s-table-row").all()
    assert [await lot.locator("s-table-cell").all_inner_texts() for lot in lots] == [
        ["Plan", "207", "Dec 24, 2026"],
        ["From support", "1,000", "Never"],
    ]
    plans = section(admin, "Plans")
    await expect(plans).to_contain_text("$29.00 every 30 days")
    await expect(plans).to_contain_text("$290.00 a year")
    await expect(plans).to_contain_text("1,000 credits a month")
    await expect(plans).to_contain_text("7 days free, with 20 credits")
    await expect(plans.get_by_text("Current plan")).to_have_count(1)
    await expect(plans.get_by_role("button")).to_have_count(1)
    await expect(section(admin, "Packs")).to_contain_text("$6.50")


async def decide(admin: AdminPage, decision: str) -> None:
    """Approve or decline the charge on Shopify's page, to which the tab has gone."""
    await admin.page.wait_for_url("**/charges/*")
    await admin.page.get_by_role("button", name=decision).click()


async def test_a_pack_is_bought_and_its_credits_are_there(admin: AdminPage, shop: Shop) -> None:
    await admin.open("/plan")
    await expect(badges(admin)).to_have_text(["0 credits left"])
    await admin.app.get_by_role("button", name="Buy 100 credits").click()
    await decide(admin, "Approve")
    await admin.page.wait_for_url("**/plan?charge_id=*")
    await expect(notice(admin, "Shopify has your approval")).to_be_visible()
    await expect(badges(admin)).to_have_text(["100 credits left"])
    lot = section(admin, "Balance").locator("s-table-row")
    await expect(lot.locator("s-table-cell").first).to_have_text("Pack")


async def test_a_plan_with_a_trial_is_chosen(admin: AdminPage) -> None:
    await admin.open("/plan")
    await expect(section(admin, "Plans")).to_contain_text("7 days free, with 20 credits")
    await admin.app.get_by_role("button", name="Choose Starter").click()
    await decide(admin, "Approve")
    await expect(badges(admin)).to_have_text(["20 credits left"])
    await expect(section(admin, "Balance")).to_contain_text("The current period ends on")
    await expect(section(admin, "Balance").get_by_text("Starter")).to_be_visible()
    await expect(section(admin, "Plans").get_by_text("Current plan")).to_have_count(1)
    await expect(admin.app.get_by_role("button", name="Choose Starter")).to_have_count(0)
    await expect(section(admin, "Plans")).not_to_contain_text("days free")  # once a shop


async def test_a_declined_charge_changes_nothing(admin: AdminPage) -> None:
    await admin.open("/plan")
    await admin.app.get_by_role("button", name="Buy 100 credits").click()
    await decide(admin, "Decline")
    await expect(badges(admin)).to_have_text(["0 credits left"])
    await admin.menu("Credits").click()
    await expect(admin.app.get_by_role("button", name="Buy 100 credits")).to_be_enabled()
    await expect(notice(admin, "Shopify has your approval")).to_have_count(0)


async def test_a_refused_order_can_be_repeated(admin: AdminPage) -> None:
    await answer(admin, "/v1/purchases", error("SHOPIFY_UNAVAILABLE"), 500)
    admin.problems.allow("500 POST /v1/purchases")
    await admin.open("/plan")
    await admin.app.get_by_role("button", name="Buy 100 credits").click()
    await expect(admin.app.get_by_text("Shopify does not respond")).to_be_visible()
    await expect(admin.app.get_by_role("button", name="Try again")).to_be_visible()
    await expect(admin.app.get_by_role("button", name="Buy 100 credits")).to_be_enabled()


async def test_an_order_whose_answer_was_lost_is_repeated_with_its_key(admin: AdminPage) -> None:
    """So that Shopify is asked for one charge only."""
    keys: list[str | None] = []

    async def lose(route: Route) -> None:
        keys.append(await route.request.header_value("Idempotency-Key"))
        await (route.abort() if len(keys) == 1 else route.continue_())

    await admin.page.route("**/v1/purchases", lose)
    admin.problems.allow("failed POST /v1/purchases")
    await admin.open("/plan")
    buy = admin.app.get_by_role("button", name="Buy 100 credits")
    await buy.click()
    await expect(admin.app.get_by_text("has not confirmed your last change")).to_be_visible()
    await buy.click()
    await admin.page.wait_for_url("**/charges/*")
    assert keys[0] and keys == [keys[0]] * 2


async def test_credits_that_come_after_the_return_appear_by_themselves(
    admin: AdminPage, shop: Shop
) -> None:
    await admin.open("/plan?charge_id=1")
    await expect(notice(admin, "Shopify has your approval")).to_be_visible()
    await expect(badges(admin)).to_have_text(["0 credits left"])
    await grant(shop, 100)
    await expect(badges(admin)).to_have_text(["100 credits left"])


async def test_a_shop_without_a_plan_sees_what_it_can_buy(admin: AdminPage) -> None:
    await admin.open("/plan")
    await expect(section(admin, "Balance")).to_contain_text("None")
    await expect(section(admin, "Balance").locator("s-table")).to_have_count(0)
    await expect(admin.app.get_by_role("button", name="Buy 100 credits")).to_be_visible()
    await expect(admin.app.get_by_role("button", name="Choose Studio", exact=True)).to_be_visible()


async def test_where_nothing_is_sold_support_is_named(admin: AdminPage) -> None:
    await answer(admin, "/v1/plans", {"plans": [], "packs": []})
    await admin.open("/plan")
    await expect(admin.app.get_by_text("There is nothing to buy here.")).to_be_visible()


async def test_the_plan_while_it_loads_and_after_an_error(admin: AdminPage) -> None:
    may_fail = asyncio.Event()

    async def fail(route: Route) -> None:
        await may_fail.wait()
        await route.fulfill(status=500, json=error("INTERNAL_ERROR", "req-42"))

    await admin.page.route("**/v1/credits", fail, times=1)
    admin.problems.allow("500 GET /v1/credits")
    await admin.open("/plan")
    await expect(admin.app.locator("s-spinner")).to_be_visible()
    may_fail.set()
    banner = notice(admin, "Your plan and credits could not be loaded")
    await expect(banner).to_contain_text("req-42")
    await admin.app.get_by_role("button", name="Try again").click()
    await expect(section(admin, "Balance")).to_be_visible()
    await expect(banner).to_have_count(0)


async def test_a_frozen_plan_is_explained_until_it_is_paid(admin: AdminPage, shop: Shop) -> None:
    shopify = shop.stack.shopify

    async def plan_is(status: str) -> None:
        async def is_known() -> bool:
            plan = (await shop.call("GET", "/v1/credits")).json()["plan"]
            return bool(plan and plan["status"] == status)

        await shopify.send_webhook(shop.domain, "app_subscriptions/update")
        await wait_until(is_known, 30, poll=0.2)

    await shop.call("POST", "/v1/subscription", json={"plan": "studio"})
    shopify.approve_charge(shop.domain, shopify.latest_charge(shop.domain).gid)
    await plan_is("ACTIVE")
    shopify.freeze_subscription(shop.domain)
    await plan_is("FROZEN")
    for path in ("/", "/make", "/plan"):
        await admin.open(path)
        pay = notice(admin, "Your plan is frozen").locator("s-button")
        await expect(pay).to_have_attribute("href", "shopify://admin/settings/billing")
    await expect(badges(admin)).to_have_text(["1,000 credits left"])
    shopify.thaw_subscription(shop.domain)
    await plan_is("ACTIVE")
    await admin.open("/plan")
    await expect(section(admin, "Balance")).to_contain_text("Active")
    await expect(notice(admin, "Your plan is frozen")).to_have_count(0)


async def test_the_plan_is_in_german_for_a_german_merchant(admin: AdminPage) -> None:
    await answer(admin, "/v1/credits", CREDITS)
    await answer(admin, "/v1/plans", PLANS)
    await admin.open("/plan", locale="de")
    await expect(badges(admin)).to_have_text(["Noch 1.207 Credits", "24 reserviert"])
    await expect(section(admin, "Tarife")).to_contain_text("29,00\u00a0$ alle 30 Tage")
    await expect(admin.app.get_by_role("button", name="100 credits kaufen")).to_be_visible()


@pytest.mark.parametrize("path", ["/", "/make", "/plan"])
async def test_the_first_view_with_a_balance_is_small(path: str, admin: AdminPage) -> None:
    view = await measure_first_view(admin, path)
    assert len(view.api_calls) <= 4, view
    assert "GET /v1/credits" in view.api_calls
    assert view.layout_shift == 0, view


@pytest.mark.parametrize("is_narrow", [False, True])
async def test_the_plan_is_accessible(is_narrow: bool, admin: AdminPage) -> None:
    if is_narrow:
        await make_narrow(admin)
    frozen: dict[str, Any] = {**STUDIO, "status": "FROZEN"}
    await answer(admin, "/v1/credits", {**CREDITS, "plan": frozen})
    await answer(admin, "/v1/plans", PLANS)
    await admin.open("/plan?charge_id=1")
    await expect(section(admin, "Packs")).to_be_visible()
    assert await axe_findings(admin) == []
    assert await sideways_overflow(admin) == 0
    assert await small_targets(admin) == []
