"""The three compliance topics: what we store about a customer, and erasure.

The only customer data we store is the ID on jobs that a customer started from the storefront. The
shop is taken from the signed body; a body that names another shop than its header is ignored. The
topic is in an unsigned header, so each body must also have the form of its own topic: a replayed
data request must not erase.

They are retried until they succeed (`topics.NEVER_GIVEN_UP`). Large erasures are done in several
runs, each of which continues where the previous one stopped.
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
    """Store the request; the merchant reads the data at `/v1/privacy/requests`."""
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
    """Erase the jobs that this customer started, with their images."""
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
    """Erase everything of a shop that has left. A shop that reinstalled keeps its work.

    If the account is still open, it is closed first if Shopify confirms that the shop has left: its
    `app/uninstalled` may have been lost.
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
    """Start the erasure of this installation; None if the shop has the app."""
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
    """The shop on which the header and the signed body agree."""
    if signed_domain != delivery.shop_domain:
        return None
    return await known_shop(context.database, delivery.shop_domain)
