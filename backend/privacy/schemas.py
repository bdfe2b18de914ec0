"""The response types: customers' data requests, and the data of one customer."""

from datetime import datetime
from typing import Any, Literal

import msgspec

from backend.jobs.schemas import JobType, Moment, PublicId
from backend.jobs.states import JobStatus


class PrivacyRequestSummary(msgspec.Struct, frozen=True, kw_only=True):
    """A customer's data request. The merchant must answer it by `hand_over_by`."""

    public_id: PublicId
    customer_id: str
    requested_at: Moment
    hand_over_by: Moment


class PrivacyRequestListResponse(msgspec.Struct, frozen=True, kw_only=True):
    """A page, newest first, with `count` entries. `Link` has the next page."""

    requests: list[PrivacyRequestSummary]
    limit: int
    count: int


class HeldPicture(msgspec.Struct, frozen=True, kw_only=True):
    """An image that a job created."""

    kind: str
    role: Literal["intermediate", "final"]
    label: str | None
    created_at: Moment


class HeldJob(msgspec.Struct, frozen=True, kw_only=True):
    """A job that the customer started, with its request and its images."""

    public_id: PublicId
    job_type: JobType
    status: JobStatus
    created_at: Moment
    finished_at: datetime | None
    request: dict[str, Any]
    pictures: list[HeldPicture]


class PrivacyRequestResponse(msgspec.Struct, frozen=True, kw_only=True):
    """A page of all data that is stored about the customer. `Link` has the next page."""

    public_id: PublicId
    customer_id: str
    requested_at: Moment
    hand_over_by: Moment
    jobs: list[HeldJob]
    limit: int
    count: int
