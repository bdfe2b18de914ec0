"""A product was created or changed: apply the shop's rules, once per image."""

from backend.jobs.asked_by import AskedBy
from backend.rules.apply import apply_rules
from backend.shops.tokens import installed_shop, with_fresh_token
from webhooks.outcome import HandlerContext, Outcome, ignored, processed
from webhooks.payloads import Delivery, ProductPayload


async def product_changed(delivery: Delivery, context: HandlerContext) -> Outcome:
    """Read the product as it is now, and create its jobs.

    The order of deliveries does not matter, because their content is not used: the last one reads
    the same product, and the same image creates the same jobs.
    """
    shop = await installed_shop(context.database, context.admin, delivery.shop_domain)
    if shop is None:
        return ignored("SHOP_NOT_INSTALLED")
    if not shop.has_granted("read_products"):
        return ignored("SCOPE_MISSING")
    gid = delivery.read(ProductPayload).gid
    product = await with_fresh_token(
        context.database,
        context.admin,
        shop,
        lambda shop: context.admin.product(shop.domain, shop.access_token, gid),
    )
    if product is None:
        return ignored("PRODUCT_NOT_FOUND")
    applied = await apply_rules(
        context.database,
        shop.id,
        product,
        closed=context.closed,
        quotas=context.quotas,
        files=context.admin.files,
        asked_by=AskedBy(kind="rule", topic=delivery.topic, webhook_id=delivery.webhook_id),
        billing_refresh=context.billing_refresh,
        shop_domain=shop.domain,
    )
    return processed(applied.note) if applied.made else ignored(applied.note)
