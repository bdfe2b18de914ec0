"""Running a job: stages run once, retries, and fencing."""

import asyncio
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from sqlalchemy import text

from backend.failures.codes import RENDER_CRASHED
from backend.failures.images import IMAGE_CORRUPT
from backend.failures.registry import Failure
from backend.jobs.lifecycle import fail, lease_job, succeed
from backend.jobs.service import JobRef
from backend.leased_task import Done, Fenced, Retry
from backend.renderers.base import RenderFailed, RenderRequest
from backend.retries import JOBS, PAUSE_JITTER
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

REASON = Failure(code="TEST", message="for a test")


async def terminal_events(running_app: RunningApp, ref: JobRef) -> list[str]:
    """The types of the job's final events."""
    rows = await running_app.rows(
        "SELECT event_type FROM job_events WHERE job_id = :id "
        "AND event_type IN ('succeeded', 'failed')",
        id=ref.public_id,
    )
    return [row["event_type"] for row in rows]


async def test_a_finished_stage_is_not_repeated(running_app: RunningApp) -> None:
    ref = await new_job(running_app)

    async def break_at_compose(request: RenderRequest) -> None:
        if request.stage == "compose":
            raise RenderFailed(RENDER_CRASHED)

    first = RecordingRenderer(running_app.worker_context.renderer, break_at_compose)
    assert isinstance(await run_job(ref, context_with(running_app, first)), Retry)
    second = RecordingRenderer(running_app.worker_context.renderer)
    assert await run_job(ref, context_with(running_app, second)) == Done()
    assert first.stages == ["validate", "segment", "compose"]
    assert second.stages == ["compose", "encode"]
    assert await job_status(running_app, ref) == "SUCCESS"


async def test_attempts_are_counted_anew_at_the_next_stage_of_a_run(
    running_app: RunningApp,
) -> None:
    ref = await new_job(running_app)
    await running_app.execute("UPDATE jobs SET strikes = :n", n=JOBS.crashes - 1)

    async def break_at_compose(request: RenderRequest) -> None:
        if request.stage == "compose":
            raise RenderFailed(RENDER_CRASHED)

    broken = RecordingRenderer(NoRenderer(), break_at_compose)
    assert isinstance(await run_job(ref, context_with(running_app, broken)), Retry)


async def test_a_crashing_render_is_tried_three_times_with_growing_delays(
    running_app: RunningApp,
) -> None:
    ref = await new_job(running_app)

    async def always(_request: RenderRequest) -> None:
        raise RenderFailed(RENDER_CRASHED)

    broken = context_with(
        running_app, RecordingRenderer(running_app.worker_context.renderer, always)
    )
    outcomes = [await run_job(ref, broken) for _ in range(3)]
    delays = [outcome.delay for outcome in outcomes if isinstance(outcome, Retry)]
    usual = [JOBS.usual(1), JOBS.usual(2)]
    assert [delay / pause for delay, pause in zip(delays, usual, strict=True)] == pytest.approx(
        [1, 1], abs=PAUSE_JITTER
    )
    assert outcomes[-1] == Done()
    assert await terminal_events(running_app, ref) == ["failed"]
    detail = (await running_app.detail(ref.public_id)).json()
    assert detail["latest_event"]["extra"]["error"]["code"] == "RENDER_CRASHED"


async def test_a_permanent_failure_ends_the_job_at_once(running_app: RunningApp) -> None:
    ref = await new_job(running_app)

    async def refuse(_request: RenderRequest) -> None:
        raise RenderFailed(IMAGE_CORRUPT)

    assert (
        await run_job(
            ref,
            context_with(
                running_app, RecordingRenderer(running_app.worker_context.renderer, refuse)
            ),
        )
        == Done()
    )
    assert await job_status(running_app, ref) == "FAILURE"


async def test_a_worker_that_lost_its_lease_writes_nothing(running_app: RunningApp) -> None:
    ref = await new_job(running_app)

    async def overtaken(request: RenderRequest) -> None:
        if request.stage == "segment":
            await claim_job(running_app, ref)

    zombie = context_with(
        running_app, RecordingRenderer(running_app.worker_context.renderer, overtaken)
    )
    assert await run_job(ref, zombie) == Done()
    stages = await running_app.rows("SELECT stage FROM job_stages ORDER BY created_at")
    assert [row["stage"] for row in stages] == ["fetch", "validate"]
    assert await job_status(running_app, ref) == "IN_PROGRESS"
    assert await terminal_events(running_app, ref) == []


