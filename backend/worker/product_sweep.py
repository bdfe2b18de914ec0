"""Find products whose webhook never arrived: Shopify guarantees neither order nor delivery.

Each shop has a mark up to which its changes have been processed. The sweep queries the changes
since then, applies the shop's rules as the webhook would have done, and moves the mark page by
page. So nothing is processed twice for long, and an interrupted sweep can resume.
"""

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import msgspec
import structlog
from sqlalchemy import func, select, update

from backend import queue
from backend.db import Database
from backend.errors import DatabaseUnavailable, ShopifyUnavailable
from backend.rules.apply import apply_rules
from backend.shops.admin_api import AdminApi, ShopifyRefused
from backend.shops.models import Shop
from backend.shops.pagination import PageCursor
from backend.shops.scopes import covers
from backend.shops.service import ShopRef
from backend.shops.shopify_responses import ProductPage
from backend.shops.token_encryption import UnknownKey
from backend.shops.tokens import InstalledShop, NeedsReauth, installed_shop, with_fresh_token
from backend.worker.context import WorkerContext
from backend.worker.reconciliation_report import record

log = structlog.get_logger(__name__)

# Younger changes are left to their webhooks, and Shopify's search index lags behind.
WEBHOOK_GRACE = timedelta(minutes=15)
# Interruptions after which the next sweep continues.
TRANSIENT_ERRORS = (
    DatabaseUnavailable,
    ShopifyUnavailable,
    ShopifyRefused,
    NeedsReauth,
    UnknownKey,
)


async def enqueue_sweeps(database: Database) -> int:
    """Queue a sweep for each shop that can be queried; return how many there are."""
    shops = await askable_shops(database)
    async with database.transaction() as connection:
        await queue.enqueue(connection, *map(sweep, shops))
    return len(shops)


def sweep(ref: ShopRef) -> queue.Entry:
    """The queue entry for the shop's sweep, behind all other work; duplicates are dropped."""
    return queue.Entry(
        entrypoint=queue.SWEEP_PRODUCTS,
        dedupe_key=f"{queue.SWEEP_PRODUCTS}:{ref.shop_id}",
        payload=msgspec.json.encode(ref),
        number=queue.LAST,
    )


async def askable_shops(database: Database) -> list[ShopRef]:
    """The shops that have the app, a valid token, and have granted access to their products."""
    async with database.reading() as connection:
        found = await connection.execute(
            select(Shop.id, Shop.scopes).where(
                Shop.status == "installed", Shop.reauth_needed_at.is_(None)
            )
        )
    return [ShopRef(shop_id=row.id) for row in found if covers(row.scopes, "read_products")]


async def sweep_products(
    ref: ShopRef,
    context: WorkerContext,
    closed: frozenset[str],
    *,
    until: datetime | None = None,
) -> int:
    """Apply the shop's rules to the changes up to `until`; return how many products were missed.

    Ends early if Shopify is unavailable, if the rules have spent the day's credits, if the shop has
    reached a quota, or if this process is to stop. The next sweep continues.
    """
    missed = 0
    try:
        until = until or await quiet_until(context.database)
        async for shop, page in changes(ref, context, until):
            found, is_whole = await dealt_with(page, shop, context, closed)
            missed += found
            mark = mark_after(page, until) if is_whole else None
            await record_sweep(context.database, ref, found, mark)
            if not is_whole:
                break
    except TRANSIENT_ERRORS as error:
        log.warning("product_sweep_interrupted", shop_id=ref.shop_id, cause=repr(error)[:300])
    return missed


async def quiet_until(database: Database) -> datetime:
    """The time up to which a sweep looks now, by the database's clock, as for every mark."""
    async with database.reading() as connection:
        return (await connection.execute(select(func.now() - WEBHOOK_GRACE))).scalar_one()


async def dealt_with(
    page: ProductPage, shop: InstalledShop, context: WorkerContext, closed: frozenset[str]
) -> tuple[int, bool]:
    """How many products of the page were missed, and whether the whole page was processed."""
    missed = 0
    for product in page.nodes:
        if context.stopping.is_set():
            return missed, False
        applied = await apply_rules(
            context.database,
            shop.id,
            product,
            closed=closed,
            quotas=context.quotas,
            files=context.files,
            billing_refresh=context.billing_refresh,
            shop_domain=shop.domain,
        )
        if applied.is_capped:
            return missed, False
        if applied.is_over_cap:  # it exceeds the cap on every day: the sweep continues
            log.warning("product_over_cap", shop=shop.domain, product=product.gid)
        if applied.made:
            missed += 1
            log.warning("product_was_missed", shop=shop.domain, product=product.gid)
    return missed, True


async def changes(
    ref: ShopRef, context: WorkerContext, until: datetime
) -> AsyncIterator[tuple[InstalledShop, ProductPage]]:
    """Yield the pages of changes since the shop's mark; none if the shop cannot be queried."""
    async with context.database.reading(ref.shop_id) as connection:
        found = select(Shop.domain, Shop.products_swept_until).where(Shop.id == ref.shop_id)
        row = (await connection.execute(found)).one_or_none()
    if row is None or row.products_swept_until >= until:
        return
    shop = await installed_shop(context.database, context.admin, row.domain)
    cursor = PageCursor()
    while shop is not None:
        question = partial(
            changed_products,
            context.admin,
            since=row.products_swept_until,
            until=until,
            after=cursor.after,
        )
        page = await with_fresh_token(context.database, context.admin, shop, question)
        yield shop, page
        if not cursor.advance(page):
            return


async def changed_products(admin: AdminApi, shop: InstalledShop, **which: Any) -> ProductPage:
    """Query one page with the shop's current token."""
    return await admin.changed_products(shop.domain, shop.access_token, **which)


def mark_after(page: ProductPage, until: datetime) -> datetime | None:
    """The time up to which the shop's changes are processed after this page.

    None if the page does not tell: it is empty, and not the last one.
    """
    if not page.page_info.has_next_page:
        return until
    return page.nodes[-1].updated_at if page.nodes else None


async def record_sweep(
    database: Database, ref: ShopRef, missed: int, mark: datetime | None
) -> None:
    """Count the missed products and move the mark; never backwards, if two sweeps run at once."""
    async with database.transaction(ref.shop_id) as connection:
        await record(connection, "product_without_webhook", found=missed, repaired=missed)
        if mark is not None:
            await connection.execute(
                update(Shop)
                .where(Shop.id == ref.shop_id, Shop.products_swept_until < mark)
                .values(products_swept_until=mark)
            )
