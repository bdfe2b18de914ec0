"""Database outages: an error soon, and recovery without a restart."""

import asyncio
import socket
import time

import pytest
from sqlalchemy import Float, Integer, bindparam, func, literal, select, text

from backend import db
from backend.db import Database, Query
from backend.errors import ConfigurationError, DatabaseUnavailable
from backend.tenancy import WORKER
from tests.running_app import RunningApp
from tests.scenarios import NOBODY_LISTENS
from tests.wait import wait_until


async def is_up(database: Database) -> bool:
    """Whether a query is answered."""
    async with database.reading() as connection:
        return bool(await connection.scalar(text("SELECT 1")) == 1)


async def test_a_refused_connection_is_database_unavailable() -> None:
    database = Database("postgresql://nobody@127.0.0.1:9/none")
    with pytest.raises(DatabaseUnavailable):
        await is_up(database)


async def test_the_url_may_have_an_sslmode(database_url: str) -> None:
    database = Database(f"{database_url}&sslmode=prefer")
    assert await is_up(database)
    assert await database.row(ECHO, number=1)
    await database.close()


@pytest.mark.parametrize(
    ("parameter", "problem"),
    [
        ("sslmode=on", "`sslmode` parameter must be one of: disable, .*verify-full[.]$"),
        ("channel_binding=require", 'unrecognized configuration parameter "channel_binding"[.]$'),
    ],
)
async def test_a_wrong_parameter_of_the_url_is_named(
    database_url: str, parameter: str, problem: str
) -> None:
    database = Database(f"{database_url}&{parameter}")
    with pytest.raises(ConfigurationError, match=f"^DATABASE_URL is invalid: {problem}"):
        await is_up(database)
    with pytest.raises(ConfigurationError, match=r"^DATABASE_URL is invalid"):
        await database.row(ECHO, number=1)
    await database.close()


async def test_a_silent_server_is_given_up_within_six_seconds() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        database = Database(f"postgresql://nobody@127.0.0.1:{silent.getsockname()[1]}/none")
        started = time.monotonic()
        with pytest.raises(DatabaseUnavailable):
            await is_up(database)
        assert time.monotonic() - started < 6


async def test_cut_connections_are_replaced_automatically(running_app: RunningApp) -> None:
    assert await is_up(running_app.database)
    cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
    await running_app.execute(cut + " AND datname = current_database()")
    assert await is_up(running_app.database)


async def test_a_slow_statement_is_database_unavailable(database_url: str) -> None:
    database = Database(database_url, statement_timeout=0.2)
    with pytest.raises(DatabaseUnavailable):
        async with database.reading() as connection:
            await connection.execute(text("SELECT pg_sleep(5)"))
    await database.close()


async def test_a_full_pool_raises_instead_of_waiting_forever(database_url: str) -> None:
    database = Database(database_url, pool_size=1)
    async with database.reading():
        started = time.monotonic()
        with pytest.raises(DatabaseUnavailable):
            await is_up(database)
        assert time.monotonic() - started < 15, "SQLAlchemy's own patience is thirty seconds"
    assert await is_up(database)
    await database.close()


async def test_a_cancelled_query_returns_its_connection(database_url: str) -> None:
    database = Database(database_url, pool_size=1)

    async def slow() -> None:
        async with database.reading() as connection:
            await connection.execute(text("SELECT pg_sleep(2)"))

    for _ in range(3):
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(slow(), 0.1)
    assert await is_up(database)
    await database.close()


