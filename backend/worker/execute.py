"""Run a job: claim it, make each stage that has no checkpoint, and end it.

A stage is made without any transaction open; then one short, fenced transaction records it. A
crash at any moment leaves a job that the next worker resumes at the first unrecorded stage.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext, suppress
from datetime import timedelta

import msgspec
import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.db import Database
from backend.errors import ConfigurationError, DatabaseUnavailable
from backend.jobs.service import JobRef
from backend.jobs.timeline import (
    MAX_STRIKES,
    Checkpoint,
    Claim,
    Fenced,
    advance,
    claim,
    fail,
    put_back,
    spare,
    succeed,
)
from backend.publications.unattended import publish_unattended
from backend.shops.sealing import UnknownKey
from backend.shops.tokens import NeedsReauth, is_parked
from backend.worker.sources import NOT_THERE
from backend.worker.stages import Bench, StageFailed, make, store
from backend.worker.workshop import Workshop
from backend.workflows import WORKFLOWS
from backend.workflows.registry import Stage, Workflow

log = structlog.get_logger(__name__)

FIRST_DELAY = timedelta(seconds=3)
LONGEST_WAIT = timedelta(minutes=5)  # whatever Shopify asks for
AWAY_DELAY = 1.0  # seconds between two looks for a database that is away
ENOUGH = 50  # attempts; a job that is interrupted so often may be what interrupts
LOCKED_OUT_DELAY = timedelta(minutes=1)  # where nobody will tell us that the shop is open again


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
            return Retry(FIRST_DELAY)


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
    try:
        return await run_stages(claimed, workshop)
    except StageFailed as error:
        return await after_failure(claimed, workshop, error)
    except (NeedsReauth, UnknownKey, ConfigurationError) as error:
        return await after_lockout(claimed, workshop, error)


async def run_stages(claimed: Claim, workshop: Workshop) -> Outcome:
    """Make what is still to be made, in order; stop between two stages when asked to."""
    workflow = WORKFLOWS[claimed.job_type]
    bench = Bench(claimed, workshop)
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
    """Take the attempt's strike back, as soon as the database is there to be told.

    Whoever waits here has survived. PgQueuer waits for them before it connects again, and so would
    anything else that this worker could do meanwhile.
    """
    while claimed.attempt < ENOUGH:
        with suppress(DatabaseUnavailable):
            async with workshop.database.transaction(claimed.ref.shop_id) as connection:
                await spare(connection, claimed)
            return
        if workshop.stopping.is_set():
            return
        await asyncio.sleep(AWAY_DELAY)


async def after_failure(claimed: Claim, workshop: Workshop, error: StageFailed) -> Outcome:
    """Try again later while that can help and strikes are left; else end the job.

    Not before Shopify wants us back: coming earlier would use up the strikes for nothing.
    """
    failure = error.failure
    if failure.retryable and claimed.strikes < MAX_STRIKES:
        log.warning("job_retries", code=failure.code, strikes=claimed.strikes)
        asked_for = min(timedelta(seconds=error.wait or 0), LONGEST_WAIT)
        return Retry(max(FIRST_DELAY * 3 ** (claimed.strikes - 1), asked_for))
    log.warning("job_failed", code=failure.code)
    await fail(workshop.database, claimed, failure, was_for_nothing=failure in NOT_THERE)
    return Done()


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
    return Done() if parked else Retry(LOCKED_OUT_DELAY)


def progress(workflow: Workflow, done: int) -> dict[str, object]:
    """How far the job is, for the event's `extra`."""
    return {"progress": {"done": done, "total": len(workflow.stages)}}
