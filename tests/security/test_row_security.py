"""Row-level security alone: what Postgres shows and accepts, whatever the statement."""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import asyncpg
import pytest
from sqlalchemy import Float, bindparam, func, select, text
from sqlalchemy.exc import DBAPIError

from backend import queue
from backend.db import Database, Query
from backend.errors import ConfigurationError, DatabaseUnavailable
from backend.jobs import queries
from backend.jobs.models import Job
from backend.jobs.service import JobRef
from backend.tenancy import NO_SHOP, WEB, WORKER
from tests.running_app import OTHER_SHOP, SHOP, RunningApp
from tests.scenarios import finished_job, open_shared_app, send_webhook

shared_app = pytest.fixture(open_shared_app, scope="module")

DENIED = "42501"
SEEN = ("shops", "jobs", "job_events", "artifacts", "uploads", "webhook_deliveries")
# A statement that never ends by itself, and one that fails, each after it has entered the shop.
PAUSED = Query(
    lambda: queries.of_shop(select(Job.public_id, func.pg_sleep(bindparam("s", type_=Float))))
)
FAILING = Query(lambda: queries.of_shop(select(Job.public_id, 1 / (Job.last_seq - Job.last_seq))))


@pytest.fixture(scope="module")
async def jobs(shared_app: RunningApp) -> dict[str, JobRef]:
    """A finished job of each shop, with an upload and a delivery."""
    await shared_app.install(OTHER_SHOP)
    found = {}
    for shop in (SHOP, OTHER_SHOP):
        found[shop], _ = await finished_job(shared_app, shop=shop)
        await shared_app.execute(
            "INSERT INTO uploads (shop_id, upload_key, key) VALUES (:s, 'upl_1', :k)",
            s=found[shop].shop_id,
            k=f"uploads/{shop}",
        )
        await send_webhook(shared_app, "products/update", {"id": 1}, shop=shop)
    return found


@pytest.fixture
async def web(shared_app: RunningApp) -> AsyncIterator[Database]:
    """What the web process has, with one connection a pool, so that the next gets the same."""
    database = Database(shared_app.settings.database_url, pool_size=1, statement_timeout=0.5)
    yield database
    await database.close()


async def count_visible_rows(database: Database, shop: str | int | None = None) -> dict[str, int]:
    """How many rows of each table are to be seen."""
    async with database.reading(shop) as connection:
        return {
            table: await connection.scalar(text(f"SELECT count(*) FROM {table}")) for table in SEEN
        }


async def denied_code(database: Database, shop: str | None, sql: str, **parameters: Any) -> str:
    """What Postgres says to a statement that it does not run: the code."""
    with pytest.raises(DBAPIError) as raised:
        async with database.transaction(shop) as connection:
            await connection.execute(text(sql), parameters)
    return str(getattr(raised.value.orig, "sqlstate", None))


# Seeing


async def test_without_a_shop_no_rows_are_visible(web: Database, jobs: dict[str, JobRef]) -> None:
    assert await count_visible_rows(web) == dict.fromkeys(SEEN, 0)
    for nobody in ("unknown.myshopify.com", NO_SHOP, "", jobs[SHOP].shop_id):
        assert await count_visible_rows(web, nobody) == dict.fromkeys(SEEN, 0), nobody


async def test_with_a_shop_only_its_rows_are_visible(
    web: Database, jobs: dict[str, JobRef]
) -> None:
    for shop, ref in jobs.items():
        assert all((await count_visible_rows(web, shop)).values())
        async with web.reading(shop) as connection:
            found = await connection.scalars(text("SELECT DISTINCT shop_id FROM jobs"))
            assert found.all() == [ref.shop_id]
            domains = "SELECT domain FROM shops UNION SELECT shop_domain FROM webhook_deliveries"
            assert (await connection.scalars(text(domains))).all() == [shop]


