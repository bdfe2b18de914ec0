"""Outages and hand-overs do not count as failed attempts."""

from datetime import timedelta

import pytest

from backend.errors import DatabaseUnavailable
from backend.jobs.lifecycle import return_job_attempt
from backend.leased_task import Done, Retry
from backend.renderers.base import RenderRequest
from backend.retries import JOBS, MAX_CLAIMS
from backend.worker.execute import run_job
from tests.backend.worker.recording_renderer import (
    RecordingRenderer,
    claim_job,
    context_with,
    job_status,
    new_job,
)
from tests.running_app import RunningApp
from tests.scenarios import NoRenderer, emptied_app, open_shared_app

shared_app = pytest.fixture(open_shared_app, scope="module")
running_app = pytest.fixture(emptied_app)

OFTEN = JOBS.crashes + 2


async def outage(request: RenderRequest) -> None:
    """As a statement meets it."""
    raise DatabaseUnavailable


async def stage_attempts(running_app: RunningApp) -> int:
    """As the only job's row says."""
    return int((await running_app.rows("SELECT strikes FROM jobs"))[0]["strikes"])


async def test_a_job_interrupted_by_outages_still_succeeds(
    running_app: RunningApp,
) -> None:
    ref = await new_job(running_app)
    interrupted = context_with(running_app, RecordingRenderer(NoRenderer(), outage))
    for _ in range(OFTEN):
        assert isinstance(await run_job(ref, interrupted), Retry)
    assert await run_job(ref, context_with(running_app, RecordingRenderer(NoRenderer()))) == Done()
    assert await job_status(running_app, ref) == "SUCCESS"


async def test_a_job_handed_over_many_times_still_succeeds(
    running_app: RunningApp,
) -> None:
    ref = await new_job(running_app)
    worker_context = context_with(running_app, RecordingRenderer(NoRenderer()))
    worker_context.stopping.set()
    for _ in range(OFTEN):
        assert await run_job(ref, worker_context) == Retry(timedelta(0))
    worker_context.stopping.clear()
    assert await run_job(ref, worker_context) == Done()
    assert await job_status(running_app, ref) == "SUCCESS"


async def test_endless_interruptions_end_the_job(running_app: RunningApp) -> None:
    ref = await new_job(running_app)
    await running_app.execute("UPDATE jobs SET attempt = :n", n=MAX_CLAIMS)
    interrupted = context_with(running_app, RecordingRenderer(NoRenderer(), outage))
    for _ in range(JOBS.crashes):
        assert isinstance(await run_job(ref, interrupted), Retry)
    assert await run_job(ref, interrupted) == Done()
    assert await job_status(running_app, ref) == "FAILURE"


@pytest.mark.parametrize("others", [0, 1, 2])
async def test_an_interruption_gives_back_only_its_own_attempt(
    running_app: RunningApp, others: int
) -> None:
    ref = await new_job(running_app)
    interrupted = await claim_job(running_app, ref)
    for _ in range(others):
        await claim_job(running_app, ref)
    async with running_app.database.transaction() as connection:
        await return_job_attempt(connection, interrupted)
    assert await stage_attempts(running_app) == others


async def test_an_interruption_gives_back_nothing_after_later_progress(
    running_app: RunningApp,
) -> None:
    ref = await new_job(running_app)
    interrupted = await claim_job(running_app, ref)
    await claim_job(running_app, ref)
    await running_app.execute("UPDATE jobs SET strikes = 1")  # as a finished stage leaves it
    async with running_app.database.transaction() as connection:
        await return_job_attempt(connection, interrupted)
    assert await stage_attempts(running_app) == 1
