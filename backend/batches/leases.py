"""The worker's writes on a batch: claim it, take in a page, make jobs, end the expansion.

Every write after the claim is fenced by the attempt, as a job's are (`backend.jobs.lifecycle`), and
locks the batch's row before any job's: so whoever cancels or retries at the same time does it
before or after, never in between.
"""

from typing import Any

import msgspec
from sqlalchemy import ARRAY, Integer, Text, cast, func, select, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from backend import queue
from backend.batches.failures import MAX_PRODUCTS, ExpansionFailed
from backend.batches.models import Batch, BatchItem
from backend.batches.states import Expansion
from backend.credits.accounts import count_affordable, require_credits
from backend.errors import InsufficientBalance, TooManyOpenBatches
from backend.failures.codes import BATCH_TOO_LARGE, NO_IMAGE
from backend.failures.registry import Failure
from backend.jobs.asked_by import AskedBy
from backend.jobs.prices import price_of
from backend.jobs.queries import unfinished_count
from backend.jobs.service import request_jobs
from backend.leased_task import Fenced
from backend.settings import Quotas
from backend.shops.collection_responses import CollectionPage
from backend.shops.models import Shop
from backend.workflows import WORKFLOWS

PAGE = 200  # items whose jobs are made in one transaction
NOT_WAITING: dict[str, Any] = {"waiting_credits": None, "waiting_since": None}


class BatchRef(msgspec.Struct, frozen=True, kw_only=True):
    """A batch's key and its round, as the queue carries them."""

    shop_id: int
    public_id: str
    round: int


class BatchLease(msgspec.Struct, frozen=True, kw_only=True):
    """The right to write on a batch, for as long as nobody overtakes.

    `user_id` is the member of staff who created it, if it was one.
    """

    ref: BatchRef
    attempt: int
    tries: int
    outages: int
    job_type: str
    parameters: dict[str, Any]
    collection_id: str | None
    cursor: str | None
    is_read: bool
    shop_domain: str
    user_id: str | None


async def lease_batch(connection: AsyncConnection, ref: BatchRef) -> BatchLease | None:
    """Take the batch; None when there is nothing to expand any more, or in another round."""
    domain = select(Shop.domain).where(Shop.id == ref.shop_id).scalar_subquery()
    taken = (
        update(Batch)
        .where(*batch_key(ref), Batch.round == ref.round, Batch.expansion == Expansion.EXPANDING)
        .values(attempt=Batch.attempt + 1, tries=Batch.tries + 1, changed_at=func.now())
        .returning(
            Batch.attempt,
            Batch.tries,
            Batch.outages,
            Batch.job_type,
            Batch.parameters,
            Batch.collection_id,
            Batch.cursor,
            Batch.is_read,
            Batch.asked_by["user_id"].astext.label("user_id"),
            domain.label("shop_domain"),
        )
    )
    row = (await connection.execute(taken)).mappings().one_or_none()
    return None if row is None else BatchLease(ref=ref, **row)


async def note_batch(connection: AsyncConnection, lease: BatchLease, **changes: Any) -> None:
    """Record progress of the batch: the counts start again. Its row stays locked."""
    noted = await connection.execute(
        update(Batch)
        .where(*leased_batch(lease))
        .values(tries=0, outages=0, changed_at=func.now(), **NOT_WAITING | changes)
    )
    if noted.rowcount == 0:
        raise Fenced(lease.ref.public_id)


async def return_batch_attempt(
    connection: AsyncConnection, lease: BatchLease, *, outages: int = 0
) -> int:
    """Do not count the claim as a try: what stopped it was no fault of the batch's.

    Returns the outages in a row, these included. Progress since the claim has reset both counts.
    """
    counted = await connection.scalar(
        update(Batch)
        .where(*leased_batch(lease))
        .values(tries=func.greatest(Batch.tries - 1, 0), outages=Batch.outages + outages)
        .returning(Batch.outages)
    )
    if counted is None:
        raise Fenced(lease.ref.public_id)
    return int(counted)


async def take_in(
    connection: AsyncConnection, lease: BatchLease, page: CollectionPage, quotas: Quotas
) -> BatchLease:
    """Store a page of the collection: its items with their jobs, and where the next page is.

    Raises `ExpansionFailed` when they become too many, and `InsufficientBalance`.
    """
    reached: dict[str, Any] = {"cursor": page.next_cursor, "is_read": page.next_cursor is None}
    await note_batch(connection, lease, **reached)
    await add_items(connection, lease.ref, page)
    await make_jobs(connection, lease, quotas)
    return msgspec.structs.replace(lease, tries=1, outages=0, **reached)


async def add_items(connection: AsyncConnection, ref: BatchRef, page: CollectionPage) -> None:
    """A row for each product that has none: one that was moved in the collection comes twice."""
    last = select(func.coalesce(func.max(BatchItem.ordinal), 0)).where(*items_of(ref))
    before = int(await connection.scalar(last) or 0)
    products = page.products.nodes
    if before + len(products) > MAX_PRODUCTS:
        raise ExpansionFailed(BATCH_TOO_LARGE)
    rows = [
        {
            "shop_id": ref.shop_id,
            "batch_id": ref.public_id,
            "ordinal": ordinal,
            "product_id": product.gid,
            "error": None if product.can_have_image else msgspec.structs.asdict(NO_IMAGE),
        }
        for ordinal, product in enumerate(products, before + 1)
    ]
    if rows:
        unique = ["shop_id", "batch_id", "product_id"]
        statement = upsert(BatchItem).on_conflict_do_nothing(index_elements=unique)
        await connection.execute(statement, rows)