async def test_a_worker_sees_all_rows_until_it_enters_a_shop(
    shared_app: RunningApp, jobs: dict[str, JobRef]
) -> None:
    everything = await count_visible_rows(shared_app.database)
    apart = [await count_visible_rows(shared_app.database, ref.shop_id) for ref in jobs.values()]
    assert apart == [await count_visible_rows(shared_app.database, shop) for shop in jobs]
    assert everything == {table: sum(each[table] for each in apart) for table in SEEN}
    for nobody in ("unknown.myshopify.com", NO_SHOP, 0):
        assert await count_visible_rows(shared_app.database, nobody) == dict.fromkeys(SEEN, 0)


# Writing


async def test_rows_of_another_shop_cannot_be_written(
    web: Database, jobs: dict[str, JobRef]
) -> None:
    theirs = jobs[OTHER_SHOP]
    upload = "INSERT INTO uploads (shop_id, upload_key, key) VALUES (:s, 'upl_2', 'x')"
    assert await denied_code(web, SHOP, upload, s=theirs.shop_id) == DENIED
    assert await denied_code(web, None, upload, s=theirs.shop_id) == DENIED
    moved = "UPDATE uploads SET shop_id = :s"
    assert await denied_code(web, SHOP, moved, s=theirs.shop_id) == DENIED
    async with web.transaction(SHOP) as connection:
        touched = await connection.execute(text("UPDATE uploads SET used_at = now()"))
        assert touched.rowcount == 1
    assert await denied_code(web, SHOP, "DELETE FROM jobs") == DENIED
    assert await denied_code(web, SHOP, "SELECT * FROM job_stages") == DENIED
    assert await denied_code(web, SHOP, "ALTER TABLE jobs DISABLE ROW LEVEL SECURITY") == DENIED


async def test_a_refused_write_does_not_reveal_another_shops_rows(
    web: Database, jobs: dict[str, JobRef]
) -> None:
    """Postgres names no row that it hides, and keys begin with the shop."""
    shop = "INSERT INTO shops (domain, status) VALUES (:d, 'installed')"
    answers = [await denied_code(web, SHOP, shop, d=each) for each in (OTHER_SHOP, "new.example")]
    assert answers == [DENIED, DENIED]
    mine, theirs = jobs[SHOP].shop_id, jobs[OTHER_SHOP]
    event = (
        "INSERT INTO job_events (shop_id, job_id, seq, event_type, message) "
        "VALUES (:s, :j, 9, 'stage', '')"
    )
    known, unknown = theirs.public_id, "0" * 26
    answers = [await denied_code(web, SHOP, event, s=mine, j=each) for each in (known, unknown)]
    assert answers == ["23503", "23503"]
    same = (
        "INSERT INTO jobs (shop_id, public_id, job_type, origin, request) "
        "VALUES (:s, :j, '', 'api', '{}')"
    )
    async with web.transaction(SHOP) as connection:
        await connection.execute(text(same), {"s": mine, "j": known})  # their very id
        await connection.rollback()


# The queue, which is no shop's

ENTRIES = "SELECT dedupe_key FROM queue.pgqueuer"


async def test_the_web_role_enqueues_but_reads_only_its_own_entries(
    shared_app: RunningApp, web: Database, jobs: dict[str, JobRef]
) -> None:
    theirs = {row["dedupe_key"] for row in await shared_app.rows(ENTRIES)}
    assert any(OTHER_SHOP in key for key in theirs)
    entry = queue.Entry(entrypoint="x", dedupe_key="mine", payload=b"{}", number=1)
    async with web.transaction(SHOP) as connection:
        await queue.enqueue(connection, entry)
        await queue.enqueue(connection, entry)  # where the key is taken, it is left alone
        assert (await connection.scalars(text(ENTRIES))).all() == ["mine"]
    async with web.reading(SHOP) as connection:
        assert (await connection.scalars(text(ENTRIES))).all() == []
    assert {row["dedupe_key"] for row in await shared_app.rows(ENTRIES)} == {*theirs, "mine"}
    await shared_app.execute("DELETE FROM queue.pgqueuer WHERE dedupe_key = 'mine'")


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT payload FROM queue.pgqueuer",
        "SELECT headers FROM queue.pgqueuer",
        "SELECT * FROM queue.pgqueuer_log",
        "SELECT * FROM queue.pgqueuer_schedules",
        "SELECT * FROM queue.pgqueuer_statistics",
        "UPDATE queue.pgqueuer SET priority = 9",
        "DELETE FROM queue.pgqueuer",
        "INSERT INTO queue.pgqueuer_schedules (expression, entrypoint) VALUES ('', '')",
    ],
)
async def test_the_web_role_has_no_other_access_to_the_queue(
    web: Database, jobs: dict[str, JobRef], statement: str
) -> None:
    assert await denied_code(web, SHOP, statement) == DENIED


