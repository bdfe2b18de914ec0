"""What an operator reads when a command cannot run: one line, no traceback, an exit code."""

import asyncio
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
import structlog
import time_machine
from sqlalchemy import text

import migrations
from backend.cli.explanations import database_address, explained
from backend.db import Database
from backend.dev.services import LocalServices
from backend.errors import ConfigurationError
from backend.schema_check import compare_clocks, require_postgres_version
from backend.shops.token_encryption import generate_key
from tests.commands import COMPLETE_ENVIRONMENT, ROOT, start_atelier
from tests.conftest import BUCKET
from tests.running_app import cloned_database
from tests.wait import wait_until

FAILED, USAGE, TRY_AGAIN, INTERRUPTED = 1, 2, 75, 130
NOWHERE = "postgresql://atelier@127.0.0.1:1/atelier"


@pytest.fixture
async def environ(services: LocalServices, database_url: str) -> dict[str, str]:
    """The settings of a process that would start."""
    return {
        **COMPLETE_ENVIRONMENT,
        "DATABASE_URL": database_url,
        "S3_BUCKET": BUCKET,
        "S3_ENDPOINT_URL": services.s3.endpoint_url,
        "AWS_ACCESS_KEY_ID": services.s3.access_key,
        "AWS_SECRET_ACCESS_KEY": services.s3.secret_key,
        "AWS_DEFAULT_REGION": "us-east-1",
        "TOKEN_KEYS": generate_key(),
    }


@pytest.fixture
async def empty_database(services: LocalServices) -> AsyncIterator[str]:
    """The URL of a database that nobody has migrated."""
    async with cloned_database(services.postgres.url(), "template0") as url:
        yield url


async def one_line(*arguments: str, code: int, **env: Any) -> str:
    """Run a command that must fail with this code; the only line that it prints."""
    process = await start_atelier(*arguments, **env)
    out, err = await asyncio.wait_for(process.communicate(), 100)
    assert (process.returncode, out.decode()) == (code, "")
    assert err.count(b"\n") == 1, err.decode()
    return err.decode()


# The command line and the settings: found before anything is loaded


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("migrat",), "No such command 'migrat'. Did you mean 'migrate'?"),
        (("--verbose",), "No such option '--verbose'."),
        (("worker", "--slots", "0"), "'--slots': 0 is not in the range"),
        (("sign", "GET", "v1/jobs", "--shop", "north"), "'v1/jobs' is not an http(s) URL."),
        (("keys", "new", "more"), "Got unexpected extra argument (more). Try"),
        (("migrate", "--to", ""), "Invalid value for --to: it is empty. Try"),
        (("token", "--shop", "http://north"), "'http://north' is not a shop's domain"),
        (("webhooks", "list", "--shop", "north.example"), "'north.example' is not a shop's domain"),
        (("credits", "show", "north.example"), "'north.example' is not a shop's domain"),
        (("stand-in", "--product", "nowhere.jpg"), "File 'nowhere.jpg' does not exist."),
        (("stand-in", "--app-url", "localhost:8000"), "'localhost:8000' is not an http(s) URL."),
    ],
)
async def test_a_wrong_command_line_is_named_in_one_line(
    arguments: tuple[str, ...], line: str
) -> None:
    said = await one_line(*arguments, code=USAGE)
    assert said.startswith("Error: ")
    assert line in said
    assert said.endswith("--help`.\n")


@pytest.mark.parametrize(
    ("name", "value", "line"),
    [
        ("TOKEN_KEYS", "abc", "`atelier keys new` prints one"),
        ("S3_CONNECTIONS", "0", "S3_CONNECTIONS is invalid: it must be a whole number >= 1."),
        ("DATABASE_URL", "postgresql://u:p#w@host/a", "special characters of the password as %XX"),
        ("DATABASE_URL", "postgresql://u@host/a?sslrootcert=/no.crt", "sslrootcert=/no.crt"),
    ],
)
async def test_a_wrong_setting_is_named_in_one_line(name: str, value: str, line: str) -> None:
    environ = {**COMPLETE_ENVIRONMENT, "TOKEN_KEYS": generate_key(), name: value}
    assert line in await one_line("worker", code=FAILED, **environ)


