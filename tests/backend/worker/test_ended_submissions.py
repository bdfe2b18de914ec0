"""A job that ends while its provider works: the provider is asked to stop, its cost is stored."""

import pytest

from backend.failures.codes import CONTENT_REFUSED, PROVIDER_TIMEOUT
from backend.jobs.erasure import erase_jobs
from backend.jobs.service import JobRef
from backend.providers.provider import (
    AnswerLost,
    Finished,
    ProviderFailed,
    ProviderJob,
    SubmitRequest,
)
from backend.worker.ended_submissions import settle_abandoned
from tests.backend.worker.hosted import (
    COST,
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
from tests.backend.worker.job_state import failure_code
from tests.running_app import OTHER_SHOP, RunningApp
from tests.scenarios import emptied_app, open_shared_app, process_webhook

shared_app = pytest.fixture(open_shared_app, scope="module")
running_app = pytest.fixture(emptied_app)


async def cancel(app: RunningApp, ref: JobRef) -> None:
    """The merchant cancels the job."""
    response = await app.http.post(f"/v1/jobs/{ref.public_id}/cancel", headers=app.bearer())
    assert response.status_code == 202


async def test_a_cancelled_jobs_request_is_cancelled_and_its_cost_stored(
    app: RunningApp, provider: FakeProvider
) -> None:
    ref = await submitted_job(app)
    await cancel(app, ref)
    await wake(app, ref)
    assert (provider.cancelled, await statuses(app, ref)) == (["fake-1"], ["SUBMITTED"])
    provider.answers["fake-1"] = finished()
    await wake(app, ref)
    [stored] = await submissions(app, ref)
    assert (stored["status"], stored["amount_micros"]) == ("CANCELLED", COST.amount_micros)
    assert (await status_of(app, ref), await queued(app)) == ("FAILURE", [])
    pictures = "SELECT 1 FROM artifacts WHERE job_id = :j AND stage = 'compose'"
    assert await app.rows(pictures, j=ref.public_id) == []


async def test_a_request_that_never_stops_is_settled_an_hour_after_its_deadline(
    app: RunningApp,
) -> None:
    ref = await submitted_job(app)
    await cancel(app, ref)
    await pass_time(app, ref, mins=69)
    await poller_of(app).look()
    assert await statuses(app, ref) == ["SUBMITTED"], "it may still be charged for"
    await pass_time(app, ref, mins=2)
    await poller_of(app).look()
    assert await statuses(app, ref) == ["CANCELLED"]


async def test_a_request_past_its_deadline_is_stopped_and_what_it_costs_is_stored(
    app: RunningApp, provider: FakeProvider
) -> None:
    ref = await submitted_job(app)
    await pass_time(app, ref, mins=11)
    await run_once(app, ref)
    assert await failure_code(app, ref) == PROVIDER_TIMEOUT.code
    assert await statuses(app, ref) == ["SUBMITTED"], "the provider works on it all the same"
    await wake(app, ref)
    assert (provider.cancelled, await statuses(app, ref)) == (["fake-1"], ["SUBMITTED"])
    provider.answers["fake-1"] = finished()
    await wake(app, ref)
    [stored] = await submissions(app, ref)
    assert (stored["status"], stored["amount_micros"]) == ("FAILED", COST.amount_micros)
    assert stored["failure"]["code"] == PROVIDER_TIMEOUT.code
    assert (await queued(app), len(provider.requests)) == ([], 1)


async def test_a_request_past_its_deadline_keeps_no_other_waiting(
    running_app: RunningApp,
) -> None:
    provider = FakeProvider(concurrent=1)
    app = hosted_app(running_app, provider)
    endless, waiting = await hosted_job(app), await hosted_job(app)
    await run_once(app, endless)
    await run_once(app, waiting)
    assert await statuses(app, waiting) == ["WAITING"]
    await pass_time(app, endless, mins=11)
    await run_once(app, endless)
    await poller_of(app).fill_places()
    assert await queued(app) == [waiting.public_id]
    await run_once(app, waiting)
    assert await statuses(app, waiting) == ["SUBMITTED"]


async def test_a_job_cancelled_while_its_request_is_sent_keeps_the_providers_id(
    app: RunningApp, provider: FakeProvider
) -> None:
    ref = await hosted_job(app)
    submit = provider.submit

    async def cancelled_meanwhile(request: SubmitRequest) -> ProviderJob | Finished:
        await cancel(app, ref)
        return await submit(request)

    provider.submit = cancelled_meanwhile  # type: ignore[method-assign]
    await run_once(app, ref)
    assert await statuses(app, ref) == ["SUBMITTED"], "it will be paid, so it must be known"
    await wake(app, ref)
    assert provider.cancelled == ["fake-1"]


async def test_a_refusal_that_comes_after_the_cancellation_keeps_its_cost(
    app: RunningApp, provider: FakeProvider
) -> None:
    ref = await hosted_job(app)

    async def cancelled_meanwhile(request: SubmitRequest) -> ProviderJob | Finished:
        await cancel(app, ref)
        raise ProviderFailed(CONTENT_REFUSED, cost=COST)

    provider.submit = cancelled_meanwhile  # type: ignore[method-assign]
    await run_once(app, ref)
    [stored] = await submissions(app, ref)
    assert (stored["status"], stored["amount_micros"]) == ("FAILED", COST.amount_micros)


async def test_a_lost_answer_of_a_cancelled_job_is_found_and_cancelled(
    app: RunningApp, provider: FakeProvider
) -> None:
    provider.can_find = True
    ref = await hosted_job(app)
    provider.faults.append(AnswerLost("cut"))
    await run_once(app, ref)
    await cancel(app, ref)
    await wake(app, ref)
    await wake(app, ref)
    assert provider.cancelled == ["fake-1"]


async def test_a_lost_answer_of_a_cancelled_job_is_given_up_but_not_repeated(
    app: RunningApp, provider: FakeProvider
) -> None:
    ref = await hosted_job(app)
    provider.faults.append(AnswerLost("cut"))
    await run_once(app, ref)
    await cancel(app, ref)
    await wake(app, ref)
    assert await statuses(app, ref) == ["INTENDED"], "a callback may still name it"
    await pass_time(app, ref, secs=160)
    await poller_of(app).look()
    assert (await statuses(app, ref), len(provider.requests)) == (["LOST"], 1)


async def test_a_lost_answer_of_a_cancelled_job_is_found_by_its_callback(
    app: RunningApp, provider: FakeProvider
) -> None:
    ref = await hosted_job(app)
    provider.faults.append(AnswerLost("cut"))
    await run_once(app, ref)
    await cancel(app, ref)
    await app.execute("UPDATE submissions SET hinted_id = 'fake-1'")
    provider.answers["fake-1"] = finished()
    await wake(app, ref)
    await wake(app, ref)
    [stored] = await submissions(app, ref)
    assert (stored["status"], stored["amount_micros"]) == ("CANCELLED", COST.amount_micros)


async def test_an_erased_jobs_request_is_stopped_and_then_forgotten(
    app: RunningApp, provider: FakeProvider
) -> None:
    running, done = await hosted_job(app), await hosted_job(app)
    await run_once(app, running)
    await run_once(app, done)
    provider.answers["fake-2"] = finished()
    await run_once(app, done)
    erased = await erase_jobs(app.database, app.worker_context.store, running.shop_id)
    assert erased == 2
    assert (await statuses(app, running), await statuses(app, done)) == (["SUBMITTED"], [])
    provider.answers["fake-1"] = finished()
    await wake(app, running)
    assert (provider.cancelled, await statuses(app, running)) == (["fake-1"], [])


async def test_the_requests_of_a_shop_that_removed_the_app_are_cancelled(
    app: RunningApp, provider: FakeProvider
) -> None:
    ref = await hosted_job(app, shop=OTHER_SHOP)  # the other tests' shop keeps the app
    await run_once(app, ref)
    app.shopify.uninstall(OTHER_SHOP)
    told = await process_webhook(app, "app/uninstalled", {}, shop=OTHER_SHOP)
    assert told == ("processed", "UNINSTALLED")
    await wake(app, ref)
    assert provider.cancelled == ["fake-1"]


async def test_what_nobody_can_ask_about_any_more_is_settled_after_a_day(
    running_app: RunningApp,
) -> None:
    """Its provider is no longer set up, so no poller takes it."""
    app = hosted_app(running_app, FakeProvider(concurrent=2))
    ended, running, waiting = [await hosted_job(app) for _ in range(3)]
    for ref in (ended, running, waiting):
        await run_once(app, ref)
    for ref in (ended, waiting):
        await cancel(app, ref)
    passed = (
        "UPDATE submissions SET created_at = now() - make_interval(hours => :n), "
        "wake_at = CASE WHEN wake_at IS NOT NULL THEN now() - make_interval(hours => :n) END"
    )
    await app.execute(passed, n=23)
    assert await settle_abandoned(app.database) == 0
    await app.execute(passed, n=25)
    assert await settle_abandoned(app.database) == 2
    settled = [await statuses(app, ref) for ref in (ended, running, waiting)]
    assert settled == [["LOST"], ["SUBMITTED"], ["CANCELLED"]]
