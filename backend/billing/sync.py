"""Grant what a shop has bought: Shopify is read, and what is not granted yet is granted.

Everything that may mean a change ends here, and nothing else grants: a webhook, a merchant who
opens the app or comes back from Shopify, a shop that is about to be refused, and a worker's sweep.
None of them says what was bought. It may run at any time, any number of times and side by side:
what was read before the state that is stored already is dropped.

Which API is read depends on who sells: the Admin API knows the charges that we asked for, and the
Partner API the contracts of App Pricing. What is granted for either follows the same rules.
"""

from datetime import datetime
from functools import partial
from typing import Any

import structlog
from sqlalchemy import Row, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.billing.charges import paid_charges
from backend.billing.contracts import ContractedShop, contracted_shop, paid_contract
from backend.billing.grants import Paid, grant_pack, grant_plan
from backend.billing.models import Subscription
from backend.billing.plans import PriceList
from backend.db import Database
from backend.shops.admin_api import AdminApi
from backend.shops.billing_api import BillingState, billing_state
from backend.shops.partner_api import WORKER_WAIT, ContractState, PartnerApi
from backend.shops.tokens import InstalledShop, installed_shop, with_fresh_token

log = structlog.get_logger(__name__)

ACTIVE = "ACTIVE"


async def sync_billing(
    database: Database,
    admin: AdminApi,
    prices: PriceList,
    shop_domain: str,
    *,
    partner: PartnerApi | None,
    min_seconds: float = 0.0,
    max_wait: float = WORKER_WAIT,
) -> int:
    """Grant what the shop has bought and was not granted yet; how many lots are new.

    Does nothing if nothing is sold, the shop is not installed, or Shopify was asked less than
    `min_seconds` ago. Waits at most `max_wait` seconds for the Partner API. Raises `NeedsReauth`,
    `UnknownKey`, `ShopifyRefused`, `ShopifyUnavailable` and `DatabaseUnavailable`; the next call
    then does what this one did not.
    """
    if not prices.is_sold:
        return 0
    shop = await asked_shop(database, admin, prices, shop_domain)
    if shop is None:
        return 0
    async with database.transaction(shop.domain) as connection:
        asked_at = await begin_read(connection, shop.id, min_seconds)
    if asked_at is None:
        return 0
    state: BillingState | ContractState
    if isinstance(shop, InstalledShop):
        state = await with_fresh_token(database, admin, shop, partial(billing_state, admin))
    else:
        assert partner is not None, "the settings were checked"
        state = await partner.contract(database, shop.gid, max_wait=max_wait)
    async with database.transaction(shop.domain) as connection:
        return await settle_billing(connection, shop, state, prices, asked_at)


async def asked_shop(
    database: Database, admin: AdminApi, prices: PriceList, shop_domain: str
) -> InstalledShop | ContractedShop | None:
    """The shop, as the API that is read for it knows it."""
    if prices.is_managed:
        return await contracted_shop(database, shop_domain)
    return await installed_shop(database, admin, shop_domain)


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
    shop: InstalledShop | ContractedShop,
    state: BillingState | ContractState,
    prices: PriceList,
    asked_at: datetime,
) -> int:
    """Store what Shopify answered when it was asked at `asked_at`, and grant; the new lots."""
    stored = await locked_subscription(connection, shop.id)
    if stored.read_at is not None and stored.read_at > asked_at:
        return 0
    paid = await paid_by(connection, shop, state, prices)
    granted = 0
    for pack in paid.packs:
        granted += await grant_pack(connection, shop.id, pack, stored.now)
    if paid.plan is not None:
        granted += await grant_plan(connection, shop.id, paid.plan, prices, stored.now)
    await connection.execute(
        update(Subscription)
        .where(Subscription.shop_id == shop.id)
        .values(read_at=asked_at, **subscription_columns(paid, stored))
    )
    if granted:
        log.info("credits_granted", shop=shop.domain, lots=granted)
    return granted


async def paid_by(
    connection: AsyncConnection,
    shop: InstalledShop | ContractedShop,
    state: BillingState | ContractState,
    prices: PriceList,
) -> Paid:
    """What the shop has paid for, by either API."""
    if isinstance(shop, InstalledShop) and isinstance(state, BillingState):
        return await paid_charges(connection, shop, state, prices)
    assert isinstance(shop, ContractedShop)
    assert isinstance(state, ContractState)
    return paid_contract(shop, state, prices)


async def locked_subscription(connection: AsyncConnection, shop_id: int) -> Row[Any]:
    """What is stored of the shop's subscription, locked, and the time."""
    found = (
        select(
            Subscription.charge_gid,
            Subscription.handle,
            Subscription.status,
            Subscription.read_at,
            func.clock_timestamp().label("now"),
        )
        .where(Subscription.shop_id == shop_id)
        .with_for_update()
    )
    return (await connection.execute(found)).one()


def subscription_columns(paid: Paid, stored: Row[Any]) -> dict[str, Any]:
    """The subscription as it is to be stored: the current one, or how the last one ended."""
    plan = paid.plan
    if plan is not None:
        changed = (plan.handle, ACTIVE) != (stored.handle, stored.status)
        return {
            "charge_gid": plan.charge_id,
            "handle": plan.handle,
            "name": plan.name,
            "status": ACTIVE,
            "credits": plan.credits,
            "period_end": plan.changes_at,
        } | ({"expected_until": None} if changed else {})
    if stored.charge_gid is None:
        return {}
    return {"status": paid.ended.get(stored.charge_gid, paid.ended_status)}
