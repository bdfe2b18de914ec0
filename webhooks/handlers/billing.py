"""A subscription or a purchase has changed. What it is now is read from Shopify."""

from backend.billing.sync import sync_billing
from webhooks.handlers.app import header_shop
from webhooks.outcome import HandlerContext, Outcome, ignored, processed
from webhooks.payloads import Delivery, OneTimePurchasePayload, SubscriptionPayload


async def subscription_updated(delivery: Delivery, context: HandlerContext) -> Outcome:
    """Grant what the shop's plan gives now. Of a plan change, two deliveries come in any order."""
    gid = delivery.read(SubscriptionPayload).app_subscription.admin_graphql_api_shop_id
    return await billing_read(delivery, context, gid)


async def one_time_purchase_updated(delivery: Delivery, context: HandlerContext) -> Outcome:
    """Grant the packs that the shop has paid."""
    gid = delivery.read(OneTimePurchasePayload).app_purchase_one_time.admin_graphql_api_shop_id
    return await billing_read(delivery, context, gid)


async def billing_read(delivery: Delivery, context: HandlerContext, gid: str | None) -> Outcome:
    """Read from Shopify what the shop has bought, whatever the delivery says."""
    if not context.prices.is_sold:
        return ignored("BILLING_DISABLED")
    if await header_shop(delivery, context, gid) is None:
        return ignored("SHOP_MISMATCH")
    granted = await sync_billing(
        context.database,
        context.admin,
        context.prices,
        delivery.shop_domain,
        partner=context.partner,
    )
    return processed("CREDITS_GRANTED" if granted else "BILLING_READ")
