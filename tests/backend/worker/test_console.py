"""The `atelier jobs` command."""

import asyncio
import json
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
    watching = asyncio.create_task(command(running_app, "watch", public_id))
    await running_app.drain()
    said = await asyncio.wait_for(watching, 30)
    lines = [line.partition(". ")[2] for line in said.stderr.splitlines()]
    assert lines[0] == "Waiting for a worker"
    assert lines[-1] == "Finished"
    assert len(lines) == 7
    assert said.exit_code == 0


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
