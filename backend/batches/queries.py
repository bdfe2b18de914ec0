"""The reads of batches. Every one of them starts from the shop.

A missing batch and another shop's batch use the same index in the same way: one row with a null
`public_id`.
"""

from typing import Any

from sqlalchemy import (
    ColumnElement,
    FromClause,
    Select,
    Text,
    and_,
    case,
    cast,
    func,
    select,
    true,
)

from backend.batches.models import Batch, BatchItem
from backend.jobs.models import Job, JobEvent
from backend.jobs.queries import installed
from backend.jobs.states import JobStatus
from backend.shops.models import Shop

# The status of an item: that of its job, or failed without one.
ITEM_STATUS: ColumnElement[str] = case(
    (BatchItem.error.is_not(None), JobStatus.FAILURE.value),
    else_=func.coalesce(Job.status, JobStatus.NOT_STARTED.value),
)
JOB_OF_ITEM = and_(Job.shop_id == BatchItem.shop_id, Job.public_id == BatchItem.job_id)


def one(shop_domain: str, public_id: str) -> Select[Any]:
    """The batch with its counts."""
    batch = select(Batch).where(Batch.shop_id == Shop.id, Batch.public_id == public_id)
    return counted(shop_domain, batch.lateral("batch"))


def batch_page(shop_domain: str, *, before: str | None, limit: int) -> Select[Any]:
    """The shop's batches with their counts, newest first; one row of nulls if there are none."""
    batches = select(Batch).where(Batch.shop_id == Shop.id)
    if before is not None:
        batches = batches.where(Batch.public_id < before)
    newest = batches.order_by(Batch.public_id.desc()).limit(limit)
    return counted(shop_domain, newest.lateral("batch"))


def counted(shop_domain: str, batch: FromClause) -> Select[Any]:
    """The shop's batches that match, each with its items counted by status.

    A batch that has ended is not counted again: see `Batch.counts`.
    """
    of_items, of_jobs, of_others = counts(batch)
    return (
        select(batch, *sums(batch, of_items, of_jobs, of_others))
        .select_from(Shop)
        .outerjoin(batch, true())
        .outerjoin(of_items, true())
        .outerjoin(of_jobs, true())
        .outerjoin(of_others, true())
        .where(*installed(shop_domain))
        .order_by(batch.c.public_id.desc())
    )


def counts(batch: FromClause) -> tuple[FromClause, FromClause, FromClause]:
    """The batch's items, its jobs, and those of its jobs without a batch ID; none if it has ended.

    Reading ten thousand jobs by their batch takes a tenth of the time of looking up the job of each
    of ten thousand items. Only jobs of the previous version need the lookup.
    """
    is_open = batch.c.finished_at.is_(None)
    mine = (BatchItem.shop_id == batch.c.shop_id, BatchItem.batch_id == batch.c.public_id)
    has_failed, has_job = BatchItem.error.is_not(None), BatchItem.job_id.is_not(None)
    of_items = (
        select(
            func.count().label("total"),
            func.count().filter(has_failed).label("failed"),
            func.count().filter(has_job).label("jobs"),
        )
        .where(is_open, *mine)
        .lateral("of_items")
    )
    of_jobs = (
        by_status()
        .where(is_open, Job.shop_id == batch.c.shop_id, Job.batch_id == batch.c.public_id)
        .lateral("of_jobs")
    )
    of_others = (
        by_status()
        .join(BatchItem, JOB_OF_ITEM)
        .where(is_open, of_items.c.jobs != of_jobs.c.total, *mine, Job.batch_id.is_(None))
        .lateral("of_others")
    )
    return of_items, of_jobs, of_others


def by_status() -> Select[Any]:
    """How many jobs there are of each status, and when the last of them ended."""

    def having(status: JobStatus) -> ColumnElement[int]:
        return func.count().filter(Job.status == status.value)

    columns: Any = select(
        func.count().label("total"),
        having(JobStatus.IN_PROGRESS).label("in_progress"),
        having(JobStatus.SUCCESS).label("succeeded"),
        having(JobStatus.FAILURE).label("failed"),
        func.max(Job.finished_at).label("last_finished_at"),
    )
    counted: Select[Any] = columns.select_from(Job)
    return counted


