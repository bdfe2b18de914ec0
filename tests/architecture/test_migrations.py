"""The schema: models and migrations agree, and every migration can be undone."""

import asyncio
import os
import sys
import uuid
from urllib.parse import urlsplit

from alembic import command
from asyncpg import connect

import migrations
from backend.db import Database
from backend.dev.services import LocalServices
from backend.tenancy import WEB, WORKER
from tests.running_app import cloned_database


async def tables(url: str) -> set[str]:
    """Every table of ours and of the queue's."""
    connection = await connect(url)
    rows = await connection.fetch(
        "SELECT schemaname || '.' || tablename AS name FROM pg_tables "
        "WHERE schemaname IN ('public', 'queue')"
    )
    await connection.close()
    return {row["name"] for row in rows}


async def test_models_and_migrations_agree(database_url: str) -> None:
    # `alembic check` raises when autogenerate would have something to add.
    await asyncio.to_thread(command.check, migrations.config(database_url))


async def test_migrations_run_up_down_and_up_again(services: LocalServices) -> None:
    async with cloned_database(services.postgres.url(), "template0") as url:
        await asyncio.to_thread(migrations.upgrade, url)
        built = await tables(url)
        assert {"public.jobs", "queue.pgqueuer"} <= built
        await asyncio.to_thread(migrations.downgrade, url, "base")
        assert await tables(url) == {"public.alembic_version"}
        await asyncio.to_thread(migrations.upgrade, url)
        assert await tables(url) == built


async def test_migrations_need_no_superuser(services: LocalServices, template: str) -> None:
    """Only that the roles are there. A backfill as the owner, who sees no shop's rows, fails."""
    owner = f"owner_{uuid.uuid4().hex[:12]}"
    admin = await connect(services.postgres.url())
    await admin.execute(f"CREATE ROLE {owner} LOGIN; GRANT {WEB}, {WORKER} TO {owner}")
    async with cloned_database(services.postgres.url(), "template0") as url:
        name = urlsplit(url).path.removeprefix("/")
        await admin.execute(f"ALTER DATABASE {name} OWNER TO {owner}")
        owners = url.replace("postgres@", f"{owner}@")
        await asyncio.to_thread(migrations.upgrade, owners)
        for role in (WEB, WORKER):
            database = Database(owners, role=role)
            await database.require_schema()
            await database.close()
    await admin.execute(f"DROP ROLE {owner}")
    await admin.close()


async def test_two_concurrent_migrations_do_not_collide(services: LocalServices) -> None:
    async with cloned_database(services.postgres.url(), "template0") as url:
        migrators = [
            await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "backend.cli",
                "migrate",
                env={**os.environ, "DATABASE_URL": url},
                stdout=asyncio.subprocess.DEVNULL,
            )
            for _ in range(2)
        ]
        assert [await migrator.wait() for migrator in migrators] == [0, 0]
        assert "public.jobs" in await tables(url)


async def test_every_tenant_table_leads_its_keys_with_the_shop(database_url: str) -> None:
    connection = await connect(database_url)
    rows = await connection.fetch(
        "SELECT c.relname AS table, a.attname AS leading FROM pg_index i "
        "JOIN pg_class c ON c.oid = i.indrelid "
        "JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = i.indkey[0] "
        "WHERE c.relnamespace = 'public'::regnamespace AND (i.indisprimary OR i.indisunique)"
    )
    await connection.close()
    leading = {(row["table"], row["leading"]) for row in rows}
    nobodys = {
        *("shops", "alembic_version", "findings", "trial_key", "trial_marks"),
        "provider_pauses",
        "partner_state",
        "app_webhook_endpoints",  # of the operator
    }
    led_by_another = {("jobs", "natural_key")}  # it would be read instead of the primary key
    tenants = {pair for pair in leading - led_by_another if pair[0] not in nobodys}
    assert {column for _, column in tenants} == {"shop_id", "shop_domain"}
    assert len({table for table, _ in tenants}) == 27
