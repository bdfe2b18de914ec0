"""The poller: it asks in good time, shares the work with others, and wakes each job."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import timedelta

import msgspec
import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.providers.provider import Finished, ProviderJob, Running
from backend.submissions.records import StoredSubmission, SubmissionKey
from backend.worker.maintenance import requeue_overdue
from backend.worker.poller import WRITES_AT_ONCE, polling
from backend.worker.provider_calls import next_poll
from tests.backend.worker.hosted import (
    FakeProvider,
    finished,
    hosted_app,
    hosted_job,
    pass_time,
    poller_of,
    queued,
    run_once,
    status_of,
    statuses,
    submissions,
    submitted_job,
    wake,
)
from tests.running_app import RunningApp
from tests.scenarios import emptied_app, open_shared_app
from tests.wait import wait_until

shared_app = pytest.fixture(open_shared_app, scope="module")
running_app = pytest.fixture(emptied_app)

STORED = StoredSubmission(
    key=SubmissionKey(shop_id=1, job_id="J", stage="compose", number=1),
    provider="fake",
    status="SUBMITTED",
    seed=1,
    model="fake-model-1",
    key_fingerprint="key-1",
    inputs={},
    has_callback=False,
    provider_job_id="fake-1",
    handles={},
    hinted_id=None,
    outages=0,
    failure=None,
    intended_at=None,
    since_intent=0,
    since_creation=0,
    since_deadline=-600,
)
OLD = "now() - interval '2 minutes'"


@pytest.mark.parametrize(("age", "usual"), [(0, 1), (14, 1), (20, 5), (119, 5), (121, 30)])
def test_it_asks_soon_at_first_and_then_more_rarely(age: float, usual: float) -> None:
    stored = msgspec.structs.replace(STORED, since_intent=age)
    assert next_poll(stored) / timedelta(seconds=usual) == pytest.approx(1, abs=0.25)


@pytest.mark.parametrize(("age", "usual"), [(20, 20), (121, 120)])
def test_it_asks_more_rarely_where_the_provider_reports_by_itself(age: float, usual: float) -> None:
    stored = msgspec.structs.replace(STORED, since_intent=age, has_callback=True)
    assert next_poll(stored) / timedelta(seconds=usual) == pytest.approx(1, abs=0.25)


def test_it_asks_at_the_deadline_at_the_latest() -> None:
    stored = msgspec.structs.replace(STORED, since_intent=590, since_deadline=-10)
    assert next_poll(stored) == timedelta(seconds=10)


async def test_two_processes_ask_about_each_request_once(
    app: RunningApp, provider: FakeProvider
) -> None:
    refs = [await hosted_job(app) for _ in range(4)]
    for ref in refs:
        await run_once(app, ref)
        await pass_time(app, ref, secs=0)
    looks = await asyncio.gather(*(poller_of(app).look() for _ in range(4)))
    assert (sum(looks), provider.polls) == (4, 4)


@pytest.mark.parametrize("ends", [False, True])
async def test_many_answers_leave_connections_to_the_jobs(
    running_app: RunningApp, monkeypatch: pytest.MonkeyPatch, *, ends: bool
) -> None:
    """Also when many jobs have ended at once, as those of a shop that removed the app."""
    app = hosted_app(running_app, FakeProvider())
    for _ in range(2 * WRITES_AT_ONCE):
        ref = await hosted_job(app)
        await run_once(app, ref)
        await pass_time(app, ref, secs=0)
        if ends:
            await app.http.post(f"/v1/jobs/{ref.public_id}/cancel", headers=app.bearer())
    transaction, is_open, most = app.database.transaction, 0, 0

    @contextlib.asynccontextmanager
    async def counted(shop: str | int | None = None) -> AsyncIterator[AsyncConnection]:
        nonlocal is_open, most
        is_open += 1
        most = max(most, is_open)
        try:
            async with transaction(shop) as connection:
                yield connection
        finally:
            is_open -= 1

    monkeypatch.setattr(app.database, "transaction", counted)
    assert await poller_of(app).look() == 2 * WRITES_AT_ONCE
    assert most == WRITES_AT_ONCE


async def test_a_poller_that_died_is_followed_by_another(app: RunningApp) -> None:
    ref = await submitted_job(app)
    await pass_time(app, ref, secs=0)
    [taken] = await poller_of(app).take_due(10)  # and no more of it
    assert taken.is_wanted
    assert await poller_of(app).look() == 0
    await pass_time(app, ref, secs=0)  # the lease is over
    assert await poller_of(app).look() == 1


async def test_a_ready_job_whose_queue_entry_was_dropped_is_queued_again(
    app: RunningApp, provider: FakeProvider
) -> None:
    ref = await submitted_job(app)
    provider.answers["fake-1"] = finished()
    await wake(app, ref)
    await app.execute("DELETE FROM queue.pgqueuer")
    await wake(app, ref)
    assert await queued(app) == [ref.public_id]
    await app.execute("DELETE FROM queue.pgqueuer")
    await app.execute(f"UPDATE jobs SET created_at = {OLD}")
    assert await requeue_overdue(app.database) == 1, "also without a poller"


async def test_jobs_that_wait_for_a_provider_are_not_requeued(running_app: RunningApp) -> None:
    provider = FakeProvider(concurrent=1)
    app = hosted_app(running_app, provider)
    submitted, waiting = await hosted_job(app), await hosted_job(app)
    for ref in (submitted, waiting):
        await run_once(app, ref)
    await app.execute(f"UPDATE jobs SET created_at = {OLD}")
    assert await requeue_overdue(app.database) == 0
    await app.execute("UPDATE submissions SET wake_at = now() - interval '11 minutes'")
    assert await requeue_overdue(app.database) == 2, "no poller looks after them any more"


async def test_a_woken_job_comes_before_its_shops_backlog(
    app: RunningApp, provider: FakeProvider
) -> None:
    ref = await submitted_job(app)
    for _ in range(6):
        await hosted_job(app)
    provider.answers["fake-1"] = finished()
    await wake(app, ref)
    rows = await app.rows(
        "SELECT convert_from(payload, 'UTF8')::jsonb->>'public_id' AS id FROM queue.pgqueuer "
        "WHERE entrypoint = 'run_backlog' ORDER BY priority DESC, id"
    )
    assert ref.public_id in [row["id"] for row in rows[:2]]


async def test_a_progress_report_ends_an_outage(app: RunningApp, provider: FakeProvider) -> None:
    ref = await submitted_job(app)
    await app.execute("UPDATE submissions SET outages = 5")
    provider.answers["fake-1"] = Running(position=3)
    await wake(app, ref)
    [stored] = await submissions(app, ref)
    assert (stored["outages"], stored["polls"]) == (0, 1)


async def test_a_provider_that_does_not_answer_keeps_no_other_waiting(
    app: RunningApp, provider: FakeProvider
) -> None:
    silent, quick = await hosted_job(app), await hosted_job(app)
    for ref in (silent, quick):
        await run_once(app, ref)
    provider.answers["fake-2"] = finished()
    poll = provider.poll

    async def never_about_the_first(job: ProviderJob) -> Running | Finished:
        if job.id == "fake-1":
            await asyncio.Event().wait()
        return await poll(job)

    provider.poll = never_about_the_first  # type: ignore[method-assign]
    poller = poller_of(app)
    for ref in (silent, quick):
        await pass_time(app, ref, secs=0)
    await poller.begin()
    await wait_until(lambda: queued(app))
    assert (await queued(app), len(poller.under_way)) == ([quick.public_id], 1)
    for task in poller.under_way:
        task.cancel()


async def test_the_loop_takes_a_job_from_its_request_to_its_result(
    app: RunningApp, provider: FakeProvider
) -> None:
    ref = await submitted_job(app)
    async with polling(app.database, app.worker_context.providers):
        await wait_until(lambda: provider.polls)
        provider.answers["fake-1"] = finished()
        await wait_until(lambda: queued(app))
    await run_once(app, ref)
    assert (await status_of(app, ref), await statuses(app, ref)) == ("SUCCESS", ["COLLECTED"])
