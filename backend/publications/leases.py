"""The worker's writes on a publication: claim it, note what is done, and move it on.

Every write after the claim is fenced by the attempt, as a job's are (`backend.jobs.lifecycle`): a
worker that was overtaken, by another or by the merchant who takes it all back, gets `Fenced` and
has changed nothing. A status and its event on the job's timeline commit together.
"""

from datetime import timedelta
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, case, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from backend import queue
from backend.failures.registry import Failure
from backend.jobs.lifecycle import append_after_success
from backend.jobs.models import Artifact
from backend.jobs.service import JobRef
from backend.leased_task import Fenced
from backend.publications.models import Publication, PublishedMedia
from backend.publications.states import (
    MEANT,
    TASK_STATES,
    MediaStatus,
    PublicationStatus,
    states_before,
)
from backend.shops.media_responses import Gallery
from backend.shops.models import Shop

PUBLISH_STAGE, UNPUBLISH_STAGE = "publish", "unpublish"
MESSAGES = {
    PublicationStatus.PENDING: "Waiting to be published",
    PublicationStatus.PUBLISHING: "Publishing to the product",
    PublicationStatus.PUBLISHED: "Published to the product",
    PublicationStatus.RESTORING: "Removing the published images",
    PublicationStatus.RESTORED: "The product's original media are restored",
}
# What a step forward makes of what was noted on the way to it.
GOT_FURTHER: dict[str, Any] = {
    "tries": 0,
    "outages": 0,
    "shopify_busy_since": None,
    "shopify_job": None,
    "changed_at": func.now(),
}


class PublicationRef(msgspec.Struct, frozen=True, kw_only=True):
    """A publication's key, as the queue carries it."""

    shop_id: int
    job_id: str
    round: int

    @property
    def job(self) -> JobRef:
        """The job it belongs to."""
        return JobRef(shop_id=self.shop_id, public_id=self.job_id)


class Picture(msgspec.Struct, frozen=True, kw_only=True):
    """One picture to publish: its object, and how far it is."""

    number: int
    round: int
    filename: str
    alt: str | None
    position: int | None
    status: MediaStatus
    media_id: str | None
    key: str
    content_type: str


class PublicationLease(msgspec.Struct, frozen=True, kw_only=True):
    """The right to write on a publication, for as long as nobody overtakes.

    `pictures` are those of all the job's publications. `busy_for` is for how long it has waited for
    Shopify since it last got further, and `shopify_job` what it then waited for.
    """

    ref: PublicationRef
    attempt: int
    tries: int
    outages: int
    status: PublicationStatus
    shop_domain: str
    product_id: str
    snapshot: Gallery | None
    error: Failure | None
    busy_for: timedelta
    shopify_job: str | None
    pictures: list[Picture]

    @property
    def own(self) -> list[Picture]:
        """The pictures of this publication."""
        return [picture for picture in self.pictures if picture.round == self.ref.round]


async def lease_publication(
    connection: AsyncConnection, ref: PublicationRef, task: str
) -> PublicationLease | None:
    """Take the publication; None when that task has nothing to do any more."""
    begins = Publication.status == PublicationStatus.PENDING
    domain = select(Shop.domain).where(Shop.id == ref.shop_id).scalar_subquery()
    taken = (
        update(Publication)
        .where(*publication_key(ref), Publication.status.in_(TASK_STATES[task]))
        .values(
            status=case((begins, PublicationStatus.PUBLISHING), else_=Publication.status),
            attempt=Publication.attempt + 1,
            tries=Publication.tries + 1,
            changed_at=func.now(),
        )
        .returning(
            Publication.attempt,
            Publication.tries,
            Publication.outages,
            Publication.status,
            Publication.product_id,
            Publication.snapshot,
            Publication.error,
            Publication.shopify_job,
            busy_for().label("busy_for"),
            domain.label("shop_domain"),
        )
    )
    row = (await connection.execute(taken)).mappings().one_or_none()
    if row is None:
        return None
    facts = {**row, "ref": msgspec.to_builtins(ref), "pictures": await pictures(connection, ref)}
    lease = msgspec.convert(facts, PublicationLease)
    if lease.attempt == 1:
        await tell(connection, ref, PublicationStatus.PENDING, lease.status)
    return lease


async def pictures(connection: AsyncConnection, ref: PublicationRef) -> list[dict[str, Any]]:
    """The pictures of all the job's publications, in their order."""
    media = PublishedMedia
    found = (
        select(
            media.number,
            media.round,
            media.filename,
            media.alt,
            media.position,
            media.status,
            media.media_id,
            Artifact.key,
            Artifact.meta["content_type"].astext.label("content_type"),
        )
        .join(
            Artifact,
            (Artifact.shop_id == media.shop_id)
            & (Artifact.job_id == media.job_id)
            & (Artifact.stage == media.stage)
            & (Artifact.name == media.name),
        )
        .where(media.shop_id == ref.shop_id, media.job_id == ref.job_id)
        .order_by(media.number)
    )
    return [dict(row) for row in (await connection.execute(found)).mappings()]


async def note_publication(
    connection: AsyncConnection, lease: PublicationLease, **changes: Any
) -> None:
    """Record progress of the publication: the counts of tries and outages start again."""
    values = {**GOT_FURTHER, **changes}
    noted = await connection.execute(
        update(Publication).where(*leased_publication(lease)).values(values)
    )
    if noted.rowcount == 0:
        raise Fenced(lease.ref.job_id)


