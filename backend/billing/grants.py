"""The grants for a charge: once for a pack, once a month for a plan, once a shop for a trial."""

from collections.abc import Mapping, Sequence
from datetime import datetime

import msgspec
from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.billing.models import PlanPeriod
from backend.billing.periods import month_end, period_ref
from backend.billing.plans import PriceList
from backend.credits.grants import PACK_LIFETIME, grant_credits, plan_expiry
from backend.credits.trials import claim_trial
from backend.shops.models import Shop


class PaidPack(msgspec.Struct, frozen=True, kw_only=True):
    """A pack that is paid."""

    charge_id: str
    credits: int


class ShopPlan(msgspec.Struct, frozen=True, kw_only=True):
    """The plan that a shop has now, whichever of Shopify's APIs says it.

    `period_end` is when the merchant is charged again; None while there is no paid period.
    """

    charge_id: str
    handle: str
    name: str
    credits: int
    interval: str | None
    period_end: datetime | None
    trial_ends_at: datetime | None = None
    trial_credits: int = 0

    @property
    def changes_at(self) -> datetime | None:
        """When the period that runs now is over, or the trial."""
        return self.period_end or self.trial_ends_at


class Paid(msgspec.Struct, frozen=True, kw_only=True):
    """All that a shop has paid for, by one answer of Shopify's.

    `ended` has the status of subscriptions that are not active, by their id; `ended_status` is that
    of any other one.
    """

    packs: Sequence[PaidPack] = ()
    plan: ShopPlan | None = None
    ended: Mapping[str, str] = {}
    ended_status: str = "CANCELLED"


async def grant_pack(
    connection: AsyncConnection, shop_id: int, pack: PaidPack, now: datetime
) -> bool:
    """Grant a paid pack, once for its charge; whether that is new."""
    return await grant_credits(
        connection,
        shop_id,
        source="pack",
        ref=pack.charge_id,
        amount=pack.credits,
        expires_at=now + PACK_LIFETIME,
    )


async def grant_plan(
    connection: AsyncConnection, shop_id: int, plan: ShopPlan, prices: PriceList, now: datetime
) -> bool:
    """Grant the trial, or what is missing of the month that runs now; whether that is new.

    The shop's row in `subscriptions` is locked: nobody else grants months at the same time.
    """
    if plan.trial_ends_at is not None and now < plan.trial_ends_at:
        return await grant_trial(connection, shop_id, plan, plan.trial_ends_at)
    if plan.period_end is None or plan.period_end <= now:
        return False  # Shopify has not renewed it yet
    ends_at = month_end(plan.period_end, plan.interval, now)
    missing = plan.credits - await granted_in_running_months(connection, shop_id, now)
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
    connection: AsyncConnection, shop_id: int, plan: ShopPlan, ends_at: datetime
) -> bool:
    """Grant the credits of a trial, unless the shop has had one; whether that is new."""
    if not plan.trial_credits:
        return False
    gid = await connection.scalar(select(Shop.shopify_gid).where(Shop.id == shop_id))
    if gid is None or not await claim_trial(connection, gid):
        return False
    return await grant_credits(
        connection,
        shop_id,
        source="trial",
        ref=plan.charge_id,
        amount=plan.trial_credits,
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