async def make_jobs(connection: AsyncConnection, lease: BatchLease, quotas: Quotas) -> bool:
    """Make the jobs of a page of the items that have none yet; whether more may be left.

    Makes as many as the shop can pay. Raises `InsufficientBalance` if it cannot pay the first.
    """
    query = select(BatchItem.ordinal, BatchItem.product_id).where(*pending_items(lease.ref))
    pending = (await connection.execute(query.order_by(BatchItem.ordinal).limit(PAGE))).all()
    workflow = WORKFLOWS[lease.job_type]
    number = len(pending)
    if quotas.prepaid:
        prices = [price_of(workflow, quotas)] * number
        number = await count_affordable(connection, lease.ref.shop_id, prices)
    paid = pending[:number]
    refs = await request_jobs(
        connection,
        workflow,
        shop_id=lease.ref.shop_id,
        requests=[{**lease.parameters, "product_id": row.product_id} for row in paid],
        origin="api",
        batch_id=lease.ref.public_id,
        asked_by=AskedBy(kind="batch", batch_id=lease.ref.public_id, user_id=lease.user_id),
        quotas=quotas,
    )
    ordinals = cast([row.ordinal for row in paid], ARRAY(Integer))
    jobs = cast([ref.public_id for ref in refs], ARRAY(Text))
    made = func.unnest(ordinals, jobs).table_valued("ordinal", "job_id").render_derived()
    await connection.execute(
        update(BatchItem)
        .where(*items_of(lease.ref), BatchItem.ordinal == made.c.ordinal)
        .values(job_id=made.c.job_id)
    )
    return len(pending) == PAGE or len(paid) < len(pending)


async def wait_for_credits(connection: AsyncConnection, lease: BatchLease, required: int) -> bool:
    """Let the batch wait, off the queue, for so many credits; False if the shop has them by now.

    What adds credits takes the account too: either it is seen here, or it sees the batch waiting.
    """
    since = func.coalesce(Batch.waiting_since, func.now())
    await note_batch(connection, lease, waiting_credits=required, waiting_since=since)
    try:
        await require_credits(connection, lease.ref.shop_id, required)
    except InsufficientBalance:
        return True
    return False


async def end(
    connection: AsyncConnection,
    ref: BatchRef,
    expansion: Expansion,
    failure: Failure | None = None,
) -> None:
    """End the expansion of a batch whose row is locked, and with it the items without a job."""
    error = failure and msgspec.structs.asdict(failure)
    has_failed = expansion is Expansion.FAILED
    await connection.execute(
        update(Batch)
        .where(*batch_key(ref))
        .values(
            expansion=expansion,
            attempt=Batch.attempt + 1,
            tries=0,
            outages=0,
            error=error if has_failed else None,
            changed_at=func.now(),
            ended_at=func.now(),
            finished_at=None,
            **NOT_WAITING,
        )
    )
    if error:
        await connection.execute(update(BatchItem).where(*pending_items(ref)).values(error=error))


async def require_room(connection: AsyncConnection, shop_id: int, quotas: Quotas) -> None:
    """Raise `TooManyOpenBatches` unless the shop may have one more that is being expanded."""
    found = await connection.scalar(
        select(func.count())
        .select_from(Batch)
        .where(Batch.shop_id == shop_id, Batch.expansion == Expansion.EXPANDING)
    )
    if not quotas.has_room_for_batches(int(found or 0) + 1):
        raise TooManyOpenBatches


async def is_full(connection: AsyncConnection, shop_id: int, quotas: Quotas) -> bool:
    """Whether a batch of the shop has to wait until some jobs have ended, or some objects gone."""
    stored = await connection.scalar(select(Shop.stored_bytes).where(Shop.id == shop_id))
    if not quotas.has_room_left(stored or 0):
        return True
    unfinished = await connection.scalar(unfinished_count(shop_id))
    return int(unfinished or 0) >= quotas.jobs_of_batches


async def enqueue_expansion(connection: AsyncConnection, ref: BatchRef) -> None:
    """Have a worker go; of each round once, behind the shop's other batches."""
    expanding = Batch.shop_id == ref.shop_id, Batch.expansion == Expansion.EXPANDING
    number = await connection.scalar(select(func.count()).select_from(Batch).where(*expanding))
    entry = queue.Entry(
        entrypoint=queue.EXPAND_BATCH,
        dedupe_key=f"{queue.EXPAND_BATCH}:{ref.shop_id}:{ref.public_id}:{ref.round}",
        payload=msgspec.json.encode(ref),
        number=number or 1,
    )
    await queue.enqueue(connection, entry)


def batch_key(ref: BatchRef) -> tuple[Any, ...]:
    """The batch."""
    return Batch.shop_id == ref.shop_id, Batch.public_id == ref.public_id


def leased_batch(lease: BatchLease) -> tuple[Any, ...]:
    """The batch, while nobody has overtaken."""
    return (
        *batch_key(lease.ref),
        Batch.attempt == lease.attempt,
        Batch.expansion == Expansion.EXPANDING,
    )


def items_of(ref: BatchRef) -> tuple[Any, ...]:
    """The items of the batch."""
    return BatchItem.shop_id == ref.shop_id, BatchItem.batch_id == ref.public_id


def pending_items(ref: BatchRef) -> tuple[Any, ...]:
    """Those whose job is still to be made."""
    return *items_of(ref), BatchItem.job_id.is_(None), BatchItem.error.is_(None)
