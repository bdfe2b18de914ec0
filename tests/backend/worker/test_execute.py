"""Running a job: what is made once, what is tried again, and who may still write."""

import asyncio
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from backend.jobs.service import JobRef
from backend.jobs.states import Failure
from backend.jobs.timeline import Claim, Fenced, claim, fail, succeed
from backend.renderers.base import Rendered, Renderer, RenderFailed, RenderRequest
from backend.retries import JOBS, SPREAD
from backend.worker.execute import Done, Retry, run_job
from backend.worker.workshop import Workshop
from tests.world import World

REASON = Failure(code="TEST", message="for a test")


class Recording:
    """The real renderer, with a list of what it was asked, and something to do before it."""

    name = "recording"

    def __init__(self, renderer: Renderer, before: Any = None) -> None:
        self.renderer = renderer
        self.before = before
        self.stages: list[str] = []

    async def render(self, request: RenderRequest) -> Rendered:
        """Note the stage, do what the test wants, then render."""
        self.stages.append(request.stage)
        if self.before is not None:
            await self.before(request)
        return await self.renderer.render(request)

    async def close(self) -> None:
        """Nothing is ours to close."""


def rigged(world: World, renderer: Recording) -> Workshop:
    """The world's workshop with that renderer."""
    return msgspec.structs.replace(world.workshop, renderer=renderer)


async def job(world: World) -> JobRef:
    """A job that waits."""
    await world.install()
    public_id = await world.request_job()
    rows = await world.rows("SELECT shop_id FROM jobs WHERE public_id = :id", id=public_id)
    return JobRef(shop_id=rows[0]["shop_id"], public_id=public_id)


async def claimed(world: World, ref: JobRef) -> Claim:
    """The claim of another worker."""
    async with world.database.transaction() as connection:
        taken = await claim(connection, ref)
    assert taken is not None
    return taken


async def status(world: World, ref: JobRef) -> str:
    """As the row says."""
    rows = await world.rows("SELECT status FROM jobs WHERE public_id = :id", id=ref.public_id)
    return str(rows[0]["status"])


async def terminal_events(world: World, ref: JobRef) -> list[str]:
    """The types of the job's final events."""
    rows = await world.rows(
        "SELECT event_type FROM job_events WHERE job_id = :id "
        "AND event_type IN ('succeeded', 'failed')",
        id=ref.public_id,
    )
    return [row["event_type"] for row in rows]


async def test_a_finished_stage_is_not_made_again(world: World) -> None:
    ref = await job(world)

    async def break_at_compose(request: RenderRequest) -> None:
        if request.stage == "compose":
            raise RenderFailed("RENDER_CRASHED", "gone", retryable=True)

    first = Recording(world.workshop.renderer, break_at_compose)
    assert isinstance(await run_job(ref, rigged(world, first)), Retry)
    second = Recording(world.workshop.renderer)
    assert await run_job(ref, rigged(world, second)) == Done()
    assert first.stages == ["validate", "segment", "compose"]
    assert second.stages == ["compose", "encode"]
    assert await status(world, ref) == "SUCCESS"


async def test_a_render_that_crashes_is_tried_three_times_with_growing_delays(
    world: World,
) -> None:
    ref = await job(world)

    async def always(_request: RenderRequest) -> None:
        raise RenderFailed("RENDER_CRASHED", "gone", retryable=True)

    broken = rigged(world, Recording(world.workshop.renderer, always))
    outcomes = [await run_job(ref, broken) for _ in range(3)]
    delays = [outcome.delay for outcome in outcomes if isinstance(outcome, Retry)]
    usual = [JOBS.usual(1), JOBS.usual(2)]
    assert [delay / pause for delay, pause in zip(delays, usual, strict=True)] == pytest.approx(
        [1, 1], abs=SPREAD
    )
    assert outcomes[-1] == Done()
    assert await terminal_events(world, ref) == ["failed"]
    detail = (await world.detail(ref.public_id)).json()
    assert detail["latest_event"]["extra"]["error"]["code"] == "RENDER_CRASHED"


async def test_what_cannot_pass_fails_at_once(world: World) -> None:
    ref = await job(world)

    async def refuse(_request: RenderRequest) -> None:
        raise RenderFailed("IMAGE_CORRUPT", "broken", retryable=False)

    assert await run_job(ref, rigged(world, Recording(world.workshop.renderer, refuse))) == Done()
    assert await status(world, ref) == "FAILURE"


async def test_a_worker_that_lost_its_job_writes_nothing(world: World) -> None:
    ref = await job(world)

    async def overtaken(request: RenderRequest) -> None:
        if request.stage == "segment":
            await claimed(world, ref)

    zombie = rigged(world, Recording(world.workshop.renderer, overtaken))
    assert await run_job(ref, zombie) == Done()
    stages = await world.rows("SELECT stage FROM job_stages ORDER BY created_at")
    assert [row["stage"] for row in stages] == ["fetch", "validate"]
    assert await status(world, ref) == "IN_PROGRESS"
    assert await terminal_events(world, ref) == []


async def test_of_two_ends_only_the_first_counts(world: World) -> None:
    ref = await job(world)
    holder = await claimed(world, ref)

    async def end(how: Any, argument: Any) -> bool:
        try:
            async with world.database.transaction() as connection:
                await how(connection, holder, argument)
        except Fenced:
            return False
        return True

    ends = await asyncio.gather(*(end(succeed, {}), end(fail, REASON), end(succeed, {})))
    assert ends.count(True) == 1
    assert len(await terminal_events(world, ref)) == 1


async def test_an_ended_job_cannot_be_claimed(world: World) -> None:
    ref = await job(world)
    holder = await claimed(world, ref)
    async with world.database.transaction() as connection:
        await fail(connection, holder, REASON)
    async with world.database.transaction() as connection:
        assert await claim(connection, ref) is None


async def test_a_job_without_progress_is_buried_at_the_fourth_claim(world: World) -> None:
    ref = await job(world)
    for _ in range(3):
        await claimed(world, ref)
    async with world.database.transaction() as connection:
        assert await claim(connection, ref) is None
    detail = (await world.detail(ref.public_id)).json()
    assert detail["status"] == "FAILURE"
    assert detail["latest_event"]["extra"]["error"]["code"] == "WORKER_CRASHED"


async def test_a_stopping_worker_hands_over_between_two_stages(world: World) -> None:
    ref = await job(world)
    stopping = asyncio.Event()

    async def stop(_request: RenderRequest) -> None:
        stopping.set()

    renderer = Recording(world.workshop.renderer, stop)
    workshop = msgspec.structs.replace(rigged(world, renderer), stopping=stopping)
    assert await run_job(ref, workshop) == Retry(timedelta(0))
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
async def test_the_photo_is_fetched_from_the_cdn_and_from_nowhere_else(
    world: World, url: str, code: str
) -> None:
    ref = await job(world)
    await world.execute(
        "UPDATE jobs SET request = jsonb_set(request, '{source_url}', to_jsonb(cast(:u AS text)))",
        u=url,
    )
    assert await run_job(ref, world.workshop) == Done()
    detail = (await world.detail(ref.public_id)).json()
    assert detail["latest_event"]["extra"]["error"]["code"] == code
