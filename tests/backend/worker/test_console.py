"""`atelier jobs`, as processes of their own where that is more than its words and exit code."""

import asyncio
import json
import os
import sys
from functools import partial

from click.testing import CliRunner

from backend.cli import main
from tests.doors import finished_job, waiting_job
from tests.flows.processes import environment
from tests.world import World


async def jobs(world: World, *arguments: str) -> asyncio.subprocess.Process:
    """`atelier jobs …` against the test's services."""
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "backend.cli", "jobs", *arguments),
        env={**os.environ, **environment(world.settings)},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def test_show_prints_what_the_shop_sees(world: World) -> None:
    await world.install()
    ref, _ = await finished_job(world)
    out, _ = await (await jobs(world, "show", ref.public_id)).communicate()
    shown, seen = json.loads(out), (await world.detail(ref.public_id)).json()
    assert shown.keys() == seen.keys()
    for name in ("public_id", "status", "created_at", "latest_event"):
        assert shown[name] == seen[name]
    assert len(shown["result"]) == 2


async def test_watch_follows_a_job_to_its_end(world: World) -> None:
    await world.install()
    public_id = await world.request_job()
    watching = await jobs(world, "watch", public_id)
    await world.drain()
    _, err = await asyncio.wait_for(watching.communicate(), 30)
    lines = [line.partition(". ")[2] for line in err.decode().splitlines()]
    assert lines[0] == "Waiting for a worker"
    assert lines[-1] == "Finished"
    assert len(lines) == 7
    assert watching.returncode == 0


async def test_watching_a_cancelled_job_ends_with_an_error_code(world: World) -> None:
    await world.install()
    ref = await waiting_job(world)
    await world.http.post(f"/v1/jobs/{ref.public_id}/cancel", headers=world.bearer())
    watching = await jobs(world, "watch", ref.public_id)
    await asyncio.wait_for(watching.wait(), 30)
    assert watching.returncode == 1


async def test_an_unknown_job_is_said_to_be_unknown(world: World) -> None:
    show = partial(CliRunner().invoke, main, ["jobs", "show", "0" * 26])
    said = await asyncio.to_thread(show, env=environment(world.settings))
    assert said.exit_code == 1
    assert "No job" in said.stderr
    assert isinstance(said.exception, SystemExit), "not a traceback"
