"""Cancelling: whoever wins the race, a job has one end."""

import asyncio

import httpx
import pytest

from backend.jobs.timeline import Fenced, claim, succeed
from tests.doors import begun_job, finished_job, make_stage, refusal, shared_world, waiting_job
from tests.world import OTHER_SHOP, SHOP, World

house = pytest.fixture(shared_world, scope="module")


async def cancel(house: World, public_id: str, shop: str = SHOP) -> httpx.Response:
    """Cancel a job."""
    return await house.http.post(f"/v1/jobs/{public_id}/cancel", headers=house.bearer(shop))


async def ends(house: World, public_id: str) -> list[str]:
    """The types of its final events."""
    rows = await house.rows(
        "SELECT event_type FROM job_events WHERE job_id = :id "
        "AND event_type IN ('succeeded', 'failed')",
        id=public_id,
    )
    return [row["event_type"] for row in rows]


async def test_a_waiting_job_ends_at_once_and_no_worker_takes_it(house: World) -> None:
    ref = await waiting_job(house)
    answer = await cancel(house, ref.public_id)
    assert answer.status_code == 202
    assert answer.json() == {"public_id": ref.public_id, "status": "FAILURE"}
    event = (await house.detail(ref.public_id)).json()["latest_event"]
    assert event["event_type"] == "failed"
    assert event["extra"]["error"]["code"] == "CANCELLED"
    async with house.database.transaction() as connection:
        assert await claim(connection, ref) is None


async def test_a_running_jobs_worker_finds_out_at_its_next_checkpoint(house: World) -> None:
    begun = await begun_job(house)
    await make_stage(house, begun, "segment")
    assert (await cancel(house, begun.ref.public_id)).status_code == 202
    with pytest.raises(Fenced):
        await make_stage(house, begun, "compose")
    assert await ends(house, begun.ref.public_id) == ["failed"]


async def test_a_finished_job_stays_as_it_is(house: World) -> None:
    ref, _ = await finished_job(house)
    assert refusal(await cancel(house, ref.public_id)) == (409, "JOB_ALREADY_FINISHED")
    again = await waiting_job(house)
    assert (await cancel(house, again.public_id)).status_code == 202
    assert refusal(await cancel(house, again.public_id)) == (409, "JOB_ALREADY_FINISHED")
    assert await ends(house, again.public_id) == ["failed"]


async def test_of_a_cancel_and_a_success_at_once_one_wins(house: World) -> None:
    for _ in range(10):
        begun = await begun_job(house)

        async def finish() -> bool:
            try:
                async with house.database.transaction() as connection:
                    await succeed(connection, begun, {})  # noqa: B023  awaited below
            except Fenced:
                return False
            return True

        finished, answer = await asyncio.gather(finish(), cancel(house, begun.ref.public_id))
        assert finished == (answer.status_code == 409)
        expected = "succeeded" if finished else "failed"
        assert await ends(house, begun.ref.public_id) == [expected]


async def test_nobody_cancels_what_is_not_theirs(house: World) -> None:
    await house.install(OTHER_SHOP)
    ref = await waiting_job(house, shop=OTHER_SHOP)
    for public_id in (ref.public_id, "0" * 26, "nonsense"):
        assert refusal(await cancel(house, public_id)) == (404, "JOB_NOT_FOUND")
    assert await ends(house, ref.public_id) == []
