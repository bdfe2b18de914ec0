"""The app was removed, or its scopes changed. Shopify is asked to confirm it."""

from datetime import datetime

from backend.batches.service import stop_batch
from backend.db import Database
from backend.errors import ShopifyUnavailable, ShopInactive
from backend.failures.codes import SHOP_UNINSTALLED
from backend.jobs.completion import end_unfinished
from backend.jobs.models import Job
from backend.publications.service import stop_publications
from backend.shops.admin_api import ShopifyRefused
from backend.shops.response_status import UNINSTALLED_STATUSES
from backend.shops.service import KnownShop, known_shop, set_scopes, uninstall
from backend.shops.shopify_responses import Installation
from backend.shops.tokens import InstalledShop, NeedsReauth, installed_shop, with_fresh_token
from backend.slices import TimeSlice
from backend.webhook_endpoints.delivery_log import cancel_deliveries
from webhooks.outcome import HANDLER_SECONDS, HandlerContext, Outcome, ignored, processed
from webhooks.payloads import Delivery, ScopesPayload, ShopPayload, UnsettledDelivery


async def app_uninstalled(delivery: UnsettledDelivery, context: HandlerContext) -> Outcome:
    """Close the shop's account, if its token is really dead.

    The headers with topic and shop are not signed, and a delivery may be older than a reinstall. A
    removed app's token dies at once; while it works, the app is installed.
    """
    body = delivery.read(ShopPayload)
    shop = await header_shop(delivery, context, body.gid)
    if shop is None or body.myshopify_domain not in {None, delivery.shop_domain}:
        return ignored("SHOP_MISMATCH")
    time_slice = TimeSlice(HANDLER_SECONDS)
    if shop.uninstalled_at is not None:  # by an earlier run, or another delivery
        await end_work(context.database, shop.id, shop.uninstalled_at, time_slice)
        is_ours = delivery.done or time_slice.done
        return processed("UNINSTALLED") if is_ours else ignored("SHOP_NOT_INSTALLED")
    closed_at = await close_if_gone(context, shop, delivery.shop_domain)
    if closed_at is None:
        return ignored("STILL_INSTALLED")
    await end_work(context.database, shop.id, closed_at, time_slice)
    return processed("UNINSTALLED")


async def app_scopes_updated(delivery: Delivery, context: HandlerContext) -> Outcome:
    """Store the scopes that the shop grants now; the list in the body may be out of date."""
    if await header_shop(delivery, context, delivery.read(ScopesPayload).shop_id) is None:
        return ignored("SHOP_MISMATCH")
    shop = await installed_shop(context.database, context.admin, delivery.shop_domain)
    if shop is None:
        return ignored("SHOP_NOT_INSTALLED")
    installation = await installation_of(shop, context)
    async with context.database.transaction(shop.id) as connection:
        await set_scopes(connection, shop.id, installation.scopes)
    return processed("SCOPES_UPDATED")


async def header_shop(
    delivery: Delivery, context: HandlerContext, gid: str | None
) -> KnownShop | None:
    """The shop in the unsigned header, unless the signed body names another one."""
    shop = await known_shop(context.database, delivery.shop_domain)
    return shop if shop is not None and shop.is_named_by(gid) else None


async def close_if_gone(context: HandlerContext, shop: KnownShop, domain: str) -> datetime | None:
    """Close an open account whose token Shopify refuses; return when, or None if it is open.

    In its own transaction: from then on the API answers 401, and the shop's row is not locked while
    its jobs and publications are ended.
    """
    if await is_still_installed(context, domain):
        return None
    async with context.database.transaction(shop.id) as connection:
        return await uninstall(
            connection, shop
        )  # None: reinstalled while Shopify was being queried


async def end_work(
    database: Database, shop_id: int, closed_at: datetime, time_slice: TimeSlice
) -> None:
    """End, in slices, the work that the shop had in progress when it was closed.

    Later work belongs to another installation. Raises `TimeSliceOver`.
    """
    while await batch_stopped(database, shop_id, closed_at):  # first, because they create jobs
        time_slice.did(1)
    older = Job.created_at <= closed_at
    await end_unfinished(database, shop_id, SHOP_UNINSTALLED, older, time_slice=time_slice)
    while stopped := await publications_stopped(database, shop_id, closed_at):
        time_slice.did(stopped)
    while ended := await deliveries_ended(database, shop_id, closed_at):
        time_slice.did(ended)


async def batch_stopped(database: Database, shop_id: int, closed_at: datetime) -> bool:
    """End the expansion of one batch; return whether there was one."""
    async with database.transaction(shop_id) as connection:
        return await stop_batch(connection, shop_id, SHOP_UNINSTALLED, closed_at)


async def publications_stopped(database: Database, shop_id: int, closed_at: datetime) -> int:
    """End some of the publications; return how many."""
    async with database.transaction(shop_id) as connection:
        return await stop_publications(connection, shop_id, SHOP_UNINSTALLED, closed_at)


async def deliveries_ended(database: Database, shop_id: int, closed_at: datetime) -> int:
    """End some of the deliveries to the shop's webhook endpoints; return how many."""
    async with database.transaction(shop_id) as connection:
        return await cancel_deliveries(connection, shop_id, closed_at)


async def is_still_installed(context: HandlerContext, domain: str) -> bool:
    """Whether Shopify still accepts the shop's token.

    Only used after Shopify has announced that the shop leaves. At other times a frozen, locked or
    unknown shop means "not now"; here it confirms that the shop has left.
    """
    try:
        shop = await installed_shop(context.database, context.admin, domain)
        if shop is None:
            return False
        await installation_of(shop, context)
    except (NeedsReauth, ShopInactive):
        return False
    except (ShopifyRefused, ShopifyUnavailable) as error:
        if error.answered in UNINSTALLED_STATUSES:
            return False
        raise
    return True


async def installation_of(shop: InstalledShop, context: HandlerContext) -> Installation:
    """The shop's own data. Raises `NeedsReauth` if it refuses our token."""
    return await with_fresh_token(
        context.database,
        context.admin,
        shop,
        lambda shop: context.admin.installation(shop.domain, shop.access_token),
    )
