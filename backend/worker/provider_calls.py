"""Calls to a hosted provider, with a time limit and with errors that say what is known.

`GRACE` is the longest that a request can be under way: nobody sends it later than `SEND_WITHIN`
after its intent, and nobody waits for the answer longer than `SUBMIT_TIMEOUT`.
"""

import asyncio
from collections.abc import Collection
from datetime import datetime, timedelta

import structlog
from sqlalchemy import and_, exists, or_, select

from backend.db import Database
from backend.failures.codes import PROVIDER_MISCONFIGURED
from backend.providers.provider import (
    AnswerLost,
    Finished,
    Provider,
    ProviderFailed,
    ProviderJob,
    ProviderUnavailable,
    RequestUnknown,
    Running,
    SubmitRequest,
)
from backend.retries import jittered
from backend.submissions.models import Submission
from backend.submissions.records import MAX_ID, StoredSubmission

log = structlog.get_logger(__name__)

SEND_WITHIN = 15.0  # seconds
SUBMIT_TIMEOUT = 120.0  # seconds; a synchronous provider works that long
GRACE = timedelta(seconds=150)
QUESTION_TIMEOUT = 45.0  # seconds, of the other calls
SAME_TIME = timedelta(hours=1)  # requests so far apart are not taken for each other
FIRST_POLL = timedelta(seconds=1)
# How often to ask, by how long it has been since the request (seconds); and how much more rarely
# where the provider reports by itself.
PACE = ((15.0, 1.0), (120.0, 5.0))
SLOWEST = 30.0
WITH_CALLBACK = 4.0


async def send_request(provider: Provider, request: SubmitRequest) -> ProviderJob | Finished:
    """Submit, once. Raises `ProviderUnavailable`, `ProviderFailed` or `AnswerLost`.

    Of any other error nobody knows whether the provider has the request. One whose id cannot be
    stored cannot be asked about: it is not repeated, for that would be paid, too.
    """
    try:
        async with asyncio.timeout(SUBMIT_TIMEOUT):
            answer = await provider.submit(request)
    except (AnswerLost, ProviderFailed, ProviderUnavailable):
        raise
    except TimeoutError as error:
        raise AnswerLost("no answer in time") from error
    except Exception as error:
        log.error("submit_broke", provider=provider.name, exc_info=error)
        raise AnswerLost(repr(error)) from error
    if isinstance(answer, ProviderJob) and len(answer.id) > MAX_ID:
        raise ProviderFailed(PROVIDER_MISCONFIGURED, provider_code="id_too_long")
    return answer


async def poll_provider(provider: Provider, job: ProviderJob) -> Running | Finished:
    """Ask how far it is. Raises `ProviderFailed` or `ProviderUnavailable`."""
    try:
        async with asyncio.timeout(QUESTION_TIMEOUT):
            return await provider.poll(job)
    except (ProviderFailed, ProviderUnavailable):
        raise
    except Exception as error:  # also an answer that the adapter cannot read
        raise ProviderUnavailable(repr(error)) from error


async def known_requests(database: Database, stored: StoredSubmission) -> frozenset[str] | None:
    """The provider's ids of the other requests with this stage and seed.

    None if the lost one cannot be told from others: nobody knows which model it was sent to, or
    another job's request is lost, too. A merchant may choose the seed, so a request that is found
    by it could be the other job's, of another shop.
    """
    if stored.model is None:
        return None
    assert stored.intended_at is not None
    key = stored.key
    is_own_job = and_(Submission.shop_id == key.shop_id, Submission.job_id == key.job_id)
    others = select(Submission.provider_job_id, is_own_job.label("is_own_job")).where(
        Submission.provider == stored.provider,
        Submission.stage == key.stage,
        Submission.seed == stored.seed,
        Submission.intended_at > stored.intended_at - SAME_TIME,
        or_(~is_own_job, Submission.number != key.number),
    )
    async with database.reading() as connection:
        rows = (await connection.execute(others)).all()
    if any(row.provider_job_id is None and not row.is_own_job for row in rows):
        return None
    return frozenset(row.provider_job_id for row in rows if row.provider_job_id)


async def found_request(
    provider: Provider, request: SubmitRequest, since: datetime, known: Collection[str]
) -> ProviderJob | None:
    """The provider's job for a lost answer. Raises `ProviderUnavailable`."""
    try:
        async with asyncio.timeout(QUESTION_TIMEOUT):
            job = await provider.find(request, since, known)
    except ProviderUnavailable:
        raise
    except Exception as error:
        raise ProviderUnavailable(repr(error)) from error
    if job is not None and len(job.id) > MAX_ID:
        raise ProviderUnavailable(f"its id has more than {MAX_ID} characters")
    return job


async def cancel_request(provider: Provider, job: ProviderJob) -> None:
    """Ask the provider to stop; it may not."""
    try:
        async with asyncio.timeout(QUESTION_TIMEOUT):
            await provider.cancel(job)
    except Exception as error:
        log.warning("cancel_failed", provider=provider.name, cause=repr(error)[:300])


async def confirmed_hint(
    database: Database, provider: Provider, stored: StoredSubmission
) -> ProviderJob | None:
    """The provider's job that a callback has named, if the provider knows it and it is no other's.

    One that has failed is known, too. Raises `ProviderUnavailable`.
    """
    if stored.hinted_id is None:
        return None
    job = ProviderJob(id=stored.hinted_id)
    taken = exists().where(
        Submission.provider == provider.name, Submission.provider_job_id == job.id
    )
    async with database.reading() as connection:
        if await connection.scalar(select(taken)):
            return None
    try:
        await poll_provider(provider, job)
    except RequestUnknown as error:
        log.warning("hint_not_confirmed", provider=provider.name, code=error.provider_code)
        return None
    except ProviderFailed as error:
        log.info("hint_has_failed", provider=provider.name, code=error.provider_code)
    return job


def next_poll(stored: StoredSubmission) -> timedelta:
    """When to ask again: soon at first, then more rarely, and at its deadline."""
    usual = next((pause for age, pause in PACE if stored.since_intent < age), SLOWEST)
    pause = jittered(usual * WITH_CALLBACK if stored.has_callback else usual)
    if stored.since_deadline < 0:
        pause = min(pause, -stored.since_deadline)
    return timedelta(seconds=pause)
