"""Request a publication: checked, and stored completely in the caller's transaction."""

from typing import Any

import msgspec
from sqlalchemy import Row, insert
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from backend import queue
from backend.errors import (
    AlreadyPublished,
    InvalidRequest,
    JobNotFinished,
    JobNotFound,
    PreviewNotPublishable,
    ScopeMissing,
)
from backend.jobs.idempotency import Repeatable, answered_before, earlier_answer
from backend.jobs.ids import lookup_id
from backend.jobs.lookup import shop_row
from backend.jobs.service import JobRef
from backend.jobs.states import JobStatus
from backend.publications import queries
from backend.publications.leases import PublicationRef, enqueue_task, tell
from backend.publications.models import Publication, PublishedMedia
from backend.publications.schemas import (
    MAX_ARTIFACTS,
    ArtifactToPublish,
    PublicationRequest,
    PublicationResponse,
    PublishedArtifactResponse,
)
from backend.publications.states import MediaStatus, PublicationStatus
from backend.shops.scopes import covers
from backend.storage.keys import EXTENSIONS

SCOPES = "write_files,write_products"


class RequestedPublication(msgspec.Struct, frozen=True, kw_only=True):
    """The publication, and whether this is the response of an earlier request."""

    answer: PublicationResponse
    is_replay: bool = False


async def request_publication(
    connection: AsyncConnection,
    *,
    shop_domain: str,
    public_id: str,
    wanted: PublicationRequest,
    repeatable: Repeatable | None,
) -> RequestedPublication:
    """Store what is to be published, with its event and its queue entry.

    Raises `ShopNotInstalled`, `JobNotFound`, `JobNotFinished`, `InvalidRequest`,
    `PreviewNotPublishable`, `ScopeMissing`, `AlreadyPublished`, and the errors of idempotency keys.
    """
    job = await shop_row(connection, queries.job_to_publish(shop_domain, lookup_id(public_id)))
    if repeatable:
        kind = PublicationResponse
        earlier = await earlier_answer(connection, repeatable, shop_id=job.shop_id, kind=kind)
        if earlier:  # first: otherwise a repeated request would get `AlreadyPublished`
            return RequestedPublication(answer=earlier, is_replay=True)
    product_id = require_publishable(job, wanted)
    ref = JobRef(shop_id=job.shop_id, public_id=job.public_id)
    pictures = await rows_of(connection, ref, wanted.artifacts, rounds=job.rounds or 0)
    answer = accepted_publication(job, product_id, pictures)
    if repeatable:
        earlier = await answered_before(connection, repeatable, shop_id=job.shop_id, answer=answer)
        if earlier:
            return RequestedPublication(answer=earlier, is_replay=True)
    if await connection.scalar(queries.job_kept(ref.shop_id, ref.public_id)) is None:
        raise JobNotFound  # erased just now
    publication = PublicationRef(
        shop_id=ref.shop_id, job_id=ref.public_id, round=(job.rounds or 0) + 1
    )
    await store_publication(connection, publication, product_id, pictures)
    return RequestedPublication(answer=answer)


def accepted_publication(
    job: Row[Any], product_id: str, pictures: list[dict[str, Any]]
) -> PublicationResponse:
    """The response to a request that is about to be stored."""
    return PublicationResponse(
        job_id=job.public_id,
        product_id=product_id,
        status=PublicationStatus.PENDING,
        error=None,
        artifacts=[
            PublishedArtifactResponse(
                sha256=picture["sha256"],
                alt=picture["alt"],
                position=picture["position"],
                status=MediaStatus.PENDING,
                media_id=None,
            )
            for picture in pictures
        ],
        created_at=job.now,
        published_at=None,
        restored_at=None,
    )


def require_publishable(job: Row[Any], wanted: PublicationRequest) -> str:
    """The product to publish on, if the job, the shop and the request allow it."""
    if job.status != JobStatus.SUCCESS:
        raise JobNotFinished
    product_id = wanted.product_id or job.product_id
    if product_id is None:
        message = (
            "This job was not created from a product. Set product_id to the product to publish to."
        )
        raise InvalidRequest([body_problem(["product_id"], message)])
    require_distinct_artifacts(wanted.artifacts, "sha256")
    require_distinct_artifacts(wanted.artifacts, "position")
    if not covers(job.scopes, SCOPES):
        raise ScopeMissing
    return str(product_id)


def require_distinct_artifacts(artifacts: tuple[ArtifactToPublish, ...], field: str) -> None:
    """Refuse a value that two artifacts must not share."""
    values = [getattr(artifact, field) for artifact in artifacts]
    repeated = [
        body_problem(
            ["artifacts", index, field], "Another artifact in the list has the same value."
        )
        for index, value in enumerate(values)
        if value is not None and value in values[:index]
    ]
    if repeated:
        raise InvalidRequest(repeated)


async def rows_of(
    connection: AsyncConnection,
    job: JobRef,
    wanted: tuple[ArtifactToPublish, ...],
    *,
    rounds: int,
) -> list[dict[str, Any]]:
    """The images as rows, in the order of the request; `rounds` counts earlier publications."""
    digests = [artifact.sha256 for artifact in wanted]
    finals = await connection.execute(queries.final_artifacts(job.shop_id, job.public_id, digests))
    known_as = {row.sha256: row for row in reversed(finals.all())}
    require_finals(digests, known_as)
    begin = rounds * MAX_ARTIFACTS + 1
    rows = []
    for number, artifact in enumerate(wanted, begin):
        final = known_as[artifact.sha256]
        extension = EXTENSIONS.get(final.content_type, "bin")
        rows.append(
            {
                "number": number,
                "stage": final.stage,
                "name": final.name,
                "sha256": artifact.sha256,
                "alt": artifact.alt,
                "position": artifact.position,
                "filename": f"atelier-{job.public_id}-{number}.{extension}",
            }
        )
    return rows


def require_finals(digests: list[str], known_as: dict[str, Row[Any]]) -> None:
    """Refuse artifacts that are not final artifacts of the job, and previews."""
    message = "This job has no such final artifact. See `meta.sha256` in the job's `result`."
    if unknown := [index for index, digest in enumerate(digests) if digest not in known_as]:
        raise InvalidRequest(
            [body_problem(["artifacts", index, "sha256"], message) for index in unknown]
        )
    message = "This artifact is a preview."
    if previews := [i for i, digest in enumerate(digests) if known_as[digest].is_preview]:
        raise PreviewNotPublishable(
            [body_problem(["artifacts", index, "sha256"], message) for index in previews]
        )


async def store_publication(
    connection: AsyncConnection,
    ref: PublicationRef,
    product_id: str,
    pictures: list[dict[str, Any]],
) -> None:
    """Insert the rows, the event and the queue entry, unless the job is already published."""
    key = {"shop_id": ref.shop_id, "job_id": ref.job_id, "round": ref.round}
    stored = await connection.execute(
        upsert(Publication).values(**key, product_id=product_id).on_conflict_do_nothing()
    )
    if stored.rowcount == 0:
        raise AlreadyPublished
    await connection.execute(insert(PublishedMedia), [{**key, **row} for row in pictures])
    await tell(connection, ref, PublicationStatus.PENDING, PublicationStatus.PENDING)
    await enqueue_task(connection, ref, queue.PUBLISH)


def body_problem(path: list[str | int], message: str) -> dict[str, Any]:
    """One item of `detail`."""
    return {"loc": ["body", *path], "msg": message, "type": "value_error"}
