"""Postgres: connection pools, short transactions, and `DatabaseUnavailable` during an outage."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from functools import cached_property, partial
from typing import Any

import asyncpg
import msgspec
import structlog
from asyncpg.exceptions import ClientConfigurationError
from sqlalchemy import ClauseElement, Integer, MetaData, RowMapping, String
from sqlalchemy.dialects.postgresql.asyncpg import PGCompiler_asyncpg, PGDialect_asyncpg
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.orm import DeclarativeBase

from backend.concurrency import ConnectionSlots, KeyedSemaphores
from backend.connections import Connections
from backend.database_errors import database_errors, is_outage, role_errors
from backend.errors import ConfigurationError, DatabaseUnavailable
from backend.hints import Hints
from backend.metrics import DATABASE_UNAVAILABLE, increment
from backend.schema_check import compare_clocks, require_current_schema
from backend.tenancy import WEB, enter, require_row_security

log = structlog.get_logger(__name__)

# When Postgres stops answering, a request waits for a slot and then for either a dead connection
# or a statement without an answer. Both sums stay below six seconds.
CONNECT_TIMEOUT = 2.0  # seconds to get a working connection
STATEMENT_GRACE = 0.5  # seconds for Postgres to end a statement before we drop the connection
POOL_TIMEOUT = 2.0  # seconds to wait for a free connection before a 503
SHOP_BUSY = "This shop has too many requests in progress; nothing was stored. Retry shortly."

# Every constraint has a name, so that migrations can refer to it.
NAMING_CONVENTION = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}


class Base(DeclarativeBase):
    """The base of all models; a test compares `Base.metadata` with the migrations."""

    metadata = MetaData(naming_convention=NAMING_CONVENTION)


class InlineConstants(PGCompiler_asyncpg):
    """Writes the texts and integers of a statement into its text.

    As parameters they would be sent and decoded each time: 17 of them for a job's detail.
    """

    def visit_bindparam(self, bindparam: Any, *args: Any, **how: Any) -> Any:
        """A literal for a constant; a parameter with a name may have another value later."""
        is_constant = bindparam.unique and bindparam.value is not None
        if is_constant and isinstance(bindparam.type, Integer | String):
            how["literal_binds"] = True
        return super().visit_bindparam(  # type: ignore[no-untyped-call]
            bindparam, *args, **how
        )


class InlineDialect(PGDialect_asyncpg):
    """The dialect of `Query`."""

    statement_compiler = InlineConstants


class Query:
    """A statement that SQLAlchemy compiles once and asyncpg executes.

    For the most frequent statements: to compile one each time and execute it through SQLAlchemy
    costs several times what Postgres takes to answer it. `statement` makes it, with a `bindparam`
    for each parameter of `Database.row`, `Database.rows`, `Database.change` and `fetch_row`. It is
    made and compiled at its first use: to compile all while modules are imported took a tenth of a
    process's start, and to make them a twentieth.
    """

    def __init__(self, statement: Callable[[], ClauseElement]) -> None:
        self.statement = statement

    @cached_property
    def compiled(self) -> Any:
        """SQLAlchemy's compiled statement."""
        return self.statement().compile(dialect=InlineDialect())  # type: ignore[no-untyped-call]

    @cached_property
    def sql(self) -> str:
        """The text, with `$1`, `$2` …"""
        return str(self.compiled)

    @cached_property
    def order(self) -> tuple[str, ...]:
        """The names of the parameters, in the order of the text's."""
        return tuple(self.compiled.positiontup or ())

    @cached_property
    def fixed(self) -> dict[str, Any]:
        """The values of the parameters that the statement sets itself."""
        return dict(self.compiled.params)

    def arguments(self, parameters: Mapping[str, Any]) -> list[Any]:
        """The values in the order of the statement's parameters."""
        return [parameters[name] if name in parameters else self.fixed[name] for name in self.order]


class AbruptConnection(asyncpg.Connection):  # type: ignore[misc]  # asyncpg has no types
    """Closes without a handshake when it is dropped: SQLAlchemy would wait two seconds for it."""

    async def close(self, *, timeout: float | None = None) -> None:
        """Close; abruptly if there is a time-out, which SQLAlchemy sets only after a failure."""
        if timeout is None:
            await super().close()
        else:
            self.terminate()


