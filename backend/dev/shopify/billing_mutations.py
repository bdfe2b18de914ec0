"""The Billing API: charges that a merchant is to approve, with what Shopify refuses.

The messages of a managed app and of the least price are Shopify's own; the others this side's.
"""

from decimal import Decimal, InvalidOperation
from urllib.parse import urlsplit

from backend.dev.shopify.charges import Charge, ChargeKind
from backend.dev.shopify.connections import Resolver
from backend.dev.shopify.graphql_context import Arguments, GraphQlContext, number_of
from backend.dev.shopify.refusals import Refusal
from backend.dev.shopify.views import View, purchase_view, subscription_view

LEAST_PRICE = Decimal("0.50")
MOST_TRIAL_DAYS = 1000


def billing_mutations(context: GraphQlContext) -> dict[str, Resolver]:
    """A resolver for each mutation of billing."""
    return {
        "appSubscriptionCreate": context.mutation(
            "appSubscriptionCreate",
            lambda arguments: _subscription(context, arguments),
            appSubscription=None,
            confirmationUrl=None,
        ),
        "appSubscriptionCancel": context.mutation(
            "appSubscriptionCancel",
            lambda arguments: _cancelled(context, arguments),
            appSubscription=None,
        ),
        "appPurchaseOneTimeCreate": context.mutation(
            "appPurchaseOneTimeCreate",
            lambda arguments: _purchase(context, arguments),
            appPurchaseOneTime=None,
            confirmationUrl=None,
        ),
    }


def _subscription(context: GraphQlContext, arguments: Arguments) -> View:
    _check_app(context)
    items = arguments["lineItems"]
    pricing = items[0]["plan"].get("appRecurringPricingDetails") if len(items) == 1 else None
    if pricing is None:
        raise Refusal("", ["lineItems"], "Stand-in: one recurring line item is what it plays")
    trial_days = arguments.get("trialDays") or 0
    if not 0 <= trial_days <= MOST_TRIAL_DAYS:
        raise Refusal("", ["trialDays"], "Trial days must be between 0 and 1000")
    charge = _charge(
        context,
        "AppSubscription",
        arguments,
        pricing["price"],
        ["lineItems", "0", "plan", "appRecurringPricingDetails", "price"],
    )
    charge.interval, charge.trial_days = pricing["interval"], trial_days
    return {
        "appSubscription": subscription_view(charge),
        "confirmationUrl": confirmation_url(context, charge),
    }


def _purchase(context: GraphQlContext, arguments: Arguments) -> View:
    _check_app(context)
    charge = _charge(context, "AppPurchaseOneTime", arguments, arguments["price"], ["price"])
    return {
        "appPurchaseOneTime": purchase_view(charge),
        "confirmationUrl": confirmation_url(context, charge),
    }


def _cancelled(context: GraphQlContext, arguments: Arguments) -> View:
    charge = context.shop.charges.find(number_of(arguments["id"], "AppSubscription"))
    if charge is None or charge is not context.shop.charges.active:
        raise Refusal("", ["id"], "Couldn't find RecurringApplicationCharge")
    context.charges_changed(context.shop.charges.end("CANCELLED", context.platform.now()))
    return {"appSubscription": subscription_view(charge)}


def _check_app(context: GraphQlContext) -> None:
    if context.platform.app_kind == "custom":
        raise Refusal("", None, "Apps without a public distribution cannot use the Billing API")
    if context.platform.has_app_pricing:
        raise Refusal(
            "", None, "Managed Pricing Apps cannot use the Billing API (to create charges)."
        )


def _charge(
    context: GraphQlContext,
    kind: ChargeKind,
    arguments: Arguments,
    price: Arguments,
    at: list[str],
) -> Charge:
    """A new charge, pending. Raises Refusal."""
    if not arguments["name"].strip():
        raise Refusal("", ["name"], "Name can't be blank")
    if urlsplit(arguments["returnUrl"]).scheme not in {"http", "https"}:
        raise Refusal("", ["returnUrl"], "Return url is invalid")
    platform, shop = context.platform, context.shop
    charge = Charge(
        number=next(platform.charge_numbers),
        kind=kind,
        name=arguments["name"],
        price=_checked_price(shop.billing_currency, price, at),
        currency=price["currencyCode"],
        test=bool(arguments.get("test")),
        return_url=arguments["returnUrl"],
        created_at=platform.now(),
        updated_at=platform.now(),
    )
    shop.charges.charges.append(charge)
    return charge


def _checked_price(billing_currency: str, price: Arguments, at: list[str]) -> Decimal:
    try:
        amount = Decimal(str(price["amount"]))
    except InvalidOperation as error:
        raise Refusal("", at, "Price is not a number") from error
    if amount < LEAST_PRICE:
        raise Refusal("", at, "Validation failed: Price must be greater than or equal to 0.5")
    if price["currencyCode"] not in {"USD", billing_currency}:
        raise Refusal("", at, f"Currency must be USD or the merchant's, {billing_currency}")
    return amount


def confirmation_url(context: GraphQlContext, charge: Charge) -> str:
    """Where the merchant decides: a page of the stand-in's admin."""
    store = context.shop.domain.partition(".")[0]
    return f"{context.platform.origin}/store/{store}/charges/{charge.number}"
