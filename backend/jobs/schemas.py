"""The wire: what `GET /v1/jobs/{public_id}` answers, field for field."""

from datetime import datetime
from typing import Any, Literal

import msgspec

from backend.jobs.states import JobStatus


class ArtifactResponse(msgspec.Struct, frozen=True, kw_only=True):
    """A picture to download now: `image_url` is presigned and dies at `meta.expires_at`."""

    image_url: str
    kind: str
    role: Literal["intermediate", "final"]
    label: str | None
    meta: dict[str, Any]


class JobEventResponse(msgspec.Struct, frozen=True, kw_only=True):
    """A line of the job's public timeline."""

    seq: int
    event_type: Literal["queued", "stage", "succeeded", "failed"]
    visibility: Literal["public"] = "public"
    stage: str | None
    message: str
    artifacts: list[ArtifactResponse]
    extra: dict[str, Any]
    created_at: datetime


class JobDetailResponse(msgspec.Struct, frozen=True, kw_only=True):
    """A job's header, its final artifacts and its latest public event."""

    public_id: str
    job_type: str
    status: JobStatus
    created_at: datetime
    request: dict[str, Any] | None
    result: list[ArtifactResponse]
    latest_event: JobEventResponse | None


class JobEventsResponse(msgspec.Struct, frozen=True, kw_only=True):
    """Events in ascending order; ask again with `since=latest_seq` for those to come."""

    public_id: str
    events: list[JobEventResponse]
    latest_seq: int


class JobSummary(msgspec.Struct, frozen=True, kw_only=True):
    """A job in a list."""

    public_id: str
    job_type: str
    status: JobStatus
    created_at: datetime


class JobListResponse(msgspec.Struct, frozen=True, kw_only=True):
    """A page, newest first; `count` is how many are on it. The next one is in `Link`."""

    jobs: list[JobSummary]
    limit: int
    offset: int
    count: int


class JobCancelledResponse(msgspec.Struct, frozen=True, kw_only=True):
    """The job has ended: its last event is `failed` with the error `CANCELLED`."""

    public_id: str
    status: JobStatus
