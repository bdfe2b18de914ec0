"""App Pricing: the Partner API says which plan a shop has, and nothing else is believed."""

import asyncio
from typing import Any

import httpx
import pytest
import structlog

from backend.billing.sync import sync_billing
from backend.dev.transport import NO_TLS
from backend.errors import ShopifyUnavailable
from backend.shops.admin_api import ShopifyRefused
from tests.backend.billing.buying import lots, order, pass_months, read_billing
from tests.prepaid_apps import open_managed_app
from tests.running_app import RunningApp
from tests.scenarios import new_shop, process_webhook

shared_app = pytest.fixture(open_managed_app, scope="module")
shop = pytest.fixture(new_shop)

MONTH = 35  # days: more than a period, so that no later one ends when an earlier one did
TRIAL_AND_MORE = 8


@pytest.fixture(autouse=True)
async def rested(shared_app: RunningApp) -> None:
    """A turn at the Partner API is free at once: the tests ask more than four times a second."""
    partner = shared_app.shopify.platform.partner
    partner.bucket.give_back(partner.bucket.maximum)
    await shared_app.execute("UPDATE partner_state SET next_call_at = now()")


async def stored_plan(app: RunningApp, shop: str) -> dict[str, Any]:
    """What `GET /v1/credits` says of the plan."""
    response = await app.http.get("/v1/credits", headers=app.bearer(shop))
    assert response.status_code == 200, response.text
    plan: dict[str, Any] = response.json()["plan"]
    return plan


async def chosen(app: RunningApp, shop: str, plan: str) -> int:
    """Have the merchant choose a plan at Shopify, and read it; how many lots are new."""
    app.shopify.choose_plan(shop, plan)
    return await read_billing(app, shop)


async def test_a_plan_grants_once_a_period(shared_app: RunningApp, shop: str) -> None:
    assert await chosen(shared_app, shop, "studio") == 1
    assert await read_billing(shared_app, shop) == 0
    await pass_months(shared_app, shop, MONTH)
    assert [await read_billing(shared_app, shop) for _ in range(2)] == [1, 0]
    assert await lots(shared_app, shop) == [("plan", 1000)] * 2
    plan = await stored_plan(shared_app, shop)
    assert (plan["handle"], plan["name"], plan["status"]) == ("studio", "Studio", "ACTIVE")


async def test_a_shop_without_a_contract_gets_nothing(shared_app: RunningApp, shop: str) -> None:
    assert await read_billing(shared_app, shop) == 0
    assert await lots(shared_app, shop) == []
    assert await stored_plan(shared_app, shop) is None


async def test_a_dearer_plan_grants_the_difference(shared_app: RunningApp, shop: str) -> None:
    shared_app.shopify.contracts(shop).last_trial_at = shared_app.shopify.platform.now()
    await chosen(shared_app, shop, "starter")
    await chosen(shared_app, shop, "studio")
    assert await lots(shared_app, shop) == [("plan", 200), ("plan", 800)]
    await chosen(shared_app, shop, "starter")  # begins with the next period
    assert (await stored_plan(shared_app, shop))["handle"] == "studio"
    await pass_months(shared_app, shop, MONTH)
    await read_billing(shared_app, shop)
    assert (await lots(shared_app, shop))[2:] == [("plan", 200)]
    assert (await stored_plan(shared_app, shop))["handle"] == "starter"


async def test_a_trial_is_granted_once_and_then_the_plan(shared_app: RunningApp, shop: str) -> None:
    await chosen(shared_app, shop, "starter")
    assert await read_billing(shared_app, shop) == 0
    assert await lots(shared_app, shop) == [("trial", 20)]
    await pass_months(shared_app, shop, TRIAL_AND_MORE)
    await read_billing(shared_app, shop)
    assert await lots(shared_app, shop) == [("trial", 20), ("plan", 200)]