def sums(
    batch: FromClause, of_items: FromClause, of_jobs: FromClause, of_others: FromClause
) -> list[ColumnElement[Any]]:
    """The `BatchCounts`, and the time of the end if it has ended."""
    in_progress, succeeded, failed = (
        of_jobs.c[name] + of_others.c[name] for name in ("in_progress", "succeeded", "failed")
    )
    failed += of_items.c.failed
    begun = in_progress + succeeded + failed
    ends = (batch.c.ended_at, of_jobs.c.last_finished_at, of_others.c.last_finished_at)
    return [
        of_items.c.total,
        (of_items.c.total - begun).label("not_started"),
        in_progress.label("in_progress"),
        succeeded.label("succeeded"),
        failed.label("failed"),
        func.greatest(*ends).label("end"),
    ]


def counted_by_worker(shop_id: int, public_id: str) -> Select[Any]:
    """The batch with its counts, whether or not its shop still has the app."""
    batch = select(Batch).where(Batch.shop_id == shop_id, Batch.public_id == public_id)
    found = batch.subquery("batch")
    of_items, of_jobs, of_others = counts(found)
    return (
        select(found.c.finished_at, *sums(found, of_items, of_jobs, of_others))
        .select_from(found)
        .join(of_items, true())
        .join(of_jobs, true())
        .join(of_others, true())
    )


def items(
    shop_domain: str, public_id: str, *, status: JobStatus | None, after: int, limit: int
) -> Select[Any]:
    """The batch's items after an ordinal; if there are none, one row with only the batch."""
    why = (
        select(JobEvent.extra["error"])
        .where(
            JobEvent.shop_id == Job.shop_id,
            JobEvent.job_id == Job.public_id,
            JobEvent.event_type == "failed",
        )
        .correlate(Job)
        .scalar_subquery()
    )
    found = (
        select(
            BatchItem.ordinal,
            BatchItem.product_id,
            Job.product_title,
            BatchItem.job_id,
            ITEM_STATUS.label("status"),
            cast(func.coalesce(BatchItem.error, why), Text).label("error"),
        )
        .outerjoin(Job, JOB_OF_ITEM)
        .where(
            BatchItem.shop_id == Batch.shop_id,
            BatchItem.batch_id == Batch.public_id,
            BatchItem.ordinal > after,
            true() if status is None else became(status),
        )
        .order_by(BatchItem.ordinal)
        .limit(limit)
        .correlate(Batch)
        .lateral("item")
    )
    statement: Select[Any] = select(Batch.public_id, *found.c).select_from(Shop)
    batch = and_(Batch.shop_id == Shop.id, Batch.public_id == public_id)
    return (
        statement.outerjoin(Batch, batch)
        .outerjoin(found, true())
        .where(*installed(shop_domain))
        .order_by(found.c.ordinal)
    )


def batch_to_change(shop_domain: str, public_id: str) -> Any:
    """The batch's key and state; nulls if the shop has no such batch."""
    owner = Shop.id.label("owner_id")
    columns = select(Batch.public_id, Batch.job_type, owner).select_from(Shop)
    batch = and_(Batch.shop_id == Shop.id, Batch.public_id == public_id)
    return columns.outerjoin(Batch, batch).where(*installed(shop_domain))


def locked(shop_id: int, public_id: str) -> Any:
    """The batch, locked until the transaction ends."""
    found = select(Batch.expansion, Batch.is_read, Batch.round).where(
        Batch.shop_id == shop_id, Batch.public_id == public_id
    )
    return found.with_for_update()


def failed_items(shop_id: int, public_id: str) -> Select[Any]:
    """The ordinals of the failed items, with or without a job."""
    return (
        select(BatchItem.ordinal)
        .outerjoin(Job, JOB_OF_ITEM)
        .where(
            BatchItem.shop_id == shop_id,
            BatchItem.batch_id == public_id,
            became(JobStatus.FAILURE),
        )
    )


def became(status: JobStatus) -> ColumnElement[bool]:
    """Whether the item has this status."""
    return ITEM_STATUS.in_([status])
