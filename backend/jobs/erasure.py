"""Erase jobs for real: fence their workers, delete their objects, then their rows.

Rows go last, for they are what knows the objects; a crash half-way is repeated from the start.
"""

from typing import Any

from sqlalchemy import delete, func, select, union
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.db import Database
from backend.jobs.models import Artifact, Job, JobStage
from backend.jobs.states import Failure
from backend.jobs.timeline import fail_unfinished
from backend.storage.objects import ObjectStore
from backend.uploads.service import erase_uploads

ERASED = Failure(code="ERASED", message="The job was erased at the shop's or customer's request.")


async def erase_jobs(
    database: Database, store: ObjectStore, shop_id: int, *, customer_id: str | None = None
) -> int:
    """Erase the shop's jobs, or those of one of its customers; how many there were.

    A whole shop's uploads go too; of its customers there are none.
    """
    scope = jobs_of(shop_id, customer_id)
    async with database.transaction(shop_id) as connection:
        await fail_unfinished(connection, shop_id, ERASED, *scope)
        keys = await object_keys(connection, scope)
    await store.delete(keys)
    if customer_id is None:
        await erase_uploads(database, store, shop_id)
    async with database.transaction(shop_id) as connection:
        return (await connection.execute(delete(Job).where(*scope))).rowcount


async def count_jobs(connection: AsyncConnection, shop_id: int, customer_id: str) -> int:
    """How many jobs were made by that customer."""
    found = select(func.count()).select_from(Job).where(*jobs_of(shop_id, customer_id))
    return int(await connection.scalar(found) or 0)


async def object_keys(connection: AsyncConnection, scope: tuple[Any, ...]) -> list[str]:
    """Every object that those jobs stored: the artifacts and the files between the stages."""
    owned = select(Job.shop_id, Job.public_id).where(*scope).subquery()
    artifacts = select(Artifact.key).join_from(
        Artifact,
        owned,
        (Artifact.shop_id == owned.c.shop_id) & (Artifact.job_id == owned.c.public_id),
    )
    files = func.jsonb_each_text(JobStage.files).table_valued("key", "value")
    between = (
        select(files.c.value)
        .select_from(JobStage)
        .join(
            owned,
            (JobStage.shop_id == owned.c.shop_id) & (JobStage.job_id == owned.c.public_id),
        )
        .join(files, files.c.key.is_not(None))
    )
    return list((await connection.scalars(union(artifacts, between))).all())


def jobs_of(shop_id: int, customer_id: str | None) -> tuple[Any, ...]:
    """The shop's jobs, narrowed to a customer's where one is named."""
    if customer_id is None:
        return (Job.shop_id == shop_id,)
    return (Job.shop_id == shop_id, Job.customer_id == customer_id)