async def test_one_shop_holds_at_most_half_of_a_web_process_connections(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(db, "POOL_TIMEOUT", 0.3)
    database = Database(database_url, pool_size=4)
    async with database.reading("a"), database.transaction("a"):
        crowd = [asyncio.create_task(reads(database, "a")) for _ in range(20)]
        await asyncio.sleep(0)
        for shop in ("b", "b", None):
            assert await asyncio.wait_for(reads(database, shop), 0.2)
        refused = await asyncio.gather(*crowd, return_exceptions=True)
        assert {str(error) for error in refused} == {db.SHOP_BUSY}
    assert await reads(database, "a")
    assert database.shop_slots and not database.shop_slots.semaphores, "no semaphore without a user"
    await database.close()


async def test_a_shop_waiting_for_its_share_gets_a_freed_connection(
    database_url: str,
) -> None:
    database = Database(database_url, pool_size=2)
    async with database.reading("a"):
        waiting = asyncio.create_task(reads(database, "a"))
        slots = database.shop_slots
        assert slots is not None
        await wait_until(lambda: slots.semaphores["a"].users == 2)
        assert not waiting.done()
    assert await waiting
    await database.close()


async def test_a_worker_may_use_all_connections_for_one_shop(database_url: str) -> None:
    database = Database(database_url, role=WORKER, pool_size=2)
    async with database.reading(1), database.transaction(1):
        pass
    await database.close()


async def reads(database: Database, shop: str | None) -> bool:
    """Whether a query of the shop's is answered."""
    async with database.reading(shop) as connection:
        return bool(await connection.scalar(text("SELECT 1")) == 1)


# The row of a query, which has a pool of its own

NUMBER = bindparam("number", type_=Integer)
ECHO = Query(lambda: select(NUMBER.label("number"), literal("always").label("word")))
SLEEP = Query(lambda: select(func.pg_sleep(bindparam("seconds", type_=Float))))


async def test_a_query_takes_parameters_by_name_and_keeps_its_constants(database_url: str) -> None:
    database = Database(database_url)
    rows = await asyncio.gather(*(database.row(ECHO, number=number) for number in range(30)))
    assert [tuple(row or ()) for row in rows] == [(number, "always") for number in range(30)]
    nothing = Query(lambda: select(NUMBER).where(literal(value=False)))
    assert await database.row(nothing, number=1) is None
    await database.close()


async def test_a_parameter_with_a_default_may_have_another_value(database_url: str) -> None:
    database = Database(database_url)
    query = Query(lambda: select(bindparam("number", 5)))
    assert tuple(await database.row(query, number=7) or ()) == (7,)
    await database.close()


async def test_texts_and_integers_of_a_query_are_in_its_text(database_url: str) -> None:
    database = Database(database_url)
    query = Query(lambda: select(NUMBER + 40, literal("it's 100 % \\ :so $1"), literal(2.5)))
    assert query.arguments({"number": 2}) == [2, 2.5]
    assert tuple(await database.row(query, number=2) or ()) == (42, "it's 100 % \\ :so $1", 2.5)
    await database.close()


@pytest.mark.parametrize("url", [NOBODY_LISTENS, "postgresql://nobody@/none?host=/nowhere"])
async def test_a_query_without_a_database_is_database_unavailable(url: str) -> None:
    database = Database(url)
    for _ in range(2):
        with pytest.raises(DatabaseUnavailable):
            await database.row(ECHO, number=1)
    await database.close()


async def test_queries_recover_whenever_the_connections_are_cut(
    running_app: RunningApp,
) -> None:
    cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
    for _ in range(10):  # each time they are cut at another moment of noticing it
        assert all(
            await asyncio.gather(*(running_app.database.row(ECHO, number=n) for n in range(20)))
        )
        await running_app.execute(cut + " AND datname = current_database()")
    assert all(await asyncio.gather(*(running_app.database.row(ECHO, number=n) for n in range(20))))


async def test_a_slow_query_is_database_unavailable_and_blocks_nobody(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(db, "POOL_TIMEOUT", 0.1)
    database = Database(database_url, pool_size=1, statement_timeout=0.4)
    slow = asyncio.create_task(database.row(SLEEP, seconds=5.0))
    await wait_until(lambda: database.connections.in_use == 1, 5)
    with pytest.raises(DatabaseUnavailable):  # the pool is full
        await database.row(ECHO, number=1)
    with pytest.raises(DatabaseUnavailable):  # the statement has run too long
        await slow
    assert await database.row(ECHO, number=2) is not None
    await database.close()


async def test_a_database_without_a_schema_names_the_command_to_run(
    services, running_app: RunningApp
) -> None:
    empty = Database(services.postgres.url("postgres"))
    with pytest.raises(ConfigurationError, match="atelier migrate"):
        await empty.require_schema()
    await empty.close()
    await running_app.database.require_schema()
