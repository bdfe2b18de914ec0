"""An existing publication: read it, undo it, or stop it because its shop has left."""

from datetime import datetime

import msgspec
from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from backend import queue
from backend.errors import PublicationNotFound
from backend.failures.registry import Failure
from backend.jobs.ids import lookup_id
from backend.jobs.lookup import shop_row
from backend.publications import queries
from backend.publications.leases import (
    GOT_FURTHER,
    PublicationRef,
    enqueue_task,
    publication_key,
    tell,
)
from backend.publications.models import Publication
from backend.publications.schemas import PublicationResponse
from backend.publications.states import UNFINISHED_PUBLICATION, PublicationStatus, states_before

PUBLICATIONS_PER_STOP = 200  # publications stopped per transaction, each with an event


async def publication(
    connection: AsyncConnection, *, shop_domain: str, public_id: str
) -> PublicationResponse:
    """The job's newest publication.

    Raises `ShopNotInstalled`, `JobNotFound` or `PublicationNotFound`.
    """
    row = await shop_row(connection, queries.latest(shop_domain, lookup_id(public_id)))
    if row.round is None:
        raise PublicationNotFound
    facts = {name: row._mapping[name] for name in PublicationResponse.__struct_fields__}
    facts["artifacts"] = msgspec.json.decode(row.artifacts or "[]")
    return msgspec.convert(facts, PublicationResponse)


async def take_back(
    connection: AsyncConnection, *, shop_domain: str, public_id: str
) -> PublicationResponse:
    """Have the publication undone, whatever its state; a worker that runs it is fenced.

    A publication that is being undone or was undone stays as it is. Raises as `publication`.
    """
    row = await shop_row(connection, queries.latest(shop_domain, lookup_id(public_id)))
    if row.round is None:
        raise PublicationNotFound
    ref = PublicationRef(shop_id=row.owner_id, job_id=row.public_id, round=row.round)
    target = PublicationStatus.RESTORING
    is_new = Publication.status.in_(states_before(target) - {target})
    overtaken = await connection.execute(
        update(Publication)
        .where(*publication_key(ref), is_new)
        .values(
            {
                "status": target,
                "attempt": Publication.attempt + 1,
                "error": None,
                **GOT_FURTHER,
            }
        )
    )
    if overtaken.rowcount:
        await tell(connection, ref, target, target)
        await enqueue_task(connection, ref, queue.UNPUBLISH)
    return await publication(connection, shop_domain=shop_domain, public_id=public_id)


async def stop_publications(
    connection: AsyncConnection, shop_id: int, failure: Failure, before: datetime
) -> int:
    """End a slice of the unfinished publications of a shop that has left us; return how many.

    Only those requested until `before`. Their finished steps stay, because we can no longer call
    that shop.
    """
    unfinished = (
        select(Publication.job_id, Publication.round)
        .where(
            Publication.shop_id == shop_id,
            Publication.status.in_(UNFINISHED_PUBLICATION),
            Publication.created_at <= before,
        )
        .limit(PUBLICATIONS_PER_STOP)
        .with_for_update()
        .cte("unfinished")
    )
    ended = await connection.execute(
        update(Publication)
        .where(
            Publication.shop_id == shop_id,
            Publication.job_id == unfinished.c.job_id,
            Publication.round == unfinished.c.round,
        )
        .values(
            status=PublicationStatus.FAILED,
            attempt=Publication.attempt + 1,
            error=msgspec.structs.asdict(failure),
            changed_at=func.now(),
        )
        .returning(Publication.job_id, Publication.round)
    )
    stopped = ended.all()
    for row in stopped:
        ref = PublicationRef(shop_id=shop_id, job_id=row.job_id, round=row.round)
        failed = PublicationStatus.FAILED
        await tell(connection, ref, failed, failed, failure)
    return len(stopped)
