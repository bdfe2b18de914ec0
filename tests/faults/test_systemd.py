"""The units of `deploy/systemd`, unchanged, under a real systemd: web, worker and migration.

Each test starts what it needs of the one machine that they share. Shopify is stood in for only
where the shop installs the app; the units themselves need nothing of it to render an upload.
"""

import asyncio
import contextlib
import time
import uuid
from collections.abc import AsyncIterator

import asyncpg
import httpx
import pytest

from backend.dev.services import LocalServices
from backend.renderers.base import Renderer
from tests.backend.uploads.multipart_forms import picture
from tests.conftest import settings_for
from tests.faults.conftest import Measured
from tests.faults.postgres import before_postgres, through
from tests.faults.systemd import Machine, booted
from tests.faults.systemd_root import PROJECT
from tests.flows.processes import environment, wait_for_end, wait_for_row
from tests.running_app import RunningApp, open_running_app

SOCKET, WEB, WORKER = "atelier-web@1.socket", "atelier-web@1.service", "atelier-worker@1.service"
DYNAMIC_USERS = range(61184, 65520)  # systemd's own
MEMORY = {WEB: 1536 * 1024**2, WORKER: 3 * 1024**3}
STOP = {WEB: 20, WORKER: 90}  # seconds, `TimeoutStopSec`
WATCHDOG = 10  # seconds, `WatchdogSec`
PACE = 0.1  # seconds between two new connections
pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
async def shared_app(
    services: LocalServices, renderer: Renderer
) -> AsyncIterator[tuple[Machine, RunningApp]]:
    """A machine whose migration unit has created the schema, and the app's stand-ins."""
    name = f"units_{uuid.uuid4().hex[:8]}"
    async with contextlib.AsyncExitStack() as stack:
        proxy = await stack.enter_async_context(before_postgres(services.postgres))
        owner = await asyncpg.connect(services.postgres.url())
        stack.push_async_callback(owner.close)
        await owner.execute(f"CREATE DATABASE {name}")
        stack.push_async_callback(owner.execute, f"DROP DATABASE {name} WITH (FORCE)")
        settings = through(proxy, settings_for(services, services.postgres.url(name)))
        shared = environment(settings)
        shared.pop("SEGMENT_MODEL_PATH")  # the default is what operators have
        role = {
            "AWS_ACCESS_KEY_ID": services.s3.access_key,
            "AWS_SECRET_ACCESS_KEY": services.s3.secret_key,
            "AWS_DEFAULT_REGION": "us-east-1",
        }
        machine = await stack.enter_async_context(
            booted(
                {
                    "atelier.env": shared,
                    "web.env": role,
                    "worker.env": role,
                    "migrate.env": {"DATABASE_URL": settings.database_url},
                }
            )
        )
        await machine.systemctl("start", "atelier-migrate")
        running_app = await stack.enter_async_context(open_running_app(settings, renderer))
        await running_app.install()
        yield machine, running_app


@pytest.fixture
def machine(shared_app: tuple[Machine, RunningApp]) -> Machine:
    return shared_app[0]


@pytest.fixture
def running_app(shared_app: tuple[Machine, RunningApp]) -> RunningApp:
    return shared_app[1]


@pytest.mark.promise("P14", "the units render a picture in their sandbox", wanted="1 of 1")
async def test_the_units_render_an_upload_in_their_sandbox(
    machine: Machine, running_app: RunningApp, record_promise: Measured
) -> None:
    await machine.systemctl("start", SOCKET, WORKER)  # the web unit starts with the first request
    async with machine.client(1) as client:
        assert (await client.get("/health/live")).status_code == 200
        job = await requested(client, running_app)
        await wait_for_end(running_app, job)
        detail = (await client.get(f"/v1/jobs/{job}", headers=running_app.bearer())).json()
    assert detail["status"] == "SUCCESS", await machine.journal()
    async with httpx.AsyncClient() as anyone:
        pictures = [await anyone.get(item["image_url"]) for item in detail["result"]]
    confined = [await assert_confined(machine, unit) for unit in (WEB, WORKER)]
    record_promise(
        "P14",
        f"a job from an upload to {len(pictures)} pictures; {sum(confined)} processes, "
        f"render children among them, without privileges",
        {picture.status_code for picture in pictures} == {200} and min(confined) >= 2,
    )


@pytest.mark.promise("P9", "a restart of the web unit refuses nobody", wanted="0 failed")
async def test_restarting_the_web_unit_refuses_no_request(
    machine: Machine, record_promise: Measured
) -> None:
    await machine.systemctl("start", SOCKET, WEB)
    before = await machine.show(WEB, "MainPID")
    restarting = asyncio.create_task(machine.systemctl("restart", WEB))
    asking = []
    while not restarting.done():
        asking.append(asyncio.create_task(seconds_to_live(machine)))
        await asyncio.sleep(PACE)
    seconds = await restarting
    waits = await asyncio.gather(*asking, return_exceptions=True)
    failed = [wait for wait in waits if isinstance(wait, BaseException)]
    slowest = max(wait for wait in waits if not isinstance(wait, BaseException))
    record_promise(
        "P9",
        f"{len(failed)} of {len(waits)} new connections failed in a restart of {seconds:.1f} s, "
        f"the slowest waited {slowest:.1f} s",
        not failed and len(waits) > 5 and await machine.show(WEB, "MainPID") != before,
    )


