"""The three topics the law asks for: what we hold of a customer, and erasure for real.

Of customers we hold nothing but the id on a job that one of them started from the storefront.
The shop is bound from the signed body; a body that names another shop than its header is ignored.
The topic is a header that nobody signed, so each body must also look like its own topic's: a
captured request for data must not erase.
"""

from sqlalchemy import delete

from backend.jobs.erasure import count_jobs, erase_jobs
from backend.shops.service import KnownShop, erase, known_shop
from webhooks.handlers.app import closed_if_gone
from webhooks.models import WebhookDelivery
from webhooks.outcome import Desk, Outcome, ignored, processed
from webhooks.payloads import CustomerRedactPayload, DataRequestPayload, Delivery, ShopRedactPayload


async def customer_data_requested(delivery: Delivery, desk: Desk) -> Outcome:
    """Say what we hold, for the merchant's answer to the customer."""
    body = delivery.read(DataRequestPayload)
    shop = await bound_shop(delivery, desk, body.shop_domain)
    if shop is None:
        return ignored("SHOP_MISMATCH")
    async with desk.database.reading(shop.id) as connection:
        held = await count_jobs(connection, shop.id, str(body.customer.id))
    return processed(f"HELD {held} jobs")


async def customer_redacted(delivery: Delivery, desk: Desk) -> Outcome:
    """Erase the jobs that this customer started, with their pictures."""
    body = delivery.read(CustomerRedactPayload)
    shop = await bound_shop(delivery, desk, body.shop_domain)
    if shop is None:
        return ignored("SHOP_MISMATCH")
    customer_id = str(body.customer.id)
    erased = await erase_jobs(desk.database, desk.store, shop.id, customer_id=customer_id)
    return processed(f"ERASED {erased} jobs")


async def shop_redacted(delivery: Delivery, desk: Desk) -> Outcome:
    """Erase everything of a shop that has left; one that came back keeps its work.

    An account that is still open is closed first if Shopify says that the shop is gone: the
    `app/uninstalled` that should have closed it can have been lost.
    """
    body = delivery.read(ShopRedactPayload)
    shop = await bound_shop(delivery, desk, body.shop_domain)
    if shop is None or body.customer is not None:
        return ignored("SHOP_MISMATCH")
    is_open = shop.status == "installed"
    if is_open and not await closed_if_gone(desk, shop, delivery.shop_domain):
        return ignored("REINSTALLED")
    erased = await erase_jobs(desk.database, desk.store, shop.id)
    async with desk.database.transaction(shop.id) as connection:
        await erase(connection, shop.id)
        await connection.execute(  # all but this one, which records that it was done
            delete(WebhookDelivery).where(
                WebhookDelivery.shop_domain == delivery.shop_domain,
                WebhookDelivery.webhook_id != delivery.webhook_id,
            )
        )
    return processed(f"ERASED {erased} jobs and the shop")


async def bound_shop(delivery: Delivery, desk: Desk, signed_domain: str) -> KnownShop | None:
    """The shop that the header and the signed body agree on."""
    if signed_domain != delivery.shop_domain:
        return None
    return await known_shop(desk.database, delivery.shop_domain)
