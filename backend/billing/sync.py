"""Grant what a shop has bought: Shopify is read, and what is not granted yet is granted.

Everything that may mean a change ends here, and nothing else grants: a webhook, a merchant who
opens the app or comes back from Shopify's approval, a shop that is about to be refused, and a
worker's sweep. None of them says what was bought. It may run at any time, any number of times and
side by side: what was read before the state that is stored already is dropped.
"""

from datetime import datetime
from functools import partial
from typing import Any

import structlog
from sqlalchemy import Row, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.billing.charges import known_charges
from backend.billing.grants import Bought, grant_pack, grant_plan
from backend.billing.models import Subscription
from backend.billing.plans import PriceList
from backend.db import Database
from backend.shops.admin_api import AdminApi
from backend.shops.billing_api import BillingState, billing_state
from backend.shops.tokens import InstalledShop, installed_shop, with_fresh_token

log = structlog.get_logger(__name__)


async def sync_billing(
    database: Database,
    admin: AdminApi,
    prices: PriceList,
    shop_domain: str,
    *,
    min_seconds: float = 0.0,
) -> int:
    """Grant what the shop has bought and was not granted yet; how many lots are new.

    Does nothing if nothing is sold, the shop is not installed, or Shopify was asked less than
    `min_seconds` ago. Raises `NeedsReauth`, `UnknownKey`, `ShopifyRefused`, `ShopifyUnavailable`
    and `DatabaseUnavailable`; the next call then does what this one did not.
    """
    shop = await installed_shop(database, admin, shop_domain) if prices.is_sold else None
    if shop is None:
        return 0
    async with database.transaction(shop.domain) as connection:
        asked_at = await begin_read(connection, shop.id, min_seconds)
    if asked_at is None:
        return 0
    state = await with_fresh_token(database, admin, shop, partial(billing_state, admin))
    async with database.transaction(shop.domain) as connection:
        return await settle_billing(connection, shop, state, prices, asked_at)


async def begin_read(
    connection: AsyncConnection, shop_id: int, min_seconds: float
) -> datetime | None:
    """Note that Shopify is asked now, and return when; None if it was asked just before.

    In a transaction of its own: of two callers, one asks.
    """
    now = func.clock_timestamp()
    long_ago = now - func.make_interval(0, 0, 0, 0, 0, 0, min_seconds)
    asked = (
        upsert(Subscription)
        .values(shop_id=shop_id, asked_at=now)
        .on_conflict_do_update(
            index_elements=["shop_id"],
            set_={"asked_at": now},
            where=or_(Subscription.asked_at.is_(None), Subscription.asked_at <= long_ago),
        )
        .returning(Subscription.asked_at)
    )
    return await connection.scalar(asked)


async def settle_billing(
    connection: AsyncConnection,
    shop: InstalledShop,
    state: BillingState,
    prices: PriceList,
    asked_at: datetime,
) -> int:
    """Store what Shopify answered when it was asked at `asked_at`, and grant; the new lots."""
    stored = await locked_subscription(connection, shop.id)
    if stored.read_at is not None and stored.read_at > asked_at:
        return 0
    bought = await known_charges(connection, shop, state, prices)
    granted = 0
    for each in bought:
        if each.is_active_pack:
            granted += await grant_pack(connection, shop.id, each, stored.now)
    plan = current_plan(bought)
    if plan is not None:
        granted += await grant_plan(connection, shop.id, plan, prices, stored.now)
    await connection.execute(
        update(Subscription)
        .where(Subscription.shop_id == shop.id)
        .values(read_at=asked_at, **subscription_columns(plan, state, stored))
    )
    if granted:
        log.info("credits_granted", shop=shop.domain, lots=granted)
    return granted


async def locked_subscription(connection: AsyncConnection, shop_id: int) -> Row[Any]:
    """What is stored of the shop's subscription, locked, and the time."""
    found = (
        select(
            Subscription.charge_gid,
            Subscription.read_at,
            func.clock_timestamp().label("now"),
        )
        .where(Subscription.shop_id == shop_id)
        .with_for_update()
    )
    return (await connection.execute(found)).one()


def current_plan(bought: list[Bought]) -> Bought | None:
    """The shop's active subscription; of several, which Shopify does not allow, the newest."""
    active = [each for each in bought if each.is_active_plan]
    return max(active, key=lambda each: each.charge.created_at, default=None)


def subscription_columns(
    plan: Bought | None, state: BillingState, stored: Row[Any]
) -> dict[str, Any]:
    """The subscription as it is to be stored: the current one, or how the last one ended."""
    if plan is not None:
        return {
            "charge_gid": plan.charge.id,
            "handle": plan.purchase.handle,
            "name": plan.purchase.label,
            "status": plan.charge.status,
            "credits": plan.purchase.credits,
            "period_end": plan.period_end,
        }
    if stored.charge_gid is None:
        return {}
    ended = {each.id: each.status for each in state.all_subscriptions.nodes}
    return {"status": ended.get(stored.charge_gid, "CANCELLED")}
