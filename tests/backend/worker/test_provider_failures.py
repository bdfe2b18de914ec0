"""What a provider refuses, cannot do now, or does not finish in time."""

import pytest

from backend.failures.codes import (
    CONTENT_REFUSED,
    PROVIDER_FAILED,
    PROVIDER_MISCONFIGURED,
    PROVIDER_OUTPUT_INVALID,
    PROVIDER_TIMEOUT,
    PROVIDER_UNAVAILABLE,
)
from backend.leased_task import Done, Retry
from backend.metrics import PROVIDER_COST
from backend.providers.provider import (
    AnswerLost,
    Finished,
    ProviderCost,
    ProviderFailed,
    ProviderJob,
    ProviderUnavailable,
    Running,
    SubmitRequest,
)
from tests.backend.worker.hosted import (
    BROKEN,
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
from tests.running_app import RunningApp
from tests.scenarios import emptied_app, open_shared_app

shared_app = pytest.fixture(open_shared_app, scope="module")
running_app = pytest.fixture(emptied_app)

CHARGED = ProviderCost(units=1, unit="credit", amount_micros=1_000, source="answer")


def counted_cost() -> float:
    """What the metric says that the provider has cost."""
    return float(PROVIDER_COST.labels("fake")._value.get())


async def test_a_refusal_at_once_ends_the_job_and_is_not_repeated(
    app: RunningApp, provider: FakeProvider
) -> None:
    ref = await hosted_job(app)
    provider.faults.append(ProviderFailed(CONTENT_REFUSED))
    assert await run_once(app, ref) == Done()
    assert (await failure_code(app, ref), await statuses(app, ref)) == (
        "CONTENT_REFUSED",
        ["FAILED"],
    )
    assert provider.requests == []


async def test_a_refusal_of_the_result_keeps_what_it_has_cost(
    app: RunningApp, provider: FakeProvider
) -> None:
    ref = await hosted_job(app)
    before = counted_cost()
    await run_once(app, ref)
    provider.answers["fake-1"] = ProviderFailed(CONTENT_REFUSED, cost=CHARGED)
    await wake(app, ref)
    assert await queued(app) == [ref.public_id]
    await run_once(app, ref)
    [stored] = await submissions(app, ref)
    assert (stored["status"], stored["amount_micros"]) == ("FAILED", 1_000)
    assert stored["failure"]["code"] == await failure_code(app, ref) == "CONTENT_REFUSED"
    assert counted_cost() - before == 1_000


async def test_a_cost_is_counted_once_if_the_job_was_cancelled_meanwhile(
    app: RunningApp, provider: FakeProvider
) -> None:
    ref = await hosted_job(app)
    before = counted_cost()
    await run_once(app, ref)

    async def refused_late(job: ProviderJob) -> Running | Finished:
        await app.http.post(f"/v1/jobs/{ref.public_id}/cancel", headers=app.bearer())
        raise ProviderFailed(CONTENT_REFUSED, cost=CHARGED)

    provider.poll = refused_late  # type: ignore[method-assign]
    await run_once(app, ref)
    [stored] = await submissions(app, ref)
    assert (stored["status"], stored["amount_micros"]) == ("FAILED", 1_000)
    assert counted_cost() - before == 1_000


async def test_a_failure_that_another_try_can_mend_is_repeated_once(
    app: RunningApp, provider: FakeProvider
) -> None:
    ref = await hosted_job(app)
    failed = ProviderFailed(PROVIDER_FAILED, cost=CHARGED)
    await run_once(app, ref)
    provider.answers["fake-1"] = failed
    assert isinstance(await run_once(app, ref), Retry)
    await run_once(app, ref)
    assert await statuses(app, ref) == ["FAILED", "SUBMITTED"]
    provider.answers["fake-2"] = failed
    assert await run_once(app, ref) == Done()
    assert await statuses(app, ref) == ["FAILED", "FAILED"]
    assert (await failure_code(app, ref), len(provider.requests)) == ("PROVIDER_FAILED", 2)


async def test_a_result_without_a_usable_picture_is_asked_for_once_more(
    app: RunningApp, provider: FakeProvider
) -> None:
    ref = await hosted_job(app)
    for number in (1, 2):
        await run_once(app, ref)
        provider.answers[f"fake-{number}"] = finished(BROKEN)
        await run_once(app, ref)
    assert await statuses(app, ref) == ["FAILED", "FAILED"]
    assert await failure_code(app, ref) == PROVIDER_OUTPUT_INVALID.code
    costs = [row["amount_micros"] for row in await submissions(app, ref)]
    assert costs == [COST.amount_micros] * 2


async def test_an_outage_at_the_request_waits_off_the_queue_and_pauses_the_provider(
    app: RunningApp, provider: FakeProvider
) -> None:
    first, second = await hosted_job(app), await hosted_job(app)
    provider.faults.append(ProviderUnavailable("429", retry_after=60))
    assert await run_once(app, first) == Done()
    assert (await statuses(app, first), await queued(app)) == (["WAITING"], [])
    await run_once(app, second)
    assert await statuses(app, second) == ["WAITING"], "nothing is sent for as long as it asks"
    await poller_of(app).fill_places()
    assert (provider.requests, await queued(app)) == ([], [])
    await app.execute("UPDATE provider_pauses SET until = now()")
    await poller_of(app).fill_places()
    assert await queued(app) == [first.public_id], "one tries it, then the others follow"
    await run_once(app, first)
    await poller_of(app).fill_places()
    assert await queued(app) == [second.public_id]
    assert await app.rows("SELECT 1 FROM provider_pauses") == []


async def test_an_outage_of_hours_ends_the_jobs_that_have_waited_for_hours(
    app: RunningApp, provider: FakeProvider
) -> None:
    old, young = await hosted_job(app), await hosted_job(app)
    for ref in (old, young):
        provider.faults.append(ProviderUnavailable("down"))
        await run_once(app, ref)
    await app.execute("UPDATE provider_pauses SET since = now() - interval '5 hours'")
    moved = "UPDATE submissions SET created_at = now() - interval '5 hours' WHERE job_id = :j"
    await app.execute(moved, j=old.public_id)
    await poller_of(app).fill_places()
    assert await queued(app) == [old.public_id], "the young one would come every second"
    await run_once(app, old)
    assert await failure_code(app, old) == PROVIDER_UNAVAILABLE.code
    await run_once(app, young)
    assert (await statuses(app, young), provider.requests) == (["WAITING"], [])


async def test_a_request_that_was_sent_before_a_pause_does_not_end_it(
    app: RunningApp, provider: FakeProvider
) -> None:
    early, refused = await hosted_job(app), await hosted_job(app)
    submit = provider.submit

    async def accepted_late(request: SubmitRequest) -> ProviderJob | Finished:
        provider.submit = submit  # type: ignore[method-assign]
        provider.faults.append(ProviderUnavailable("429", retry_after=60))
        await run_once(app, refused)
        return await submit(request)

    provider.submit = accepted_late  # type: ignore[method-assign]
    await run_once(app, early)
    assert (await statuses(app, early), await statuses(app, refused)) == (
        ["SUBMITTED"],
        ["WAITING"],
    )
    assert len(await app.rows("SELECT 1 FROM provider_pauses")) == 1
    await poller_of(app).fill_places()
    assert await queued(app) == []


async def test_an_answer_that_was_lost_before_a_pause_does_not_prolong_it(
    app: RunningApp, provider: FakeProvider
) -> None:
    lost, refused = await hosted_job(app), await hosted_job(app)
    for ref, fault in ((lost, AnswerLost("502")), (refused, ProviderUnavailable("down"))):
        provider.faults.append(fault)
        await run_once(app, ref)
    await app.execute("UPDATE provider_pauses SET until = now()")
    await poller_of(app).fill_places()
    assert await queued(app) == [refused.public_id]


async def test_an_outage_while_it_works_is_waited_out_past_the_deadline(
    app: RunningApp, provider: FakeProvider
) -> None:
    ref = await submitted_job(app)
    provider.answers["fake-1"] = ProviderUnavailable("503")
    await pass_time(app, ref, mins=11)
    await poller_of(app).look()
    assert (await statuses(app, ref), await queued(app)) == (["SUBMITTED"], [])
    await app.execute("UPDATE submissions SET outages = 60")
    await wake(app, ref)
    await run_once(app, ref)
    assert await failure_code(app, ref) == PROVIDER_UNAVAILABLE.code
    provider.answers["fake-1"] = finished()
    await wake(app, ref)
    [stored] = await submissions(app, ref)
    assert (stored["status"], stored["amount_micros"]) == ("FAILED", COST.amount_micros)


async def test_a_provider_whose_id_cannot_be_stored_is_asked_once(running_app: RunningApp) -> None:
    provider = FakeProvider(name="f" * 500)
    app = hosted_app(running_app, provider)
    ref = await submitted_job(app)
    assert (await failure_code(app, ref), await statuses(app, ref)) == (
        PROVIDER_MISCONFIGURED.code,
        ["FAILED"],
    )
    await run_once(app, ref)
    assert len(provider.requests) == 1


async def test_a_job_past_the_deadline_of_its_request_ends(
    app: RunningApp, provider: FakeProvider
) -> None:
    ref = await submitted_job(app)
    await pass_time(app, ref, mins=9)
    await poller_of(app).look()
    assert await queued(app) == []
    await pass_time(app, ref, mins=2)
    await poller_of(app).look()
    await run_once(app, ref)
    assert await failure_code(app, ref) == PROVIDER_TIMEOUT.code
    await run_once(app, ref)
    assert len(provider.requests) == 1


async def test_a_result_just_before_the_deadline_counts(
    app: RunningApp, provider: FakeProvider
) -> None:
    ref = await submitted_job(app)
    await pass_time(app, ref, mins=11)
    provider.answers["fake-1"] = finished()
    await run_once(app, ref)
    assert await status_of(app, ref) == "SUCCESS"
