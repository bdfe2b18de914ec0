"""The hot reads: one statement each, then offline presigning."""

from datetime import datetime
from typing import Any, Literal

import msgspec

from backend.auth.guards import Visitor
from backend.db import Database
from backend.jobs import queries
from backend.jobs.etags import Version, version_of
from backend.jobs.lookup import job_row
from backend.jobs.schemas import (
    ArtifactResponse,
    JobDetailResponse,
    JobEventResponse,
    JobEventsResponse,
)
from backend.jobs.states import JobStatus
from backend.storage.keys import content_type_of
from backend.storage.presign import Presigner
from backend.workflows.pictures import PRIVATE_UPLOAD_FIELDS

STORAGE_KEY_SUFFIX = "_key"


class StoredArtifact(msgspec.Struct, frozen=True, kw_only=True):
    """An artifact as the statement returns it."""

    key: str
    kind: str
    role: Literal["intermediate", "final"]
    label: str | None
    seq: int
    meta: dict[str, Any]


class StoredEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An event as the statement returns it."""

    seq: int
    event_type: Literal["queued", "stage", "succeeded", "failed"]
    stage: str | None
    message: str
    extra: dict[str, Any]
    created_at: datetime


# Created once: creating a decoder for a list's type costs more than decoding.
ARTIFACT_DECODER = msgspec.json.Decoder(list[StoredArtifact])
EVENT_DECODER = msgspec.json.Decoder(list[StoredEvent])
EMPTY_LIST = "[]"  # Postgres returns null if it has aggregated nothing


async def job_detail(
    database: Database,
    presigner: Presigner,
    *,
    shop_domain: str,
    public_id: str,
    visitor: Visitor | None = None,
) -> tuple[Version, JobDetailResponse]:
    """The job as its merchant, or a visitor of its storefront, may see it.

    Raises `ShopNotInstalled` if the shop does not have the app, and `JobNotFound` for every ID that
    is not one of its jobs.
    """
    query = queries.VISITORS_DETAIL if visitor else queries.ONE_DETAIL
    row = await job_row(database, query, shop_domain, public_id, **visitor_parameters(visitor))
    artifacts = ARTIFACT_DECODER.decode(row["artifacts"] or EMPTY_LIST)
    events = EVENT_DECODER.decode(row["events"] or EMPTY_LIST)
    latest = [event_response(event, artifacts, presigner) for event in events]
    status = JobStatus(row["status"])
    finals = [item for item in artifacts if item.role == "final" and status is JobStatus.SUCCESS]
    return version_of(row), JobDetailResponse(
        public_id=row["public_id"],
        job_type=row["job_type"],
        status=status,
        created_at=row["created_at"],
        request=public_request(msgspec.json.decode(row["request"]), presigner),
        result=[artifact_response(item, presigner) for item in finals],
        latest_event=latest[0] if latest else None,
    )


async def job_events(
    database: Database,
    presigner: Presigner,
    *,
    shop_domain: str,
    public_id: str,
    since: int,
    visitor: Visitor | None = None,
) -> tuple[Version, JobEventsResponse]:
    """The job's public events after `since`, in order. Raises as `job_detail` does."""
    query = queries.VISITORS_TIMELINE if visitor else queries.ONE_TIMELINE
    bound = visitor_parameters(visitor)
    row = await job_row(database, query, shop_domain, public_id, since=since, **bound)
    artifacts = ARTIFACT_DECODER.decode(row["artifacts"] or EMPTY_LIST)
    events = EVENT_DECODER.decode(row["events"] or EMPTY_LIST)
    return version_of(row), JobEventsResponse(
        public_id=row["public_id"],
        events=[event_response(event, artifacts, presigner) for event in events],
        latest_seq=row["last_seq"],
    )


def visitor_parameters(visitor: Visitor | None) -> dict[str, Any]:
    """Extra bind parameters of the queries for storefront visitors."""
    return {"customer_id": visitor.customer_id} if visitor else {}


def event_response(
    event: StoredEvent, artifacts: list[StoredArtifact], presigner: Presigner
) -> JobEventResponse:
    """The event with its artifacts."""
    announced = [artifact_response(item, presigner) for item in artifacts if item.seq == event.seq]
    return JobEventResponse(**msgspec.structs.asdict(event), artifacts=announced)


def artifact_response(artifact: StoredArtifact, presigner: Presigner) -> ArtifactResponse:
    """The artifact with a URL instead of its key."""
    signed = presigner.sign(artifact.key, artifact.meta["content_type"])
    return ArtifactResponse(
        image_url=signed.url,
        kind=artifact.kind,
        role=artifact.role,
        label=artifact.label,
        meta={**artifact.meta, "expires_at": signed.expires_at},
    )


def public_request(value: Any, presigner: Presigner) -> Any:
    """The job's request with every `<name>_key`, at any depth, as a signed `<name>_image_url`.

    The URL is null where the upload is no longer kept, and always for a photo of a person.
    """
    if isinstance(value, list):
        return [public_request(item, presigner) for item in value]
    if not isinstance(value, dict):
        return value
    public = {}
    for name, item in value.items():
        if name.endswith(STORAGE_KEY_SUFFIX):
            is_shown = item and name not in PRIVATE_UPLOAD_FIELDS
            url = presigner.sign(item, content_type_of(item)).url if is_shown else None
            public[name.removesuffix(STORAGE_KEY_SUFFIX) + "_image_url"] = url
        else:
            public[name] = public_request(item, presigner)
    return public
