"""Per-shop daily quotas (UTC), counted in the transaction of the work they limit."""

from datetime import date

from sqlalchemy import literal, select
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.jobs.models import DailyCount

RULE_CREDITS = "rule_credits"
STOREFRONT_JOBS = "storefront_jobs"
STOREFRONT_VISITOR = "storefront_visitor:"  # followed by the visitor's number: one visitor's jobs


async def is_within(
    connection: AsyncConnection, shop_id: int, day: date, what: str, *, amount: int, cap: int
) -> bool:
    """Count `amount` for the shop that day, unless the sum would exceed `cap`; return if counted.

    The row stays locked until the transaction ends, so that two requests cannot use the same
    remainder.
    """
    first = select(*(literal(value) for value in (shop_id, day, what, amount)))
    counted = (
        upsert(DailyCount)
        .from_select(
            ["shop_id", "day", "what", "amount"], first.where(literal(amount) <= literal(cap))
        )
        .on_conflict_do_update(
            index_elements=["shop_id", "day", "what"],
            set_={"amount": DailyCount.amount + amount},
            where=DailyCount.amount + amount <= cap,
        )
        .returning(DailyCount.amount)
    )
    return await connection.scalar(counted) is not None


async def amount_of(connection: AsyncConnection, shop_id: int, day: date, what: str) -> int:
    """How much the shop has used on that day."""
    found = select(DailyCount.amount).where(
        DailyCount.shop_id == shop_id, DailyCount.day == day, DailyCount.what == what
    )
    return await connection.scalar(found) or 0