async def test_a_second_trial_of_shopifys_grants_nothing(shared_app: RunningApp, shop: str) -> None:
    await chosen(shared_app, shop, "starter")
    shared_app.shopify.uninstall(shop)
    await process_webhook(shared_app, "app/uninstalled", shop=shop)
    await process_webhook(shared_app, "shop/redact", shop=shop)
    shared_app.shopify.reinstall(shop)
    await shared_app.install(shop)
    shared_app.shopify.contracts(shop).last_trial_at = None  # more than 180 days later
    await chosen(shared_app, shop, "starter")
    assert await lots(shared_app, shop) == []
    assert (await stored_plan(shared_app, shop))["handle"] == "starter"


async def test_an_annual_plan_grants_each_month(shared_app: RunningApp, shop: str) -> None:
    await chosen(shared_app, shop, "studio-annual")
    await pass_months(shared_app, shop, MONTH)
    assert [await read_billing(shared_app, shop) for _ in range(2)] == [1, 0]
    assert await lots(shared_app, shop) == [("plan", 1000)] * 2


async def test_a_cancelled_plan_lasts_to_the_end_of_its_period(
    shared_app: RunningApp, shop: str
) -> None:
    await chosen(shared_app, shop, "studio")
    shared_app.shopify.cancel_plan(shop)
    await read_billing(shared_app, shop)
    assert (await stored_plan(shared_app, shop))["status"] == "ACTIVE"
    await pass_months(shared_app, shop, MONTH)
    assert await read_billing(shared_app, shop) == 0
    assert (await stored_plan(shared_app, shop))["status"] == "CANCELLED"


async def test_a_frozen_plan_grants_nothing_until_it_is_paid(
    shared_app: RunningApp, shop: str
) -> None:
    await chosen(shared_app, shop, "studio")
    shared_app.shopify.freeze_plan(shop)
    await pass_months(shared_app, shop, MONTH)
    assert await read_billing(shared_app, shop) == 0
    assert (await stored_plan(shared_app, shop))["status"] == "FROZEN"
    shared_app.shopify.unfreeze_plan(shop)
    assert await read_billing(shared_app, shop) == 1
    assert (await stored_plan(shared_app, shop))["status"] == "ACTIVE"


async def test_a_plan_that_the_file_does_not_have_grants_nothing_and_is_logged(
    shared_app: RunningApp, shop: str
) -> None:
    shared_app.shopify.choose_plan(shop, "studio")
    contract = shared_app.shopify.contracts(shop).contract
    assert contract is not None
    contract.plan = type(contract.plan)(handle="gold", name="Gold", price=contract.plan.price)
    with structlog.testing.capture_logs() as logged:
        assert await read_billing(shared_app, shop) == 0
    assert [line["handles"] for line in logged if line["event"] == "plan_unknown"] == [["gold"]]
    assert (await stored_plan(shared_app, shop))["name"] == "Gold"


# What a merchant does


async def test_the_plans_have_the_prices_of_the_file_and_there_are_no_packs(
    shared_app: RunningApp, shop: str
) -> None:
    await chosen(shared_app, shop, "studio")
    listed = (await shared_app.http.get("/v1/plans", headers=shared_app.bearer(shop))).json()
    assert listed["packs"] == []
    assert [(plan["handle"], plan["current"]) for plan in listed["plans"]] == [
        ("starter", False),
        ("studio", True),
        ("studio-annual", False),
    ]


async def test_a_plan_is_chosen_on_shopifys_own_page(shared_app: RunningApp, shop: str) -> None:
    response = await order(shared_app, shop, "/v1/subscription", plan="studio")
    store = shop.partition(".")[0]
    assert response.json() == {
        "confirmation_url": f"https://admin.shopify.com/store/{store}/charges/atelier/pricing_plans"
    }
    page = f"{shared_app.shopify.origin}/store/{store}/charges/atelier/pricing_plans"
    async with httpx.AsyncClient(verify=NO_TLS) as browser:
        assert "Choose Studio" in (await browser.get(page)).text
        answer = await browser.post(page, data={"plan": "studio"})
    assert answer.headers["Location"].endswith("/plan?plan_handle=studio")
    await shared_app.install(shop)  # as the page does when it opens
    assert await lots(shared_app, shop) == [("plan", 1000)]


