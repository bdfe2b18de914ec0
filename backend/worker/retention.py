"""Retention: delete files that are no longer available, and whole jobs if the operator wishes.

- A job's intermediates and originals are deleted some time after it ends. Its final images stay,
  and so do the thumbnails, which have some 30 kB.
- Uploads are deleted the same time after their last use, once no job, rule or running batch names
  them.
- Jobs are deleted with all their rows, if an operator has set a time. Published jobs are kept, and
  so are jobs of a batch that has not ended, and those of catalog entries that are not archived.

Everything is done in slices with short transactions. None is open while objects are deleted.
"""

from collections.abc import AsyncIterator
from datetime import datetime, timedelta

import msgspec
from sqlalchemy import Text, cast, delete, exists, func, select, tuple_
from sqlalchemy.dialects.postgresql import array
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.batches.models import Batch, BatchItem
from backend.batches.states import Expansion
from backend.db import Database
from backend.jobs.models import NAMES_UPLOADS, Job
from backend.jobs.service import JobRef
from backend.rules.models import ShopSettings
from backend.settings import Settings
from backend.uploads.models import Upload
from backend.worker.context import WorkerContext
from backend.worker.expiry import (
    DISPENSABLE,
    Extent,
    forget_files,
    forget_jobs,
    retract,
    unannounced_keys,
)
from backend.worker.maintenance import DoomedUploads, sweep_uploads
from backend.worker.reconciliation_report import FindingTally, Kind, record
from backend.workflows import UPLOAD_FIELDS
from backend.workflows.pictures import ORIGINAL_THUMBNAIL, THUMBNAIL

JOBS_PER_PASS = 500  # jobs
FEW_BATCHES = 20  # of up to 10,000 items each

INTERMEDIATE_ROLES, ALL_ROLES = ("intermediate",), ("intermediate", "final")
THUMBNAILS = (ORIGINAL_THUMBNAIL, THUMBNAIL)
INTERRUPTED_EXPIRY = Extent(files="EXPIRING", roles=INTERMEDIATE_ROLES, kept_kinds=THUMBNAILS)
EXPIRING_FILES = Extent(files="KEPT", roles=INTERMEDIATE_ROLES, kept_kinds=THUMBNAILS)
EXPIRED_JOBS = Extent(files="EXPIRED", roles=ALL_ROLES, only=DISPENSABLE)

Ending = tuple[datetime, int, str]  # when a job ended, its shop, its ID


class RetentionPeriods(msgspec.Struct, frozen=True, kw_only=True):
    """How long files and jobs are kept; None is for ever. Files never outlive their job."""

    files: timedelta | None
    jobs: timedelta | None

    @classmethod
    def of(cls, settings: Settings) -> "RetentionPeriods":
        """The terms in the settings, where 0 means for ever."""
        jobs = settings.retention_jobs_days
        files = settings.retention_intermediates_days
        first = min((days for days in (files, jobs) if days), default=0)
        return cls(
            files=timedelta(days=first) if first else None,
            jobs=timedelta(days=jobs) if jobs else None,
        )


async def expire(context: WorkerContext, terms: RetentionPeriods) -> dict[Kind, FindingTally]:
    """Delete everything that is due; return how many objects, uploads and jobs."""
    files = uploads = jobs = 0
    if terms.files is not None:
        for extent in (INTERRUPTED_EXPIRY, EXPIRING_FILES):
            files += await expire_files(context, terms.files, extent)
        uploads = await sweep_uploads(context.database, context.store, unnamed_uploads(terms.files))
    if terms.jobs is not None:
        jobs = await expire_jobs(context, terms.jobs)
        await forget_batches(context.database, terms.jobs)
    return {
        "expired_intermediate": FindingTally(found=files, repaired=files),
        "expired_upload": FindingTally(found=uploads, repaired=uploads),
        "expired_job": FindingTally(found=jobs, repaired=jobs),
    }