# Leaving: nothing of a shop is left on a connection


async def test_a_transaction_leaves_no_shop_on_its_connection(
    web: Database, jobs: dict[str, JobRef]
) -> None:
    async def fails() -> None:
        async with web.transaction(SHOP) as connection:
            await connection.execute(text("SELECT 1 / 0"))

    async def is_cancelled() -> None:
        async with web.transaction(SHOP) as connection:
            await connection.execute(text("SELECT pg_sleep(5)"))

    async with web.transaction(SHOP):
        pass
    assert await count_visible_rows(web) == dict.fromkeys(SEEN, 0)
    with pytest.raises(DBAPIError):
        await fails()
    assert await count_visible_rows(web) == dict.fromkeys(SEEN, 0)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(is_cancelled(), 0.1)
    assert await count_visible_rows(web) == dict.fromkeys(SEEN, 0)


async def test_a_single_statement_leaves_no_shop_on_its_connection(
    web: Database, jobs: dict[str, JobRef]
) -> None:
    known = {"shop_domain": SHOP, "public_id": jobs[SHOP].public_id}

    async def answers() -> None:
        assert (await web.row(queries.ONE_DETAIL, **known) or {})["public_id"] == known["public_id"]

    async def fails() -> None:
        with pytest.raises(asyncpg.DivisionByZeroError):
            await web.row(FAILING, **known)

    async def takes_too_long() -> None:
        with pytest.raises(DatabaseUnavailable):
            await web.row(PAUSED, **known, s=5.0)

    async def is_cancelled() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(web.row(PAUSED, **known, s=5.0), 0.1)

    ways: list[Callable[[], Awaitable[None]]] = [answers, fails, takes_too_long, is_cancelled]
    for way in ways:
        await way()
        assert await left_behind(web) == (0, "", ""), way.__name__


async def left_behind(database: Database) -> tuple[int, str, str]:
    """What the next finds on the pool's connection: rows, and the two settings."""
    look = (
        "SELECT (SELECT count(*) FROM jobs), current_setting('app.shop_domain', true), "
        "current_setting('app.shop_id', true)"
    )
    row = await database.run(lambda connection: connection.fetchrow(look))
    return row[0], row[1] or "", row[2] or ""


# The statement that enters the shop on its way


@pytest.mark.parametrize("how", ["hashjoin", "mergejoin", "nestloop", "indexscan", "seqscan"])
async def test_every_join_plan_enters_the_shop_first(
    shared_app: RunningApp, jobs: dict[str, JobRef], how: str
) -> None:
    """However Postgres likes to join, and whether it plans for these values or for any."""
    url = shared_app.settings.database_url
    for mode in ("force_generic_plan", "force_custom_plan"):
        settings = {"role": WEB, f"enable_{how}": "off", "plan_cache_mode": mode}
        connection = await asyncpg.connect(url, server_settings=settings)
        for shop, ref in jobs.items():
            other = jobs[SHOP if shop == OTHER_SHOP else OTHER_SHOP]
            for query in (queries.ONE_VERSION, queries.ONE_DETAIL):
                assert await public_id(connection, query, shop, ref) == [ref.public_id]
                assert await public_id(connection, query, shop, other) == [None]
                assert await public_id(connection, query, "nobody", ref) == []
        await connection.close()


