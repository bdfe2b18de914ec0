"""Enqueue in the caller's own transaction: both commit, or neither does.

PgQueuer's statement does it (`enqueue`); for the most frequent entries, those of webhooks, it is a
part of the caller's statement (`insert_entry`).

Every entry belongs to a shop and says how many entries of its kind the shop has (`Entry.number`).
The higher the number, the lower the priority: a shop with thousands of entries waits behind itself,
not in front of everybody else. Entries beyond `MAX_FOREGROUND` are the shop's backlog. They wait at
an entry point of their own, which may not take every slot of a worker (`backend.worker.capacity`).

The consumer is `backend.worker`. PgQueuer's tables have their own schema.
"""

import functools
import threading
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import asyncpg
import msgspec
from sqlalchemy import (
    ColumnElement,
    Integer,
    LargeBinary,
    Select,
    Text,
    case,
    column,
    func,
    literal_column,
    select,
    table,
)
from sqlalchemy.dialects.postgresql import JSONB, insert
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.expression import CTE

from backend.tracing import Tracing

if TYPE_CHECKING:
    from pgqueuer.adapters.persistence.qb import (
        QueryBuilderEnvironment,
        QueryQueueBuilder,
        QuerySchedulerBuilder,
    )
    from pgqueuer.ports.driver import Driver
    from pgqueuer.queries import Queries

QUEUE_SCHEMA = "queue"
QUEUE_CHANNEL = "ch_pgqueuer"  # of the hints that PgQueuer listens to
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
DELIVER_EVENTS = "deliver_events"

MAX_FOREGROUND = 2  # entries of one kind that a shop may have; more are its backlog
BACKLOGS = {
    RUN_JOB: RUN_BACKLOG,
    HANDLE_WEBHOOK: HANDLE_BACKLOG,
    PUBLISH: PUBLISH_BACKLOG,
    UNPUBLISH: UNPUBLISH_BACKLOG,
}
URGENT = 0  # the number of an entry that does not wait behind others of its shop
LAST = 1_000_000  # the number of an entry that waits behind all other work

ENTRIES = table(
    "pgqueuer",
    column("entrypoint", Text),
    column("priority", Integer),
    column("payload", LargeBinary),
    column("dedupe_key", Text),
    column("headers", JSONB),
    column("status", Text),
    schema=QUEUE_SCHEMA,
)
QUEUED: ColumnElement[str] = literal_column(f"'queued'::{QUEUE_SCHEMA}.pgqueuer_status")

IMPORTING = threading.Lock()

AnyConnection: TypeAlias = "AsyncConnection | asyncpg.Connection"


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A queue entry: one task of a shop.

    `number` is how many entries of its kind the shop has, this one included: see `URGENT`, `LAST`.
    """

    entrypoint: str
    dedupe_key: str
    payload: bytes
    number: int


class ConnectionDriver:
    """The two methods PgQueuer needs to enqueue, on a SQLAlchemy connection.

    `exec_driver_sql` runs in the connection's transaction from the first statement on. The
    underlying asyncpg connection would not, because SQLAlchemy begins transactions lazily.
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


def queries_on(connection: AnyConnection) -> "Queries":
    """PgQueuer's statements on the caller's connection."""
    if isinstance(connection, AsyncConnection):
        return queries(ConnectionDriver(connection))
    return queries(connection)  # asyncpg's connection has the two methods


def queries(driver: Any) -> "Queries":
    """PgQueuer's statements over `driver`, in our schema."""
    import_pgqueuer()
    from pgqueuer.queries import Queries

    return Queries(cast("Driver", driver), *builders())


@functools.cache
def builders() -> "tuple[QueryBuilderEnvironment, QueryQueueBuilder, QuerySchedulerBuilder]":
    """PgQueuer's query builders, one set per process: they parse settings and cache their SQL."""
    import_pgqueuer()
    from pgqueuer.adapters.persistence.qb import (
        QueryBuilderEnvironment,
        QueryQueueBuilder,
        QuerySchedulerBuilder,
    )
    from pgqueuer.domain.settings import DBSettings

    names = DBSettings(db_schema=QUEUE_SCHEMA)
    return QueryBuilderEnvironment(names), QueryQueueBuilder(names), QuerySchedulerBuilder(names)


@functools.cache
def import_pgqueuer() -> None:
    """Import PgQueuer: with pydantic, it takes a sixth of the imports of a web process.

    The process does so in a thread once it listens, and its first request may need it by then. The
    package's modules import each other, so two threads that import it at once would find their
    locks in a deadlock: one waits for the other.
    """
    with IMPORTING:
        import pgqueuer.queries  # noqa: F401


async def enqueue(connection: AnyConnection, *entries: Entry) -> None:
    """Put entries on the queue within the connection's transaction, in one statement.

    An entry is dropped if another one with the same `dedupe_key` is waiting or running.
    """
    if entries:
        positions = [queue_position(entry) for entry in entries]
        await queries_on(connection).enqueue(
            [entrypoint for entrypoint, _ in positions],
            [entry.payload for entry in entries],
            [priority for _, priority in positions],
            dedupe_key=[entry.dedupe_key for entry in entries],
            on_conflict="skip",
        )


def queue_position(entry: Entry) -> tuple[str, int]:
    """Its entry point and priority: each shop's first few entries come before all backlogs."""
    is_backlog = MAX_FOREGROUND < entry.number < LAST
    entrypoint = BACKLOGS.get(entry.entrypoint) if is_backlog else None
    return entrypoint or entry.entrypoint, -max(entry.number, URGENT)


def insert_entry(entrypoint: str, rows: Select[Any]) -> CTE:
    """Put an entry on the queue for each of the rows, as a part of a statement.

    `rows` select `number`, `payload`, `dedupe_key` and `headers` (see `trace_headers`). As with
    `enqueue`, an entry is dropped if another one with its key is waiting or running; PgQueuer's
    log gets no line that it was queued, only how it ended.
    """
    row = rows.subquery("entry").c
    is_backlog = row.number.between(MAX_FOREGROUND + 1, LAST - 1)
    values = {
        ENTRIES.c.entrypoint: case((is_backlog, BACKLOGS[entrypoint]), else_=entrypoint),
        ENTRIES.c.priority: -func.greatest(row.number, URGENT),
        ENTRIES.c.payload: row.payload,
        ENTRIES.c.dedupe_key: row.dedupe_key,
        ENTRIES.c.headers: row.headers,
        ENTRIES.c.status: QUEUED,
    }
    entries = select(*values.values())
    return insert(ENTRIES).from_select(list(values), entries).on_conflict_do_nothing().cte("queued")


def new_entry_hint() -> str:
    """What tells PgQueuer of new entries (`backend.hints`); the hints of a second are the same."""
    return msgspec.json.encode(
        {
            "channel": QUEUE_CHANNEL,
            "operation": "insert",
            "sent_at": datetime.now(UTC).replace(microsecond=0),
            "table": ENTRIES.name,
            "type": "table_changed_event",
        }
    ).decode()


def trace_headers(entrypoint: str) -> str | None:
    """The headers by which a worker continues the current trace, as JSON; None without traces."""
    if Tracing.recorder is None:
        return None
    from pgqueuer.ports.tracing import TRACER  # was imported with the recorder

    assert TRACER.tracer is not None
    [headers] = TRACER.tracer.trace_publish([entrypoint])
    return msgspec.json.encode(headers).decode()
