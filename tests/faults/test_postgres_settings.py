"""The reference deployment's Postgres settings: a real server takes each of them."""

import re
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from backend.dev.services import EmbeddedPostgres

SETTINGS = Path(__file__).parents[2] / "deploy" / "postgres" / "atelier.conf"


@pytest.fixture
def postgres() -> Iterator[EmbeddedPostgres]:
    server = EmbeddedPostgres().start()
    try:
        with (server.directory / "postgresql.conf").open("a") as configuration:
            configuration.write(SETTINGS.read_text())
        server.kill()
        server.restart()
        yield server
    finally:
        server.stop()


async def test_postgres_starts_with_the_reference_settings(postgres: EmbeddedPostgres) -> None:
    wanted = re.findall(r"^(\w+) =", SETTINGS.read_text(), re.MULTILINE)
    connection = await asyncpg.connect(postgres.url())
    try:
        rows = await connection.fetch(
            "SELECT name, setting, source, pending_restart FROM pg_settings WHERE name = ANY($1)",
            wanted,
        )
        assert {row["name"] for row in rows} == set(wanted)
        assert {row["source"] for row in rows} == {"configuration file"}
        assert not any(row["pending_restart"] for row in rows)
        await connection.execute("CREATE EXTENSION pg_stat_statements")
    finally:
        await connection.close()
