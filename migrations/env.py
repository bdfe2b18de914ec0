"""How a migration reaches the database: one connection, one transaction, one migrator at a time."""

import asyncio

from alembic import context
from sqlalchemy import Connection, pool, text

import backend.billing.models  # these five register the models with Base
import backend.credits.models
import backend.submissions.models
import backend.webhook_endpoints.models
import backend.worker.reconciliation_report  # noqa: F401
import webhooks.models  # noqa: F401
from backend.database_errors import database_errors
from backend.db import Base, postgres_engine
from backend.queue import QUEUE_SCHEMA
from backend.schema_check import POSTGRES_VERSION, require_postgres_version

MIGRATOR_LOCK = 4_172_011_001  # any constant; only migrators take it


def include_name(name: str | None, kind: str, _parents: object) -> bool:
    """Leave PgQueuer's schema alone: its tables are not models of ours."""
    return not (kind == "schema" and name == QUEUE_SCHEMA)


def migrate(connection: Connection) -> None:
    """Run what is due, all or nothing. Statements that wait for a lock give up after 2 s."""
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        include_name=include_name,
        compare_type=True,
        compare_server_default=True,
    )
    with context.begin_transaction():
        require_postgres_version(connection.scalar(POSTGRES_VERSION))
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": MIGRATOR_LOCK})
        connection.execute(text("SET LOCAL lock_timeout = '2s'"))
        # An owner sees no shop's rows: let a backfill that forgets it fail, not find nothing to do.
        connection.execute(text("SET LOCAL row_security = off"))
        context.run_migrations()


async def main() -> None:
    """Connect and migrate."""
    url = context.config.attributes["database_url"]
    engine = postgres_engine(url, {"timeout": 10}, poolclass=pool.NullPool)
    with database_errors():
        async with engine.connect() as connection:
            await connection.run_sync(migrate)
            await connection.commit()
    await engine.dispose()


asyncio.run(main())
