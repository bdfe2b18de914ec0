"""An existing batch: read it, retry its failed items, or cancel it."""

from datetime import datetime

import msgspec
from sqlalchemy import ARRAY, Integer, Text, any_, cast, func, select, update
from sqlalchemy.engine import RowMapping
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.batches import queries
from backend.batches.leases import (
    NOT_WAITING,
    BatchRef,
    batch_key,
    end,
    enqueue_expansion,
    items_of,
    require_room,
)
from backend.batches.models import Batch, BatchItem
from backend.batches.schemas import BatchResponse
from backend.batches.states import RUNNING, BatchCounts, Expansion, status_of
from backend.credits.accounts import require_credits
from backend.db import Database
from backend.errors import (
    BatchAlreadyFinished,
    BatchNotFound,
    BatchNothingToRetry,
    WorkflowDisabled,
)
from backend.failures.codes import CANCELLED
from backend.failures.registry import Failure
from backend.jobs.completion import fail_unfinished
from backend.jobs.ids import lookup_id
from backend.jobs.lookup import shop_row
from backend.jobs.models import Job
from backend.jobs.prices import price_of
from backend.jobs.states import JobStatus
from backend.settings import Quotas
from backend.workflows import WORKFLOWS, name_of
from backend.workflows.offer import WorkflowOffer

ITEMS_PER_CANCEL = 1000  # items whose jobs one transaction of a cancel ends


async def batch(connection: AsyncConnection, *, shop_domain: str, public_id: str) -> BatchResponse:
    """The shop's batch as it is now. Raises `ShopNotInstalled` or `BatchNotFound`."""
    statement = queries.one(shop_domain, lookup_id(public_id))
    return batch_response((await shop_row(connection, statement, missing=BatchNotFound))._mapping)


def batch_response(row: RowMapping) -> BatchResponse:
    """Convert a row of `queries.counted` to its API form."""
    counts = counts_of(row)
    status = status_of(Expansion(row["expansion"]), counts)
    facts = {
        **row,
        "workflow": name_of(row["job_type"]),
        "status": status,
        "counts": counts,
        "waiting_for": None if row["waiting_since"] is None else "credits",
        "finished_at": row["finished_at"] or (None if status in RUNNING else row["end"]),
    }
    return msgspec.convert(
        {name: facts[name] for name in BatchResponse.__struct_fields__}, BatchResponse
    )


def counts_of(row: RowMapping) -> BatchCounts:
    """The stored counts if it has ended, otherwise the current ones."""
    if row["finished_at"] is not None:
        return msgspec.convert(row["counts"], BatchCounts)
    return BatchCounts(**{name: row[name] for name in BatchCounts.__struct_fields__})


async def retry_batch(
    connection: AsyncConnection,
    *,
    shop_domain: str,
    public_id: str,
    offer: WorkflowOffer,
    quotas: Quotas,
) -> BatchResponse:
    """Have new jobs created for the failed items, and finish reading the collection.

    Of concurrent retries only one succeeds: the row is locked. Raises as `batch` does, and
    `BatchNothingToRetry`, `WorkflowDisabled`, `WorkflowWithoutEngine`, `TooManyOpenBatches`, or
    `InsufficientBalance` if the failed items cost more than the shop has.
    """
    ref, expansion, is_read = await held_row(connection, shop_domain, public_id, offer)
    reset = await reset_failed(connection, ref)
    if not reset and (is_read or expansion is Expansion.EXPANDING):
        raise BatchNothingToRetry
    if expansion is not Expansion.EXPANDING:
        await require_room(connection, ref.shop_id, quotas)
    if quotas.prepaid:
        await require_price(connection, ref, reset, quotas)
    again = msgspec.structs.replace(ref, round=ref.round + 1)
    await connection.execute(
        update(Batch)
        .where(*batch_key(ref))
        .values(
            expansion=Expansion.EXPANDING,
            round=again.round,
            attempt=Batch.attempt + 1,
            tries=0,
            outages=0,
            error=None,
            changed_at=func.now(),
            ended_at=None,
            finished_at=None,
            **NOT_WAITING,
        )
    )
    await enqueue_expansion(connection, again)
    return await batch(connection, shop_domain=shop_domain, public_id=public_id)


async def require_price(
    connection: AsyncConnection, ref: BatchRef, items: int, quotas: Quotas
) -> None:
    """Raise `InsufficientBalance` unless the shop can pay for so many of the batch's items."""
    job_type = await connection.scalar(select(Batch.job_type).where(*batch_key(ref)))
    each = price_of(WORKFLOWS[str(job_type)], quotas)
    await require_credits(connection, ref.shop_id, each * items)


