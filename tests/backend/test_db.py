"""Postgres away: an honest error, soon, and no restart needed afterwards."""

import asyncio
import socket
import time

import pytest
from sqlalchemy import text

from backend.db import Database
from backend.errors import ConfigurationError, DatabaseUnavailable
from tests.world import World


async def is_up(database: Database) -> bool:
    """Whether a query is answered."""
    async with database.reading() as connection:
        return bool(await connection.scalar(text("SELECT 1")) == 1)


async def test_a_refused_connection_is_unavailability() -> None:
    database = Database("postgresql://nobody@127.0.0.1:9/none")
    with pytest.raises(DatabaseUnavailable):
        await is_up(database)


async def test_a_server_that_says_nothing_is_given_up_within_six_seconds() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        database = Database(f"postgresql://nobody@127.0.0.1:{silent.getsockname()[1]}/none")
        started = time.monotonic()
        with pytest.raises(DatabaseUnavailable):
            await is_up(database)
        assert time.monotonic() - started < 6


async def test_cut_connections_heal_by_themselves(world: World) -> None:
    assert await is_up(world.database)
    cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
    await world.execute(cut + " AND datname = current_database()")
    assert await is_up(world.database)


async def test_a_statement_that_takes_too_long_is_unavailability(database_url: str) -> None:
    database = Database(database_url, statement_timeout=0.2)
    with pytest.raises(DatabaseUnavailable):
        async with database.reading() as connection:
            await connection.execute(text("SELECT pg_sleep(5)"))
    await database.close()


async def test_a_full_pool_answers_instead_of_waiting_for_ever(database_url: str) -> None:
    database = Database(database_url, pool_size=1)
    async with database.reading():
        started = time.monotonic()
        with pytest.raises(DatabaseUnavailable):
            await is_up(database)
        assert time.monotonic() - started < 15, "SQLAlchemy's own patience is thirty seconds"
    assert await is_up(database)
    await database.close()


async def test_a_cancelled_query_gives_its_connection_back(database_url: str) -> None:
    database = Database(database_url, pool_size=1)

    async def slow() -> None:
        async with database.reading() as connection:
            await connection.execute(text("SELECT pg_sleep(2)"))

    for _ in range(3):
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(slow(), 0.1)
    assert await is_up(database)
    await database.close()


async def test_a_database_without_a_schema_says_what_to_run(services, world: World) -> None:
    empty = Database(services.postgres.url("postgres"))
    with pytest.raises(ConfigurationError, match="atelier migrate"):
        await empty.require_schema()
    await empty.close()
    await world.database.require_schema()
