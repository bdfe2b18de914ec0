"""The three topics the law asks for: what we hold of a customer, and erasure for real.

Of customers we hold nothing but the id on a job that one of them started from the storefront.
The shop is bound from the signed body; a body that names another shop than its header is ignored.
The topic is a header that nobody signed, so each body must also look like its own topic's: a
captured request for data must not erase.

None of them is ever given up (`topics.NEVER_GIVEN_UP`), and what there is much of is done in turns:
each goes on where the one before was.
"""

from backend.jobs.erasure import count_jobs
from backend.privacy.service import keep_request
from backend.shops.service import KnownShop, known_shop
from backend.slices import TimeSlice
from backend.storage.erasures import ErasureNote
from webhooks.erasure import begin_erasure, erase_customer, erase_shop, name_aside
from webhooks.handlers.app import close_if_gone
from webhooks.outcome import HANDLER_SECONDS, HandlerContext, Outcome, ignored, processed
from webhooks.payloads import (
    CustomerRedactPayload,
    DataRequestPayload,
    ShopRedactPayload,
    UnsettledDelivery,
)


async def customer_data_requested(delivery: UnsettledDelivery, context: HandlerContext) -> Outcome:
    """Keep the request for the merchant, who reads at `/v1/privacy/requests` what we hold."""
    body = delivery.read(DataRequestPayload)
    shop = await signed_shop(delivery, context, body.shop_domain)
    if shop is None:
        return ignored("SHOP_MISMATCH")
    customer_id = str(body.customer.id)
    async with context.database.transaction(shop.id) as connection:
        held = await count_jobs(connection, shop.id, customer_id)
        await keep_request(
            connection,
            shop.id,
            shopify_id=body.data_request.id,
            customer_id=customer_id,
            requested_at=delivery.received_at,
        )
    return processed(f"HELD {held} jobs")


async def customer_redacted(delivery: UnsettledDelivery, context: HandlerContext) -> Outcome:
    """Erase the jobs that this customer started, with their pictures."""
    body = delivery.read(CustomerRedactPayload)
    shop = await signed_shop(delivery, context, body.shop_domain)
    if shop is None:
        return ignored("SHOP_MISMATCH")
    time_slice = TimeSlice(HANDLER_SECONDS)
    note = ErasureNote(
        topic="customers/redact",
        webhook_id=delivery.webhook_id,
        shop_domain=delivery.shop_domain,
        shop_id=shop.id,
        customer_id=str(body.customer.id),
        requested_at=delivery.received_at,
    )
    await erase_customer(context, shop, note, time_slice)
    return processed(f"ERASED {delivery.done + time_slice.done} jobs")


async def shop_redacted(delivery: UnsettledDelivery, context: HandlerContext) -> Outcome:
    """Erase everything of a shop that has left; one that came back keeps its work.

    An account that is still open is closed first if Shopify says that the shop is gone: the
    `app/uninstalled` that should have closed it can have been lost.
    """
    body = delivery.read(ShopRedactPayload)
    if body.shop_domain != delivery.shop_domain or body.customer is not None:
        return ignored("SHOP_MISMATCH")
    time_slice = TimeSlice(HANDLER_SECONDS)
    aside = await known_shop(
        context.database, name_aside(delivery.shop_domain, delivery.webhook_id)
    )
    if aside is None:
        shop = await known_shop(context.database, delivery.shop_domain)
        if shop is None:
            return processed("NOTHING_HELD")
        aside = await set_aside_if_gone(delivery, context, shop)
        if aside is None:
            return ignored("REINSTALLED")
    await erase_shop(
        context,
        aside.id,
        domain=delivery.shop_domain,
        received_until=delivery.received_at,
        kept_id=delivery.webhook_id,
        time_slice=time_slice,
    )
    return processed(f"ERASED {delivery.done + time_slice.done} jobs and the shop")


async def set_aside_if_gone(
    delivery: UnsettledDelivery, context: HandlerContext, shop: KnownShop
) -> KnownShop | None:
    """Begin the erasure of this very installation; None when the shop is there."""
    is_open = shop.status == "installed"
    if is_open and await close_if_gone(context, shop, delivery.shop_domain) is None:
        return None
    note = ErasureNote(
        topic="shop/redact",
        webhook_id=delivery.webhook_id,
        shop_domain=delivery.shop_domain,
        shop_id=shop.id,
        requested_at=delivery.received_at,
    )
    name = name_aside(delivery.shop_domain, delivery.webhook_id)
    return shop if await begin_erasure(context, shop, note, name) else None


async def signed_shop(
    delivery: UnsettledDelivery, context: HandlerContext, signed_domain: str
) -> KnownShop | None:
    """The shop that the header and the signed body agree on."""
    if signed_domain != delivery.shop_domain:
        return None
    return await known_shop(context.database, delivery.shop_domain)
