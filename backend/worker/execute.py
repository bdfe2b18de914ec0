"""Run a job: make each stage that has no checkpoint, then end it.

A stage is made without any transaction open; then one short, fenced transaction records it. A
crash at any moment leaves a job that the next worker resumes at the first unrecorded stage.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, nullcontext

import msgspec
import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.catalog.service import KIND_OF_GENERATOR
from backend.db import Database
from backend.failures.codes import WORKFLOW_RETIRED
from backend.jobs.lifecycle import (
    Checkpoint,
    JobLease,
    advance,
    fail,
    lease_job,
    put_back,
    return_job_attempt,
    succeed,
    wait_out,
)
from backend.jobs.service import JobRef
from backend.leased_task import Done, HandedOver, Retry, TaskKind, TaskOutcome, run_task
from backend.metrics import JOBS_ENDED, STAGE_SECONDS, increment, time_block
from backend.publications.auto_publish import auto_publish
from backend.retries import JOBS
from backend.tracing import span
from backend.worker.catalog import fill_catalog
from backend.worker.context import WorkerContext
from backend.worker.sources import NOT_THERE
from backend.worker.stages import JobRun, StageFailed, make, store_files
from backend.workflows import WORKFLOWS
from backend.workflows.stages import Stage

log = structlog.get_logger(__name__)

WAITS = {
    "storage": "Waiting for the image storage to respond",
    "shopify": "Waiting for Shopify to respond",
}


async def run_job(ref: JobRef, context: WorkerContext) -> TaskOutcome:
    """Take the job as far as it goes."""

    async def claim_job() -> JobRun | None:
        claimed = await lease_job(context.database, ref)
        return JobRun(claimed, context) if claimed else None

    return await run_task(JOB_TASK, context, claim_job, job_id=ref.public_id)


async def run_stages(job_run: JobRun, context: WorkerContext) -> TaskOutcome:
    """Make what is still to be made, in order, then end the job; stop between two stages if asked.

    Raises `StageFailed`, `HandedOver`.
    """
    claimed = job_run.claimed
    workflow = WORKFLOWS.get(claimed.job_type)
    if workflow is None:
        raise StageFailed(WORKFLOW_RETIRED)
    stages = workflow.stages_for(claimed.request)
    missing = [stage for stage in stages if stage.name not in job_run.done]
    for stage in missing:
        if context.stopping.is_set():
            raise HandedOver
        with (
            time_block(STAGE_SECONDS, claimed.job_type, stage.name),
            span(f"stage {stage.name}", workflow=claimed.job_type, job_id=claimed.ref.public_id),
        ):
            await run_stage(stage, stages, job_run, is_last=stage is missing[-1])
    if not missing:
        async with ending(claimed, context) as where:
            await succeed(where, claimed, progress(stages, len(stages)))
    log.info("job_succeeded")
    increment(JOBS_ENDED, claimed.job_type, "succeeded", "")
    return Done()


async def run_stage(
    stage: Stage, stages: Sequence[Stage], job_run: JobRun, *, is_last: bool
) -> None:
    """Make one of the job's stages, store its files, then record it; the last one ends the job."""
    result = await make(stage, job_run)
    keys, artifacts = await store_files(stage, result, job_run)
    checkpoint = Checkpoint(files=keys, facts=result.facts)
    database = job_run.context.database
    async with (
        ending(job_run.claimed, job_run.context) if is_last else nullcontext(database) as where
    ):
        await advance(
            where,
            job_run.claimed,
            stage=stage.name,
            message=stage.done,
            progress=progress(stages, stages.index(stage) + 1),
            checkpoint=checkpoint,
            artifacts=artifacts,
            end=progress(stages, len(stages)) if is_last else None,
            product_title=job_run.product_title,
        )
    job_run.done[stage.name] = checkpoint
    job_run.claimed = msgspec.structs.replace(job_run.claimed, stage_attempts=1, outages=0)


@asynccontextmanager
async def ending(
    claimed: JobLease, context: WorkerContext
) -> AsyncIterator[Database | AsyncConnection]:
    """Where to end the job well.

    In the same transaction, a generator's image enters the catalog, and what is to be published is
    asked for.
    """
    kind = KIND_OF_GENERATOR.get(claimed.job_type)
    if kind is None and claimed.publish is None:
        yield context.database
        return
    async with context.database.transaction(claimed.ref.shop_id) as connection:
        yield connection
        if kind is not None:
            await fill_catalog(connection, claimed, kind)
        if claimed.publish is not None:
            product_id = claimed.request["product_id"]
            await auto_publish(connection, claimed.ref, product_id, claimed.publish)


async def wait_out_outage(connection: AsyncConnection, job_run: JobRun, error: StageFailed) -> int:
    """Have the timeline tell whom the job waits for; how many outages there were in a row."""
    assert error.away
    await wait_out(connection, job_run.claimed, message=WAITS[error.away], waiting_for=error.away)
    return job_run.claimed.outages + 1


async def wait_for_merchant(connection: AsyncConnection, job_run: JobRun) -> None:
    """Have the timeline tell it; `worker.reauth` takes the job up again."""
    message = "Waiting for the merchant to open the app again"
    await put_back(connection, job_run.claimed, message=message, waiting_for="reauth")


async def retry_or_fail(job_run: JobRun, context: WorkerContext, error: StageFailed) -> TaskOutcome:
    """Try the stage again while that can help and attempts are left, else end the job."""
    failure, attempts = error.failure, job_run.claimed.stage_attempts
    if failure.retryable and not error.away and attempts < JOBS.crashes:
        log.warning("job_retries", code=failure.code, stage_attempts=attempts)
        return Retry(JOBS.pause(attempts))
    log.warning("job_failed", code=failure.code)
    was_for_nothing = failure in NOT_THERE
    await fail(context.database, job_run.claimed, failure, was_for_nothing=was_for_nothing)
    return Done()


def progress(stages: Sequence[Stage], done: int) -> dict[str, object]:
    """How far the job is, for the event's `extra`."""
    return {"progress": {"done": done, "total": len(stages)}}


JOB_TASK = TaskKind(
    name="job",
    logged=("attempt", "job_type"),
    policy=JOBS,
    run=run_stages,
    failures=(StageFailed,),
    outage=lambda error: error.failure.code if error.away else None,
    return_attempt=lambda connection, job_run: return_job_attempt(connection, job_run.claimed),
    wait_out=wait_out_outage,
    wait_for_reauth=wait_for_merchant,
    after_failure=retry_or_fail,
)
