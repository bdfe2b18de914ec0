"""What a process asks of Postgres before it starts: the version, this release's schema, the time.

A process must not start on the schema of an older release: each request would fail on its own. A
newer schema is fine, because migrations expand first (see CONTRIBUTING.md).
"""

import time

import structlog
from sqlalchemy import MetaData, text
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.errors import ConfigurationError

log = structlog.get_logger(__name__)

OLDEST_POSTGRES = 15
MAX_CLOCK_DIFFERENCE = 60.0  # seconds; session tokens are valid for as long
NO_SCHEMA = "The database has no schema yet. Run `atelier migrate`."

POSTGRES_VERSION = text("SELECT current_setting('server_version_num')::int")
SCHEMA_COLUMNS = text(
    """
    SELECT relname || '.' || attname FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
    WHERE relkind IN ('r', 'p') AND attnum > 0 AND NOT attisdropped
    AND pg_table_is_visible(pg_class.oid)
    """
)


def require_postgres_version(number: int | None) -> None:
    """Raise `ConfigurationError` if the server is too old; `number` is `server_version_num`."""
    major = (number or 0) // 10_000
    if major < OLDEST_POSTGRES:
        raise ConfigurationError(
            f"Atelier needs Postgres {OLDEST_POSTGRES} or newer; this server is Postgres {major}. "
            "Upgrade it, or set DATABASE_URL to another."
        )


async def require_current_schema(connection: AsyncConnection, models: MetaData) -> None:
    """Raise `ConfigurationError` unless the database has every column of the models.

    Read from the catalogue: the processes' roles may not read Alembic's version.
    """
    require_postgres_version(await connection.scalar(POSTGRES_VERSION))
    if await connection.scalar(text("SELECT to_regclass('alembic_version')")) is None:
        raise ConfigurationError(NO_SCHEMA)
    there = set(await connection.scalars(SCHEMA_COLUMNS))
    needed = {f"{table.name}.{c.name}" for table in models.tables.values() for c in table.columns}
    if missing := sorted(needed - there):
        raise ConfigurationError(
            f"The database's schema is older than this release: it has no {missing[0]}. "
            "Run `atelier migrate`."
        )


async def compare_clocks(connection: AsyncConnection) -> None:
    """Log an error if this machine's clock differs from Postgres's."""
    theirs = await connection.scalar(text("SELECT extract(epoch FROM clock_timestamp())::float"))
    difference = time.time() - float(theirs or 0)
    if abs(difference) > MAX_CLOCK_DIFFERENCE:
        log.error(
            "clock_wrong",
            seconds=round(difference),
            message="This machine's clock differs from Postgres's. Set both by NTP: with a wrong "
            "clock, session tokens are refused and presigned URLs do not work.",
        )
