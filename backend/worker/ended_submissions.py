"""Requests of jobs that have ended: cancelled at the provider, their cost settled."""

from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from typing import Protocol

import structlog
from sqlalchemy import case, delete, func, null, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.db import Database
from backend.jobs.models import Job
from backend.jobs.states import UNFINISHED
from backend.providers.provider import (
    Provider,
    ProviderCost,
    ProviderFailed,
    ProviderUnavailable,
    Running,
)
from backend.submissions.models import Submission
from backend.submissions.records import (
    StoredSubmission,
    record_answer,
    settle_submission,
    this_submission,
    wake_later,
)
from backend.submissions.states import OPEN_STATES, SubmissionStatus
from backend.worker.hosted_requests import find_request, sent_since
from backend.worker.provider_calls import (
    FIRST_POLL,
    GRACE,
    cancel_request,
    confirmed_hint,
    found_request,
    known_requests,
    poll_provider,
)

log = structlog.get_logger(__name__)

ABANDONED_AFTER = timedelta(days=1)  # that no poller knows the provider any more
UNTIL_STOPPED = timedelta(seconds=30)  # between two questions whether it has stopped
FOLLOWED_FOR = timedelta(hours=1)  # after the deadline, for what it costs


class Writing(Protocol):
    """Opens a transaction of that shop, or of none, once few enough others are open."""

    def __call__(self, shop_id: int | None = None) -> AbstractAsyncContextManager[AsyncConnection]:
        """The transaction's connection."""
        ...


async def stop_submission(
    database: Database, writing: Writing, provider: Provider, stored: StoredSubmission
) -> None:
    """Ask the provider to stop; once it has, settle the cost and drop what it has made."""
    if stored.status == SubmissionStatus.INTENDED:
        await stop_unanswered(database, writing, provider, stored)
        return
    job = stored.provider_job
    if job is None:  # it was answered at once, and its cost is stored
        await settle_unwanted(writing, stored)
        return
    await cancel_request(provider, job)
    try:
        answer = await poll_provider(provider, job)
    except ProviderFailed as error:
        await settle_unwanted(writing, stored, cost=error.cost)
    except ProviderUnavailable:
        await ask_again_or_settle(writing, stored)
    else:
        if isinstance(answer, Running):
            await ask_again_or_settle(writing, stored)
        else:
            await settle_unwanted(writing, stored, cost=answer.cost)


async def stop_unanswered(
    database: Database, writing: Writing, provider: Provider, stored: StoredSubmission
) -> None:
    """The job ended before the provider's answer was stored: it may still come, or be found."""
    rest = GRACE - timedelta(seconds=stored.since_intent)
    job = None
    known = await known_requests(database, stored) if provider.can_find else None
    try:
        job = await confirmed_hint(database, provider, stored)
        if job is None and known is not None:
            job = await found_request(provider, find_request(stored), sent_since(stored), known)
    except ProviderUnavailable:
        rest = rest if is_given_up(stored) else max(rest, UNTIL_STOPPED)
    async with writing() as connection:
        if job is not None:
            await record_answer(connection, stored.key, stored.intended_at, job, wake_in=FIRST_POLL)
        elif rest > timedelta(0):
            await wake_later(connection, stored.key, rest)
    if job is None and rest <= timedelta(0):
        await settle_unwanted(writing, stored, status=SubmissionStatus.LOST)


async def ask_again_or_settle(writing: Writing, stored: StoredSubmission) -> None:
    """Ask for an hour after the deadline; what it has cost is unknown then."""
    if is_given_up(stored):
        await settle_unwanted(writing, stored)
        return
    async with writing(stored.key.shop_id) as connection:
        await wake_later(connection, stored.key, UNTIL_STOPPED)


def is_given_up(stored: StoredSubmission) -> bool:
    """Whether it has not ended an hour after its deadline."""
    return timedelta(seconds=stored.since_deadline) >= FOLLOWED_FOR


async def settle_unwanted(
    writing: Writing,
    stored: StoredSubmission,
    *,
    status: SubmissionStatus = SubmissionStatus.CANCELLED,
    cost: ProviderCost | None = None,
) -> None:
    """Settle it, as FAILED if it was too late for its job; delete it if its job was erased."""
    key, failure = stored.key, stored.failure
    status = SubmissionStatus.FAILED if failure else status
    job = select(Job.public_id).where(Job.shop_id == key.shop_id, Job.public_id == key.job_id)
    async with writing(key.shop_id) as connection:
        await settle_submission(connection, stored, status, failure=failure, cost=cost)
        erased = (*this_submission(key), ~job.exists())
        await connection.execute(delete(Submission).where(*erased))
    log.info("submission_stopped", job_id=key.job_id, provider=stored.provider)


async def settle_abandoned(database: Database) -> int:
    """Settle what ended jobs have left at providers that are no longer set up; how many there were.

    Nobody can ask what they have cost. Those of erased jobs are deleted.
    """
    job = select(Job.public_id).where(
        Job.shop_id == Submission.shop_id, Job.public_id == Submission.job_id
    )
    looked_at = func.coalesce(Submission.wake_at, Submission.created_at)  # WAITING has no wake_at
    was_sent = Submission.status != SubmissionStatus.WAITING
    abandoned = (
        Submission.status.in_(OPEN_STATES),
        looked_at < func.now() - ABANDONED_AFTER,
        ~job.where(Job.status.in_(UNFINISHED)).exists(),
    )
    async with database.transaction() as connection:
        await connection.execute(delete(Submission).where(*abandoned, ~job.exists()))
        settled = await connection.execute(
            update(Submission)
            .where(*abandoned)
            .values(
                status=case(
                    (was_sent, SubmissionStatus.LOST.value),
                    else_=SubmissionStatus.CANCELLED.value,
                ),
                settled_at=func.now(),
                wake_at=null(),
            )
        )
    if settled.rowcount:
        log.warning("submissions_abandoned", count=settled.rowcount)
    return settled.rowcount
