"""Enqueue through PgQueuer on the caller's own transaction: both commit, or neither does.

The consuming side is `backend.worker`. PgQueuer's tables live in a schema of their own.
"""

import functools
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, TypeAlias, cast

import asyncpg
from pgqueuer.adapters.persistence.qb import (
    QueryBuilderEnvironment,
    QueryQueueBuilder,
    QuerySchedulerBuilder,
)
from pgqueuer.domain.settings import DBSettings
from pgqueuer.ports.driver import Driver
from pgqueuer.queries import Queries
from sqlalchemy.ext.asyncio import AsyncConnection

QUEUE_SCHEMA = "queue"
RUN_JOB = "run_job"
RUN_BACKLOG = "run_backlog"  # a job too, of a shop that has some already: `worker.places`
HANDLE_WEBHOOK = "handle_webhook"
RESUME_SHOP = "resume_shop"
PUBLISH = "publish"
UNPUBLISH = "unpublish"
SWEEP_PRODUCTS = "sweep_products"
EXPAND_BATCH = "expand_batch"


Connection: TypeAlias = "AsyncConnection | asyncpg.Connection"


class ConnectionDriver:
    """The two calls PgQueuer needs to enqueue, over a SQLAlchemy connection.

    `exec_driver_sql` takes part in the connection's transaction from its first statement on;
    asyncpg's own connection would not, for SQLAlchemy begins lazily.
    """

    def __init__(self, connection: AsyncConnection) -> None:
        self.connection = connection

    async def fetch(self, query: str, *args: object) -> list[dict[str, object]]:
        """Run a query and return its rows."""
        result = await self.connection.exec_driver_sql(query, args)
        return [dict(row) for row in result.mappings()]

    async def execute(self, query: str, *args: object) -> str:
        """Run a statement and return how many rows it touched."""
        return str((await self.connection.exec_driver_sql(query, args)).rowcount)


def queries_on(connection: Connection) -> Queries:
    """PgQueuer's statements on the caller's connection."""
    if isinstance(connection, AsyncConnection):
        return queries(ConnectionDriver(connection))
    return queries(connection)  # asyncpg's has the two calls


def queries(driver: Any) -> Queries:
    """PgQueuer's statements over `driver`, in our schema."""
    return Queries(cast("Driver", driver), *builders())


@functools.cache
def builders() -> tuple[QueryBuilderEnvironment, QueryQueueBuilder, QuerySchedulerBuilder]:
    """PgQueuer's query builders, once a process: they parse settings and cache their SQL."""
    names = DBSettings(db_schema=QUEUE_SCHEMA)
    return QueryBuilderEnvironment(names), QueryQueueBuilder(names), QuerySchedulerBuilder(names)


async def enqueue(
    connection: Connection,
    entrypoint: str,
    payload: bytes,
    *,
    dedupe_key: str,
    priority: int = 0,
    delay: timedelta | None = None,
) -> None:
    """Put an entry on the queue within the connection's transaction.

    A second entry with the same `dedupe_key`, while the first is waiting or running, is dropped.
    A higher `priority` runs first.
    """
    await queries_on(connection).enqueue(
        entrypoint,
        payload,
        priority=priority,
        execute_after=delay,
        dedupe_key=dedupe_key,
        on_conflict="skip",
    )


async def enqueue_all(
    connection: AsyncConnection, entries: Sequence[tuple[str, str, bytes, int]]
) -> None:
    """Put many entries on the queue in one statement.

    Of each its entry point, `dedupe_key`, payload and priority; what holds of `enqueue` holds of
    each.
    """
    if entries:
        names, keys, payloads, priorities = (list(values) for values in zip(*entries, strict=True))
        await queries_on(connection).enqueue(
            names,
            payloads,
            priorities,
            dedupe_key=keys,
            on_conflict="skip",
        )