async def return_publication_attempt(
    connection: AsyncConnection, lease: PublicationLease, *, outages: int = 0
) -> int:
    """Do not count the claim as a try: what stopped it was no fault of the publication's.

    Returns the outages in a row, these included. Progress since the claim has reset both counts.
    """
    counted = await connection.scalar(
        update(Publication)
        .where(*leased_publication(lease))
        .values(
            tries=func.greatest(Publication.tries - 1, 0), outages=Publication.outages + outages
        )
        .returning(Publication.outages)
    )
    if counted is None:
        raise Fenced(lease.ref.job_id)
    return int(counted)


async def note_busy(
    connection: AsyncConnection, lease: PublicationLease, job: str | None
) -> timedelta:
    """Record that Shopify is not done yet; for how long it has not been.

    The claim has found out no more than that, and is not counted as a try.
    """
    noted = (
        update(Publication)
        .where(*leased_publication(lease))
        .values(
            tries=func.greatest(Publication.tries - 1, 0),
            shopify_busy_since=func.coalesce(Publication.shopify_busy_since, func.now()),
            shopify_job=job,
        )
        .returning(busy_for())
    )
    waited: timedelta | None = (await connection.execute(noted)).scalar_one_or_none()
    if waited is None:
        raise Fenced(lease.ref.job_id)
    return waited


def busy_for() -> ColumnElement[Any]:
    """For how long it has waited for Shopify since it last got further."""
    return func.now() - func.coalesce(Publication.shopify_busy_since, func.now())


async def note_picture(
    connection: AsyncConnection, lease: PublicationLease, picture: Picture, **changes: Any
) -> Picture:
    """Record something about one picture; the picture as it is now."""
    await note_publication(connection, lease)
    await connection.execute(
        update(PublishedMedia)
        .where(
            PublishedMedia.shop_id == lease.ref.shop_id,
            PublishedMedia.job_id == lease.ref.job_id,
            PublishedMedia.number == picture.number,
        )
        .values(**changes)
    )
    return msgspec.structs.replace(picture, **changes)


async def move(
    connection: AsyncConnection,
    lease: PublicationLease,
    target: PublicationStatus,
    *,
    failure: Failure | None = None,
) -> None:
    """Enter a state, and say so on the job's timeline."""
    moved = await connection.execute(
        update(Publication)
        .where(*leased_publication(lease), Publication.status.in_(states_before(target)))
        .values({"status": target, **GOT_FURTHER, **facts_of(target, failure)})
    )
    if moved.rowcount == 0:
        raise Fenced(lease.ref.job_id)
    await tell(connection, lease.ref, lease.status, target, failure)


def facts_of(target: PublicationStatus, failure: Failure | None) -> dict[str, Any]:
    """What a state brings with it."""
    facts: dict[str, Any] = {"error": failure and msgspec.structs.asdict(failure)}
    if target is PublicationStatus.PUBLISHED:
        facts["published_at"] = func.now()
    if target is PublicationStatus.RESTORED:
        facts["restored_at"] = func.now()
    return facts


async def require_lease(connection: AsyncConnection, lease: PublicationLease) -> None:
    """Raise `Fenced` when somebody has overtaken."""
    if (
        await connection.scalar(select(Publication.attempt).where(*leased_publication(lease)))
        is None
    ):
        raise Fenced(lease.ref.job_id)


async def is_meant_to_be(connection: AsyncConnection, ref: PublicationRef) -> bool:
    """Whether it is published or still going to be, whoever works on it."""
    meant = Publication.status.in_(MEANT), Publication.error.is_(None)
    return (
        await connection.scalar(select(Publication.round).where(*publication_key(ref), *meant))
        is not None
    )


async def tell(
    connection: AsyncConnection,
    ref: PublicationRef,
    before: PublicationStatus,
    now: PublicationStatus,
    failure: Failure | None = None,
) -> None:
    """The event of a new state. Raises `Fenced` when the job has been erased."""
    backwards = {PublicationStatus.RESTORING, PublicationStatus.RESTORED}
    error = failure and msgspec.structs.asdict(failure)
    await append_after_success(
        connection,
        ref.job,
        stage=UNPUBLISH_STAGE if backwards & {before, now} else PUBLISH_STAGE,
        message=failure.message if failure else MESSAGES[now],
        extra={"publication": {"status": now, "error": error}},
    )


async def enqueue_task(connection: AsyncConnection, ref: PublicationRef, task: str) -> None:
    """Have a worker go, behind the shop's other publications.

    Entries with the same key are one, so no two workers have the same task.
    """
    unfinished = Publication.shop_id == ref.shop_id, Publication.status.in_(TASK_STATES[task])
    number = await connection.scalar(
        select(func.count()).select_from(Publication).where(*unfinished)
    )
    entry = queue.Entry(
        entrypoint=task,
        dedupe_key=f"{task}:{ref.shop_id}:{ref.job_id}:{ref.round}",
        payload=msgspec.json.encode(ref),
        number=number or 1,
    )
    await queue.enqueue(connection, entry)


def publication_key(ref: PublicationRef) -> tuple[Any, ...]:
    """The publication."""
    return (
        Publication.shop_id == ref.shop_id,
        Publication.job_id == ref.job_id,
        Publication.round == ref.round,
    )


def leased_publication(lease: PublicationLease) -> tuple[Any, ...]:
    """The publication, while nobody has overtaken."""
    return *publication_key(lease.ref), Publication.attempt == lease.attempt
