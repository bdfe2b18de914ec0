"""The read at the heart: one statement, then offline presigning."""

from typing import Any

import msgspec
from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.errors import JobNotFound, ShopNotInstalled
from backend.jobs import queries
from backend.jobs.ids import IMPOSSIBLE, is_public_id
from backend.jobs.schemas import ArtifactResponse, JobDetailResponse, JobEventResponse
from backend.jobs.states import JobStatus
from backend.storage.presign import Presigner

KEY_SUFFIX = "_key"


class StoredArtifact(msgspec.Struct, frozen=True, kw_only=True):
    """An artifact's row as the statement gives it."""

    key: str
    kind: str
    role: str
    label: str | None
    seq: int
    meta: dict[str, Any]


async def job_detail(
    connection: AsyncConnection, presigner: Presigner, *, shop_domain: str, public_id: str
) -> JobDetailResponse:
    """The job as its shop may see it.

    Raises `ShopNotInstalled` when the shop is not here, `JobNotFound` for every id that is not
    one of its jobs. A malformed id is looked up like any other, so that it takes as long.
    """
    known = public_id if is_public_id(public_id) else IMPOSSIBLE
    row = (await connection.execute(queries.detail(shop_domain, known))).one_or_none()
    if row is None:
        raise ShopNotInstalled
    if row.public_id is None:
        raise JobNotFound
    artifacts = msgspec.json.decode(row.artifacts or "[]", type=list[StoredArtifact])
    return JobDetailResponse(
        public_id=row.public_id,
        job_type=row.job_type,
        status=JobStatus(row.status),
        created_at=row.created_at,
        request=scrubbed(row.request, presigner),
        result=finals(row.status, artifacts, presigner),
        latest_event=latest_event(row, artifacts, presigner),
    )


def finals(
    status: str, artifacts: list[StoredArtifact], presigner: Presigner
) -> list[ArtifactResponse]:
    """The manifest: nothing until the job has succeeded."""
    if status != JobStatus.SUCCESS:
        return []
    return [presigned(artifact, presigner) for artifact in artifacts if artifact.role == "final"]


def latest_event(
    row: Row[Any], artifacts: list[StoredArtifact], presigner: Presigner
) -> JobEventResponse | None:
    """The newest public event with the artifacts it announced."""
    if row.seq is None:
        return None
    return JobEventResponse(
        seq=row.seq,
        event_type=row.event_type,
        stage=row.stage,
        message=row.message,
        artifacts=[presigned(item, presigner) for item in artifacts if item.seq == row.seq],
        extra=row.extra,
        created_at=row.event_created_at,
    )


def presigned(artifact: StoredArtifact, presigner: Presigner) -> ArtifactResponse:
    """The artifact with a URL in place of its key."""
    signed = presigner.sign(artifact.key, artifact.meta["content_type"])
    return ArtifactResponse(
        image_url=signed.url,
        kind=artifact.kind,
        role="final" if artifact.role == "final" else "intermediate",
        label=artifact.label,
        meta={**artifact.meta, "expires_at": signed.expires_at},
    )


def scrubbed(value: Any, presigner: Presigner) -> Any:
    """The create payload with every `<name>_key`, however deep, as a signed `<name>_image_url`."""
    if isinstance(value, list):
        return [scrubbed(item, presigner) for item in value]
    if not isinstance(value, dict):
        return value
    public = {}
    for name, item in value.items():
        if name.endswith(KEY_SUFFIX):
            url = presigner.sign(item, "image/jpeg").url if item else None
            public[name.removesuffix(KEY_SUFFIX) + "_image_url"] = url
        else:
            public[name] = scrubbed(item, presigner)
    return public
