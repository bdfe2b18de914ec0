"""Run a job: make each stage that has no checkpoint, then end it.

A stage is made without any transaction open; then one short, fenced transaction records it. A
crash at any moment leaves a job that the next worker resumes at the first unrecorded stage.
"""

from collections.abc import Callable, Sequence
from contextlib import nullcontext

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.failures.codes import WORKFLOW_RETIRED
from backend.jobs.lifecycle import (
    Checkpoint,
    fail,
    lease_job,
    put_back,
    return_job_attempt,
    succeed,
)
from backend.jobs.service import JobRef
from backend.leased_task import Done, HandedOver, Retry, TaskKind, TaskOutcome, run_task
from backend.metrics import JOBS_ENDED, STAGE_SECONDS, increment, time_block
from backend.retries import JOBS, PROVIDERS
from backend.tracing import span
from backend.worker.context import WorkerContext
from backend.worker.hosted_stages import HostedStage
from backend.worker.sources import NOT_THERE
from backend.worker.stage_records import (
    MadeStage,
    add_results,
    ending,
    note_stage,
    progress,
    record_stage,
)
from backend.worker.stages import (
    JobRun,
    StageFailed,
    keep_place,
    make,
    store_files,
    wait_out_outage,
)
from backend.workflows import WORKFLOWS
from backend.workflows.stages import Stage

log = structlog.get_logger(__name__)


async def run_job(
    ref: JobRef, context: WorkerContext, free_place: Callable[[], None] = keep_place
) -> TaskOutcome:
    """Take the job as far as it goes.

    `free_place` is called once all that is left of it is its last record in the database: then
    another job may begin.
    """

    async def claim_job() -> JobRun | None:
        claimed = await lease_job(context.database, ref)
        return JobRun(claimed, context, free_place) if claimed else None

    return await run_task(JOB_TASK, context, claim_job, job_id=ref.public_id)


async def run_stages(job_run: JobRun, context: WorkerContext) -> TaskOutcome:
    """Make what is still to be made, in order, then end the job; stop between two stages if asked.

    At a stage of a hosted provider the job leaves the queue until the provider has answered.

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
        is_last = stage is missing[-1]
        if provider := context.providers.get(stage.name):
            hosted = HostedStage(stage, stages, job_run, provider, is_last=is_last)
            if not await hosted.run():
                return Done()
            continue
        with (
            time_block(STAGE_SECONDS, claimed.job_type, stage.name),
            span(f"stage {stage.name}", workflow=claimed.job_type, job_id=claimed.ref.public_id),
        ):
            await run_stage(stage, stages, job_run, is_last=is_last)
    if not missing:
        async with ending(claimed, context) as where:
            await succeed(where, claimed, progress(stages, len(stages)))
            if isinstance(where, AsyncConnection):
                await add_results(where, claimed)
    log.info("job_succeeded")
    increment(JOBS_ENDED, claimed.job_type, "succeeded", "")
    return Done()


async def run_stage(
    stage: Stage, stages: Sequence[Stage], job_run: JobRun, *, is_last: bool
) -> None:
    """Make one of the job's stages, store its files, then record it; the last one ends the job."""
    made = await make_stage(stage, stages, job_run, is_last=is_last)
    if is_last:
        job_run.at_hand.clear()  # no image is kept meanwhile
        job_run.free_place()
    database = job_run.context.database
    async with (
        ending(job_run.claimed, job_run.context) if is_last else nullcontext(database) as where
    ):
        await record_stage(where, job_run, made)
    note_stage(job_run, made)


async def make_stage(
    stage: Stage, stages: Sequence[Stage], job_run: JobRun, *, is_last: bool
) -> MadeStage:
    """Make a stage and store its files. Raises `StageFailed`."""
    result = await make(stage, job_run)
    keys, artifacts = await store_files(stage, result, job_run)
    return MadeStage(
        stage=stage,
        stages=stages,
        checkpoint=Checkpoint(files=keys, facts=result.facts),
        artifacts=artifacts,
        is_last=is_last,
    )


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
    await fail(
        context.database,
        job_run.claimed,
        failure,
        was_for_nothing=was_for_nothing,
        product_title=job_run.product_title,
    )
    return Done()


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
    # A provider that has a paid picture: the merchant would have it late rather than not at all.
    outage_policy=lambda error: PROVIDERS if error.away == "provider" else JOBS,
)
