"""Record a stage that was made: its files, its checkpoint, and the job's end with the last one."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.catalog.service import KIND_OF_GENERATOR
from backend.db import Database
from backend.jobs.lifecycle import Checkpoint, JobLease, NewArtifact, advance
from backend.publications.auto_publish import auto_publish
from backend.worker.catalog import fill_catalog
from backend.worker.context import WorkerContext
from backend.worker.stages import JobRun
from backend.workflows.stages import Stage


class MadeStage(msgspec.Struct, frozen=True, kw_only=True):
    """A stage whose files are stored, of the job's `stages`; with the last one the job ends."""

    stage: Stage
    stages: Sequence[Stage]
    checkpoint: Checkpoint
    artifacts: list[NewArtifact]
    is_last: bool


async def record_stage(where: Database | AsyncConnection, job_run: JobRun, made: MadeStage) -> None:
    """Record the stage in a transaction of its own, or as a part of the connection's."""
    stage, stages = made.stage, made.stages
    end = progress(stages, len(stages)) if made.is_last else None
    await advance(
        where,
        job_run.claimed,
        stage=stage.name,
        message=message_of(made, job_run),
        progress=progress(stages, stages.index(stage) + 1),
        checkpoint=made.checkpoint,
        artifacts=made.artifacts,
        end=end,
        product_title=job_run.product_title,
        guessed_category=job_run.guessed_category,
    )
    if made.is_last and isinstance(where, AsyncConnection):
        await add_results(where, job_run.claimed)


def message_of(made: MadeStage, job_run: JobRun) -> str:
    """What the merchant reads: whether a model generated the picture is in a stage's facts."""
    stage = made.stage
    checkpoints = (*job_run.done.values(), made.checkpoint)
    is_generated = any(checkpoint.facts.get("generative") for checkpoint in checkpoints)
    return stage.done_generated if is_generated and stage.done_generated else stage.done


def note_stage(job_run: JobRun, made: MadeStage) -> None:
    """Have the run know the stage, once its record is committed."""
    job_run.done[made.stage.name] = made.checkpoint
    job_run.claimed = msgspec.structs.replace(job_run.claimed, stage_attempts=1)


@asynccontextmanager
async def ending(
    claimed: JobLease, context: WorkerContext
) -> AsyncIterator[Database | AsyncConnection]:
    """Where to end the job well: in one transaction with what comes of it, if anything does.

    Whoever ends it on a connection also calls `add_results`.
    """
    if claimed.publish is None and claimed.job_type not in KIND_OF_GENERATOR:
        yield context.database
        return
    async with context.database.transaction(claimed.ref.shop_id) as connection:
        yield connection


async def add_results(connection: AsyncConnection, claimed: JobLease) -> None:
    """What comes of a job that ends well in this transaction.

    A generator's image enters the catalog, and what is to be published is asked for.
    """
    if kind := KIND_OF_GENERATOR.get(claimed.job_type):
        await fill_catalog(connection, claimed, kind)
    if claimed.publish is not None:
        product_id = claimed.request["product_id"]
        await auto_publish(connection, claimed.ref, product_id, claimed.publish)


def progress(stages: Sequence[Stage], done: int) -> dict[str, object]:
    """How far the job is, for the event's `extra`."""
    return {"progress": {"done": done, "total": len(stages)}}