async def test_a_redirect_with_a_plan_grants_nothing_by_itself(
    shared_app: RunningApp, shop: str
) -> None:
    await order(shared_app, shop, "/v1/subscription", plan="studio")
    await shared_app.http.get(f"/plan?shop={shop}&plan_handle=studio")
    await shared_app.http.post(
        "/v1/installation?plan_handle=studio", headers=shared_app.bearer(shop)
    )
    await shared_app.install(shop)
    assert await lots(shared_app, shop) == []
    assert await stored_plan(shared_app, shop) is None


async def test_packs_are_not_sold(shared_app: RunningApp, shop: str) -> None:
    response = await order(shared_app, shop, "/v1/purchases", pack="pack-100")
    assert response.status_code == 409
    assert response.json()["error"]["code"] == "PACKS_NOT_SOLD"


async def test_a_plan_that_is_not_sold_cannot_be_chosen(shared_app: RunningApp, shop: str) -> None:
    assert (await order(shared_app, shop, "/v1/subscription", plan="gold")).status_code == 422


async def test_a_shop_is_not_refused_what_its_new_plan_pays(
    shared_app: RunningApp, shop: str
) -> None:
    shared_app.shopify.choose_plan(shop, "studio")
    await shared_app.execute("UPDATE subscriptions SET asked_at = now() - interval '1 hour'")
    product = {"product_id": "gid://shopify/Product/1"}
    response = await order(shared_app, shop, "/v1/catalog-image", **product)
    assert response.status_code == 202, response.text


async def test_no_token_of_the_shop_is_needed(shared_app: RunningApp, shop: str) -> None:
    await shared_app.execute(
        "UPDATE shops SET access_token = NULL, reauth_needed_at = now() WHERE domain = :d", d=shop
    )
    assert await chosen(shared_app, shop, "studio") == 1


# The Partner API


async def test_two_readers_at_once_grant_a_period_once(shared_app: RunningApp, shop: str) -> None:
    shared_app.shopify.choose_plan(shop, "studio")
    await asyncio.gather(*(read_billing(shared_app, shop) for _ in range(4)))
    assert await lots(shared_app, shop) == [("plan", 1000)]


async def test_requests_keep_to_four_a_second_and_none_is_throttled(
    shared_app: RunningApp, shop: str
) -> None:
    before = shared_app.shopify.calls["partner"]
    loop = asyncio.get_running_loop()
    started = loop.time()
    await asyncio.gather(*(read_billing(shared_app, shop) for _ in range(6)))
    took = loop.time() - started
    assert shared_app.shopify.calls["partner"] == before + 6
    assert took >= 5 * 0.25


async def test_a_merchant_does_not_wait_behind_a_long_queue(
    shared_app: RunningApp, shop: str
) -> None:
    await shared_app.execute("UPDATE partner_state SET next_call_at = now() + interval '1 minute'")
    context = shared_app.worker_context
    with pytest.raises(ShopifyUnavailable):
        await sync_billing(
            context.database,
            context.admin,
            context.prices,
            shop,
            partner=context.partner,
            max_wait=2.0,
        )


async def test_a_throttled_request_is_repeated(shared_app: RunningApp, shop: str) -> None:
    shared_app.shopify.fail_next("partner", 429, retry_after="0.1")
    assert await chosen(shared_app, shop, "studio") == 1


async def test_an_outage_of_the_partner_api_keeps_nobody_out(
    shared_app: RunningApp, shop: str
) -> None:
    await order(shared_app, shop, "/v1/subscription", plan="studio")
    shared_app.shopify.choose_plan(shop, "studio")
    shared_app.shopify.fail_next("partner", 503)
    await shared_app.install(shop)
    assert await lots(shared_app, shop) == []
    await shared_app.install(shop)
    assert await lots(shared_app, shop) == [("plan", 1000)]


async def test_a_wrong_token_is_refused(
    shared_app: RunningApp, shop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_app.shopify.platform.partner, "token", "another")
    with pytest.raises(ShopifyRefused, match="HTTP 401"):
        await read_billing(shared_app, shop)


def test_the_client_and_its_settings_hide_the_token(shared_app: RunningApp) -> None:
    token = shared_app.settings.partner_api_token
    assert token not in repr(shared_app.worker_context.partner)
    assert token not in repr(shared_app.settings)
