"""How much of something a shop may have in a day (UTC), counted with the work that it is for."""

from datetime import date

from sqlalchemy import literal, select
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.jobs.models import DailyCount

RULE_CREDITS = "rule_credits"
STOREFRONT_JOBS = "storefront_jobs"
STOREFRONT_VISITOR = "storefront_visitor:"  # and the visitor's number: one visitor's jobs


async def is_within(
    connection: AsyncConnection, shop_id: int, day: date, what: str, *, amount: int, cap: int
) -> bool:
    """Count `amount` against the shop's day, unless that would be more than `cap`.

    The row stays locked until the transaction ends, so that no two get in by the same gap.
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
    """How much the shop has had on that day."""
    found = select(DailyCount.amount).where(
        DailyCount.shop_id == shop_id, DailyCount.day == day, DailyCount.what == what
    )
    return await connection.scalar(found) or 0
