"""The wire: what `GET /v1/jobs/{public_id}` answers, field for field."""

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
    """A picture to download now: `image_url` is presigned and dies at `meta.expires_at`."""

    image_url: str
    kind: str
    role: Literal["intermediate", "final"]
    label: str | None
    meta: dict[str, Any]


class JobEventResponse(msgspec.Struct, frozen=True, kw_only=True):
    """A line of the job's public timeline."""

    seq: Annotated[int, msgspec.Meta(ge=1)]
    event_type: Literal["queued", "stage", "succeeded", "failed"]
    visibility: Literal["public"] = "public"
    stage: str | None
    message: str
    artifacts: list[ArtifactResponse]
    extra: Annotated[dict[str, Any], error_in_extra(Noun.JOB)]
    created_at: Moment


class JobDetailResponse(msgspec.Struct, frozen=True, kw_only=True):
    """A job's header, its final artifacts and its latest public event."""

    public_id: PublicId
    job_type: JobType
    status: JobStatus
    created_at: Moment
    request: dict[str, Any] | None
    result: list[ArtifactResponse]
    latest_event: JobEventResponse | None


class JobEventsResponse(msgspec.Struct, frozen=True, kw_only=True):
    """Events in ascending order; ask again with `since=latest_seq` for those to come."""

    public_id: PublicId
    events: list[JobEventResponse]
    latest_seq: Annotated[int, msgspec.Meta(ge=0)]


class JobSummary(msgspec.Struct, frozen=True, kw_only=True):
    """A job in a list."""

    public_id: PublicId
    job_type: JobType
    status: JobStatus
    created_at: Moment


class JobListResponse(msgspec.Struct, frozen=True, kw_only=True):
    """A page, newest first; `count` is how many are on it. The next one is in `Link`."""

    jobs: list[JobSummary]
    limit: int
    offset: int
    count: int


class JobCancelledResponse(msgspec.Struct, frozen=True, kw_only=True):
    """The job has ended: its last event is `failed` with the error `CANCELLED`."""

    public_id: PublicId
    status: JobStatus


class JobAcceptedResponse(msgspec.Struct, frozen=True, kw_only=True):
    """The job is stored and will be worked on; follow it at `GET /v1/jobs/{job_id}`."""

    request_id: str
    job_id: PublicId
    status: JobStatus
    credits_cost: int


class OperationResponse(msgspec.Struct, frozen=True, kw_only=True):
    """A workflow: `POST /v1/<name>` asks for it."""

    name: str
    op_class: str
    credits_cost: int
    enabled: bool


class OperationsResponse(msgspec.Struct, frozen=True, kw_only=True):
    """What can be asked for here, and at what price."""

    operations: list[OperationResponse]