async def reset_failed(connection: AsyncConnection, ref: BatchRef) -> int:
    """Reset the failed items to items without a job; return how many there were.

    Their old jobs no longer belong to the batch. The items are selected first, for the reason given
    at `cancel_slice`.
    """
    found = await connection.scalars(queries.failed_items(ref.shop_id, ref.public_id))
    failed = list(found)
    await connection.execute(
        update(BatchItem)
        .where(*items_of(ref), BatchItem.ordinal == any_(cast(failed, ARRAY(Integer))))
        .values(job_id=None, error=None)
    )
    await connection.execute(
        update(Job)
        .where(
            Job.shop_id == ref.shop_id,
            Job.batch_id == ref.public_id,
            Job.status == JobStatus.FAILURE,
        )
        .values(batch_id=None)
    )
    return len(failed)


async def cancel_batch(database: Database, *, shop_domain: str, public_id: str) -> BatchResponse:
    """End the expansion and every unfinished job: their workers are fenced.

    The expansion ends with the first slice of jobs. Each slice is a transaction of its own, so that
    no statement takes long and no worker waits long for a job's row. After an interruption, the
    next cancel ends the rest; a retry in between takes precedence. Raises as `batch` does, and
    `BatchAlreadyFinished`.
    """
    seen: BatchRef | None = None
    after: int | None = 0
    is_cancelled = False
    while after is not None:
        async with database.transaction(shop_domain) as connection:
            ref, expansion, _ = await held_row(connection, shop_domain, public_id)
            if seen not in {None, ref}:
                break
            ended, after = await cancel_slice(connection, ref, after)
            if ended or expansion is Expansion.EXPANDING:
                await end(connection, ref, Expansion.CANCELLED, CANCELLED)
                is_cancelled = True
            seen = ref
    if not is_cancelled:
        raise BatchAlreadyFinished
    async with database.reading(shop_domain) as connection:
        return await batch(connection, shop_domain=shop_domain, public_id=public_id)


async def cancel_slice(
    connection: AsyncConnection, ref: BatchRef, after: int
) -> tuple[int, int | None]:
    """End the jobs of the items after that ordinal; return how many, and where to continue.

    By their IDs rather than by a subquery: Postgres has no statistics yet on a new batch, and would
    compare every job with every item.
    """
    slice_ = (
        select(BatchItem.ordinal, BatchItem.job_id)
        .where(*items_of(ref), BatchItem.ordinal > after)
        .order_by(BatchItem.ordinal)
        .limit(ITEMS_PER_CANCEL)
    )
    rows = (await connection.execute(slice_)).all()
    jobs = cast([row.job_id for row in rows if row.job_id is not None], ARRAY(Text))
    ended = await fail_unfinished(connection, ref.shop_id, CANCELLED, Job.public_id == any_(jobs))
    return ended, rows[-1].ordinal if len(rows) == ITEMS_PER_CANCEL else None


async def held_row(
    connection: AsyncConnection,
    shop_domain: str,
    public_id: str,
    offer: WorkflowOffer | None = None,
) -> tuple[BatchRef, Expansion, bool]:
    """The batch, locked: its key, the state of its expansion, and whether it was read completely.

    With an `offer`, raises `WorkflowDisabled` or `WorkflowWithoutEngine` if its workflow is not
    offered.
    """
    row = await shop_row(
        connection,
        queries.batch_to_change(shop_domain, lookup_id(public_id)),
        missing=BatchNotFound,
    )
    if offer is not None:
        if row.job_type not in WORKFLOWS:
            raise WorkflowDisabled
        offer.require(WORKFLOWS[row.job_type])
    lease = (await connection.execute(queries.locked(row.owner_id, row.public_id))).one_or_none()
    if lease is None:
        raise BatchNotFound  # erased just now
    ref = BatchRef(shop_id=row.owner_id, public_id=row.public_id, round=lease.round)
    return ref, Expansion(lease.expansion), lease.is_read


async def stop_batch(
    connection: AsyncConnection, shop_id: int, failure: Failure, before: datetime
) -> bool:
    """End one expansion of a shop that has left us, requested until `before`; return if any.

    One at a time: a batch can have ten thousand products.
    """
    unfinished = (
        select(Batch.public_id, Batch.round)
        .where(
            Batch.shop_id == shop_id,
            Batch.expansion == Expansion.EXPANDING,
            Batch.created_at <= before,
        )
        .limit(1)
        .with_for_update()
    )
    row = (await connection.execute(unfinished)).one_or_none()
    if row is None:
        return False
    ref = BatchRef(shop_id=shop_id, public_id=row.public_id, round=row.round)
    await end(connection, ref, Expansion.FAILED, failure)
    return True
