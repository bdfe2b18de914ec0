"""Store a batch's counts once the last of its jobs has ended, so that they are not counted again.

This is not done when a job ends, because most jobs are not the last one. Instead some batches are
checked every minute, the least recently checked first.
"""

import msgspec
from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.batches import queries
from backend.batches.leases import BatchRef, batch_key
from backend.batches.models import Batch
from backend.batches.service import counts_of
from backend.batches.states import Expansion
from backend.db import Database

LOOKED_AT = 50  # batches per run; one of ten thousand takes about ten milliseconds


async def settle_batches(database: Database) -> int:
    """Check the batches whose jobs are all created; return how many of them have ended since."""
    async with database.reading() as connection:
        due = await connection.execute(
            select(Batch.shop_id, Batch.public_id, Batch.round)
            .where(Batch.finished_at.is_(None), Batch.expansion != Expansion.EXPANDING)
            .order_by(Batch.counted_at.nulls_first())
            .limit(LOOKED_AT)
        )
        refs = [BatchRef(**row) for row in due.mappings()]
    settled = 0
    for ref in refs:
        async with database.transaction(ref.shop_id) as connection:
            settled += await settle_batch(connection, ref)
    return settled


async def settle_batch(connection: AsyncConnection, ref: BatchRef) -> bool:
    """Store the batch's counts; return whether they are final.

    The row is locked first, so a retry comes either before, and then nothing is stored, or after.
    """
    still = (*batch_key(ref), Batch.round == ref.round, Batch.expansion != Expansion.EXPANDING)
    held = select(Batch.public_id).where(*still).with_for_update(key_share=True)
    if await connection.scalar(held) is None:
        return False
    statement = queries.counted_by_worker(ref.shop_id, ref.public_id)
    row = (await connection.execute(statement)).mappings().one()
    counts = counts_of(row)
    is_final = not counts.unfinished
    await connection.execute(
        update(Batch)
        .where(*still)
        .values(
            counts=msgspec.structs.asdict(counts),
            counted_at=func.now(),
            finished_at=row["end"] if is_final else None,
        )
    )
    return is_final
