"""Close lots: nothing more is spent from them, and what remained is taken off the account.

A lot whose money went back in part stays open with the rest.
"""

from fractions import Fraction
from typing import Literal

from sqlalchemy import ColumnElement, and_, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.credits.accounts import locked_account, post_entry
from backend.credits.grants import GrantSource
from backend.credits.models import CreditEntry, CreditGrant


async def expire_lots(connection: AsyncConnection, shop_id: int) -> int:
    """Close the shop's lots whose time is over; return how many credits that were left."""
    return await close_lots(connection, shop_id, "expire", CreditGrant.expires_at <= func.now())


async def void_lot(
    connection: AsyncConnection, shop_id: int, *, source: GrantSource, ref: str
) -> int:
    """Close a lot whose money went back; return how many credits were left of it.

    What jobs gave back after its time is of it too. What is spent is spent, and no balance gets
    below 0. What jobs hold of it stays with them until their end: what they would give back is
    voided then, and no expiry makes a new lot of that.
    """
    of_source = (CreditGrant.shop_id == shop_id, CreditGrant.source == source)
    lot = await connection.scalar(select(CreditGrant.id).where(*of_source, CreditGrant.ref == ref))
    came_back = and_(is_released(), func.split_part(CreditGrant.ref, ":", 3) == str(lot))
    these = (*of_source, or_(CreditGrant.id == lot, came_back))
    voided = await close_lots(connection, shop_id, "void", *these)
    await connection.execute(update(CreditGrant).where(*these).values(expires_at=None))
    return voided


def is_released() -> ColumnElement[bool]:
    """Whether a job gave the lot's credits back after the lot that they were of had expired.

    The trigger `settle_credits` makes it; its `ref` names the job and that lot.
    """
    return CreditGrant.ref.startswith("released:")


async def void_share(
    connection: AsyncConnection, shop_id: int, *, source: GrantSource, ref: str, share: Fraction
) -> int:
    """Take that share of a lot, 0..1 and rounded down, as far as it is left; how many credits.

    What was voided of it before is a part of that, so doing it again changes nothing. The lot stays
    open.
    """
    await connection.execute(locked_account(shop_id))
    voided = (
        select(func.coalesce(-func.sum(CreditEntry.d_available), 0))
        .where(
            CreditEntry.shop_id == shop_id,
            CreditEntry.kind == "void",
            CreditEntry.grant_id == CreditGrant.id,
        )
        .scalar_subquery()
    )
    found = select(
        CreditGrant.id, CreditGrant.amount, CreditGrant.remaining, voided.label("voided")
    ).where(
        CreditGrant.shop_id == shop_id,
        CreditGrant.source == source,
        CreditGrant.ref == ref,
        CreditGrant.closed_at.is_(None),
    )
    lot = (await connection.execute(found)).one_or_none()
    part = min(int(lot.amount * share) - lot.voided, lot.remaining) if lot else 0
    if lot is None or part <= 0:
        return 0
    await connection.execute(
        update(CreditGrant)
        .where(CreditGrant.shop_id == shop_id, CreditGrant.id == lot.id)
        .values(remaining=CreditGrant.remaining - part)
    )
    await post_entry(connection, shop_id, "void", -part, lot.id)
    return part


async def close_lots(
    connection: AsyncConnection,
    shop_id: int,
    kind: Literal["expire", "void"],
    *which: ColumnElement[bool],
) -> int:
    """Close the open ones among them, with an entry for what remained of each; return the sum."""
    await connection.execute(locked_account(shop_id))
    chosen = (CreditGrant.shop_id == shop_id, CreditGrant.closed_at.is_(None), *which)
    found = await connection.execute(select(CreditGrant.id, CreditGrant.remaining).where(*chosen))
    total = 0
    for lot in found.all():
        await connection.execute(
            update(CreditGrant)
            .where(CreditGrant.shop_id == shop_id, CreditGrant.id == lot.id)
            .values(remaining=0, closed_at=func.now())
        )
        if lot.remaining:
            await post_entry(connection, shop_id, kind, -lot.remaining, lot.id)
        total += lot.remaining
    return total
