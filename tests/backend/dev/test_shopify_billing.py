"""The stand-in's billing: what it refuses, and what becomes of a charge, over HTTP."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from backend.dev.shopify.charges import NotApprovable
from backend.dev.transport import NO_TLS
from tests.backend.dev.calls import NOW, SHOP, App

pytestmark = pytest.mark.slow

DAY = 86_400.0
SUBSCRIBE = """
mutation Subscribe($name: String!, $lineItems: [AppSubscriptionLineItemInput!]!,
                   $returnUrl: URL!, $trialDays: Int, $test: Boolean) {
  appSubscriptionCreate(name: $name, lineItems: $lineItems, returnUrl: $returnUrl,
                        trialDays: $trialDays, test: $test) {
    appSubscription { id status trialDays test } confirmationUrl userErrors { field message }
  }
}
"""
BUY = """
mutation Buy($name: String!, $price: MoneyInput!, $returnUrl: URL!, $test: Boolean) {
  appPurchaseOneTimeCreate(name: $name, price: $price, returnUrl: $returnUrl, test: $test) {
    appPurchaseOneTime { id status test price { amount currencyCode } }
    confirmationUrl userErrors { field message }
  }
}
"""
STATE = """
query State {
  currentAppInstallation {
    activeSubscriptions {
      id name status currentPeriodEnd
      lineItems { plan { pricingDetails {
        ... on AppRecurringPricing { interval price { amount currencyCode } } } } }
    }
    allSubscriptions(first: 10, reverse: true) { nodes { id name status } }
    oneTimePurchases(first: 10, reverse: true) { nodes { id name status } }
  }
}
"""
RETURN_URL = "https://admin.shopify.com/store/a-shop/apps/key/plan"


@pytest.fixture(autouse=True)
def token_that_lasts(shopify):
    """Before the token is granted: here months pass."""
    shopify.platform.access_token_lifetime = int(400 * DAY)


async def subscribe(
    app: App,
    name: str = "Plan",
    price: str = "9.00",
    currency: str = "USD",
    interval: str = "EVERY_30_DAYS",
    **more: Any,
) -> Any:
    """The payload of a new subscription."""
    pricing = {"price": {"amount": price, "currencyCode": currency}, "interval": interval}
    items = [{"plan": {"appRecurringPricingDetails": pricing}}]
    return await app.data(
        SUBSCRIBE, **{"name": name, "lineItems": items, "returnUrl": RETURN_URL, **more}
    )


async def buy(
    app: App, name: str = "Pack", price: str = "5.00", currency: str = "USD", **more: Any
) -> Any:
    """The payload of a new one-time purchase."""
    money = {"amount": price, "currencyCode": currency}
    return await app.data(BUY, **{"name": name, "price": money, "returnUrl": RETURN_URL, **more})


async def active(app: App) -> list[str]:
    """The names of the active subscriptions."""
    return [each["name"] for each in (await app.data(STATE))["activeSubscriptions"]]


async def statuses_of(app: App, kind: str = "allSubscriptions") -> dict[str, str]:
    """The statuses of the charges by name."""
    return {each["name"]: each["status"] for each in (await app.data(STATE))[kind]["nodes"]}


async def test_a_purchase_is_pending_until_the_merchant_approves_it(shopify, app):
    payload = await buy(app, test=True)
    assert payload["userErrors"] == []
    assert payload["appPurchaseOneTime"]["status"] == "PENDING"
    assert payload["appPurchaseOneTime"]["test"] is True
    shopify.approve_charge(SHOP, "Pack")
    assert await statuses_of(app, "oneTimePurchases") == {"Pack": "ACTIVE"}
    with pytest.raises(NotApprovable):
        shopify.decline_charge(SHOP, "Pack")


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"price": "0.49"}, "greater than or equal to 0.5"),
        ({"currency": "GBP"}, "Currency must be USD or the merchant's, EUR"),
        ({"name": " "}, "Name can't be blank"),
        ({"returnUrl": "app"}, "Return url is invalid"),
    ],
)
async def test_what_the_billing_api_refuses(shopify, app, asked, said):
    shopify.platform.shops[SHOP].billing_currency = "EUR"
    for create in (subscribe, buy):
        payload = await create(app, **asked)
        assert said in payload["userErrors"][0]["message"]
        assert payload["confirmationUrl"] is None
    assert shopify.platform.shops[SHOP].charges.charges == []


async def test_apps_that_cannot_charge_are_refused(shopify, app, monkeypatch):
    monkeypatch.setattr(shopify.platform, "has_app_pricing", True)
    for create in (subscribe, buy):
        (error,) = (await create(app))["userErrors"]
        assert error["message"] == (
            "Managed Pricing Apps cannot use the Billing API (to create charges)."
        )
    monkeypatch.setattr(shopify.platform, "app_kind", "custom")
    (error,) = (await buy(app))["userErrors"]
    assert "without a public distribution" in error["message"]


async def test_a_charge_that_nobody_approves_expires_after_two_days(shopify, app, clock):
    await subscribe(app)
    clock.now += 2 * DAY - 1
    assert await statuses_of(app) == {"Plan": "PENDING"}
    clock.now += 1
    assert await statuses_of(app) == {"Plan": "EXPIRED"}
    with pytest.raises(NotApprovable):
        shopify.approve_charge(SHOP, "Plan")


async def test_a_dearer_plan_replaces_the_current_one_at_once(shopify, app):
    for name, price in (("Small", "9"), ("Large", "29")):
        await subscribe(app, name, price)
        shopify.approve_charge(SHOP, name)
        assert await active(app) == [name]
    assert await statuses_of(app) == {"Large": "ACTIVE", "Small": "CANCELLED"}


async def test_a_cheaper_plan_begins_when_the_paid_period_ends(shopify, app, clock):
    await subscribe(app, "Large", "29")
    shopify.approve_charge(SHOP, "Large")
    await subscribe(app, "Small", "9")
    assert shopify.approve_charge(SHOP, "Small") == []
    clock.now += 29 * DAY
    assert await active(app) == ["Large"]
    clock.now += DAY
    assert await active(app) == ["Small"]


async def test_a_subscription_is_renewed_without_a_webhook(shopify, app, clock):
    await subscribe(app, trialDays=7)
    shopify.approve_charge(SHOP, "Plan")
    shopify.platform.events.clear()
    start = datetime.fromtimestamp(NOW, UTC)
    for days in (37, 67, 97):
        (plan,) = (await app.data(STATE))["activeSubscriptions"]
        assert datetime.fromisoformat(plan["currentPeriodEnd"]) == start + timedelta(days=days)
        clock.now = NOW + days * DAY
    assert shopify.platform.events == []


async def test_a_frozen_subscription_is_not_active_until_it_is_paid(shopify, app):
    await subscribe(app)
    shopify.approve_charge(SHOP, "Plan")
    shopify.freeze_subscription(SHOP)
    assert await active(app) == []
    assert await statuses_of(app) == {"Plan": "FROZEN"}
    shopify.thaw_subscription(SHOP)
    assert await active(app) == ["Plan"]


async def test_an_uninstall_cancels_the_subscription_silently(shopify, app):
    await subscribe(app)
    shopify.approve_charge(SHOP, "Plan")
    shopify.platform.events.clear()
    shopify.uninstall(SHOP)
    shopify.reinstall(SHOP)
    assert shopify.platform.shops[SHOP].charges.active is None
    assert shopify.platform.events == []


async def test_a_browser_approves_and_comes_back_to_the_app(shopify, app, deliveries, monkeypatch):
    monkeypatch.setattr(shopify, "auto_webhooks", True)
    url = (await subscribe(app))["confirmationUrl"]
    async with httpx.AsyncClient(verify=NO_TLS) as browser:
        page = await browser.get(url)
        assert "Plan: 9.00 USD every 30 days" in page.text
        answer = await browser.post(url, data={"decision": "approve"})
        assert answer.status_code == 303
        number = url.rpartition("/")[2]
        assert answer.headers["Location"] == f"{RETURN_URL}?charge_id={number}"
        assert "This charge is active" in (await browser.get(url)).text
    await shopify.settled()
    (delivery,) = deliveries
    assert delivery.headers["X-Shopify-Topic"] == "app_subscriptions/update"
    assert json.loads(delivery.content)["app_subscription"]["status"] == "ACTIVE"


async def test_a_browser_declines_and_comes_back_without_a_charge(shopify, app):
    url = (await buy(app))["confirmationUrl"]
    async with httpx.AsyncClient(verify=NO_TLS) as browser:
        answer = await browser.post(url, data={"decision": "decline"})
    assert "charge_id" not in answer.headers["Location"]
    assert await statuses_of(app, "oneTimePurchases") == {"Pack": "DECLINED"}