@pytest.mark.promise("P11", "systemd starts a killed worker again", wanted="1 restart, SUCCESS")
async def test_a_killed_worker_unit_restarts_and_continues(
    machine: Machine, running_app: RunningApp, record_promise: Measured
) -> None:
    await machine.systemctl("restart", SOCKET, WORKER)
    before = await machine.show(WORKER, "MainPID")
    await machine.systemctl("kill", "--kill-whom=main", "--signal=SIGKILL", WORKER)
    begun = time.monotonic()
    await machine.until(WORKER, "NRestarts", "1")
    await machine.until(WORKER, "ActiveState", "active")
    seconds = time.monotonic() - begun
    assert await machine.show(WORKER, "MainPID") not in {before, "0"}
    async with machine.client(1) as client:
        end = (await wait_for_end(running_app, await requested(client, running_app)))["status"]
    record_promise("P11", f"again after {seconds:.1f} s, the next job {end}", end == "SUCCESS")


@pytest.mark.promise("P11", "a stop of the units hands jobs over", wanted="in time, SUCCESS")
async def test_stopping_the_units_is_clean_and_hands_the_job_over(
    machine: Machine, running_app: RunningApp, record_promise: Measured
) -> None:
    await machine.systemctl("start", SOCKET, WEB, WORKER)
    async with machine.client(1) as client:
        job = await requested(client, running_app)
    await wait_for_row(
        running_app, "SELECT 1 FROM job_stages WHERE job_id = :id AND stage = 'fetch'", id=job
    )
    seconds = {unit: await machine.systemctl("stop", unit) for unit in (WORKER, WEB)}
    assert {await machine.show(unit, "ActiveState") for unit in seconds} == {"inactive"}
    results = {await machine.show(unit, "Result") for unit in seconds}
    (left,) = await running_app.rows(
        "SELECT status, strikes FROM jobs WHERE public_id = :id", id=job
    )
    await machine.systemctl("start", WORKER)
    end = (await wait_for_end(running_app, job))["status"]
    in_time = all(seconds[unit] < STOP[unit] for unit in seconds)
    record_promise(
        "P11",
        f"stopped in {seconds[WORKER]:.1f} s (worker) and {seconds[WEB]:.1f} s (web), "
        f"results {results}, the job was {left['status']} and ended {end}",
        in_time and results == {"success"} and left["strikes"] == 0 and end == "SUCCESS",
    )


@pytest.mark.skipif(
    "WatchdogSec" not in (PROJECT / "deploy/systemd/atelier-web@.service").read_text(),
    reason="the units have no watchdog",
)
@pytest.mark.promise("P21", "a process that stands still is ended", wanted="1 restart each")
async def test_the_watchdog_restarts_a_frozen_process(
    machine: Machine, record_promise: Measured
) -> None:
    await machine.systemctl("restart", SOCKET, WEB, WORKER)
    begun, seconds = time.monotonic(), []
    for unit in (WEB, WORKER):
        await machine.systemctl("kill", "--kill-whom=main", "--signal=SIGSTOP", unit)
    for unit in (WEB, WORKER):
        await machine.until(unit, "NRestarts", "1")
        seconds.append(time.monotonic() - begun)
        await machine.until(unit, "ActiveState", "active")
    async with machine.client(1) as client:
        assert (await client.get("/health/live")).status_code == 200
    assert (await machine.journal()).count("Watchdog timeout") == 2
    record_promise(
        "P21",
        f"web and worker started again {seconds[0]:.0f} and {seconds[1]:.0f} s after SIGSTOP",
        min(seconds) >= WATCHDOG - 1,
    )


async def seconds_to_live(machine: Machine) -> float:
    """How long a new connection waits for its answer."""
    begun = time.monotonic()
    async with machine.client(1) as client:
        (await client.get("/health/live")).raise_for_status()
    return time.monotonic() - begun


async def requested(client: httpx.AsyncClient, running_app: RunningApp) -> str:
    """A job of an upload, both through the web unit; its public id."""
    files = {"file": ("photo.jpg", picture(), "image/jpeg")}
    sent = await client.post("/v1/uploads", files=files, headers=running_app.bearer())
    assert sent.status_code == 201, sent.text
    body = {"upload_key": sent.json()["upload_key"]}
    asked = await client.post("/v1/catalog-image", json=body, headers=running_app.bearer())
    assert asked.status_code == 202, asked.text
    return str(asked.json()["job_id"])


async def assert_confined(machine: Machine, unit: str) -> int:
    """Each process of the unit is in the sandbox and its memory is limited; how many there are."""
    group = await machine.show(unit, "ControlGroup")
    assert await machine.memory_limit(group) == MEMORY[unit]
    main = await machine.show(unit, "MainPID")
    children = await machine.run("pgrep", "--parent", main)
    for pid in (main, *children.split()):
        lines = (await machine.run("cat", f"/proc/{pid}/status")).splitlines()
        status = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
        assert int(status["Uid"].split()[0]) in DYNAMIC_USERS
        assert int(status["CapBnd"], 16) == 0
        assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
        mounts = (await machine.run("cat", f"/proc/{pid}/mounts")).splitlines()
        options = {line.split()[1]: line.split()[3].split(",") for line in mounts}
        assert "ro" in options["/"] and "rw" in options["/tmp"] and "/root" in options
    return 1 + len(children.split())