async def public_id(
    connection: asyncpg.Connection, query: Query, shop: str, ref: JobRef
) -> list[str | None]:
    """What the query answers to somebody of that shop."""
    asked = query.arguments({"shop_domain": shop, "public_id": ref.public_id})
    return [row["public_id"] for row in await connection.fetch(query.sql, *asked)]


async def test_the_shop_is_the_outer_side_of_the_nested_loop(
    shared_app: RunningApp, jobs: dict[str, JobRef]
) -> None:
    """Of all the joins that there are, only this one runs one side for each row of the other."""
    connection = await asyncpg.connect(
        shared_app.settings.database_url, server_settings={"role": WEB}
    )
    await connection.execute("SET plan_cache_mode = force_generic_plan")
    await connection.execute(f"PREPARE version AS {queries.ONE_VERSION.sql}")
    nulls = ", ".join(["NULL"] * len(queries.ONE_VERSION.order))
    plan = await connection.fetchval(f"EXPLAIN (FORMAT JSON, VERBOSE) EXECUTE version({nulls})")
    await connection.close()
    steps = list(nodes(json.loads(plan)[0]["Plan"]))
    joins = [step["Node Type"] for step in steps if "Join Type" in step]
    assert joins == ["Nested Loop", "Nested Loop"]
    leaves = [step for step in steps if not step.get("Plans")]
    assert [leaf.get("Relation Name") for leaf in leaves] == [None, "shops", "jobs"]
    assert leaves[0]["Output"] == ["set_config('app.shop_domain'::text, $1, true)"]


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The plan's nodes in the order in which they first run."""
    yield plan
    for each in plan.get("Plans", ()):
        yield from nodes(each)


# A process that Postgres would not keep apart does not start


async def test_a_superuser_role_is_refused_at_start(shared_app: RunningApp) -> None:
    with pytest.raises(ConfigurationError, match="SUPERUSER"):
        await shared_app.owner.require_schema()


@pytest.mark.parametrize("mishap", ["DISABLE ROW LEVEL SECURITY", "NO FORCE ROW LEVEL SECURITY"])
async def test_a_table_without_row_security_is_refused_at_start(
    running_app: RunningApp, mishap: str
) -> None:
    database = Database(running_app.settings.database_url)
    await database.require_schema()
    await running_app.execute(f"ALTER TABLE publications {mishap}")
    with pytest.raises(ConfigurationError, match=r"publications\. Run `atelier migrate`"):
        await database.require_schema()
    with pytest.raises(ConfigurationError):
        await database.require_schema_at_start()
    await database.close()


async def test_row_security_switched_off_is_refused_at_start(running_app: RunningApp) -> None:
    name = await running_app.rows("SELECT current_database() AS name")
    await running_app.execute(f"ALTER DATABASE {name[0]['name']} SET row_security = off")
    database = Database(running_app.settings.database_url)
    with pytest.raises(ConfigurationError, match="row_security"):
        await database.require_schema()
    await database.close()


async def test_the_login_needs_only_membership_of_the_role(
    running_app: RunningApp,
) -> None:
    """The strict set-up: whoever breaks into the process can become nothing else."""
    login = f"login_{uuid.uuid4().hex[:12]}"
    await running_app.execute(f"CREATE ROLE {login} LOGIN")
    url = running_app.settings.database_url.replace("postgres@", f"{login}@")
    database = Database(url)
    with pytest.raises(ConfigurationError, match=f"not a member of {WEB}"):
        await database.require_schema()
    await running_app.execute(f"GRANT {WEB} TO {login}")
    await database.require_schema()
    for other in (WORKER, "postgres"):
        assert await denied_code(database, None, f"SET ROLE {other}") == DENIED
    await database.close()
    await running_app.execute(f"DROP ROLE {login}")


async def test_a_missing_role_names_the_command_to_run(running_app: RunningApp) -> None:
    database = Database(running_app.settings.database_url, role="nobody_of_that_name")
    with pytest.raises(ConfigurationError, match="atelier migrate"):
        await database.require_schema()
    await database.close()
