"""The grants for a charge: once for a pack, once a month for a plan, once a shop for a trial."""

from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import Row, func, select
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.billing.models import PlanPeriod
from backend.billing.periods import month_end, period_ref, trial_end
from backend.billing.plans import PriceList
from backend.credits.grants import PACK_LIFETIME, grant_credits, plan_expiry
from backend.credits.trials import claim_trial
from backend.shops.billing_api import AppSubscription, OneTimePurchase
from backend.shops.models import Shop


class Bought(msgspec.Struct, frozen=True, kw_only=True):
    """A charge as Shopify has it, and the row of the request that it came from."""

    charge: AppSubscription | OneTimePurchase
    purchase: Row[Any]

    @property
    def is_active_pack(self) -> bool:
        """Whether it is a pack that is paid."""
        return isinstance(self.charge, OneTimePurchase) and self.charge.status == "ACTIVE"

    @property
    def is_active_plan(self) -> bool:
        """Whether it is a subscription that gives credits."""
        return isinstance(self.charge, AppSubscription) and self.charge.status == "ACTIVE"

    @property
    def period_end(self) -> datetime | None:
        """When the merchant is charged again."""
        charge = self.charge
        return charge.current_period_end if isinstance(charge, AppSubscription) else None


async def grant_pack(
    connection: AsyncConnection, shop_id: int, bought: Bought, now: datetime
) -> bool:
    """Grant a paid pack, once for its charge; whether that is new."""
    return await grant_credits(
        connection,
        shop_id,
        source="pack",
        ref=bought.charge.id,
        amount=bought.purchase.credits,
        expires_at=now + PACK_LIFETIME,
    )


async def grant_plan(
    connection: AsyncConnection, shop_id: int, bought: Bought, prices: PriceList, now: datetime
) -> bool:
    """Grant the trial, or what is missing of the month that runs now; whether that is new.

    The shop's row in `subscriptions` is locked: nobody else grants months at the same time.
    """
    purchase = bought.purchase
    trial_ends_at = trial_end(bought.charge.created_at, purchase.trial_days)
    if now < trial_ends_at:
        return await grant_trial(connection, shop_id, bought, trial_ends_at)
    if bought.period_end is None or bought.period_end <= now:
        return False  # Shopify has not renewed it yet
    ends_at = month_end(bought.period_end, purchase.interval, now)
    missing = purchase.credits - await granted_in_running_months(connection, shop_id, now)
    if missing <= 0:
        return False
    total = await add_to_month(connection, shop_id, ends_at, missing)
    return await grant_credits(
        connection,
        shop_id,
        source="plan",
        ref=period_ref(ends_at, total),
        amount=missing,
        expires_at=plan_expiry(ends_at, prices.rollover_days),
    )


async def grant_trial(
    connection: AsyncConnection, shop_id: int, bought: Bought, ends_at: datetime
) -> bool:
    """Grant the credits of a trial, unless the shop has had one; whether that is new."""
    gid = await connection.scalar(select(Shop.shopify_gid).where(Shop.id == shop_id))
    if gid is None or not await claim_trial(connection, gid):
        return False
    return await grant_credits(
        connection,
        shop_id,
        source="trial",
        ref=bought.charge.id,
        amount=bought.purchase.trial_credits,
        expires_at=ends_at,
    )


async def granted_in_running_months(
    connection: AsyncConnection, shop_id: int, now: datetime
) -> int:
    """How many credits plans have granted the shop for months that are not over."""
    found = select(func.coalesce(func.sum(PlanPeriod.granted), 0)).where(
        PlanPeriod.shop_id == shop_id, PlanPeriod.ends_at > now
    )
    return int((await connection.execute(found)).scalar_one())


async def add_to_month(
    connection: AsyncConnection, shop_id: int, ends_at: datetime, amount: int
) -> int:
    """Count credits that are granted for a month; how many it has with them."""
    counted = (
        upsert(PlanPeriod)
        .values(shop_id=shop_id, ends_at=ends_at, granted=amount)
        .on_conflict_do_update(
            index_elements=["shop_id", "ends_at"],
            set_={"granted": PlanPeriod.granted + amount},
        )
        .returning(PlanPeriod.granted)
    )
    return int((await connection.execute(counted)).scalar_one())
