"""A provider's limits: one budget for all processes, in turns between the shops."""

import asyncio

import pytest

from backend.db import Database
from backend.jobs.service import JobRef
from backend.tenancy import WORKER
from tests.backend.worker.hosted import (
    FakeProvider,
    finished,
    hosted_app,
    hosted_job,
    pass_time,
    poller_of,
    queued,
    run_once,
    statuses,
    wake,
)
from tests.running_app import OTHER_SHOP, RunningApp
from tests.scenarios import emptied_app, open_shared_app

shared_app = pytest.fixture(open_shared_app, scope="module")
running_app = pytest.fixture(emptied_app)


async def in_states(app: RunningApp) -> dict[str, int]:
    """How many submissions are in each state."""
    rows = await app.rows("SELECT status, count(*) AS count FROM submissions GROUP BY status")
    return {row["status"]: row["count"] for row in rows}


async def test_two_processes_share_the_providers_concurrency(running_app: RunningApp) -> None:
    """Each process has connections of its own; only the rows and the lock are common."""
    provider = FakeProvider(concurrent=2)
    app = hosted_app(running_app, provider)
    another = Database(app.settings.database_url, role=WORKER, statement_timeout=30)
    second = hosted_app(running_app, provider, database=another)
    refs = [await hosted_job(app) for _ in range(6)]
    try:
        await asyncio.gather(
            *(run_once(process, ref) for ref, process in zip(refs, [app, second] * 3, strict=True))
        )
    finally:
        await another.close()
    assert len(provider.requests) == 2
    assert await in_states(app) == {"SUBMITTED": 2, "WAITING": 4}


async def test_a_rate_counts_the_requests_of_the_last_minute(running_app: RunningApp) -> None:
    provider = FakeProvider(per_minute=1)
    app = hosted_app(running_app, provider)
    first, second = await hosted_job(app), await hosted_job(app)
    await run_once(app, first)
    provider.answers["fake-1"] = finished()
    await run_once(app, first)
    await run_once(app, second)
    assert (await statuses(app, second), len(provider.requests)) == (["WAITING"], 1)
    await poller_of(app).fill_places()
    assert await queued(app) == []
    await pass_time(app, first, secs=61)
    await poller_of(app).fill_places()
    assert await queued(app) == [second.public_id]
    await run_once(app, second)
    assert len(provider.requests) == 2


async def test_a_place_goes_to_the_oldest_and_nobody_overtakes(running_app: RunningApp) -> None:
    provider = FakeProvider(concurrent=1)
    app = hosted_app(running_app, provider)
    running, oldest, younger = [await hosted_job(app) for _ in range(3)]
    for ref in (running, oldest, younger):
        await run_once(app, ref)
    provider.answers["fake-1"] = finished()
    await wake(app, running)
    await run_once(app, running)
    newcomer = await hosted_job(app)
    await run_once(app, newcomer)
    assert await statuses(app, newcomer) == ["WAITING"], "the free place is for those who wait"
    await poller_of(app).fill_places()
    assert await queued(app) == [oldest.public_id]
    await poller_of(app).fill_places()
    assert await queued(app) == [oldest.public_id], "the place is promised already"
    await run_once(app, oldest)
    assert await in_states(app) == {"COLLECTED": 1, "SUBMITTED": 1, "WAITING": 2}


async def test_a_called_job_that_does_not_come_is_called_again(running_app: RunningApp) -> None:
    provider = FakeProvider(concurrent=1)
    app = hosted_app(running_app, provider)
    running, waiting = await hosted_job(app), await hosted_job(app)
    await run_once(app, running)
    await run_once(app, waiting)
    await app.execute("DELETE FROM submissions WHERE status = 'SUBMITTED'")
    await poller_of(app).fill_places()
    await app.execute("DELETE FROM queue.pgqueuer")
    await poller_of(app).fill_places()
    assert await queued(app) == []
    await app.execute("UPDATE submissions SET wake_at = now() WHERE status = 'WAITING'")
    await poller_of(app).fill_places()
    assert await queued(app) == [waiting.public_id]


async def test_shops_take_turns(running_app: RunningApp) -> None:
    provider = FakeProvider(concurrent=2)
    app = hosted_app(running_app, provider)
    many = [await hosted_job(app) for _ in range(5)]
    one = await hosted_job(app, shop=OTHER_SHOP)
    for ref in [*many, one]:
        await run_once(app, ref)
    assert [await statuses(app, ref) for ref in many[2:]] == [["WAITING"]] * 3
    await finish(app, provider, many[0], "fake-1")
    await poller_of(app).fill_places()
    assert await queued(app) == [one.public_id], "its shop has no request under way"


async def finish(app: RunningApp, provider: FakeProvider, ref: JobRef, job_id: str) -> None:
    """The provider finishes, and the job collects."""
    provider.answers[job_id] = finished()
    await wake(app, ref)
    await run_once(app, ref)


async def test_waiting_ends_with_the_job(running_app: RunningApp) -> None:
    provider = FakeProvider(concurrent=1)
    app = hosted_app(running_app, provider)
    running, cancelled = await hosted_job(app), await hosted_job(app)
    for ref in (running, cancelled):
        await run_once(app, ref)
    response = await app.http.post(f"/v1/jobs/{cancelled.public_id}/cancel", headers=app.bearer())
    assert response.status_code == 202
    await poller_of(app).tidy()
    assert (await statuses(app, running), await statuses(app, cancelled)) == (
        ["SUBMITTED"],
        ["CANCELLED"],
    )
