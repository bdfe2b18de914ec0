"""Enqueue with PgQueuer in the caller's own transaction: both commit, or neither does.

Every entry belongs to a shop and records how many of its kind the shop has (`Entry.number`). The
higher the number, the lower the priority, so a shop with thousands of entries delays itself and not
the others. Entries beyond the first `FEW` are the shop's backlog. They have an entry point of their
own, which cannot take all of a worker's capacity (`backend.worker.capacity`).

The consumer is `backend.worker`. PgQueuer's tables have their own schema.
"""

import functools
from typing import Any, TypeAlias, cast

import asyncpg
import msgspec
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
RUN_BACKLOG = "run_backlog"
HANDLE_WEBHOOK = "handle_webhook"
HANDLE_BACKLOG = "handle_backlog"
PUBLISH = "publish"
PUBLISH_BACKLOG = "publish_backlog"
UNPUBLISH = "unpublish"
UNPUBLISH_BACKLOG = "unpublish_backlog"
EXPAND_BATCH = "expand_batch"
RESUME_SHOP = "resume_shop"
SWEEP_PRODUCTS = "sweep_products"

FEW = 2  # entries of one kind; the shop's further ones are its backlog
BACKLOGS = {
    RUN_JOB: RUN_BACKLOG,
    HANDLE_WEBHOOK: HANDLE_BACKLOG,
    PUBLISH: PUBLISH_BACKLOG,
    UNPUBLISH: UNPUBLISH_BACKLOG,
}
URGENT = 0  # the number of an entry that waits behind none of its shop's
LAST = 1_000_000  # the number of an entry that waits behind all other work

Connection: TypeAlias = "AsyncConnection | asyncpg.Connection"


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A queue entry of a shop.

    `number` is how many of its kind the shop has, including this one; see `URGENT` and `LAST`.
    """

    entrypoint: str
    dedupe_key: str
    payload: bytes
    number: int


class ConnectionDriver:
    """The two calls that PgQueuer needs to enqueue, over a SQLAlchemy connection.

    `exec_driver_sql` takes part in the connection's transaction from its first statement on.
    asyncpg's own connection would not, because SQLAlchemy begins transactions lazily.
    """

    def __init__(self, connection: AsyncConnection) -> None:
        self.connection = connection

    async def fetch(self, query: str, *args: object) -> list[dict[str, object]]:
        """Run a query and return its rows."""
        result = await self.connection.exec_driver_sql(query, args)
        return [dict(row) for row in result.mappings()]

    async def execute(self, query: str, *args: object) -> str:
        """Run a statement and return the number of affected rows."""
        return str((await self.connection.exec_driver_sql(query, args)).rowcount)


def queries_on(connection: Connection) -> Queries:
    """PgQueuer's statements on the caller's connection."""
    if isinstance(connection, AsyncConnection):
        return queries(ConnectionDriver(connection))
    return queries(connection)  # asyncpg's connection has the two calls


def queries(driver: Any) -> Queries:
    """PgQueuer's statements over `driver`, in our schema."""
    return Queries(cast("Driver", driver), *builders())


@functools.cache
def builders() -> tuple[QueryBuilderEnvironment, QueryQueueBuilder, QuerySchedulerBuilder]:
    """PgQueuer's query builders, once per process: they parse settings and cache their SQL."""
    names = DBSettings(db_schema=QUEUE_SCHEMA)
    return QueryBuilderEnvironment(names), QueryQueueBuilder(names), QuerySchedulerBuilder(names)


async def enqueue(connection: Connection, *entries: Entry) -> None:
    """Insert entries into the queue within the connection's transaction, in one statement.

    An entry is dropped if another one with the same `dedupe_key` is waiting or running.
    """
    if entries:
        places = [place(entry) for entry in entries]
        await queries_on(connection).enqueue(
            [entrypoint for entrypoint, _ in places],
            [entry.payload for entry in entries],
            [priority for _, priority in places],
            dedupe_key=[entry.dedupe_key for entry in entries],
            on_conflict="skip",
        )


def place(entry: Entry) -> tuple[str, int]:
    """The entry point and the priority: each shop's first few come before all backlogs."""
    is_backlog = FEW < entry.number < LAST
    entrypoint = BACKLOGS.get(entry.entrypoint) if is_backlog else None
    return entrypoint or entry.entrypoint, -max(entry.number, URGENT)