async def expire_files(context: WorkerContext, kept: timedelta, extent: Extent) -> int:
    """Delete the intermediate files of jobs that ended that long ago; return how many objects."""
    expired = 0
    async for jobs in ended_jobs(context, kept, extent):
        async with context.database.transaction() as connection:
            held = await retract(connection, jobs, extent)
            keys = await unannounced_keys(connection, held)
        await context.store.delete(keys)
        async with context.database.transaction() as connection:
            if await forget_files(connection, held):
                await count(connection, "expired_intermediate", len(keys))
                expired += len(keys)
    return expired


async def expire_jobs(context: WorkerContext, kept: timedelta) -> int:
    """Delete the jobs that ended that long ago; return how many."""
    expired = 0
    async for jobs in ended_jobs(context, kept, EXPIRED_JOBS):
        async with context.database.transaction() as connection:
            held = await retract(connection, jobs, EXPIRED_JOBS)
            keys = await unannounced_keys(connection, held)
        await context.store.delete(keys)
        async with context.database.transaction() as connection:
            gone = await forget_jobs(connection, held)
            await count(connection, "expired_job", gone)
        expired += gone
    return expired


async def ended_jobs(
    context: WorkerContext, kept: timedelta, extent: Extent
) -> AsyncIterator[list[JobRef]]:
    """Yield the jobs that ended that long ago, oldest first, until this process stops.

    Each pass visits a job once, so that jobs that are kept or locked are not visited repeatedly.
    """
    after: Ending | None = None
    while not context.stopping.is_set():
        async with context.database.reading() as connection:
            endings = await next_endings(connection, kept, extent, after)
        if endings:
            yield [JobRef(shop_id=shop_id, public_id=job_id) for _, shop_id, job_id in endings]
        if len(endings) < JOBS_PER_PASS:
            return
        after = endings[-1]


async def next_endings(
    connection: AsyncConnection, kept: timedelta, extent: Extent, after: Ending | None
) -> list[Ending]:
    """The next slice of them, after `after`."""
    ending = (Job.finished_at, Job.shop_id, Job.public_id)
    due = select(*ending).where(Job.files == extent.files, Job.finished_at < func.now() - kept)
    rest = due if after is None else due.where(tuple_(*ending) > after)
    rows = await connection.execute(rest.order_by(*ending).limit(JOBS_PER_PASS))
    return [(row.finished_at, row.shop_id, row.public_id) for row in rows]


def unnamed_uploads(kept: timedelta) -> DoomedUploads:
    """Uploads that have not been used for that long and that nothing names."""
    fields = array([Job.request[field].astext for field in UPLOAD_FIELDS])
    named = func.unnest(fields).column_valued("named", joins_implicitly=True)
    by_jobs = exists().where(Job.shop_id == Upload.shop_id, NAMES_UPLOADS, named == Upload.key)
    by_rules = exists().where(
        ShopSettings.shop_id == Upload.shop_id,
        func.strpos(cast(ShopSettings.rules, Text), Upload.upload_key) > 0,
    )
    by_batches = exists().where(
        Batch.shop_id == Upload.shop_id,
        Batch.expansion == Expansion.EXPANDING,
        Batch.parameters["background_upload_key"].astext == Upload.key,
    )
    unnamed = (~each for each in (by_jobs, by_rules, by_batches))
    return DoomedUploads(
        "expired_upload", (Upload.used_at < func.now() - kept, *unnamed), Upload.used_at
    )


async def forget_batches(database: Database, kept: timedelta) -> None:
    """Delete the batches that ended that long ago and have no jobs left."""
    has_jobs = exists().where(
        BatchItem.shop_id == Batch.shop_id,
        BatchItem.batch_id == Batch.public_id,
        BatchItem.job_id.is_not(None),
    )
    due = select(Batch.shop_id, Batch.public_id).where(
        Batch.ended_at < func.now() - kept, ~has_jobs
    )
    some = due.limit(FEW_BATCHES).with_for_update(skip_locked=True)
    gone = FEW_BATCHES
    while gone == FEW_BATCHES:
        async with database.transaction() as connection:
            deleted = await connection.execute(
                delete(Batch).where(tuple_(Batch.shop_id, Batch.public_id).in_(some))
            )
            gone = deleted.rowcount


async def count(connection: AsyncConnection, kind: Kind, number: int) -> None:
    """Count the deletions, in the transaction that makes them."""
    await record(connection, kind, found=number, repaired=number)
