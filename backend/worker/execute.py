"""Run a job: claim it, make each stage that has no checkpoint, and end it.

A stage is made without any transaction open; then one short, fenced transaction records it. A
crash at any moment leaves a job that the next worker resumes at the first unrecorded stage.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from datetime import timedelta

import msgspec
import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.db import Database
from backend.errors import ConfigurationError, DatabaseUnavailable
from backend.jobs.failures import WORKFLOW_RETIRED
from backend.jobs.lifecycle import (
    Checkpoint,
    Fenced,
    JobLease,
    advance,
    claim,
    fail,
    put_back,
    return_attempt,
    succeed,
    wait_out,
)
from backend.jobs.service import JobRef
from backend.publications.auto_publish import auto_publish
from backend.retries import ENOUGH, JOBS, LOCKED_OUT_PAUSE, asked_for, once_back
from backend.shops.token_encryption import UnknownKey
from backend.shops.tokens import NeedsReauth, is_parked
from backend.worker.context import WorkerContext
from backend.worker.sources import NOT_THERE
from backend.worker.stages import JobRun, StageFailed, make, store
from backend.workflows import WORKFLOWS
from backend.workflows.registry import Stage, Workflow

log = structlog.get_logger(__name__)

WAITS = {
    "storage": "Waiting for the image storage to respond",
    "shopify": "Waiting for Shopify to respond",
}


class Done(msgspec.Struct, frozen=True):
    """Nothing more to do: the job has ended, or somebody else has it."""


class Retry(msgspec.Struct, frozen=True):
    """Run it again after `delay`."""

    delay: timedelta


Outcome = Done | Retry


async def run_job(ref: JobRef, context: WorkerContext) -> Outcome:
    """Take the job as far as it goes."""
    with structlog.contextvars.bound_contextvars(job_id=ref.public_id):
        try:
            return await claimed_run(ref, context)
        except Fenced:
            log.warning("job_fenced")
            return Done()
        except DatabaseUnavailable:
            log.warning("job_interrupted", code=DatabaseUnavailable.code)
            return Retry(JOBS.pause(1))


async def claimed_run(ref: JobRef, context: WorkerContext) -> Outcome:
    """Claim the job and work on it. Raises `DatabaseUnavailable` when it is there again."""
    claimed = None
    try:
        claimed = await claim(context.database, ref)
        return await outcome_of(claimed, context) if claimed else Done()
    except DatabaseUnavailable:
        if claimed:
            await returned_attempt(claimed, context)
        raise


async def outcome_of(claimed: JobLease, context: WorkerContext) -> Outcome:
    """Work on a claimed job, and decide what a failure means for it."""
    log.info("job_claimed", attempt=claimed.attempt, job_type=claimed.job_type)
    job_run = JobRun(claimed, context)
    try:
        return await run_stages(job_run)
    except StageFailed as error:
        return await after_failure(job_run.claimed, context, error)
    except (NeedsReauth, UnknownKey, ConfigurationError) as error:
        return await after_reauth_needed(claimed, context, error)


async def run_stages(job_run: JobRun) -> Outcome:
    """Make what is still to be made, in order; stop between two stages when asked to."""
    claimed, context = job_run.claimed, job_run.context
    workflow = WORKFLOWS.get(claimed.job_type)
    if workflow is None:
        raise StageFailed(WORKFLOW_RETIRED)
    missing = [stage for stage in workflow.stages if stage.name not in job_run.done]
    for stage in missing:
        if context.stopping.is_set():
            log.info("job_handed_over", stage=stage.name)
            await returned_attempt(claimed, context)
            return Retry(timedelta(0))
        await run_stage(stage, workflow, job_run, is_last=stage is missing[-1])
    if not missing:
        async with ending(claimed, context) as where:
            await succeed(where, claimed, progress(workflow, len(workflow.stages)))
    log.info("job_succeeded")
    return Done()


async def run_stage(stage: Stage, workflow: Workflow, job_run: JobRun, *, is_last: bool) -> None:
    """Make one stage, store its files, then record it; with the last one the job ends."""
    result = await make(stage, job_run)
    keys, artifacts = await store(stage, result, job_run)
    checkpoint = Checkpoint(files=keys, facts=result.facts)
    total = len(workflow.stages)
    database = job_run.context.database
    async with (
        ending(job_run.claimed, job_run.context) if is_last else nullcontext(database) as where
    ):
        await advance(
            where,
            job_run.claimed,
            stage=stage.name,
            message=stage.done,
            progress=progress(workflow, workflow.stages.index(stage) + 1),
            checkpoint=checkpoint,
            artifacts=artifacts,
            end=progress(workflow, total) if is_last else None,
        )
    job_run.done[stage.name] = checkpoint
    job_run.claimed = msgspec.structs.replace(job_run.claimed, strikes=1, outages=0)


@asynccontextmanager
async def ending(
    claimed: JobLease, context: WorkerContext
) -> AsyncIterator[Database | AsyncConnection]:
    """Where to end the job well; what is to be published is asked for in the same transaction."""
    if claimed.publish is None:
        yield context.database
        return
    async with context.database.transaction(claimed.ref.shop_id) as connection:
        yield connection
        product_id = claimed.request["product_id"]
        await auto_publish(connection, claimed.ref, product_id, claimed.publish)


async def returned_attempt(claimed: JobLease, context: WorkerContext) -> None:
    """Take the attempt's strike back, as soon as the database is there to be told."""
    if claimed.attempt < ENOUGH:

        async def give_back() -> None:
            async with context.database.transaction(claimed.ref.shop_id) as connection:
                await return_attempt(connection, claimed)

        await once_back(give_back, context.stopping)


