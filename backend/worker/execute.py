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
from backend.jobs.service import JobRef
from backend.jobs.timeline import (
    Checkpoint,
    Claim,
    Fenced,
    advance,
    claim,
    fail,
    put_back,
    spare,
    succeed,
    wait_out,
)
from backend.publications.unattended import publish_unattended
from backend.retries import ENOUGH, JOBS, LOCKED_OUT_PAUSE, asked_for, once_back
from backend.shops.sealing import UnknownKey
from backend.shops.tokens import NeedsReauth, is_parked
from backend.worker.sources import NOT_THERE
from backend.worker.stages import Bench, StageFailed, make, store
from backend.worker.workshop import Workshop
from backend.workflows import WORKFLOWS
from backend.workflows.registry import Stage, Workflow

log = structlog.get_logger(__name__)

WAITS = {
    "storage": "Waiting for the image storage to answer again",
    "shopify": "Waiting for Shopify to answer again",
}


class Done(msgspec.Struct, frozen=True):
    """Nothing more to do: the job has ended, or somebody else has it."""


class Retry(msgspec.Struct, frozen=True):
    """Run it again after `delay`."""

    delay: timedelta


Outcome = Done | Retry


async def run_job(ref: JobRef, workshop: Workshop) -> Outcome:
    """Take the job as far as it goes."""
    with structlog.contextvars.bound_contextvars(job_id=ref.public_id):
        try:
            return await claimed_run(ref, workshop)
        except Fenced:
            log.warning("job_fenced")
            return Done()
        except DatabaseUnavailable:
            log.warning("job_interrupted", code=DatabaseUnavailable.code)
            return Retry(JOBS.pause(1))


async def claimed_run(ref: JobRef, workshop: Workshop) -> Outcome:
    """Claim the job and work on it. Raises `DatabaseUnavailable` when it is there again."""
    claimed = None
    try:
        claimed = await claim(workshop.database, ref)
        return await outcome_of(claimed, workshop) if claimed else Done()
    except DatabaseUnavailable:
        if claimed:
            await spared(claimed, workshop)
        raise


async def outcome_of(claimed: Claim, workshop: Workshop) -> Outcome:
    """Work on a claimed job, and decide what a failure means for it."""
    log.info("job_claimed", attempt=claimed.attempt, job_type=claimed.job_type)
    bench = Bench(claimed, workshop)
    try:
        return await run_stages(bench)
    except StageFailed as error:
        return await after_failure(bench.claimed, workshop, error)
    except (NeedsReauth, UnknownKey, ConfigurationError) as error:
        return await after_lockout(claimed, workshop, error)


async def run_stages(bench: Bench) -> Outcome:
    """Make what is still to be made, in order; stop between two stages when asked to."""
    claimed, workshop = bench.claimed, bench.workshop
    workflow = WORKFLOWS.get(claimed.job_type)
    if workflow is None:
        raise StageFailed(WORKFLOW_RETIRED)
    missing = [stage for stage in workflow.stages if stage.name not in bench.done]
    for stage in missing:
        if workshop.stopping.is_set():
            log.info("job_handed_over", stage=stage.name)
            await spared(claimed, workshop)
            return Retry(timedelta(0))
        await run_stage(stage, workflow, bench, is_last=stage is missing[-1])
    if not missing:
        async with ending(claimed, workshop) as where:
            await succeed(where, claimed, progress(workflow, len(workflow.stages)))
    log.info("job_succeeded")
    return Done()


async def run_stage(stage: Stage, workflow: Workflow, bench: Bench, *, is_last: bool) -> None:
    """Make one stage, store its files, then record it; with the last one the job ends."""
    result = await make(stage, bench)
    keys, artifacts = await store(stage, result, bench)
    checkpoint = Checkpoint(files=keys, facts=result.facts)
    total = len(workflow.stages)
    database = bench.workshop.database
    async with ending(bench.claimed, bench.workshop) if is_last else nullcontext(database) as where:
        await advance(
            where,
            bench.claimed,
            stage=stage.name,
            message=stage.done,
            progress=progress(workflow, workflow.stages.index(stage) + 1),
            checkpoint=checkpoint,
            artifacts=artifacts,
            end=progress(workflow, total) if is_last else None,
        )
    bench.done[stage.name] = checkpoint
    bench.claimed = msgspec.structs.replace(bench.claimed, strikes=1, outages=0)


@asynccontextmanager
async def ending(claimed: Claim, workshop: Workshop) -> AsyncIterator[Database | AsyncConnection]:
    """Where to end the job well; what is to be published is asked for in the same transaction."""
    if claimed.publish is None:
        yield workshop.database
        return
    async with workshop.database.transaction(claimed.ref.shop_id) as connection:
        yield connection
        product_id = claimed.request["product_id"]
        await publish_unattended(connection, claimed.ref, product_id, claimed.publish)


async def spared(claimed: Claim, workshop: Workshop) -> None:
    """Take the attempt's strike back, as soon as the database is there to be told."""
    if claimed.attempt < ENOUGH:

        async def give_back() -> None:
            async with workshop.database.transaction(claimed.ref.shop_id) as connection:
                await spare(connection, claimed)

        await once_back(give_back, workshop.stopping)


async def after_failure(claimed: Claim, workshop: Workshop, error: StageFailed) -> Outcome:
    """Try again later while that can help, else end the job.

    An outage is waited out; whatever else may pass is tried again while there are strikes left.
    """
    failure = error.failure
    if error.away and not JOBS.is_exhausted(JOBS.waited(claimed.outages + 1)):
        return await after_outage(claimed, workshop, error, error.away)
    if failure.retryable and not error.away and claimed.strikes < JOBS.crashes:
        log.warning("job_retries", code=failure.code, strikes=claimed.strikes)
        return Retry(JOBS.pause(claimed.strikes))
    log.warning("job_failed", code=failure.code)
    await fail(workshop.database, claimed, failure, was_for_nothing=failure in NOT_THERE)
    return Done()


async def after_outage(
    claimed: Claim, workshop: Workshop, error: StageFailed, away: str
) -> Outcome:
    """Come back later, and not before Shopify wants us back."""
    outages = claimed.outages + 1
    log.warning("job_waits_out", code=error.failure.code, outages=outages)
    async with workshop.database.transaction(claimed.ref.shop_id) as connection:
        await wait_out(connection, claimed, message=WAITS[away], waiting_for=away)
    return Retry(JOBS.pause(outages, at_least=asked_for(error.__cause__)))


async def after_lockout(claimed: Claim, workshop: Workshop, error: Exception) -> Outcome:
    """Let the job wait, off the queue, until a merchant opens the app (`worker.waiting`).

    A shop that is not parked was opened again just now, or it is this process that is set up wrong:
    it lacks the key of the shop's tokens, or Shopify refuses the app's own credentials. Then the
    job is tried again, for neither is its fault.
    """
    log.warning("job_waits", cause=repr(error)[:300])
    async with workshop.database.transaction(claimed.ref.shop_id) as connection:
        parked = await is_parked(connection, claimed.ref.shop_id)
        await put_back(
            connection,
            claimed,
            message="Waiting for the shop to open the app again",
            waiting_for="reauth",
        )
    return Done() if parked else Retry(LOCKED_OUT_PAUSE)


def progress(workflow: Workflow, done: int) -> dict[str, object]:
    """How far the job is, for the event's `extra`."""
    return {"progress": {"done": done, "total": len(workflow.stages)}}
