"""Postgres: one engine per process, short transactions, and a 503 when it is unavailable."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from functools import partial
from typing import Any

import asyncpg
import msgspec
from sqlalchemy import ClauseElement, MetaData, RowMapping, text
from sqlalchemy.dialects.postgresql.asyncpg import PGDialect_asyncpg
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.orm import DeclarativeBase

from backend.concurrency import Shares
from backend.connections import CUT, Connections
from backend.errors import ConfigurationError, DatabaseUnavailable
from backend.tenancy import WEB, enter, require_guard

# If Postgres stops responding, a request waits for its turn and then gets a dead connection or a
# statement without a result. Both sums stay below six seconds.
CONNECT_TIMEOUT = 2.0  # seconds to get a working connection
GRACE = 0.5  # seconds that Postgres gets to cancel a statement itself before we drop the connection
POOL_TIMEOUT = 2.0  # seconds to wait for a free connection before answering 503
SHARE_TAKEN = "This shop has too many requests in progress; nothing was stored. Retry shortly."
NO_SCHEMA = "The database has no schema yet. Run `atelier migrate`."

# Every constraint has a name, so that migrations can refer to it.
NAMES = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}


class Base(DeclarativeBase):
    """The base class of the models; the migrations are compared with `Base.metadata`."""

    metadata = MetaData(naming_convention=NAMES)


class Query:
    """A statement that SQLAlchemy compiles once and asyncpg runs directly.

    For the most frequent queries: compiling a statement each time and running it through SQLAlchemy
    costs several times what Postgres needs for it. `statement` has a `bindparam` for each parameter
    of `Database.row`, `Database.change` and `run`.
    """

    def __init__(self, statement: ClauseElement) -> None:
        compiled: Any = statement.compile(
            dialect=PGDialect_asyncpg()  # type: ignore[no-untyped-call]
        )
        self.sql = str(compiled)
        self.order = tuple(compiled.positiontup or ())
        self.fixed = dict(compiled.params)

    def arguments(self, parameters: Mapping[str, Any]) -> list[Any]:
        """The values in the order of the statement's parameters."""
        return [parameters[name] if name in parameters else self.fixed[name] for name in self.order]


class Impatient(asyncpg.Connection):  # type: ignore[misc]  # asyncpg has no types
    """Closes without the protocol's goodbye: SQLAlchemy would wait two seconds for the response."""

    async def close(self, *, timeout: float | None = None) -> None:
        """Close; at once if there is a time-out, because then something has gone wrong."""
        if timeout is None:
            await super().close()
        else:
            self.terminate()


