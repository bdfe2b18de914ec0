"""Responses of `/v1/jobs`, and of the endpoints that create jobs."""

from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec

from backend.failures.registry import Noun
from backend.failures.schema import error_in_extra
from backend.jobs.ids import PATTERN
from backend.jobs.states import JobStatus

Moment = Annotated[datetime, msgspec.Meta(tz=True)]
PublicId = Annotated[str, msgspec.Meta(pattern=PATTERN)]
JobType = Annotated[str, msgspec.Meta(pattern="^[A-Z][A-Z_]*$")]


class ArtifactResponse(msgspec.Struct, frozen=True, kw_only=True):
    """An image. `image_url` is a presigned URL that expires at `meta.expires_at`."""

    image_url: str
    kind: str
    role: Literal["intermediate", "final"]
    label: str | None
    meta: dict[str, Any]


class JobEventResponse(msgspec.Struct, frozen=True, kw_only=True):
    """An event on the job's public timeline."""

    seq: Annotated[int, msgspec.Meta(ge=1)]
    event_type: Literal["queued", "stage", "succeeded", "failed"]
    visibility: Literal["public"] = "public"
    stage: str | None
    message: str
    artifacts: list[ArtifactResponse]
    extra: Annotated[dict[str, Any], error_in_extra(Noun.JOB)]
    created_at: Moment


class JobDetailResponse(msgspec.Struct, frozen=True, kw_only=True):
    """A job, its final artifacts and its latest public event."""

    public_id: PublicId
    job_type: JobType
    status: JobStatus
    created_at: Moment
    request: dict[str, Any] | None
    result: list[ArtifactResponse]
    latest_event: JobEventResponse | None


class JobEventsResponse(msgspec.Struct, frozen=True, kw_only=True):
    """Events in ascending order. Use `since=latest_seq` to get the next ones."""

    public_id: PublicId
    events: list[JobEventResponse]
    latest_seq: Annotated[int, msgspec.Meta(ge=0)]


class JobSummary(msgspec.Struct, frozen=True, kw_only=True):
    """A job in a list. `product_title` is null without a product, and until the job has read it."""

    public_id: PublicId
    job_type: JobType
    status: JobStatus
    created_at: Moment
    product_title: str | None


class JobListResponse(msgspec.Struct, frozen=True, kw_only=True):
    """A page, newest first, with `count` entries. `Link` has the next page."""

    jobs: list[JobSummary]
    limit: int
    offset: int
    count: int


class JobCancelledResponse(msgspec.Struct, frozen=True, kw_only=True):
    """The job is cancelled: its last event is `failed` with the error `CANCELLED`."""

    public_id: PublicId
    status: JobStatus


class JobAcceptedResponse(msgspec.Struct, frozen=True, kw_only=True):
    """The job is stored and queued. Follow it at `GET /v1/jobs/{job_id}`."""

    request_id: str
    job_id: PublicId
    status: JobStatus
    credits_cost: int


class OperationResponse(msgspec.Struct, frozen=True, kw_only=True):
    """A workflow. `POST /v1/<name>` creates a job.

    `refusal` is the code of the error that this answers with while the workflow is not enabled.
    `hosted`: a provider outside this installation makes a part of the images.
    """

    name: str
    op_class: str
    credits_cost: int
    enabled: bool
    refusal: str | None
    hosted: bool


class OperationsResponse(msgspec.Struct, frozen=True, kw_only=True):
    """The workflows, their prices, and whether they are enabled."""

    operations: list[OperationResponse]
