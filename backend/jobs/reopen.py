"""Have an unfinished job repeat the stages whose objects are lost."""

from collections.abc import Collection

from sqlalchemy import delete, func, update
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.jobs.lifecycle import unfinished
from backend.jobs.models import Artifact, Job, JobStage
from backend.jobs.service import JobRef
from backend.jobs.states import JobStatus


async def reopen(connection: AsyncConnection, ref: JobRef, stages: Collection[str]) -> bool:
    """Delete the checkpoints of these stages; do nothing and return False if the job has ended.

    Whoever works on the job holds the forgotten checkpoints, so it is fenced like a worker that
    lost its job, and that attempt does not count. What the timeline has told stays told.
    """
    fenced = await connection.execute(
        update(Job)
        .where(*unfinished(ref, JobStatus.IN_PROGRESS))
        .values(attempt=Job.attempt + 1, stage_attempts=func.greatest(Job.stage_attempts - 1, 0))
    )
    if fenced.rowcount == 0:
        return False
    for table in (Artifact, JobStage):
        await connection.execute(
            delete(table).where(
                table.shop_id == ref.shop_id,
                table.job_id == ref.public_id,
                table.stage.in_(stages),
            )
        )
    return True
