"""Billing in the Admin API: what a shop has bought, and new charges for it to approve.

A charge that Shopify refuses to create raises `MutationRefused`, and does not exist. If the
response is lost, `ShopifyUnavailable` is raised and the charge may exist: its name finds it.
"""

from datetime import datetime
from decimal import Decimal
from typing import Any, TypeVar

import msgspec

from backend.shops import documents
from backend.shops.admin_api import MAX_THROTTLE_WAIT, AdminApi
from backend.shops.media_api import payload_of
from backend.shops.shopify_responses import Identified, readable
from backend.shops.tokens import InstalledShop

T = TypeVar("T")


class Money(msgspec.Struct, frozen=True, rename="camel"):
    """An amount of money."""

    amount: Decimal
    currency_code: str


class RecurringPricing(msgspec.Struct, frozen=True, rename="camel"):
    """The price of a subscription; of a usage charge, nothing is read."""

    interval: str | None = None
    price: Money | None = None


class SubscribedPlan(msgspec.Struct, frozen=True, rename="camel"):
    """What a line item costs."""

    pricing_details: RecurringPricing


class LineItem(msgspec.Struct, frozen=True):
    """A line item of a subscription; ours have one."""

    plan: SubscribedPlan


class AppSubscription(msgspec.Struct, frozen=True, rename="camel"):
    """A subscription of the shop, in any state."""

    id: str
    name: str
    status: str
    test: bool
    created_at: datetime
    trial_days: int = 0
    current_period_end: datetime | None = None
    line_items: list[LineItem] = []

    @property
    def price(self) -> Money | None:
        """What it costs, in the currency in which Shopify charges the merchant."""
        prices = (item.plan.pricing_details.price for item in self.line_items)
        return next((price for price in prices if price is not None), None)


class OneTimePurchase(msgspec.Struct, frozen=True, rename="camel"):
    """A charge that is paid once, in any state."""

    id: str
    name: str
    status: str
    test: bool
    created_at: datetime
    price: Money


class Subscriptions(msgspec.Struct, frozen=True):
    """The shop's latest subscriptions."""

    nodes: list[AppSubscription]


class OneTimePurchases(msgspec.Struct, frozen=True):
    """The shop's latest one-time purchases."""

    nodes: list[OneTimePurchase]


class BillingState(msgspec.Struct, frozen=True, rename="camel"):
    """All that Shopify tells about the shop's charges; the newest come first."""

    active_subscriptions: list[AppSubscription]
    all_subscriptions: Subscriptions
    one_time_purchases: OneTimePurchases

    @property
    def charges(self) -> "list[AppSubscription | OneTimePurchase]":
        """Each charge once."""
        subscriptions = {
            each.id: each for each in (*self.all_subscriptions.nodes, *self.active_subscriptions)
        }
        return [*subscriptions.values(), *self.one_time_purchases.nodes]


class BillingAnswer(msgspec.Struct, frozen=True, rename="camel"):
    """The data of `documents.BILLING`."""

    current_app_installation: BillingState


class NewCharge(msgspec.Struct, frozen=True, kw_only=True):
    """A charge that waits for the merchant's approval at `confirmation_url`."""

    gid: str
    confirmation_url: str


class CreatedSubscription(msgspec.Struct, frozen=True, rename="camel"):
    """The payload of `documents.CREATE_SUBSCRIPTION`."""

    app_subscription: Identified
    confirmation_url: str


class CreatedPurchase(msgspec.Struct, frozen=True, rename="camel"):
    """The payload of `documents.CREATE_PURCHASE`."""

    app_purchase_one_time: Identified
    confirmation_url: str


async def billing_state(admin: AdminApi, shop: InstalledShop) -> BillingState:
    """What the shop has bought, and asked for lately."""
    data = await admin.graphql(
        shop.domain, shop.access_token, documents.BILLING, {}, max_wait=MAX_THROTTLE_WAIT
    )
    return readable(data, BillingAnswer).current_app_installation


async def create_subscription(
    admin: AdminApi,
    shop: InstalledShop,
    *,
    name: str,
    price: Money,
    interval: str,
    trial_days: int,
    return_url: str,
    is_test: bool,
) -> NewCharge:
    """Ask for a subscription, which replaces the shop's current one once it is approved."""
    pricing = {"price": as_input(price), "interval": interval}
    payload = await charge_merchant(
        admin,
        shop,
        documents.CREATE_SUBSCRIPTION,
        CreatedSubscription,
        name=name,
        lineItems=[{"plan": {"appRecurringPricingDetails": pricing}}],
        returnUrl=return_url,
        trialDays=trial_days,
        test=is_test,
    )
    return NewCharge(gid=payload.app_subscription.id, confirmation_url=payload.confirmation_url)


async def create_purchase(
    admin: AdminApi,
    shop: InstalledShop,
    *,
    name: str,
    price: Money,
    return_url: str,
    is_test: bool,
) -> NewCharge:
    """Ask for a payment, made once."""
    payload = await charge_merchant(
        admin,
        shop,
        documents.CREATE_PURCHASE,
        CreatedPurchase,
        name=name,
        price=as_input(price),
        returnUrl=return_url,
        test=is_test,
    )
    return NewCharge(
        gid=payload.app_purchase_one_time.id, confirmation_url=payload.confirmation_url
    )


async def charge_merchant(
    admin: AdminApi, shop: InstalledShop, document: str, kind: type[T], **variables: Any
) -> T:
    """The payload of a mutation for a merchant who waits: it does not wait for a throttle."""
    data = await admin.graphql(shop.domain, shop.access_token, document, variables)
    return payload_of(data, kind)


def as_input(price: Money) -> dict[str, str]:
    """The money as GraphQL takes it, exactly."""
    return {"amount": str(price.amount), "currencyCode": price.currency_code}
