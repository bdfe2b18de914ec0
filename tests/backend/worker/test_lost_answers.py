"""A crash or a lost answer between the intent and the result: never paid twice unseen."""

from datetime import timedelta
from typing import Any

import msgspec
import pytest

from backend import retries
from backend.errors import DatabaseUnavailable
from backend.failures.codes import ANSWER_LOST, PROVIDER_FAILED, STORAGE_UNAVAILABLE
from backend.leased_task import Done, Retry
from backend.providers.provider import (
    AnswerLost,
    Finished,
    ProviderJob,
    ProviderUnavailable,
    RequestUnknown,
)
from backend.retries import RetryPolicy
from backend.submissions import records
from backend.worker import hosted_runs, hosted_stages, stage_records
from backend.worker.stages import StageFailed, store_files
from backend.workflows.stages import StageName
from tests.backend.worker.hosted import (
    FakeProvider,
    KilledHere,
    finished,
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
from tests.scenarios import emptied_app, open_shared_app

shared_app = pytest.fixture(open_shared_app, scope="module")
running_app = pytest.fixture(emptied_app)

LOST = [AnswerLost("the connection was cut"), KilledHere(), TimeoutError(), ValueError("no JSON")]


async def double_costs(app: RunningApp) -> list[int]:
    """The numbers of the submissions that may have been paid beside another one."""
    rows = await app.rows("SELECT number FROM submissions WHERE possible_double_cost ORDER BY 1")
    return [row["number"] for row in rows]


async def lose_the_answer(app: RunningApp, ref: Any, fault: BaseException) -> None:
    """The provider accepts the request, and the worker gets no answer, or dies."""
    provider: Any = next(iter(app.worker_context.providers.values()))
    provider.faults.append(fault)
    try:
        await run_once(app, ref)
    except KilledHere:
        await app.execute("DELETE FROM queue.pgqueuer")


async def test_the_intent_is_committed_before_the_request_is_sent(
    app: RunningApp, provider: FakeProvider
) -> None:
    ref = await hosted_job(app)
    found: list[list[str]] = []
    submit = provider.submit

    async def look_first(request: Any) -> ProviderJob | Finished:
        found.append(await statuses(app, ref))
        return await submit(request)

    provider.submit = look_first  # type: ignore[method-assign]
    await run_once(app, ref)
    assert found == [["INTENDED"]]


@pytest.mark.parametrize("fault", LOST[:2], ids=["answer lost", "killed"])
async def test_a_provider_that_can_be_asked_is_paid_once(
    app: RunningApp, provider: FakeProvider, fault: BaseException
) -> None:
    provider.can_find = True
    ref = await hosted_job(app)
    await lose_the_answer(app, ref, fault)
    assert await statuses(app, ref) == ["INTENDED"]
    await run_once(app, ref)
    [found] = await submissions(app, ref)
    assert (found["status"], found["provider_job_id"]) == ("SUBMITTED", "fake-1")
    provider.answers["fake-1"] = finished()
    await run_once(app, ref)
    assert await status_of(app, ref) == "SUCCESS"
    assert (len(provider.requests), await double_costs(app)) == (1, [])


async def test_a_lost_request_is_looked_for_where_it_was_sent(
    app: RunningApp, provider: FakeProvider
) -> None:
    """The operator has chosen another model meanwhile."""
    provider.can_find = True
    ref = await hosted_job(app)
    await lose_the_answer(app, ref, AnswerLost("cut"))
    provider.models = dict.fromkeys(StageName, "fake-model-2")
    await pass_time(app, ref, secs=160)
    await run_once(app, ref)
    [found] = await submissions(app, ref)
    assert (found["status"], found["provider_job_id"]) == ("SUBMITTED", "fake-1")
    assert len(provider.requests) == 1


async def test_a_lost_request_of_an_unknown_model_is_repeated_once_and_counted(
    app: RunningApp, provider: FakeProvider
) -> None:
    provider.can_find = True
    ref = await hosted_job(app)
    await lose_the_answer(app, ref, AnswerLost("cut"))
    await app.execute("UPDATE submissions SET model = NULL")
    await run_once(app, ref)
    assert await statuses(app, ref) == ["INTENDED"], "in its grace"
    await pass_time(app, ref, secs=160)
    await run_once(app, ref)
    assert await statuses(app, ref) == ["LOST", "SUBMITTED"]
    assert (len(provider.requests), await double_costs(app)) == (2, [1])


async def test_a_request_that_never_arrived_is_sent_again_under_the_same_reference(
    app: RunningApp, provider: FakeProvider
) -> None:
    provider.can_find = True
    ref = await hosted_job(app)
    await lose_the_answer(app, ref, AnswerLost("cut before it arrived"))
    [never_arrived] = provider.requests
    provider.requests.clear()
    await run_once(app, ref)
    assert (await statuses(app, ref), provider.requests) == (["INTENDED"], []), "it may arrive yet"
    await pass_time(app, ref, secs=160)
    await run_once(app, ref)
    assert await statuses(app, ref) == ["SUBMITTED"]
    assert [each.reference for each in provider.requests] == [never_arrived.reference]
    assert await double_costs(app) == []


@pytest.mark.parametrize("fault", LOST, ids=lambda fault: type(fault).__name__)
async def test_where_nobody_can_be_asked_it_is_repeated_once_and_counted(
    app: RunningApp, provider: FakeProvider, fault: BaseException
) -> None:
    ref = await hosted_job(app)
    if isinstance(fault, TimeoutError | ValueError):  # after the provider has accepted it
        submit = provider.submit

        async def accept_and_break(request: Any) -> ProviderJob | Finished:
            provider.submit = submit  # type: ignore[method-assign]
            await submit(request)
            raise fault

        provider.submit = accept_and_break  # type: ignore[method-assign]
        await run_once(app, ref)
    else:
        await lose_the_answer(app, ref, fault)
    await run_once(app, ref)
    assert (await statuses(app, ref), len(provider.requests)) == (["INTENDED"], 1), "in its grace"
    await pass_time(app, ref, secs=160)
    await poller_of(app).look()
    assert await queued(app) == [ref.public_id]
    await run_once(app, ref)
    assert await statuses(app, ref) == ["LOST", "SUBMITTED"]
    assert (len(provider.requests), await double_costs(app)) == (2, [1])
    assert len({each.reference for each in provider.requests}) == 2
    provider.answers["fake-2"] = finished()
    await wake(app, ref)
    await run_once(app, ref)
    assert await status_of(app, ref) == "SUCCESS"


async def test_an_answer_that_is_lost_twice_ends_the_job(
    app: RunningApp, provider: FakeProvider
) -> None:
    ref = await hosted_job(app)
    for _ in range(2):
        await lose_the_answer(app, ref, AnswerLost("cut"))
        await pass_time(app, ref, secs=160)
    await run_once(app, ref)
    assert await statuses(app, ref) == ["LOST", "LOST"]
    assert await failure_code(app, ref) == ANSWER_LOST.code
    assert (len(provider.requests), await double_costs(app)) == (2, [1, 2])


async def test_a_provider_that_cannot_be_asked_for_hours_is_counted_and_asked_again(
    app: RunningApp, provider: FakeProvider
) -> None:
    """Such as a key that may send requests, but not list them."""
    provider.can_find = True
    ref = await hosted_job(app)

    async def refused(*_: Any) -> None:
        raise ProviderUnavailable("HTTP 403")

    provider.find = refused  # type: ignore[assignment,method-assign]
    await lose_the_answer(app, ref, AnswerLost("cut"))
    await run_once(app, ref)
    assert await statuses(app, ref) == ["INTENDED"]
    await app.execute("UPDATE submissions SET outages = 60")
    await run_once(app, ref)
    assert await statuses(app, ref) == ["LOST", "SUBMITTED"]
    assert (len(provider.requests), await double_costs(app)) == (2, [1])


async def test_a_request_of_the_same_seed_is_not_taken_for_the_lost_one(
    app: RunningApp, provider: FakeProvider
) -> None:
    """A merchant chooses the seed, and a request without pictures has nothing else to tell it."""
    provider.can_find = provider.has_only_seeds = True
    other, lost = await hosted_job(app, shop=OTHER_SHOP), await hosted_job(app)
    await run_once(app, other)
    await lose_the_answer(app, lost, AnswerLost("cut"))
    provider.requests = [msgspec.structs.replace(each, seed=5) for each in provider.requests]
    await app.execute("UPDATE submissions SET seed = 5")
    await run_once(app, lost)
    assert [row["provider_job_id"] for row in await submissions(app, lost)] == ["fake-2"]


async def test_two_lost_requests_of_the_same_seed_are_not_told_apart(
    app: RunningApp, provider: FakeProvider
) -> None:
    provider.can_find = provider.has_only_seeds = True
    other, lost = await hosted_job(app, shop=OTHER_SHOP), await hosted_job(app)
    for ref in (other, lost):
        await lose_the_answer(app, ref, AnswerLost("cut"))
    provider.requests = [msgspec.structs.replace(each, seed=5) for each in provider.requests]
    await app.execute("UPDATE submissions SET seed = 5")
    await run_once(app, lost)
    assert await statuses(app, lost) == ["INTENDED"]
    await pass_time(app, lost, secs=160)
    await run_once(app, lost)
    assert await statuses(app, lost) == ["LOST", "SUBMITTED"]
    assert await double_costs(app) == [1]


async def test_a_worker_killed_after_the_answer_is_followed_by_a_find(
    app: RunningApp, provider: FakeProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider.can_find = True
    ref = await hosted_job(app)

    async def killed(*_: Any, **__: Any) -> bool:
        raise KilledHere

    with monkeypatch.context() as patch:
        patch.setattr(hosted_stages, "record_answer", killed)
        with pytest.raises(KilledHere):
            await run_once(app, ref)
    assert (await statuses(app, ref), len(provider.requests)) == (["INTENDED"], 1)
    await run_once(app, ref)
    assert (await statuses(app, ref), len(provider.requests)) == (["SUBMITTED"], 1)


@pytest.mark.parametrize("point", ["record_stage", "collect_submission"])
async def test_a_worker_killed_while_it_collects_collects_again(
    app: RunningApp, provider: FakeProvider, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    ref = await submitted_job(app)
    provider.answers["fake-1"] = finished()
    await wake(app, ref)
    original = getattr(hosted_runs, point)

    async def killed(*arguments: Any, **named: Any) -> None:
        await original(*arguments, **named)
        raise KilledHere

    with monkeypatch.context() as patch:
        patch.setattr(hosted_runs, point, killed)
        with pytest.raises(KilledHere):
            await run_once(app, ref)
    assert await statuses(app, ref) == ["READY"]
    stages = await app.rows("SELECT stage FROM job_stages WHERE job_id = :j", j=ref.public_id)
    assert "compose" not in [row["stage"] for row in stages], "both commit, or neither"
    await run_once(app, ref)
    assert (await statuses(app, ref), await status_of(app, ref)) == (["COLLECTED"], "SUCCESS")
    assert len(provider.requests) == 1


async def test_a_synchronous_answer_that_died_with_its_worker_is_counted(
    app: RunningApp, provider: FakeProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider.is_synchronous = True
    ref = await hosted_job(app)

    async def killed(*_: Any, **__: Any) -> None:
        raise KilledHere

    with monkeypatch.context() as patch:
        patch.setattr(hosted_runs, "store_files", killed)
        with pytest.raises(KilledHere):
            await run_once(app, ref)
    [paid] = await submissions(app, ref)
    assert (paid["status"], paid["amount_micros"]) == ("SUBMITTED", 75_000), "its cost is known"
    await run_once(app, ref)
    assert (await statuses(app, ref), await status_of(app, ref)) == (
        ["LOST", "COLLECTED"],
        "SUCCESS",
    )
    assert await double_costs(app) == [1]


@pytest.fixture
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever waits for the end of an outage looks again at once."""
    monkeypatch.setattr(RetryPolicy, "pause", lambda *_, **__: timedelta(0))


@pytest.mark.parametrize(("is_synchronous", "status"), [(False, "SUBMITTED"), (True, "COLLECTED")])
async def test_an_answer_is_stored_as_soon_as_the_database_is_back(
    app: RunningApp,
    provider: FakeProvider,
    monkeypatch: pytest.MonkeyPatch,
    is_synchronous: bool,
    status: str,
) -> None:
    provider.is_synchronous = is_synchronous
    ref = await hosted_job(app)
    outages = [DatabaseUnavailable()] * 3

    async def away_at_first(*given: Any, **named: Any) -> bool:
        if outages:
            raise outages.pop()
        return await records.record_answer(*given, **named)

    monkeypatch.setattr(hosted_stages, "record_answer", away_at_first)
    monkeypatch.setattr(retries, "DATABASE_POLL_INTERVAL", 0)
    assert await run_once(app, ref) == Done()
    assert (await statuses(app, ref), len(provider.requests)) == ([status], 1)


@pytest.mark.parametrize(
    ("step", "outcome"), [("record_stage", Done), ("note_stage", Retry)], ids=["before", "after"]
)
async def test_a_synchronous_answer_outlives_an_outage_of_the_database(
    app: RunningApp,
    provider: FakeProvider,
    monkeypatch: pytest.MonkeyPatch,
    step: str,
    outcome: type[Done | Retry],
) -> None:
    """Before the commit that stores it, or just after: then another run goes on."""
    provider.is_synchronous = True
    ref = await hosted_job(app)
    outages, done = [DatabaseUnavailable()], getattr(stage_records, step)

    def away_at_first(*given: Any) -> Any:
        if outages:
            raise outages.pop()
        return done(*given)

    monkeypatch.setattr(hosted_runs, step, away_at_first)
    assert isinstance(await run_once(app, ref), outcome)
    await run_once(app, ref)
    assert (await statuses(app, ref), await status_of(app, ref)) == (["COLLECTED"], "SUCCESS")
    assert (len(provider.requests), await double_costs(app)) == (1, [])


@pytest.mark.usefixtures("no_pauses")
async def test_a_synchronous_answer_outlives_an_outage_of_the_storage(
    app: RunningApp, provider: FakeProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider.is_synchronous = True
    ref = await hosted_job(app)
    outages = [StageFailed(STORAGE_UNAVAILABLE, away="storage")] * 3

    async def away_at_first(*given: Any) -> Any:
        assert await poller_of(app).look() == 0, "another worker would give the answer up"
        if not outages:
            return await store_files(*given)
        await app.execute("UPDATE submissions SET wake_at = wake_at - interval '149 s'")
        raise outages.pop()

    monkeypatch.setattr(hosted_runs, "store_files", away_at_first)
    assert await run_once(app, ref) == Done()
    assert (await statuses(app, ref), await status_of(app, ref)) == (["COLLECTED"], "SUCCESS")
    assert (len(provider.requests), await double_costs(app)) == (1, [])


@pytest.mark.usefixtures("no_pauses")
async def test_a_synchronous_answer_that_cannot_be_stored_ends_the_job_and_is_paid_once(
    app: RunningApp, provider: FakeProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider.is_synchronous = True
    ref = await hosted_job(app)

    async def away(*_: Any) -> None:
        raise StageFailed(STORAGE_UNAVAILABLE, away="storage")

    monkeypatch.setattr(hosted_runs, "store_files", away)
    assert await run_once(app, ref) == Done()
    assert await failure_code(app, ref) == STORAGE_UNAVAILABLE.code
    [paid] = await submissions(app, ref)
    assert (paid["status"], paid["amount_micros"]) == ("FAILED", 75_000)
    assert (len(provider.requests), await double_costs(app)) == (1, [])


async def test_a_worker_that_comes_back_late_cancels_its_surplus_request(
    app: RunningApp, provider: FakeProvider
) -> None:
    ref = await hosted_job(app)
    submit = provider.submit

    async def overtaken(request: Any) -> ProviderJob | Finished:
        """While this request is under way, another worker gives it up and asks again."""
        provider.submit = submit  # type: ignore[method-assign]
        await pass_time(app, ref, secs=160)
        await run_once(app, ref)
        return await submit(request)

    provider.submit = overtaken  # type: ignore[method-assign]
    await run_once(app, ref)
    first, second = await submissions(app, ref)
    assert (first["status"], second["status"]) == ("LOST", "SUBMITTED")
    assert (second["provider_job_id"], provider.cancelled) == ("fake-1", ["fake-2"])
    assert (len(provider.requests), await double_costs(app)) == (2, [1])


async def test_a_reference_belongs_to_one_request_of_one_job() -> None:
    key = records.SubmissionKey(shop_id=1, job_id="J", stage="try_on", number=1)
    others = [
        records.SubmissionKey(shop_id=2, job_id="J", stage="try_on", number=1),
        records.SubmissionKey(shop_id=1, job_id="K", stage="try_on", number=1),
        records.SubmissionKey(shop_id=1, job_id="J", stage="look", number=1),
        records.SubmissionKey(shop_id=1, job_id="J", stage="try_on", number=2),
    ]
    references = {each.reference for each in [key, *others]}
    assert len(references) == 5
    assert {len(each) for each in references} == {32}


async def test_a_lost_request_that_another_account_does_not_know_is_counted(
    app: RunningApp, provider: FakeProvider
) -> None:
    provider.can_find = True
    ref = await hosted_job(app)
    await lose_the_answer(app, ref, AnswerLost("cut"))
    provider.key_fingerprint, provider.sent_to = "key-2", dict.fromkeys(provider.sent_to, "unknown")
    await pass_time(app, ref, secs=160)
    await run_once(app, ref)
    assert (await statuses(app, ref), await double_costs(app)) == (["LOST", "SUBMITTED"], [1])


async def test_a_lost_request_is_found_with_another_key_of_the_account(
    app: RunningApp, provider: FakeProvider
) -> None:
    provider.can_find = True
    ref = await hosted_job(app)
    await lose_the_answer(app, ref, AnswerLost("cut"))
    provider.key_fingerprint = "key-2"
    await pass_time(app, ref, secs=160)
    await run_once(app, ref)
    assert (await statuses(app, ref), await double_costs(app)) == (["SUBMITTED"], [])


async def test_an_accepted_request_that_the_provider_no_longer_knows_is_counted(
    app: RunningApp, provider: FakeProvider
) -> None:
    ref = await submitted_job(app)
    provider.answers["fake-1"] = RequestUnknown(PROVIDER_FAILED)
    await wake(app, ref)
    await run_once(app, ref)
    assert (await statuses(app, ref), await double_costs(app)) == (["LOST", "SUBMITTED"], [1])
