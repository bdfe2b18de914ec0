"""Response of `GET /v1/jobs/{public_id}/lineage`."""

from typing import Annotated, Any

import msgspec

from backend.jobs.asked_by import AskedBy
from backend.jobs.schemas import JobType, Moment, PublicId
from backend.jobs.states import JobStatus
from backend.providers.provider import ProviderCost


class LineageInput(msgspec.Struct, frozen=True, kw_only=True):
    """An image that the job was made from, as it was fetched: its SHA-256 in hex and its size."""

    file: str
    sha256: str
    bytes: int


class LineageEngine(msgspec.Struct, frozen=True, kw_only=True):
    """What ran a stage: `atelier-local` or a provider. `model` is null where none was used."""

    name: str
    version: str | None = None
    model: str | None = None
    model_sha256: str | None = None


class LineageStage(msgspec.Struct, frozen=True, kw_only=True):
    """A finished stage.

    `engine` is null for a stage that stored no image, or whose images have expired. `seed`, `cost`
    and `provider_job_id` are those of a hosted provider. `inputs` has the SHA-256 of each file that
    the stage read, where it is known. `generative` says whether a model invented pixels.
    """

    stage: str
    finished_at: Moment
    engine: LineageEngine | None
    seed: int | None
    cost: ProviderCost | None
    provider_job_id: str | None
    inputs: dict[str, str]
    generative: bool
    digital_source_type: str | None


class LineageOutput(msgspec.Struct, frozen=True, kw_only=True):
    """A final image: `sha256` recognises its file wherever it went."""

    kind: str
    sha256: str | None
    bytes: int | None
    content_type: str
    generative: bool | None
    digital_source_type: str | None


class RelatedJob(msgspec.Struct, frozen=True, kw_only=True):
    """A job of the same chain of reruns."""

    public_id: PublicId
    rerun_of: PublicId | None
    status: JobStatus
    created_at: Moment


class JobLineageResponse(msgspec.Struct, frozen=True, kw_only=True):
    """What a job was made from, by whom and by what.

    `asked_by` is null for a job of an earlier release. `request` has no uploads and no signed URLs.
    `rerun_of` is the job that this one repeats, which may be deleted by now. `ancestors` are that
    job and those that it repeats, nearest first; `reruns` are the jobs that repeat this one, or
    repeat one of these.
    """

    public_id: PublicId
    job_type: JobType
    workflow: str
    status: JobStatus
    created_at: Moment
    finished_at: Moment | None
    credits_cost: Annotated[int, msgspec.Meta(ge=0)] | None
    asked_by: AskedBy | None
    request: dict[str, Any]
    inputs: list[LineageInput]
    stages: list[LineageStage]
    outputs: list[LineageOutput]
    rerun_of: PublicId | None
    ancestors: list[RelatedJob]
    reruns: list[RelatedJob]
