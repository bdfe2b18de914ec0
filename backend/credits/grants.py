"""How credits get into a shop's account: by `grant_credits`, once for what they come from."""

from datetime import datetime, timedelta
from typing import Literal

from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from backend import queue
from backend.credits.accounts import lock_account, post_entry
from backend.credits.models import CreditGrant
from backend.shops.service import ShopRef, resumption

GrantSource = Literal["plan", "pack", "trial", "manual"]
PACK_LIFETIME = timedelta(days=365)


async def grant_credits(
    connection: AsyncConnection,
    shop_id: int,
    *,
    source: GrantSource,
    ref: str,
    amount: int,
    expires_at: datetime | None,
) -> bool:
    """Add a lot of credits, and have what waits for credits go on; whether the lot is new.

    `ref` is the id of what the credits come from, at whoever made it: one lot comes of it, however
    often and by whomever this is called.
    """
    await lock_account(connection, shop_id)
    lot = (
        upsert(CreditGrant)
        .values(
            shop_id=shop_id,
            source=source,
            ref=ref,
            amount=amount,
            remaining=amount,
            expires_at=expires_at,
        )
        .on_conflict_do_nothing(index_elements=["shop_id", "source", "ref"])
        .returning(CreditGrant.id)
    )
    grant_id = await connection.scalar(lot)
    if grant_id is None:
        return False
    await post_entry(connection, shop_id, "grant", amount, grant_id)
    await queue.enqueue(connection, resumption(ShopRef(shop_id=shop_id)))
    return True


def plan_expiry(period_end: datetime, rollover_days: int) -> datetime:
    """Until when the credits of a plan's period can be spent (`ROLLOVER_DAYS`)."""
    return period_end + timedelta(days=rollover_days)