async def after_failure(claimed: JobLease, context: WorkerContext, error: StageFailed) -> Outcome:
    """Try again later while that can help, else end the job.

    An outage is waited out; whatever else may pass is tried again while there are strikes left.
    """
    failure = error.failure
    if error.away and not JOBS.is_exhausted(JOBS.waited(claimed.outages + 1)):
        return await after_outage(claimed, context, error, error.away)
    if failure.retryable and not error.away and claimed.strikes < JOBS.crashes:
        log.warning("job_retries", code=failure.code, strikes=claimed.strikes)
        return Retry(JOBS.pause(claimed.strikes))
    log.warning("job_failed", code=failure.code)
    await fail(context.database, claimed, failure, was_for_nothing=failure in NOT_THERE)
    return Done()


async def after_outage(
    claimed: JobLease, context: WorkerContext, error: StageFailed, away: str
) -> Outcome:
    """Come back later, and not before Shopify wants us back."""
    outages = claimed.outages + 1
    log.warning("job_waits_out", code=error.failure.code, outages=outages)
    async with context.database.transaction(claimed.ref.shop_id) as connection:
        await wait_out(connection, claimed, message=WAITS[away], waiting_for=away)
    return Retry(JOBS.pause(outages, at_least=asked_for(error.__cause__)))


async def after_reauth_needed(
    claimed: JobLease, context: WorkerContext, error: Exception
) -> Outcome:
    """Let the job wait, off the queue, until a merchant opens the app (`worker.reauth`).

    A shop that is not parked was opened again just now, or it is this process that is set up wrong:
    it lacks the key of the shop's tokens, or Shopify refuses the app's own credentials. Then the
    job is tried again, for neither is its fault.
    """
    log.warning("job_waits", cause=repr(error)[:300])
    async with context.database.transaction(claimed.ref.shop_id) as connection:
        parked = await is_parked(connection, claimed.ref.shop_id)
        await put_back(
            connection,
            claimed,
            message="Waiting for the merchant to open the app again",
            waiting_for="reauth",
        )
    return Done() if parked else Retry(LOCKED_OUT_PAUSE)


def progress(workflow: Workflow, done: int) -> dict[str, object]:
    """How far the job is, for the event's `extra`."""
    return {"progress": {"done": done, "total": len(workflow.stages)}}
