"""Erase jobs: fence their workers, delete their objects, then their rows.

It works in slices, so that 300,000 jobs of a shop need no more memory and no longer statements than
a thousand. Of each slice the rows are deleted last, because they name the objects. After a crash,
the next run continues where this one stopped.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ARRAY, Text, any_, cast, delete, func, select, union
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.expression import CollectionAggregate

from backend.catalog.models import CatalogEntry
from backend.db import Database
from backend.failures.codes import ERASED
from backend.jobs.completion import fail_unfinished
from backend.jobs.models import Artifact, Job, JobEvent, JobStage
from backend.slices import ITEMS_PER_SLICE, TimeSlice
from backend.storage.objects import ObjectStore
from backend.uploads.service import erase_uploads


async def erase_jobs(
    database: Database,
    store: ObjectStore,
    shop_id: int,
    *,
    customer_id: str | None = None,
    before: datetime | None = None,
    time_slice: TimeSlice | None = None,
) -> int:
    """Erase the shop's jobs, or those of one of its customers; return how many there were.

    For a whole shop, its uploads are erased too; customers have none. With `before`, only what was
    created until then is erased. Raises `TimeSliceOver` with the number of jobs erased so far, and
    `StorageUnavailable`.
    """
    scope = jobs_of(shop_id, customer_id, before)
    time_slice = time_slice or TimeSlice()
    erased = 0
    while found := await erase_pass(database, store, shop_id, scope, time_slice):
        erased += found
    if customer_id is None:
        await erase_uploads(database, store, shop_id, before=before, time_slice=time_slice)
    return erased


async def erase_pass(
    database: Database,
    store: ObjectStore,
    shop_id: int,
    scope: tuple[Any, ...],
    time_slice: TimeSlice,
) -> int:
    """Erase the jobs in the order of their IDs, in one pass; return how many there were.

    A job that is being created meanwhile can get an ID before the current position and be missed.
    """
    found, after = 0, ""
    while ids := await erase_slice(database, store, shop_id, scope, after):
        found, after = found + len(ids), ids[-1]
        time_slice.did(len(ids))
    return found


async def erase_slice(
    database: Database, store: ObjectStore, shop_id: int, scope: tuple[Any, ...], after: str
) -> Sequence[str]:
    """Erase the next slice of jobs after that ID; return their IDs."""
    async with database.transaction(shop_id) as connection:
        ids = await next_jobs(connection, shop_id, scope, after)
        await fail_unfinished(connection, shop_id, ERASED, Job.public_id == among(ids))
        keys = await stored_keys(connection, shop_id, ids)
    await store.delete(keys)
    async with database.transaction(shop_id) as connection:
        await delete_jobs(connection, shop_id, ids)
    return ids


async def next_jobs(
    connection: AsyncConnection, shop_id: int, scope: tuple[Any, ...], after: str
) -> Sequence[str]:
    """The IDs of a slice of jobs."""
    found = (
        select(Job.public_id)
        .where(Job.shop_id == shop_id, *scope, Job.public_id > after)
        .order_by(Job.public_id)
        .limit(ITEMS_PER_SLICE)
    )
    return (await connection.scalars(found)).all()


async def count_jobs(connection: AsyncConnection, shop_id: int, customer_id: str) -> int:
    """How many jobs that customer created."""
    found = select(func.count()).select_from(Job).where(*jobs_of(shop_id, customer_id))
    return int(await connection.scalar(found) or 0)


async def stored_keys(connection: AsyncConnection, shop_id: int, ids: Sequence[str]) -> list[str]:
    """Every object that those jobs stored: artifacts, and files between the stages."""
    artifacts = select(Artifact.key).where(
        Artifact.shop_id == shop_id, Artifact.job_id == among(ids)
    )
    files = func.jsonb_each_text(JobStage.files).table_valued("key", "value")
    between = (
        select(files.c.value)
        .select_from(JobStage)
        .join(files, files.c.key.is_not(None))
        .where(JobStage.shop_id == shop_id, JobStage.job_id == among(ids))
    )
    return list((await connection.scalars(union(artifacts, between))).all())


async def delete_jobs(connection: AsyncConnection, shop_id: int, ids: Sequence[str]) -> None:
    """Delete the jobs' rows, dependent rows first: a cascade would look each job up again."""
    for table, job_id in (
        (JobEvent, JobEvent.job_id),
        (Artifact, Artifact.job_id),
        (JobStage, JobStage.job_id),
        (CatalogEntry, CatalogEntry.id),
    ):
        await connection.execute(
            delete(table).where(table.shop_id == shop_id, job_id == among(ids))
        )
    await connection.execute(delete(Job).where(Job.shop_id == shop_id, Job.public_id == among(ids)))


def among(ids: Sequence[str]) -> CollectionAggregate[Any]:
    """One of these IDs, as a single parameter for any number of them."""
    return any_(cast(list(ids), ARRAY(Text)))


def jobs_of(
    shop_id: int, customer_id: str | None, before: datetime | None = None
) -> tuple[Any, ...]:
    """The shop's jobs, limited to a customer's or to those created before `before`, if given."""
    narrowed: list[Any] = [Job.shop_id == shop_id]
    if customer_id is not None:
        narrowed.append(Job.customer_id == customer_id)
    if before is not None:
        narrowed.append(Job.created_at <= before)
    return tuple(narrowed)