@pytest.mark.parametrize(
    "url", ["http://shopify.example:80", "http://[::1", "http://127.0.0.1:99999"]
)
async def test_a_stand_in_on_another_host_is_named_in_one_line(url: str) -> None:
    said = await one_line("serve", "--stand-in", url, code=FAILED, **COMPLETE_ENVIRONMENT)
    assert "--stand-in must be an http URL on loopback" in said


async def test_a_taken_port_is_named_in_one_line() -> None:
    environ = {**COMPLETE_ENVIRONMENT, "TOKEN_KEYS": generate_key()}
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        said = await one_line("serve", "--port", port, code=FAILED, **environ)
    assert f"Port {port} on 127.0.0.1 is in use" in said
    assert "Choose another with --port" in said


async def test_a_port_that_another_process_took_meanwhile_is_named_in_one_line(
    environ: dict[str, str],
) -> None:
    """Two processes may bind a port while neither listens, as `serve` before its checks."""
    with socket.socket() as first, socket.socket() as second:
        for each in (first, second):
            each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        first.bind(("127.0.0.1", 0))
        second.bind(first.getsockname())
        first.listen()
        said = await one_line("serve", "--fd", "0", stdin=second, code=FAILED, **environ)
        assert f"Cannot listen on {first.getsockname()}: Address already in use." in said


@pytest.mark.parametrize(
    "arguments", [("jobs", "show", "\udcff"), ("sign", "GET", "https://a/\udcff", "--shop", "n")]
)
async def test_an_argument_that_is_not_utf8_is_named_in_one_line(
    arguments: tuple[str, ...], environ: dict[str, str]
) -> None:
    said = await one_line(*arguments, code=USAGE, **environ)
    assert said == "Error: An argument or a setting is not valid UTF-8.\n"


