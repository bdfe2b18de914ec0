"""A job's lineage: who asked for it, what it was made from, by which engines, and its reruns.

What the stages found is in their checkpoints, which stay when their files expire. A hosted stage
writes the provider, the model, the seed, the cost and the digests of its inputs there.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

import msgspec
from sqlalchemy import (
    CTE,
    ColumnElement,
    Select,
    Text,
    and_,
    cast,
    func,
    literal,
    select,
    union_all,
)
from sqlalchemy.dialects.postgresql import aggregate_order_by
from sqlalchemy.engine import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.jobs.asked_by import AskedBy
from backend.jobs.detail import without_keys
from backend.jobs.ids import lookup_id
from backend.jobs.lineage_schemas import (
    JobLineageResponse,
    LineageEngine,
    LineageInput,
    LineageOutput,
    LineageStage,
    RelatedJob,
)
from backend.jobs.lookup import shop_row
from backend.jobs.models import Artifact, Job, JobStage
from backend.jobs.queries import installed
from backend.providers.provider import ProviderCost
from backend.shops.models import Shop
from backend.workflows import WORKFLOWS, name_of
from backend.workflows.stages import StageName

LONGEST_CHAIN = 100  # jobs in each direction
MOST_RELATED = 200  # jobs in a response


class ProviderFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What a hosted stage keeps in its checkpoint; all of it is missing of another stage."""

    provider: str | None = None
    model: str | None = None
    seed: int | None = None
    cost: ProviderCost | None = None
    provider_job_id: str | None = None
    generative: bool | None = None
    inputs: dict[str, str] = {}


class StoredStage(msgspec.Struct, frozen=True, kw_only=True):
    """A checkpoint as the statement returns it."""

    stage: str
    facts: dict[str, Any]
    created_at: datetime


class StoredImage(msgspec.Struct, frozen=True, kw_only=True):
    """An artifact as the statement returns it."""

    stage: str
    name: str
    kind: str
    role: Literal["intermediate", "final"]
    meta: dict[str, Any]


STAGES_DECODER = msgspec.json.Decoder(list[StoredStage])
IMAGES_DECODER = msgspec.json.Decoder(list[StoredImage])


async def job_lineage(
    connection: AsyncConnection, *, shop_domain: str, public_id: str
) -> JobLineageResponse:
    """The lineage of one of the shop's jobs. Raises `ShopNotInstalled` or `JobNotFound`."""
    row = await shop_row(connection, lineage_of(shop_domain, lookup_id(public_id)))
    related = (await connection.execute(chain_of(row.shop_id, row.public_id))).all()
    stages = STAGES_DECODER.decode(row.stages or "[]")
    images = IMAGES_DECODER.decode(row.images or "[]")
    return JobLineageResponse(
        public_id=row.public_id,
        job_type=row.job_type,
        workflow=name_of(row.job_type),
        status=row.status,
        created_at=row.created_at,
        finished_at=row.finished_at,
        credits_cost=row.credits_cost,
        asked_by=None if row.asked_by is None else msgspec.convert(row.asked_by, AskedBy),
        request=without_keys(row.request),
        inputs=inputs_of(stages),
        stages=stages_of(row.job_type, stages, images),
        outputs=[output_of(image) for image in images if image.role == "final"],
        rerun_of=row.rerun_of,
        ancestors=[related_job(each) for each in related if each.depth < 0],
        reruns=[related_job(each) for each in related if each.depth > 0],
    )


def lineage_of(shop_domain: str, public_id: str) -> Select[Any]:
    """The job with its checkpoints and images; nulls if the shop has no such job."""
    columns: Select[Any] = select(
        Shop.id.label("shop_id"),
        Job.public_id,
        Job.job_type,
        Job.status,
        Job.created_at,
        Job.finished_at,
        Job.credits_cost,
        Job.asked_by,
        Job.rerun_of,
        Job.request,
        stages_json(),
        images_json(),
    ).select_from(Shop)
    job = and_(Job.shop_id == Shop.id, Job.public_id == public_id)
    return columns.outerjoin(Job, job).where(*installed(shop_domain))


def stages_json() -> ColumnElement[str]:
    """The job's checkpoints in order, as JSON of `StoredStage`s."""
    fields = func.json_build_object(
        "stage", JobStage.stage,
        "facts", JobStage.facts,
        "created_at", JobStage.created_at,
    )  # fmt: skip
    found = select(func.json_agg(aggregate_order_by(fields, JobStage.created_at))).where(
        JobStage.shop_id == Job.shop_id, JobStage.job_id == Job.public_id
    )
    return cast(found.correlate(Job).scalar_subquery(), Text).label("stages")


def images_json() -> ColumnElement[str]:
    """The job's images in order, as JSON of `StoredImage`s."""
    fields = func.json_build_object(
        "stage", Artifact.stage,
        "name", Artifact.name,
        "kind", Artifact.kind,
        "role", Artifact.role,
        "meta", Artifact.meta,
    )  # fmt: skip
    found = select(func.json_agg(aggregate_order_by(fields, Artifact.seq, Artifact.ordinal))).where(
        Artifact.shop_id == Job.shop_id, Artifact.job_id == Job.public_id
    )
    return cast(found.correlate(Job).scalar_subquery(), Text).label("images")


