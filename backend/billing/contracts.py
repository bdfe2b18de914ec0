"""App Pricing: Shopify sells the plans on its own page, and the Partner API says what a shop has.

There is no request of ours to store: a contract names a plan by its handle, and the plans file says
how many credits that plan gives. Where the merchant comes back from says nothing.
"""

from datetime import timedelta

import msgspec
import structlog
from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.billing.grants import Paid, ShopPlan
from backend.billing.models import Subscription
from backend.billing.plans import Plan, PriceList
from backend.db import Database
from backend.shops.models import Shop
from backend.shops.partner_api import ContractState
from backend.shops.partner_responses import Contract

log = structlog.get_logger(__name__)

CHOOSING_TIME = timedelta(hours=2)  # after it, the hourly history tells of a choice
FROZEN = "FROZEN"


class ContractedShop(msgspec.Struct, frozen=True, kw_only=True):
    """An installed shop, as the Partner API knows it. Its own token is not needed."""

    id: int
    domain: str
    gid: str


async def contracted_shop(database: Database, domain: str) -> ContractedShop | None:
    """The shop, if it is installed and Shopify has told its id."""
    found = select(Shop.id, Shop.domain, Shop.shopify_gid.label("gid")).where(
        Shop.domain == domain, Shop.status == "installed", Shop.shopify_gid.is_not(None)
    )
    async with database.reading(domain) as connection:
        row = (await connection.execute(found)).one_or_none()
    return None if row is None else ContractedShop(**row._mapping)


def paid_contract(shop: ContractedShop, state: ContractState, prices: PriceList) -> Paid:
    """What the shop has paid for. A frozen contract, which is not paid, gives nothing."""
    if state.is_frozen:
        return Paid(ended_status=FROZEN)
    if state.contract is None:
        return Paid()
    plan = sold_plan(state.contract, prices)
    if plan is None:
        handles = [item.handle for item in state.contract.items]
        log.error("plan_unknown", shop=shop.domain, handles=handles)
    return Paid(plan=shop_plan(state.contract, plan))


def sold_plan(contract: Contract, prices: PriceList) -> Plan | None:
    """The plan of the file that the contract is for: its items are the plan and its meters."""
    plans = (prices.plan(item.handle) for item in contract.items if item.handle)
    return next((plan for plan in plans if plan is not None), None)


def shop_plan(contract: Contract, plan: Plan | None) -> ShopPlan:
    """The contract as a plan of the shop's; one that the file does not have gives no credits."""
    first = contract.items[0] if contract.items else None
    handle = plan.handle if plan else (first and first.handle) or "unknown"
    cycle = contract.current_billing_cycle
    return ShopPlan(
        charge_id=f"app_pricing:{handle}",
        handle=handle,
        name=plan.name if plan else (first and first.description) or handle,
        credits=plan.credits if plan else 0,
        interval=contract.billing_period,
        period_end=cycle.end_time if cycle else None,
        trial_ends_at=None if cycle else contract.trial_ends_at,
        trial_credits=plan.trial_credits if plan else 0,
    )


async def expect_choice(connection: AsyncConnection, shop_id: int) -> None:
    """Note that the merchant goes to Shopify's page: the shop is read soon, and on the return."""
    until = func.now() + CHOOSING_TIME
    await connection.execute(
        upsert(Subscription)
        .values(shop_id=shop_id, expected_until=until)
        .on_conflict_do_update(index_elements=["shop_id"], set_={"expected_until": until})
    )
