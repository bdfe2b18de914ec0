"""The response types: customers' data requests, and the data of one customer."""

from datetime import datetime
from typing import Any, Literal

import msgspec

from backend.jobs.schemas import JobType, Moment, PublicId
from backend.jobs.states import JobStatus


class PrivacyRequestSummary(msgspec.Struct, frozen=True, kw_only=True):
    """A customer's request; the merchant hands the answer over until `hand_over_by`."""

    public_id: PublicId
    customer_id: str
    requested_at: Moment
    hand_over_by: Moment


class PrivacyRequestListResponse(msgspec.Struct, frozen=True, kw_only=True):
    """A page, newest first; `count` is how many are on it. The next one is in `Link`."""

    requests: list[PrivacyRequestSummary]
    limit: int
    count: int


class HeldPicture(msgspec.Struct, frozen=True, kw_only=True):
    """A picture that a job has made."""

    kind: str
    role: Literal["intermediate", "final"]
    label: str | None
    created_at: Moment


class HeldJob(msgspec.Struct, frozen=True, kw_only=True):
    """A job that the customer has started, with what they asked for and what came of it."""

    public_id: PublicId
    job_type: JobType
    status: JobStatus
    created_at: Moment
    finished_at: datetime | None
    request: dict[str, Any]
    pictures: list[HeldPicture]


class PrivacyRequestResponse(msgspec.Struct, frozen=True, kw_only=True):
    """A page of what is held of the customer now; nothing else is. The next one is in `Link`."""

    public_id: PublicId
    customer_id: str
    requested_at: Moment
    hand_over_by: Moment
    jobs: list[HeldJob]
    limit: int
    count: int
