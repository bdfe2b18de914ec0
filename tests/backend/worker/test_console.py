"""The `atelier jobs` command."""

import asyncio
import json
import os
import sys
from functools import partial

from click.testing import CliRunner, Result

from backend.cli import main
from tests.flows.processes import environment
from tests.running_app import RunningApp
from tests.scenarios import finished_job, waiting_job


async def command(running_app: RunningApp, *arguments: str) -> Result:
    """What `atelier jobs …` says, against the test's services and in this process."""
    jobs = partial(CliRunner().invoke, main, ["jobs", *arguments])
    return await asyncio.to_thread(jobs, env=environment(running_app.settings))


async def started(running_app: RunningApp, *arguments: str) -> asyncio.subprocess.Process:
    """`atelier jobs …` in a process of its own."""
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "backend.cli", "jobs", *arguments),
        env={**os.environ, **environment(running_app.settings)},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def test_jobs_show_prints_what_the_api_returns(running_app: RunningApp) -> None:
    await running_app.install()
    ref, _ = await finished_job(running_app)
    said = await command(running_app, "show", ref.public_id)
    shown, seen = json.loads(said.stdout), (await running_app.detail(ref.public_id)).json()
    assert shown.keys() == seen.keys()
    for name in ("public_id", "status", "created_at", "latest_event"):
        assert shown[name] == seen[name]
    assert len(shown["result"]) == 2


async def test_jobs_watch_follows_a_job_to_its_end(running_app: RunningApp) -> None:
    await running_app.install()
    public_id = await running_app.request_job()
    watching = await started(running_app, "watch", public_id)
    await running_app.drain()
    _, err = await asyncio.wait_for(watching.communicate(), 30)
    lines = [line.partition(". ")[2] for line in err.decode().splitlines()]
    assert lines[0] == "Waiting for a worker"
    assert lines[-1] == "Finished"
    assert len(lines) == 7
    assert watching.returncode == 0


async def test_jobs_watch_fails_for_a_cancelled_job(running_app: RunningApp) -> None:
    await running_app.install()
    ref = await waiting_job(running_app)
    await running_app.http.post(f"/v1/jobs/{ref.public_id}/cancel", headers=running_app.bearer())
    assert (await command(running_app, "watch", ref.public_id)).exit_code == 1


async def test_jobs_show_reports_an_unknown_job(running_app: RunningApp) -> None:
    said = await command(running_app, "show", "0" * 26)
    assert said.exit_code == 1
    assert "does not exist" in said.stderr
    assert isinstance(said.exception, SystemExit), "not a traceback"
