"""Render the lost files of a finished job again, byte for byte or not at all.

Stages are deterministic, so a stage renders the same file again from the files of the stages before
it. If those are lost too, they are rendered first. If they have expired, they are rendered without
being stored, from the original as the shop still has it. The job's rows do not change: a file is
stored at the key in its row only if it has the digest in its row.
"""

import hashlib

import structlog
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.errors import StorageUnavailable
from backend.jobs.lifecycle import JobLease, checkpoints
from backend.jobs.models import Artifact, Job
from backend.jobs.service import JobRef
from backend.renderers.base import Rendered
from backend.shops.models import Shop
from backend.shops.token_encryption import UnknownKey
from backend.shops.tokens import NeedsReauth
from backend.worker.context import WorkerContext
from backend.worker.named_keys import NamedKey
from backend.worker.stages import JobRun, StageFailed, make
from backend.workflows import WORKFLOWS
from backend.workflows.stages import Stage, StageName

log = structlog.get_logger(__name__)

Digests = dict[tuple[str, str], str]  # by stage and name


async def remade(ref: JobRef, lost: list[NamedKey], context: WorkerContext) -> set[str]:
    """Render these files of the job again, as far as possible; return the restored keys."""
    async with context.database.reading(ref.shop_id) as connection:
        claimed = await as_claimed(connection, ref)
        if claimed is None:
            return set()
        is_expired = not any(checkpoint.files for checkpoint in claimed.done.values())
        digests = await digests_of(connection, claimed)
    job_run = JobRun(claimed, context)
    job_run.done = {}
    made: set[str] = set()
    for stage in stages_to(claimed.job_type, {row.stage for row in lost}):
        wanted = {row.name: row for row in lost if row.stage == stage.name}
        has_expired = is_expired and stage.name in claimed.done
        if (wanted or has_expired) and set(stage.inputs) <= job_run.names:
            try:
                result = await make(stage, job_run)
                made |= await restore_files(result, wanted, digests, job_run)
            except (StageFailed, StorageUnavailable, NeedsReauth, UnknownKey) as error:
                log.warning("stage_not_remade", stage=stage.name, cause=repr(error)[:300])
            else:
                if has_expired:
                    keep_at_hand(result, stage, digests, job_run)
        if stage.name in claimed.done:
            job_run.done[stage.name] = claimed.done[stage.name]
    return made


def stages_to(job_type: str, wanted: set[str]) -> list[Stage]:
    """The workflow's stages up to the last one needed; none of a retired workflow."""
    workflow = WORKFLOWS.get(job_type)
    stages = list(workflow.stages) if workflow else []
    while stages and stages[-1].name not in wanted:
        stages.pop()
    return stages


def keep_at_hand(result: Rendered, stage: Stage, digests: Digests, job_run: JobRun) -> None:
    """Pass the files to later stages; an original only if it is the one that the job had."""
    for file in result.files:
        known = digests.get((stage.name, file.name))
        if known in {None, hashlib.sha256(file.data).hexdigest()}:
            job_run.at_hand[file.name] = file.data


async def restore_files(
    result: Rendered, wanted: dict[str, NamedKey], digests: Digests, job_run: JobRun
) -> set[str]:
    """Store the wanted files whose digests match; return their keys."""
    made = set()
    for file in result.files:
        row = wanted.get(file.name)
        digest = hashlib.sha256(file.data).hexdigest()
        if row and digests.get((row.stage, row.name)) == digest:
            await job_run.context.store.put(row.key, file.data, content_type=file.content_type)
            job_run.at_hand[file.name] = file.data
            made.add(row.key)
    return made


async def as_claimed(connection: AsyncConnection, ref: JobRef) -> JobLease | None:
    """The job as a worker with a claim sees it, but without the right to write."""
    found = (
        select(Job.job_type, Job.origin, Job.request, Shop.domain)
        .join(Shop, Shop.id == Job.shop_id)
        .where(Job.shop_id == ref.shop_id, Job.public_id == ref.public_id)
    )
    row = (await connection.execute(found)).one_or_none()
    if row is None:
        return None
    return JobLease(
        ref=ref,
        attempt=0,
        stage_attempts=0,
        job_type=row.job_type,
        origin=row.origin,
        shop_domain=row.domain,
        request=row.request,
        publish=None,
        done=await checkpoints(connection, ref),
    )


async def digests_of(connection: AsyncConnection, claimed: JobLease) -> Digests:
    """The SHA-256 of each file, from its artifact's row or, for originals, from the checkpoint."""
    rows = await connection.execute(
        select(Artifact.stage, Artifact.name, Artifact.meta["sha256"].astext.label("sha256")).where(
            Artifact.shop_id == claimed.ref.shop_id, Artifact.job_id == claimed.ref.public_id
        )
    )
    digests = {(row.stage, row.name): row.sha256 for row in rows if row.sha256}
    if fetched := claimed.done.get(StageName.FETCH):
        digests |= {(StageName.FETCH, name): meta["sha256"] for name, meta in fetched.facts.items()}
    return digests
