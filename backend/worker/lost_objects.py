"""Repair rows whose object is lost, as far as possible.

- An unfinished job repeats the stage, and those after it.
- A finished job's files are rendered again from its remaining files (`worker.rerender`).
- An unused upload is deleted: its owner is told that there is no such upload.

A file that is lost for good is logged as an error with job and file name, but no key. It is counted
by every sweep as long as callers can request it. A file that only we would miss (an upload that its
jobs have used, a finished job's original) is counted once and then forgotten.
"""

from collections.abc import Mapping
from itertools import groupby
from typing import Any

import structlog
from sqlalchemy import and_, delete, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.jobs.models import Artifact, Job, JobStage
from backend.jobs.reopen import reopen
from backend.jobs.service import JobRef
from backend.jobs.states import UNFINISHED
from backend.shops.models import Shop
from backend.uploads.models import Upload
from backend.worker.context import WorkerContext
from backend.worker.named_keys import NamedKey
from backend.worker.reconciliation_report import FindingTally, record
from backend.worker.rerender import remade
from backend.workflows import WORKFLOWS

log = structlog.get_logger(__name__)


async def repair_lost(rows: list[NamedKey], total: int, context: WorkerContext) -> FindingTally:
    """Repair what can be repaired; `rows` are the remembered ones of `total`."""
    tally = FindingTally(found=total - len(rows))
    for owner, group in groupby(sorted(rows, key=object_owner), key=object_owner):
        if context.stopping.is_set():
            break
        lost = [row for row in group if await is_lost(row, context)]
        if lost:
            repaired = await repair(owner, lost, context)
            tally.add(found=len(lost), repaired=repaired)
    async with context.database.transaction() as connection:
        await record(connection, "row_without_object", found=tally.found, repaired=tally.repaired)
    return tally


def object_owner(row: NamedKey) -> tuple[int, str]:
    """The owner of the object: a shop's job or upload."""
    return row.shop_id, row.owner


async def is_lost(row: NamedKey, context: WorkerContext) -> bool:
    """Whether the object is still lost now: erasures and other sweeps delete it before its row.

    A shop that has left is about to be erased, and nobody can request its images.
    """
    if await context.store.age(row.key) is not None:
        return False
    async with context.database.reading(row.shop_id) as connection:
        return await is_named(connection, row)


async def is_named(connection: AsyncConnection, row: NamedKey) -> bool:
    """Whether the row exists, still names the key, and its shop has the app."""
    installed = select(Shop.id).where(Shop.id == row.shop_id, Shop.status == "installed")
    if row.kind == "upload":
        naming = installed.join(Upload, Upload.shop_id == Shop.id).where(
            Upload.upload_key == row.owner, Upload.expired_at.is_(None)
        )
    else:
        naming = (
            installed.join(JobStage, JobStage.shop_id == Shop.id)
            .join(Job, and_(Job.shop_id == Shop.id, Job.public_id == JobStage.job_id))
            .outerjoin(Artifact, same_stage())
            .where(
                JobStage.job_id == row.owner,
                JobStage.stage == row.stage,
                or_(
                    Artifact.key == row.key,
                    and_(JobStage.files[row.name].astext == row.key, Job.files == "KEPT"),
                ),
            )
        )
    return await connection.scalar(naming.limit(1)) is not None


def same_stage() -> Any:
    """Join a stage's artifacts to its checkpoint."""
    return (
        (Artifact.shop_id == JobStage.shop_id)
        & (Artifact.job_id == JobStage.job_id)
        & (Artifact.stage == JobStage.stage)
    )


async def repair(owner: tuple[int, str], lost: list[NamedKey], context: WorkerContext) -> int:
    """Repair the lost files of one upload or job; return how many were repaired."""
    if lost[0].kind == "upload":
        return await forget_upload(lost[0], context)
    ref = JobRef(shop_id=owner[0], public_id=owner[1])
    async with context.database.transaction(ref.shop_id) as connection:
        job = await job_of(connection, ref)
        if job is None:
            return len(lost)  # erased just now
        if job.status in UNFINISHED and await reopen(
            connection, ref, stages_from(job.job_type, lost)
        ):
            return len(lost)
    return await repair_finished(ref, lost, context)


async def job_of(connection: AsyncConnection, ref: JobRef) -> Any:
    """The job's type and status; None if the job no longer exists."""
    found = select(Job.job_type, Job.status).where(
        Job.shop_id == ref.shop_id, Job.public_id == ref.public_id
    )
    return (await connection.execute(found)).one_or_none()


def stages_from(job_type: str, lost: list[NamedKey]) -> set[str]:
    """The first stage that lost a file, and all after it.

    The original may have changed, and all images of a job must be of the same one. Stages that are
    no longer part of the workflow are included, and so are all stages of a retired workflow.
    """
    workflow = WORKFLOWS.get(job_type)
    names: list[str] = [stage.name for stage in workflow.stages] if workflow else []
    bereft = {row.stage for row in lost}
    first = min((names.index(name) for name in bereft if name in names), default=len(names))
    return bereft.union(names[first:])


async def repair_finished(ref: JobRef, lost: list[NamedKey], context: WorkerContext) -> int:
    """Render the files again; log those that could not be restored."""
    made = await remade(ref, lost, context)
    for row in lost:
        async with context.database.transaction(ref.shop_id) as connection:
            if row.key in made:
                still = await is_named(connection, row)
            else:
                still = True
                log.error("object_lost", **about(row))
                if row.kind == "file":
                    await forget_file(connection, row)
        if not still:  # the job was erased while its files were being rendered
            await context.store.delete([row.key])
    return len(made)


async def forget_file(connection: AsyncConnection, row: NamedKey) -> None:
    """Remove the file from its checkpoint, at which no worker will resume."""
    await connection.execute(
        update(JobStage)
        .where(
            JobStage.shop_id == row.shop_id,
            JobStage.job_id == row.owner,
            JobStage.stage == row.stage,
        )
        .values(files=JobStage.files.op("-")(row.name))
    )


async def forget_upload(row: NamedKey, context: WorkerContext) -> int:
    """Delete the row, or make sure that no further job can use the upload; 1 if it was unused."""
    this = (Upload.shop_id == row.shop_id, Upload.upload_key == row.owner)
    async with context.database.transaction(row.shop_id) as connection:
        gone = await connection.execute(delete(Upload).where(*this, Upload.used_at.is_(None)))
        if gone.rowcount:
            return 1
        await connection.execute(update(Upload).where(*this).values(expired_at=func.now()))
    log.error("object_lost", **about(row))
    return 0


def about(row: NamedKey) -> Mapping[str, object]:
    """What may be logged: the owner, but no key."""
    if row.kind == "upload":
        return {"shop_id": row.shop_id, "upload_key": row.owner}
    return {"shop_id": row.shop_id, "job_id": row.owner, "stage": row.stage, "name": row.name}