class Database:
    """Connections to Postgres, bound to the event loop that first uses them.

    Through `transaction` and `reading`, one shop's requests hold at most half of a web process's
    pool. `row`, `rows`, `change` and `run` are for single short statements that wait for no lock,
    such as reads of a job and the receipt of a webhook.
    `pool_size` is a hard cap on each of two pools: SQLAlchemy's and our own `Connections`.
    `statement_timeout` is in seconds and enforced by the server; the client's own timeout is
    longer, so that Postgres itself ends a runaway statement. Every connection acts as `role`,
    whatever user the URL names.
    """

    def __init__(
        self, url: str, *, role: str = WEB, pool_size: int = 10, statement_timeout: float = 3.0
    ) -> None:
        connect_options = {
            "timeout": CONNECT_TIMEOUT,
            "server_settings": {
                "application_name": "atelier",
                "role": role,
                "statement_timeout": str(int(statement_timeout * 1000)),
                "lock_timeout": "2000",
                "idle_in_transaction_session_timeout": "10000",
            },
        }
        self.role = role
        longest = statement_timeout + STATEMENT_GRACE  # without it we wait for ever on a dead peer
        self.connections = Connections(
            partial(connect_to_postgres, url, **connect_options),
            size=pool_size,
            wait_limit=POOL_TIMEOUT,
            work_limit=longest,
        )
        self.engine_slots = ConnectionSlots(pool_size)
        # One shop's requests hold at most half of a web process's pool, whatever they wait for. A
        # worker's capacity is shared out when it takes entries (`backend.worker.dequeue`).
        self.shop_slots = KeyedSemaphores(max(pool_size // 2, 1)) if role == WEB else None
        self.engine: AsyncEngine = postgres_engine(
            url,
            connect_options | {"command_timeout": longest, "connection_class": AbruptConnection},
            pool_size=pool_size,
            max_overflow=0,
            pool_timeout=POOL_TIMEOUT,
            pool_pre_ping=True,
            hide_parameters=True,  # error messages go to the logs
            json_serializer=lambda value: msgspec.json.encode(value).decode(),
            json_deserializer=msgspec.json.decode,
        )
        self.readonly = self.engine.execution_options(isolation_level="AUTOCOMMIT")
        self.readonly_transactions = self.engine.execution_options(postgresql_readonly=True)
        self.hints = Hints(self.run)

    @contextlib.asynccontextmanager
    async def transaction(self, shop: str | int | None = None) -> AsyncIterator[AsyncConnection]:
        """A transaction: committed when the block ends, rolled back when it raises.

        It sees the rows of that shop (`tenancy.enter`); without one, all that the role may see.
        """
        with database_errors():
            async with self.slot(shop), connect_within(self.engine) as connection:
                if shop is not None:
                    await enter(connection, shop)
                yield connection
                await connection.commit()

    @contextlib.asynccontextmanager
    async def reading(self, shop: str | int | None = None) -> AsyncIterator[AsyncConnection]:
        """A connection for SELECTs on that shop's rows, in a read-only transaction.

        Without a shop each statement stands alone, without the two round trips of a transaction.
        """
        engine = self.readonly if shop is None else self.readonly_transactions
        with database_errors():
            async with self.slot(shop), connect_within(engine) as connection:
                if shop is not None:
                    await enter(connection, shop)
                yield connection

    @contextlib.asynccontextmanager
    async def slot(self, shop: str | int | None) -> AsyncIterator[None]:
        """A slot of SQLAlchemy's pool in FIFO order; its own queue lets newcomers overtake.

        The shop's slot comes first: whoever waits for that does not block other shops.
        """
        async with contextlib.AsyncExitStack() as stack:
            has_shop_slot = self.shop_slots is None or shop is None
            try:
                async with asyncio.timeout(POOL_TIMEOUT):
                    if self.shop_slots is not None and shop is not None:
                        await stack.enter_async_context(self.shop_slots.acquire(shop))
                        has_shop_slot = True
                    self.engine_slots.waits += self.engine_slots.locked()
                    await stack.enter_async_context(self.engine_slots)
            except TimeoutError as error:
                if not has_shop_slot:  # that shop alone is refused
                    raise DatabaseUnavailable(SHOP_BUSY) from error
                increment(DATABASE_UNAVAILABLE)
                raise DatabaseUnavailable from error
            yield

    @property
    def pools(self) -> dict[str, ConnectionSlots | Connections]:
        """The two pools by name, as the metrics show them."""
        return {"statements": self.connections, "transactions": self.engine_slots}

    def row(self, query: Query, **parameters: Any) -> Coroutine[Any, Any, asyncpg.Record | None]:
        """The one row of a query, or None: one round trip on a connection."""
        arguments = query.arguments(parameters)
        return self.run(lambda connection: connection.fetchrow(query.sql, *arguments))

    async def rows(self, query: Query, **parameters: Any) -> list[asyncpg.Record]:
        """The rows of a query: one round trip on a connection."""
        arguments = query.arguments(parameters)
        rows: list[asyncpg.Record] = await self.run(
            lambda connection: connection.fetch(query.sql, *arguments)
        )
        return rows

    async def run(
        self, work: Callable[[asyncpg.Connection], Awaitable[Any]], *, is_repeatable: bool = True
    ) -> Any:
        """The result of `work` on a connection of `Connections`, for the most frequent work.

        `is_repeatable` says that running it twice does no harm.
        """
        try:
            return await self.connections.run(work, is_repeatable=is_repeatable)
        except Exception as error:
            if is_outage(error):
                increment(DATABASE_UNAVAILABLE)
                raise DatabaseUnavailable from error
            raise

    async def change(self, query: Query, **parameters: Any) -> asyncpg.Record | None:
        """The one row of a statement that is its own transaction, or None: one round trip.

        It is not repeated after a lost connection: nobody knows whether it was committed.
        """
        arguments = query.arguments(parameters)
        return await self.run(
            lambda connection: connection.fetchrow(query.sql, *arguments), is_repeatable=False
        )

    async def require_schema(self) -> None:
        """Raise `ConfigurationError` without this release's schema or row-level security."""
        with role_errors(self.role):
            async with self.reading() as connection:
                await require_current_schema(connection, Base.metadata)
                await require_row_security(connection)
                await compare_clocks(connection)

    async def require_schema_at_start(self) -> None:
        """`require_schema`, if Postgres is up already: it may start after this process."""
        try:
            await self.require_schema()
        except DatabaseUnavailable as error:
            log.warning(
                "database_unreachable",
                cause=str(error.__cause__),
                message="Waiting for Postgres. If this lasts, check the host in DATABASE_URL.",
            )

    async def close(self) -> None:
        """Send the last hints, and close every pooled connection."""
        try:
            await self.hints.close()
        finally:
            self.connections.close()
            await self.engine.dispose()


async def fetch_row(
    where: Database | AsyncConnection, query: Query, **parameters: Any
) -> asyncpg.Record | RowMapping | None:
    """The one row of a statement, or None: on a connection in its transaction, else in its own."""
    if isinstance(where, Database):
        return await where.change(query, **parameters)
    result = await where.exec_driver_sql(query.sql, tuple(query.arguments(parameters)))
    return result.mappings().one_or_none()


@contextlib.asynccontextmanager
async def connect_within(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """A working connection. Raises `TimeoutError` when it takes too long to get one.

    Without the limit, detecting a dead connection and opening another would take as long as two
    statements may. A connection that did not answer is dropped: SQLAlchemy would send it a
    rollback and wait as long again.
    """
    async with contextlib.AsyncExitStack() as stack:
        async with asyncio.timeout(CONNECT_TIMEOUT):
            connection = await stack.enter_async_context(engine.connect())
        try:
            yield connection
        except TimeoutError:
            await connection.invalidate()
            raise


def postgres_engine(url: str, connect_options: Mapping[str, Any], **options: Any) -> AsyncEngine:
    """An engine whose connections asyncpg opens by the URL itself.

    SQLAlchemy would read the URL first, and does not know `sslmode`, which most hosted databases
    have in theirs.
    """
    connect = partial(connect_to_postgres, url, **connect_options)
    return create_async_engine("postgresql+asyncpg://", async_creator=connect, **options)


async def connect_to_postgres(url: str, **options: Any) -> asyncpg.Connection:
    """A new connection. Raises `ConfigurationError` for a parameter of the URL that is wrong."""
    try:
        return await asyncpg.connect(url, **options)
    except (ClientConfigurationError, asyncpg.UndefinedObjectError) as error:
        raise ConfigurationError(f"DATABASE_URL is invalid: {str(error).rstrip('.')}.") from error