async def test_a_disk_without_room_for_temporary_files_is_named_in_one_line() -> None:
    """With a limit of no bytes a file, as on a full or read-only disk."""
    command = f"ulimit -f 0; exec {sys.executable} -m backend.cli worker 2>&1 | cat"
    process = await asyncio.create_subprocess_shell(
        command,
        cwd=ROOT,
        env={**COMPLETE_ENVIRONMENT, "TOKEN_KEYS": generate_key(), "PATH": "/usr/bin:/bin"},
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await asyncio.wait_for(process.communicate(), 100)
    assert out.decode().startswith("Error: No temporary directory can be written.")
    assert out.count(b"\n") == 1


async def test_output_that_cannot_be_written_is_named_in_one_line() -> None:
    """On a full disk; /dev/full refuses like one."""
    process = await asyncio.create_subprocess_shell(
        f"{sys.executable} -m backend.cli keys new > /dev/full",
        cwd=ROOT,
        stderr=asyncio.subprocess.PIPE,
    )
    _, err = await asyncio.wait_for(process.communicate(), 100)
    said = b"Error: Cannot write the command's output: No space left on device.\n"
    assert (process.returncode, err) == (FAILED, said)


async def test_a_folder_that_cannot_be_written_is_named_in_one_line() -> None:
    said = await one_line("demo", "--output", "/proc/version/images", code=FAILED)
    assert "Choose another folder with --output." in said


# Postgres


@pytest.mark.slow
@pytest.mark.parametrize("command", ["worker", "migrate", "webhooks list"])
async def test_a_refused_login_is_named_in_one_line(command: str, environ: dict[str, str]) -> None:
    url = environ["DATABASE_URL"].replace("postgres@", "stranger@", 1)
    assert "stranger" in url
    said = await one_line(*command.split(), code=FAILED, **{**environ, "DATABASE_URL": url})
    assert "Check user and password in DATABASE_URL" in said


@pytest.mark.slow
@pytest.mark.parametrize("command", ["worker", "migrate"])
async def test_a_missing_database_is_named_in_one_line(
    command: str, services: LocalServices, environ: dict[str, str]
) -> None:
    environ = {**environ, "DATABASE_URL": services.postgres.url("nowhere")}
    said = await one_line(command, code=FAILED, **environ)
    assert 'database "nowhere" does not exist' in said
    assert "CREATE DATABASE" in said


@pytest.mark.slow
@pytest.mark.parametrize("command", ["migrate", "reconcile --report"])
async def test_an_unreachable_postgres_can_be_tried_again(
    command: str, environ: dict[str, str]
) -> None:
    environ = {**environ, "DATABASE_URL": NOWHERE}
    said = await one_line(*command.split(), code=TRY_AGAIN, **environ)
    assert "Postgres at 127.0.0.1:1 is not responding. Check DATABASE_URL" in said


@pytest.mark.parametrize(
    ("url", "address"),
    [
        (NOWHERE, "127.0.0.1:1"),
        ("postgresql://atelier@db/atelier", "db:5432"),
        ("postgresql:///atelier?host=/var/run/postgresql&port=5433", "/var/run/postgresql:5433"),
        ("postgresql://u:secret@[::1/a", "an unreadable address"),
        ("postgresql:///atelier", "localhost:5432"),
    ],
)
def test_a_database_is_named_by_the_address_that_its_url_leads_to(
    url: str, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", url)
    assert database_address() == address


@pytest.mark.slow
async def test_an_unknown_host_is_named_in_one_line(environ: dict[str, str]) -> None:
    environ = {**environ, "DATABASE_URL": "postgresql://u:hush@no-such-host.invalid/a"}
    said = await one_line("migrate", code=TRY_AGAIN, **environ)
    assert "The host of DATABASE_URL, no-such-host.invalid:5432, is unknown." in said


@pytest.mark.slow
@pytest.mark.parametrize("command", ["serve", "worker"])
async def test_a_server_waits_for_postgres_without_a_traceback(
    command: str, environ: dict[str, str]
) -> None:
    environ = {**environ, "DATABASE_URL": NOWHERE}
    process = await start_atelier(command, *free_port(command), **environ)
    assert process.stderr is not None
    lines = [await asyncio.wait_for(process.stderr.readline(), 60) for _ in range(6)]
    assert any(b"database_unreachable" in line and b"DATABASE_URL" in line for line in lines)
    process.send_signal(signal.SIGINT)
    rest = await asyncio.wait_for(process.stderr.read(), 60)
    assert b"Traceback" not in b"".join(lines) + rest
    assert b"Aborted" not in rest
    assert await process.wait() in {0, INTERRUPTED}


@pytest.mark.slow
async def test_ctrl_c_does_not_wait_for_the_checks_of_a_server(environ: dict[str, str]) -> None:
    """Postgres and the bucket accept connections and do not respond, for 2 s and 5 s."""
    connected = asyncio.Event()
    silent = await asyncio.start_server(lambda *_: connected.set(), "127.0.0.1", 0)
    address = f"127.0.0.1:{silent.sockets[0].getsockname()[1]}"
    environ |= {"DATABASE_URL": f"postgresql://{address}", "S3_ENDPOINT_URL": f"http://{address}"}
    process = await start_atelier("serve", *free_port("serve"), **environ)
    await asyncio.wait_for(connected.wait(), 60)
    process.send_signal(signal.SIGINT)
    _, err = await asyncio.wait_for(process.communicate(), 4)
    assert (process.returncode, err) == (INTERRUPTED, b"")
    silent.close()


def free_port(command: str) -> tuple[str, ...]:
    """The option for a port of its own, for `serve`."""
    if command != "serve":
        return ()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return "--port", str(listener.getsockname()[1])


@pytest.mark.slow
@pytest.mark.parametrize("command", ["serve", "worker", "webhooks list", "keys reencrypt"])
async def test_a_command_before_migrate_says_so(
    command: str, environ: dict[str, str], empty_database: str
) -> None:
    environ = {**environ, "DATABASE_URL": empty_database}
    said = await one_line(*command.split(), *free_port(command), code=FAILED, **environ)
    assert "Run `atelier migrate`" in said


@pytest.mark.slow
@pytest.mark.parametrize("command", ["serve", "worker"])
async def test_a_server_refuses_the_schema_of_an_older_release(
    command: str, environ: dict[str, str], empty_database: str
) -> None:
    await asyncio.to_thread(migrations.upgrade, empty_database, "0019_outages")
    environ = {**environ, "DATABASE_URL": empty_database}
    said = await one_line(command, *free_port(command), code=FAILED, **environ)
    missing = r"older than this release: it has no [a-z_]+\.[a-z_]+\. Run `atelier migrate`\."
    assert re.search(missing, said)


@pytest.mark.slow
async def test_an_unknown_revision_is_named_in_one_line(environ: dict[str, str]) -> None:
    said = await one_line("migrate", "--to", "9999_future", code=FAILED, **environ)
    assert "9999_future" in said


@pytest.mark.slow
async def test_ctrl_c_in_a_migration_changes_nothing(
    services: LocalServices, environ: dict[str, str], empty_database: str
) -> None:
    holder = await asyncpg.connect(empty_database)
    await holder.execute("SELECT pg_advisory_lock(4172011001)")  # `migrations.env.MIGRATOR_LOCK`
    process = await start_atelier("migrate", **{**environ, "DATABASE_URL": empty_database})

    async def is_waiting() -> Any:
        return await holder.fetchval(
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        )

    await wait_until(is_waiting, 60)
    process.send_signal(signal.SIGINT)
    _, err = await asyncio.wait_for(process.communicate(), 60)
    assert err.decode() == "Stopped. Nothing was changed; run `atelier migrate` again.\n"
    assert process.returncode == INTERRUPTED
    assert await holder.fetchval("SELECT to_regclass('shops')") is None
    await holder.close()


@pytest.mark.parametrize("number", [90_624, 140_009])
def test_an_older_postgres_is_refused(number: int) -> None:
    with pytest.raises(ConfigurationError, match=r"needs Postgres 15 or newer; this server is"):
        require_postgres_version(number)


async def test_the_version_that_a_server_reports_is_checked(environ: dict[str, str]) -> None:
    connection = await asyncpg.connect(environ["DATABASE_URL"])
    number = await connection.fetchval("SELECT current_setting('server_version_num')::int")
    await connection.close()
    require_postgres_version(number)


def test_a_login_that_may_not_create_roles_reads_what_a_superuser_runs() -> None:
    error = asyncpg.InsufficientPrivilegeError("permission denied to create role")
    failure = explained(error)
    assert failure is not None
    assert "CREATE ROLE atelier_web NOLOGIN" in failure.message


@pytest.mark.parametrize("hours", [-3, 3])
async def test_a_wrong_clock_is_logged_with_what_to_do(hours: int, database_url: str) -> None:
    database = Database(database_url, pool_size=1)
    async with database.reading() as connection:
        now = float(await connection.scalar(text("SELECT extract(epoch FROM now())::float")) or 0)
        with structlog.testing.capture_logs() as lines:
            await compare_clocks(connection)
            assert lines == []
            with time_machine.travel(now + hours * 3600, tick=True):
                await compare_clocks(connection)
    await database.close()
    assert [(line["event"], round(line["seconds"] / 3600)) for line in lines] == [
        ("clock_wrong", hours)
    ]
    assert "NTP" in lines[0]["message"]


# The bucket


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "name", "value", "line"),
    [
        ("serve", "S3_BUCKET", "no-such-bucket", "The bucket of S3_BUCKET does not exist."),
        ("worker", "S3_BUCKET", "no/bucket", "S3_BUCKET is not a valid name"),
        ("worker", "AWS_ACCESS_KEY_ID", "stranger", "Check AWS_ACCESS_KEY_ID"),
        ("serve", "AWS_SECRET_ACCESS_KEY", "wrong", "Check AWS_ACCESS_KEY_ID"),
    ],
)
async def test_a_wrong_bucket_is_named_at_the_start(
    command: str, name: str, value: str, line: str, environ: dict[str, str]
) -> None:
    said = await one_line(command, *free_port(command), code=FAILED, **{**environ, name: value})
    assert line in said


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "value", "code", "line"),
    [
        ("S3_ENDPOINT_URL", "http://127.0.0.1:1", TRY_AGAIN, "Check S3_BUCKET, S3_ENDPOINT_URL"),
        ("AWS_SECRET_ACCESS_KEY", "wrong", FAILED, "Check AWS_ACCESS_KEY_ID"),
    ],
)
async def test_a_command_that_needs_the_bucket_says_what_to_check(
    name: str, value: str, code: int, line: str, environ: dict[str, str]
) -> None:
    process = await start_atelier("erasures", "repeat", **{**environ, name: value})
    _, err = await asyncio.wait_for(process.communicate(), 100)
    assert process.returncode == code
    assert line in err.decode().splitlines()[-1]
    assert b"Traceback" not in err
