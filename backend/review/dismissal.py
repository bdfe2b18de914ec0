"""Dismiss a job: the merchant does not want its images. It can be taken back."""

from sqlalchemy import ColumnElement, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.errors import AlreadyPublished, JobNotFinished, JobNotFound
from backend.jobs.ids import lookup_id
from backend.jobs.models import Job
from backend.jobs.states import JobStatus
from backend.review.queries import StoredReview
from backend.review.schemas import DismissalResponse
from backend.shops.service import installed_id


async def dismiss(
    connection: AsyncConnection, *, shop_domain: str, public_id: str
) -> DismissalResponse:
    """Dismiss the job, or leave it dismissed since when it was.

    Raises `ShopNotInstalled`, `JobNotFound`, `JobNotFinished` or `AlreadyPublished`.
    """
    shop_id = await installed_id(connection, shop_domain)
    this = this_job(shop_id, public_id)
    dismissed = (
        update(Job)
        .where(*this, Job.status == JobStatus.SUCCESS, Job.review != StoredReview.PUBLISHED)
        .values(
            review=StoredReview.DISMISSED,
            dismissed_at=func.coalesce(Job.dismissed_at, func.now()),
        )
        .returning(Job.dismissed_at)
    )
    at = await connection.scalar(dismissed)
    if at is None:
        status = await connection.scalar(select(Job.status).where(*this))
        if status is None:
            raise JobNotFound
        raise AlreadyPublished if status == JobStatus.SUCCESS else JobNotFinished
    return DismissalResponse(public_id=public_id, dismissed_at=at)


async def take_dismissal_back(
    connection: AsyncConnection, *, shop_domain: str, public_id: str
) -> None:
    """Have the job wait for review again. Raises `ShopNotInstalled` or `JobNotFound`."""
    shop_id = await installed_id(connection, shop_domain)
    this = this_job(shop_id, public_id)
    undone = await connection.execute(
        update(Job)
        .where(*this, Job.review == StoredReview.DISMISSED)
        .values(review=StoredReview.WAITING, dismissed_at=None)
    )
    if not undone.rowcount and await connection.scalar(select(Job.status).where(*this)) is None:
        raise JobNotFound


def this_job(shop_id: int, public_id: str) -> tuple[ColumnElement[bool], ...]:
    """The shop's job of that ID."""
    return Job.shop_id == shop_id, Job.public_id == lookup_id(public_id)
