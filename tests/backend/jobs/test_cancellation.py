"""Cancelling a job: whoever wins the race, a job has one end."""

import asyncio

import httpx
import pytest

from backend.jobs.lifecycle import lease_job, succeed
from backend.leased_task import Fenced
from tests.running_app import OTHER_SHOP, SHOP, RunningApp
from tests.scenarios import (
    claimed_job,
    finished_job,
    make_stage,
    open_shared_app,
    refusal,
    waiting_job,
)

shared_app = pytest.fixture(open_shared_app, scope="module")


async def cancel(shared_app: RunningApp, public_id: str, shop: str = SHOP) -> httpx.Response:
    """Cancel a job."""
    return await shared_app.http.post(
        f"/v1/jobs/{public_id}/cancel", headers=shared_app.bearer(shop)
    )


async def ends(shared_app: RunningApp, public_id: str) -> list[str]:
    """The types of its final events."""
    rows = await shared_app.rows(
        "SELECT event_type FROM job_events WHERE job_id = :id "
        "AND event_type IN ('succeeded', 'failed')",
        id=public_id,
    )
    return [row["event_type"] for row in rows]


async def test_cancelling_a_waiting_job_ends_it_at_once(shared_app: RunningApp) -> None:
    ref = await waiting_job(shared_app)
    answer = await cancel(shared_app, ref.public_id)
    assert answer.status_code == 202
    assert answer.json() == {"public_id": ref.public_id, "status": "FAILURE"}
    event = (await shared_app.detail(ref.public_id)).json()["latest_event"]
    assert event["event_type"] == "failed"
    assert event["extra"]["error"]["code"] == "CANCELLED"
    async with shared_app.database.transaction() as connection:
        assert await lease_job(connection, ref) is None


async def test_cancelling_a_running_job_fences_its_worker_at_the_next_checkpoint(
    shared_app: RunningApp,
) -> None:
    begun = await claimed_job(shared_app)
    await make_stage(shared_app, begun, "segment")
    assert (await cancel(shared_app, begun.ref.public_id)).status_code == 202
    with pytest.raises(Fenced):
        await make_stage(shared_app, begun, "compose")
    assert await ends(shared_app, begun.ref.public_id) == ["failed"]


async def test_a_finished_job_cannot_be_cancelled(shared_app: RunningApp) -> None:
    ref, _ = await finished_job(shared_app)
    assert refusal(await cancel(shared_app, ref.public_id)) == (409, "JOB_ALREADY_FINISHED")
    again = await waiting_job(shared_app)
    assert (await cancel(shared_app, again.public_id)).status_code == 202
    assert refusal(await cancel(shared_app, again.public_id)) == (409, "JOB_ALREADY_FINISHED")
    assert await ends(shared_app, again.public_id) == ["failed"]


async def test_a_cancel_racing_a_success_leaves_exactly_one_end(shared_app: RunningApp) -> None:
    for _ in range(10):
        begun = await claimed_job(shared_app)

        async def finish() -> bool:
            try:
                async with shared_app.database.transaction() as connection:
                    await succeed(connection, begun, {})  # noqa: B023  awaited below
            except Fenced:
                return False
            return True

        finished, answer = await asyncio.gather(finish(), cancel(shared_app, begun.ref.public_id))
        assert finished == (answer.status_code == 409)
        expected = "succeeded" if finished else "failed"
        assert await ends(shared_app, begun.ref.public_id) == [expected]


async def test_a_shop_cannot_cancel_another_shops_job(shared_app: RunningApp) -> None:
    await shared_app.install(OTHER_SHOP)
    ref = await waiting_job(shared_app, shop=OTHER_SHOP)
    for public_id in (ref.public_id, "0" * 26, "nonsense"):
        assert refusal(await cancel(shared_app, public_id)) == (404, "JOB_NOT_FOUND")
    assert await ends(shared_app, ref.public_id) == []
