"""Cancel a job: it ends now, and the worker that has it is fenced off."""

from sqlalchemy.ext.asyncio import AsyncConnection

from backend.errors import JobAlreadyFinished
from backend.jobs.models import Job
from backend.jobs.schemas import JobCancelledResponse
from backend.jobs.states import Failure, JobStatus
from backend.jobs.timeline import fail_unfinished
from backend.jobs.versions import job_version, known
from backend.shops.service import installed_id

CANCELLED = Failure(code="CANCELLED", message="The job was cancelled.")


async def cancel_job(
    connection: AsyncConnection, *, shop_domain: str, public_id: str
) -> JobCancelledResponse:
    """End the shop's job if it has not ended yet; of all who want to end it, one does.

    Raises `ShopNotInstalled`, `JobNotFound` or `JobAlreadyFinished`.
    """
    shop_id = await installed_id(connection, shop_domain)
    this_one = Job.public_id == known(public_id)
    if not await fail_unfinished(connection, shop_id, CANCELLED, this_one):
        await job_version(connection, shop_domain=shop_domain, public_id=public_id)
        raise JobAlreadyFinished
    return JobCancelledResponse(public_id=public_id, status=JobStatus.FAILURE)
