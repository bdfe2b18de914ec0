"""Cancel a job: it ends now, and its worker is fenced."""

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.errors import JobAlreadyFinished, JobNotFound
from backend.failures.codes import CANCELLED
from backend.jobs.completion import fail_unfinished
from backend.jobs.ids import lookup_id
from backend.jobs.models import Job
from backend.jobs.schemas import JobCancelledResponse
from backend.jobs.states import JobStatus
from backend.shops.service import installed_id


async def cancel_job(
    connection: AsyncConnection, *, shop_domain: str, public_id: str
) -> JobCancelledResponse:
    """End the shop's job if it is unfinished; of concurrent attempts to end it, one succeeds.

    Raises `ShopNotInstalled`, `JobNotFound` or `JobAlreadyFinished`.
    """
    shop_id = await installed_id(connection, shop_domain)
    this_one = Job.public_id == lookup_id(public_id)
    if not await fail_unfinished(connection, shop_id, CANCELLED, this_one):
        there = select(Job.public_id).where(Job.shop_id == shop_id, this_one)
        if await connection.scalar(there) is None:
            raise JobNotFound
        raise JobAlreadyFinished
    return JobCancelledResponse(public_id=public_id, status=JobStatus.FAILURE)
