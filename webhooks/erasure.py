"""Erase a shop or a customer: record it in the bucket, then delete rows and objects in slices.

A shop's account is first set aside: it keeps its number, which identifies all its data, and gives
up its domain. So a merchant who reinstalls during the erasure gets a new account, which is not
touched.
"""

from datetime import datetime

from backend.db import Base, Database
from backend.jobs.erasure import erase_jobs
from backend.privacy.service import forget_requests
from backend.shops.service import KnownShop, erase, set_aside
from backend.slices import TimeSlice, delete_all
from backend.storage.erasures import ErasureNote, note_erasure
from webhooks.models import WebhookDelivery
from webhooks.outcome import HandlerContext

SEPARATOR = "#"  # no domain has it


async def erase_customer(
    context: HandlerContext, shop: KnownShop, note: ErasureNote, time_slice: TimeSlice
) -> None:
    """Erase the jobs that this customer started, with their images and requests.

    Raises `TimeSliceOver` and `StorageUnavailable`; the next call continues.
    """
    assert note.customer_id is not None
    await note_erasure(context.store, note)
    await erase_jobs(
        context.database,
        context.store,
        shop.id,
        customer_id=note.customer_id,
        time_slice=time_slice,
    )
    async with context.database.transaction(shop.id) as connection:
        await forget_requests(connection, shop.id, note.customer_id)


def name_aside(domain: str, webhook_id: str) -> str:
    """The name of the account that this delivery has set aside."""
    return f"{domain}{SEPARATOR}{webhook_id}"


async def begin_erasure(
    context: HandlerContext, shop: KnownShop, note: ErasureNote, name: str
) -> bool:
    """Set a closed account aside; False if it was opened again. Raises `StorageUnavailable`."""
    await note_erasure(context.store, note)
    async with context.database.transaction() as connection:
        return await set_aside(connection, shop, name)


async def erase_shop(
    context: HandlerContext,
    shop_id: int,
    *,
    domain: str,
    received_until: datetime,
    kept_id: str,
    time_slice: TimeSlice,
) -> None:
    """Erase all of an account that was set aside, and the shop's deliveries except one.

    Later deliveries belong to a later installation. Raises `TimeSliceOver` and
    `StorageUnavailable`.
    """
    await erase_jobs(context.database, context.store, shop_id, time_slice=time_slice)
    await delete_rows(context.database, shop_id, time_slice)
    await delete_all(
        context.database,
        domain,
        WebhookDelivery,
        WebhookDelivery.shop_domain == domain,
        WebhookDelivery.webhook_id != kept_id,
        WebhookDelivery.received_at <= received_until,
        time_slice=time_slice,
    )
    async with context.database.transaction(shop_id) as connection:
        await erase(connection, shop_id)


async def delete_rows(database: Database, shop_id: int, time_slice: TimeSlice) -> None:
    """Delete the shop's rows from every table; tables with foreign keys to them come first."""
    for table in reversed(Base.metadata.sorted_tables):
        if "shop_id" in table.c:
            mine = table.c.shop_id == shop_id
            await delete_all(database, shop_id, table, mine, time_slice=time_slice)