async def test_only_the_first_end_of_a_job_counts(running_app: RunningApp) -> None:
    ref = await new_job(running_app)
    holder = await claim_job(running_app, ref)

    async def end(how: Any, argument: Any) -> bool:
        try:
            async with running_app.database.transaction() as connection:
                await how(connection, holder, argument)
        except Fenced:
            return False
        return True

    ends = await asyncio.gather(*(end(succeed, {}), end(fail, REASON), end(succeed, {})))
    assert ends.count(True) == 1
    assert len(await terminal_events(running_app, ref)) == 1


async def test_a_job_frees_its_place_before_its_last_record(running_app: RunningApp) -> None:
    ref = await new_job(running_app)
    freed = asyncio.Event()
    async with running_app.database.transaction() as connection:

        async def lock_the_row_at_the_end(request: RenderRequest) -> None:
            if request.stage == "encode":
                assert not freed.is_set()
                await connection.execute(text("SELECT FROM jobs FOR UPDATE"))

        renderer = RecordingRenderer(running_app.worker_context.renderer, lock_the_row_at_the_end)
        run = asyncio.create_task(run_job(ref, context_with(running_app, renderer), freed.set))
        await asyncio.wait_for(freed.wait(), 60)
        assert await job_status(running_app, ref) == "IN_PROGRESS"
    assert await run == Done()
    assert await job_status(running_app, ref) == "SUCCESS"


async def test_an_ended_job_cannot_be_claimed(running_app: RunningApp) -> None:
    ref = await new_job(running_app)
    holder = await claim_job(running_app, ref)
    async with running_app.database.transaction() as connection:
        await fail(connection, holder, REASON)
    async with running_app.database.transaction() as connection:
        assert await lease_job(connection, ref) is None


async def test_a_job_without_progress_fails_at_its_fourth_claim(
    running_app: RunningApp,
) -> None:
    ref = await new_job(running_app)
    for _ in range(3):
        await claim_job(running_app, ref)
    async with running_app.database.transaction() as connection:
        assert await lease_job(connection, ref) is None
    detail = (await running_app.detail(ref.public_id)).json()
    assert detail["status"] == "FAILURE"
    assert detail["latest_event"]["extra"]["error"]["code"] == "WORKER_CRASHED"


async def test_a_stopping_worker_hands_over_between_two_stages(running_app: RunningApp) -> None:
    ref = await new_job(running_app)
    stopping = asyncio.Event()

    async def stop(_request: RenderRequest) -> None:
        stopping.set()

    renderer = RecordingRenderer(running_app.worker_context.renderer, stop)
    worker_context = msgspec.structs.replace(context_with(running_app, renderer), stopping=stopping)
    assert await run_job(ref, worker_context) == Retry(timedelta(0))
    assert renderer.stages == ["validate"]


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("https://cdn.shopify.com/s/files/1/1/files/none.jpg", "IMAGE_NOT_FOUND"),
        ("https://169.254.169.254/latest/meta-data", "IMAGE_SOURCE_REFUSED"),
        ("http://cdn.shopify.com/x.jpg", "IMAGE_SOURCE_REFUSED"),
        ("https://cdn.shopify.com@evil.example/x.jpg", "IMAGE_SOURCE_REFUSED"),
        ("https://cdn.shopify.com:8443/x.jpg", "IMAGE_SOURCE_REFUSED"),
        ("https://[bad", "IMAGE_SOURCE_REFUSED"),
    ],
)
async def test_the_source_image_is_fetched_only_from_the_cdn(
    running_app: RunningApp, url: str, code: str
) -> None:
    ref = await new_job(running_app)
    await running_app.execute(
        "UPDATE jobs SET request = jsonb_set(request, '{source_url}', to_jsonb(cast(:u AS text)))",
        u=url,
    )
    assert await run_job(ref, running_app.worker_context) == Done()
    detail = (await running_app.detail(ref.public_id)).json()
    assert detail["latest_event"]["extra"]["error"]["code"] == code
