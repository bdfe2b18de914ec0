"""Credits by the clock: close lots whose time is over, end batches that nobody pays for."""

from datetime import timedelta

import structlog
from sqlalchemy import ColumnElement, func, select
from sqlalchemy.exc import DBAPIError

from backend.batches.leases import BatchRef, end
from backend.batches.models import Batch
from backend.batches.states import Expansion
from backend.credits.lots import expire_lots
from backend.credits.models import CreditAccount, CreditGrant
from backend.db import Database
from backend.failures.codes import CREDITS_NEEDED

log = structlog.get_logger(__name__)

MAX_CREDITS_WAIT = timedelta(days=30)


async def expire_credits(database: Database) -> int:
    """Close every lot that has expired, shop by shop; return how many credits were left in them.

    A shop whose account has less than its lots (`worker.ledger_sums` tells of it) keeps its own.
    """
    is_due = (CreditGrant.closed_at.is_(None), CreditGrant.expires_at <= func.now())
    async with database.reading() as connection:
        found = select(CreditGrant.shop_id).where(*is_due).distinct()
        shops = (await connection.scalars(found)).all()
    expired = 0
    for shop_id in shops:
        try:
            async with database.transaction(shop_id) as connection:
                expired += await expire_lots(connection, shop_id)
        except DBAPIError as error:
            log.error("credits_not_expired", shop_id=shop_id, cause=str(error.orig)[:300])
    if shops:
        log.info("credits_expired", shops=len(shops), credits=expired)
    return expired


def can_be_paid() -> ColumnElement[bool]:
    """Whether the shop has by now what the next job of its batch costs."""
    has = select(CreditAccount.available).where(CreditAccount.shop_id == Batch.shop_id)
    return func.coalesce(has.correlate(Batch).scalar_subquery(), 0) >= Batch.waiting_credits


async def end_unpaid_batches(database: Database) -> int:
    """End the batches that have waited too long for credits; their jobs go on. Return how many."""
    too_long = (
        Batch.expansion == Expansion.EXPANDING,
        Batch.waiting_since < func.now() - MAX_CREDITS_WAIT,
    )
    key = (Batch.shop_id, Batch.public_id, Batch.round)
    async with database.reading() as connection:
        rows = (await connection.execute(select(*key).where(*too_long))).mappings().all()
    ended = 0
    for ref in [BatchRef(**row) for row in rows]:
        async with database.transaction(ref.shop_id) as connection:
            mine = (Batch.shop_id == ref.shop_id, Batch.public_id == ref.public_id, *too_long)
            still = select(Batch.public_id).where(*mine).with_for_update()
            if await connection.scalar(still) is not None:
                await end(connection, ref, Expansion.FAILED, CREDITS_NEEDED)
                ended += 1
    return ended
