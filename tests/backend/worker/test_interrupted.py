"""What stops an attempt without being the job's fault costs no strike: outages and hand-overs."""

from datetime import timedelta

import pytest

from backend.errors import DatabaseUnavailable
from backend.jobs.timeline import spare
from backend.renderers.base import RenderRequest
from backend.retries import ENOUGH, JOBS
from backend.worker.execute import Done, Retry, run_job
from tests.backend.worker.test_execute import Recording, claimed, job, rigged, status
from tests.doors import NoRenderer
from tests.world import World

OFTEN = JOBS.crashes + 2


async def outage(request: RenderRequest) -> None:
    """As a statement meets it."""
    raise DatabaseUnavailable


async def strikes(world: World) -> int:
    """As the only job's row says."""
    return int((await world.rows("SELECT strikes FROM jobs"))[0]["strikes"])


async def test_a_job_that_outages_interrupt_again_and_again_still_succeeds(world: World) -> None:
    ref = await job(world)
    interrupted = rigged(world, Recording(NoRenderer(), outage))
    for _ in range(OFTEN):
        assert isinstance(await run_job(ref, interrupted), Retry)
    assert await run_job(ref, rigged(world, Recording(NoRenderer()))) == Done()
    assert await status(world, ref) == "SUCCESS"


async def test_a_job_that_is_handed_over_again_and_again_still_succeeds(world: World) -> None:
    ref = await job(world)
    workshop = rigged(world, Recording(NoRenderer()))
    workshop.stopping.set()
    for _ in range(OFTEN):
        assert await run_job(ref, workshop) == Retry(timedelta(0))
    workshop.stopping.clear()
    assert await run_job(ref, workshop) == Done()
    assert await status(world, ref) == "SUCCESS"


async def test_a_job_that_is_interrupted_for_ever_ends(world: World) -> None:
    ref = await job(world)
    await world.execute("UPDATE jobs SET attempt = :n", n=ENOUGH)
    interrupted = rigged(world, Recording(NoRenderer(), outage))
    for _ in range(JOBS.crashes):
        assert isinstance(await run_job(ref, interrupted), Retry)
    assert await run_job(ref, interrupted) == Done()
    assert await status(world, ref) == "FAILURE"


@pytest.mark.parametrize("others", [0, 1, 2])
async def test_only_the_interrupted_attempts_own_strike_is_taken_back(
    world: World, others: int
) -> None:
    ref = await job(world)
    interrupted = await claimed(world, ref)
    for _ in range(others):
        await claimed(world, ref)
    async with world.database.transaction() as connection:
        await spare(connection, interrupted)
    assert await strikes(world) == others


async def test_the_strike_of_whoever_has_got_further_meanwhile_stays(world: World) -> None:
    ref = await job(world)
    interrupted = await claimed(world, ref)
    await claimed(world, ref)
    await world.execute("UPDATE jobs SET strikes = 1")  # as a finished stage leaves it
    async with world.database.transaction() as connection:
        await spare(connection, interrupted)
    assert await strikes(world) == 1
