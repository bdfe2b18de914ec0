"""The units of `deploy/systemd`, started by a real systemd: they serve, render, and come back."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator

import httpx
import pytest

from tests.backend.uploads.sending import picture
from tests.faults.conftest import Measured
from tests.faults.systemd import UNITS, Machine, reason_to_skip, running_systemd
from tests.world import World

WHY = reason_to_skip()
WEB, WORKER = "atelier-web@1", "atelier-worker@1"

pytestmark = [
    pytest.mark.skipif(WHY is not None, reason=str(WHY)),
    pytest.mark.timeout(300),
]


@pytest.fixture
async def machine(world: World) -> AsyncIterator[Machine]:
    """The schema is there, one web process and one worker run."""
    await world.install()
    async with running_systemd(world.settings) as running:
        await running.systemctl("start", "atelier-migrate")
        await running.systemctl("start", f"{WEB}.socket", WEB, WORKER)
        yield running


def client(machine: Machine) -> httpx.AsyncClient:
    """Asks over the socket that systemd holds."""
    transport = httpx.AsyncHTTPTransport(uds=str(machine.root / "run/atelier/web-1.sock"))
    return httpx.AsyncClient(transport=transport, base_url="http://atelier", timeout=60)


async def rendered(machine: Machine, world: World) -> bytes:
    """One catalog image of an upload, made by the units alone."""
    async with client(machine) as http:
        headers = world.bearer()
        sent = await http.post(
            "/v1/uploads", headers=headers, files={"file": ("photo.jpg", picture(), "image/jpeg")}
        )
        assert sent.status_code == 201, sent.text
        asked = await http.post(
            "/v1/catalog-image", headers=headers, json={"upload_key": sent.json()["upload_key"]}
        )
        assert asked.status_code == 202, asked.text
        async with asyncio.timeout(120):
            while True:
                response = await http.get(asked.headers["Location"], headers=world.bearer())
                job = response.json()
                if job["status"] in {"SUCCESS", "FAILURE"}:
                    break
                await asyncio.sleep(0.2)
    assert job["status"] == "SUCCESS", job
    async with httpx.AsyncClient(timeout=30) as anywhere:
        url = job["result"][0]["image_url"]
        return (await anywhere.get(url)).raise_for_status().content


@pytest.mark.promise(
    "P11",
    "the units render under systemd, and a killed worker is started again",
    wanted="a picture",
)
async def test_the_units_render_a_picture_and_a_killed_worker_comes_back(
    machine: Machine, world: World, measured: Measured
) -> None:
    before = len(await rendered(machine, world))
    killed = await machine.facts(WORKER, "MainPID")
    os.kill(machine.outer_pid(killed["MainPID"]), signal.SIGKILL)
    facts = await machine.started_again(WORKER, 1, within=30)
    after = len(await rendered(machine, world))
    is_kept = before > 0 and after > 0 and facts["MainPID"] != killed["MainPID"]
    measured("P11", f"pictures of {before} and {after} bytes, before and after a SIGKILL", is_kept)
    assert is_kept


@pytest.mark.promise(
    "P9", "systemd's socket outlives a restart of the web process", wanted="0 failed"
)
async def test_nobody_is_refused_while_the_web_unit_restarts(
    machine: Machine, measured: Measured
) -> None:
    restarting = asyncio.create_task(machine.systemctl("restart", WEB))
    answers: list[int] = []
    while not restarting.done() or len(answers) < 20:
        async with client(machine) as http:  # a new connection each time, as a proxy opens them
            answers.append((await http.get("/health/live")).status_code)
    await restarting
    failed = sum(status != 200 for status in answers)
    measured("P9", f"{failed} of {len(answers)} requests failed in a restart", failed == 0)
    assert failed == 0


async def test_the_units_stop_cleanly(machine: Machine) -> None:
    await machine.systemctl("stop", WEB, WORKER)
    for unit in (WEB, WORKER):
        facts = await machine.facts(unit, "Result", "ActiveState")
        assert facts == {"Result": "success", "ActiveState": "inactive"}


@pytest.mark.parametrize("unit", [WEB, WORKER])
@pytest.mark.skipif(
    "WatchdogSec" not in (UNITS / "atelier-web@.service").read_text(), reason="no watchdog is set"
)
async def test_a_process_that_stands_still_is_ended_and_started_again(
    machine: Machine, unit: str
) -> None:
    stuck = await machine.facts(unit, "MainPID")
    os.kill(machine.outer_pid(stuck["MainPID"]), signal.SIGSTOP)
    facts = await machine.started_again(unit, 1, within=60)
    assert facts["MainPID"] != stuck["MainPID"]