class Database:
    """Connections to Postgres, bound to the event loop that first uses them.

    With `transaction` and `reading`, one shop's requests hold at most half of a web process's pool.
    `row`, `change` and `run` are for single short statements that wait for no lock: reads of a job,
    and received webhooks. `pool_size` is a hard limit for each of two pools: SQLAlchemy's, and
    `Connections` of asyncpg's. `statement_timeout` is in seconds and enforced by the server; our
    own time-out is a little longer, so that Postgres itself cancels a runaway statement. Every
    connection switches to `role`, whichever login the URL has.
    """

    def __init__(
        self, url: str, *, role: str = WEB, pool_size: int = 10, statement_timeout: float = 3.0
    ) -> None:
        connecting = {
            "timeout": CONNECT_TIMEOUT,
            # without it, asyncpg waits for ever on a dead peer
            "command_timeout": statement_timeout + GRACE,
            "server_settings": {
                "application_name": "atelier",
                "role": role,
                "statement_timeout": str(int(statement_timeout * 1000)),
                "lock_timeout": "2000",
                "idle_in_transaction_session_timeout": "10000",
            },
        }
        self.role = role
        self.connections = Connections(
            partial(asyncpg.connect, url, **connecting), size=pool_size, patience=POOL_TIMEOUT
        )
        self.engine_turns = asyncio.Semaphore(pool_size)
        # One shop's requests hold at most half of a web process's pool, whatever they wait for. A
        # worker's capacity is shared out when it takes entries (`backend.worker.dequeue`).
        self.shares = Shares(max(pool_size // 2, 1)) if role == WEB else None
        self.engine: AsyncEngine = create_async_engine(
            asyncpg_url(url),
            pool_size=pool_size,
            max_overflow=0,
            pool_timeout=POOL_TIMEOUT,
            pool_pre_ping=True,
            hide_parameters=True,  # an error's message is logged
            json_serializer=lambda value: msgspec.json.encode(value).decode(),
            json_deserializer=msgspec.json.decode,
            connect_args={**connecting, "connection_class": Impatient},
        )
        self.readonly = self.engine.execution_options(isolation_level="AUTOCOMMIT")
        self.looking = self.engine.execution_options(postgresql_readonly=True)

    @contextlib.asynccontextmanager
    async def transaction(self, shop: str | int | None = None) -> AsyncIterator[AsyncConnection]:
        """A transaction: committed when the block ends, rolled back when it raises.

        It sees the rows of that shop (`tenancy.enter`). Without one, it sees all that the role may
        see.
        """
        with unavailability():
            async with self.turn(shop), soon(self.engine) as connection:
                if shop is not None:
                    await enter(connection, shop)
                yield connection
                await connection.commit()

    @contextlib.asynccontextmanager
    async def reading(self, shop: str | int | None = None) -> AsyncIterator[AsyncConnection]:
        """A connection for SELECTs: with a shop, in a read-only transaction on that shop's rows.

        Without a shop each SELECT runs alone, which saves the two round trips of a transaction.
        """
        engine = self.readonly if shop is None else self.looking
        with unavailability():
            async with self.turn(shop), soon(engine) as connection:
                if shop is not None:
                    await enter(connection, shop)
                yield connection

    @contextlib.asynccontextmanager
    async def turn(self, shop: str | int | None) -> AsyncIterator[None]:
        """A turn at SQLAlchemy's pool, whose own queue lets newcomers overtake waiting requests.

        First a turn among the shop's own requests: waiting for it does not delay other shops.
        """
        async with contextlib.AsyncExitStack() as stack:
            has_share = self.shares is None or shop is None
            try:
                async with asyncio.timeout(POOL_TIMEOUT):
                    if self.shares is not None and shop is not None:
                        await stack.enter_async_context(self.shares.turn(shop))
                        has_share = True
                    await stack.enter_async_context(self.engine_turns)
            except TimeoutError as error:
                raise DatabaseUnavailable(None if has_share else SHARE_TAKEN) from error
            yield

    async def row(self, query: Query, **parameters: Any) -> asyncpg.Record | None:
        """The one row of a query, or None: one round trip, which holds a connection no longer."""
        arguments = query.arguments(parameters)
        return await self.run(lambda connection: connection.fetchrow(query.sql, *arguments))

    async def run(
        self, work: Callable[[asyncpg.Connection], Awaitable[Any]], *, is_repeatable: bool = True
    ) -> Any:
        """Run `work` on one of asyncpg's own connections and return its result.

        For the most frequent queries. Set `is_repeatable` only if running it twice is harmless.
        """
        try:
            return await self.connections.run(work, is_repeatable=is_repeatable)
        except Exception as error:
            if means_away(error):
                raise DatabaseUnavailable from error
            raise

    async def change(self, query: Query, **parameters: Any) -> asyncpg.Record | None:
        """The one row of a statement that is a transaction of its own, or None: one round trip.

        After a lost connection nobody knows whether it was executed, so it is not repeated.
        """
        arguments = query.arguments(parameters)
        return await self.run(
            lambda connection: connection.fetchrow(query.sql, *arguments), is_repeatable=False
        )

    async def require_schema(self) -> None:
        """Raise `ConfigurationError` if the schema is missing or shops would not be isolated."""
        with refusals(self.role):
            async with self.reading() as connection:
                if await connection.scalar(text("SELECT to_regclass('alembic_version')")) is None:
                    raise ConfigurationError(NO_SCHEMA)
                await require_guard(connection)

    async def close(self) -> None:
        """Close every pooled connection."""
        self.connections.close()
        await self.engine.dispose()


async def required_schema(url: str) -> None:
    """`Database.require_schema` for a process that is starting, if Postgres is already up."""
    database = Database(url, pool_size=1)
    try:
        with contextlib.suppress(DatabaseUnavailable):  # Postgres may start later than this process
            await database.require_schema()
    finally:
        await database.close()


async def run(
    where: Database | AsyncConnection, query: Query, **parameters: Any
) -> asyncpg.Record | RowMapping | None:
    """The one row of a statement, or None: within the connection's transaction, or its own."""
    if isinstance(where, Database):
        return await where.change(query, **parameters)
    result = await where.exec_driver_sql(query.sql, tuple(query.arguments(parameters)))
    return result.mappings().one_or_none()


@contextlib.contextmanager
def refusals(role: str) -> Any:
    """Say what to do if Postgres does not allow us to become `role`."""
    try:
        yield
    except (asyncpg.PostgresError, DBAPIError) as error:
        sqlstate = getattr(getattr(error, "orig", error), "sqlstate", None)
        if sqlstate == NO_SUCH_ROLE:
            raise ConfigurationError(NO_SCHEMA) from error
        if sqlstate == NOT_PERMITTED:
            raise ConfigurationError(
                f"The database login is not a member of {role}. See docs/tenancy.md."
            ) from error
        raise


@contextlib.asynccontextmanager
async def soon(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """A connection. Raises `TimeoutError` if it takes too long to get a working one.

    Finding a dead connection and making a new one could take as long as two statements. A
    connection that has not responded is dropped: otherwise SQLAlchemy would wait as long for its
    rollback.
    """
    async with contextlib.AsyncExitStack() as stack:
        async with asyncio.timeout(CONNECT_TIMEOUT):
            connection = await stack.enter_async_context(engine.connect())
        try:
            yield connection
        except TimeoutError:
            await connection.invalidate()
            raise


@contextlib.contextmanager
def unavailability() -> Any:
    """Turn every kind of unavailability of Postgres into `DatabaseUnavailable`."""
    try:
        yield
    except Exception as error:
        if means_away(error):
            raise DatabaseUnavailable from error
        raise


def means_away(error: Exception) -> bool:
    """Whether the error means that Postgres is unavailable or busy for too long."""
    if isinstance(error, (TimeoutError, PoolTimeout, OSError, *CUT)):
        return True
    if isinstance(error, asyncpg.PostgresError):
        return is_away(error.sqlstate)
    return isinstance(error, DBAPIError) and is_unavailable(error)


# SQLSTATE classes and codes that mean "not now" rather than "not like this":
# https://www.postgresql.org/docs/current/errcodes-appendix.html
AWAY_CLASSES = ("08", "53")  # connection exception, insufficient resources
LOCK_NOT_AVAILABLE = "55P03"  # within lock_timeout
NO_SUCH_ROLE, NOT_PERMITTED = "22023", "42501"
AWAY_CODES = frozenset(
    {
        "25006",  # read-only transaction: connected to a demoted primary
        LOCK_NOT_AVAILABLE,
        "57014",  # statement_timeout
        "57P01",  # admin shutdown
        "57P02",  # crash shutdown
        "57P03",  # cannot connect now
        "40001",  # serialization failure
        "40P01",  # deadlock
    }
)


def is_unavailable(error: DBAPIError) -> bool:
    """Whether retrying the same statement later can succeed."""
    if error.connection_invalidated or isinstance(error, InterfaceError):
        return True
    sqlstate = getattr(error.orig, "sqlstate", None)
    if sqlstate is None:
        return isinstance(error, OperationalError)
    return is_away(sqlstate)


def is_away(sqlstate: str) -> bool:
    """Whether the code means "not now"."""
    return sqlstate in AWAY_CODES or sqlstate.startswith(AWAY_CLASSES)


def asyncpg_url(url: str) -> Any:
    """The SQLAlchemy URL for a plain `postgresql://` URL."""
    return make_url(url).set(drivername="postgresql+asyncpg")
