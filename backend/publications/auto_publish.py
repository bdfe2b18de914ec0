"""Publish a job's first image without review, if its verdict is `pass`."""

from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from backend.jobs.lifecycle import append_after_success
from backend.jobs.service import JobRef
from backend.publications import queries
from backend.publications.leases import PUBLISH_STAGE, PublicationRef
from backend.publications.requests import rows_of, store_publication
from backend.publications.schemas import ArtifactToPublish

REVIEW = "Waiting for review before publishing"


async def auto_publish(
    connection: AsyncConnection, ref: JobRef, product_id: str, wish: dict[str, Any]
) -> None:
    """Request the publication in the transaction in which the job succeeds.

    An image that is a preview or needs review is not published: the timeline says so, and the
    merchant decides. `wish` has the image's `alt` and `position`.
    """
    first = (await connection.execute(queries.first_final(ref.shop_id, ref.public_id))).first()
    if first is None or first.is_preview or first.verdict != "pass":
        extra = {"publication": {"status": "NEEDS_REVIEW", "error": None}}
        await append_after_success(
            connection, ref, stage=PUBLISH_STAGE, message=REVIEW, extra=extra
        )
        return
    wanted = (ArtifactToPublish(sha256=first.sha256, **wish),)
    pictures = await rows_of(connection, ref, wanted, rounds=0)
    publication = PublicationRef(shop_id=ref.shop_id, job_id=ref.public_id, round=1)
    await store_publication(connection, publication, product_id, pictures)