def chain_of(shop_id: int, public_id: str) -> Select[Any]:
    """The jobs that this one repeats, which have a negative `depth`, and those that repeat it.

    The nearest ones first, and no more than `MOST_RELATED`.
    """
    repeated = select(Job.rerun_of).where(Job.shop_id == shop_id, Job.public_id == public_id)
    ancestors = chained_jobs(
        shop_id,
        "ancestors",
        step=-1,
        first=Job.public_id == repeated.scalar_subquery(),
        further=lambda known: Job.public_id == known.c.rerun_of,
    )
    reruns = chained_jobs(
        shop_id,
        "reruns",
        step=1,
        first=Job.rerun_of == public_id,
        further=lambda known: Job.rerun_of == known.c.public_id,
    )
    related = union_all(select(ancestors), select(reruns)).subquery("related")
    nearest = select(related).order_by(func.abs(related.c.depth), related.c.public_id)
    return nearest.limit(MOST_RELATED)


def chained_jobs(
    shop_id: int,
    name: str,
    *,
    step: int,
    first: ColumnElement[bool],
    further: Callable[[CTE], ColumnElement[bool]],
) -> CTE:
    """The shop's jobs that `first` selects, and then those that are `further` than a known one."""
    columns = (Job.public_id, Job.rerun_of, Job.status, Job.created_at)
    known = (
        select(*columns, literal(step).label("depth"))
        .where(Job.shop_id == shop_id, first)
        .cte(name, recursive=True)
    )
    more = (
        select(*columns, known.c.depth + step)
        .join(known, further(known))
        .where(Job.shop_id == shop_id, func.abs(known.c.depth) < LONGEST_CHAIN)
    )
    return known.union_all(more)


def inputs_of(stages: Sequence[StoredStage]) -> list[LineageInput]:
    """The images that the job was made from, as they were fetched."""
    fetched = next((each.facts for each in stages if each.stage == StageName.FETCH), {})
    return [
        LineageInput(file=name, sha256=meta["sha256"], bytes=meta["bytes"])
        for name, meta in fetched.items()
    ]


def stages_of(
    job_type: str, stages: Sequence[StoredStage], images: Sequence[StoredImage]
) -> list[LineageStage]:
    """The finished stages in order, each with the digests of its inputs where they are known."""
    workflow = WORKFLOWS.get(job_type)
    reads: dict[str, tuple[str, ...]] = (
        {stage.name: stage.inputs for stage in workflow.stages} if workflow else {}
    )
    digests = {each.file: each.sha256 for each in inputs_of(stages)}
    told = []
    for each in stages:
        of_stage = [image for image in images if image.stage == each.stage]
        known = {name: digests[name] for name in reads.get(each.stage, ()) if name in digests}
        told.append(stage_response(each, of_stage, known))
        digests |= {image.name: image.meta["sha256"] for image in of_stage if digest_of(image)}
    return told


def stage_response(
    stage: StoredStage, images: Sequence[StoredImage], digests: Mapping[str, str]
) -> LineageStage:
    """One stage: by a hosted engine if its facts name a provider, else by the local one."""
    is_hosted = "provider" in stage.facts
    hosted = msgspec.convert(stage.facts, ProviderFacts) if is_hosted else ProviderFacts()
    types = (image.meta.get("digital_source_type") for image in images)
    return LineageStage(
        stage=stage.stage,
        finished_at=stage.created_at,
        engine=hosted_engine(hosted) if is_hosted else local_engine(images),
        seed=hosted.seed,
        cost=hosted.cost,
        provider_job_id=hosted.provider_job_id,
        inputs=dict(hosted.inputs if is_hosted else digests),
        generative=bool(hosted.generative) or any(image.meta.get("generative") for image in images),
        digital_source_type=next(filter(None, types), None),
    )


def hosted_engine(hosted: ProviderFacts) -> LineageEngine:
    """The provider and its model."""
    return LineageEngine(name=hosted.provider or "", model=hosted.model)


def local_engine(images: Sequence[StoredImage]) -> LineageEngine | None:
    """The engine that the stage's images name; None if it stored none, as `fetch` does."""
    engine = next((image.meta["engine"] for image in images if "engine" in image.meta), None)
    return None if engine is None else msgspec.convert(engine, LineageEngine)


def output_of(image: StoredImage) -> LineageOutput:
    """One final image, to be recognised by its digest."""
    return LineageOutput(
        kind=image.kind,
        sha256=digest_of(image),
        bytes=image.meta.get("bytes"),
        content_type=image.meta["content_type"],
        generative=image.meta.get("generative"),
        digital_source_type=image.meta.get("digital_source_type"),
    )


def digest_of(image: StoredImage) -> str | None:
    """The SHA-256 of the image's bytes, in hex."""
    return image.meta.get("sha256")


def related_job(row: Row[Any]) -> RelatedJob:
    """A job of the chain."""
    return RelatedJob(
        public_id=row.public_id,
        rerun_of=row.rerun_of,
        status=row.status,
        created_at=row.created_at,
    )
