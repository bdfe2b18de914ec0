"""A stage of a hosted provider: asked for once, off the queue while it works, collected once."""

from itertools import count
from typing import Any

import pytest

from backend.failures.codes import PROVIDER_FAILED
from backend.jobs.reopen import reopen
from backend.jobs.service import JobRef
from backend.leased_task import Done, Retry
from backend.providers.provider import ProviderUnavailable, RequestUnknown
from backend.retries import PROVIDERS
from backend.worker import execute
from backend.workflows.stages import StageName
from tests.backend.worker.hosted import (
    BROKEN,
    COST,
    PICTURE,
    STAGE,
    FakeProvider,
    KilledHere,
    finished,
    hosted_app,
    hosted_job,
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


async def test_a_job_leaves_the_queue_until_the_provider_has_finished(
    app: RunningApp, provider: FakeProvider
) -> None:
    ref = await hosted_job(app)
    assert await run_once(app, ref) == Done()
    assert (await statuses(app, ref), await queued(app)) == (["SUBMITTED"], [])
    await wake(app, ref)
    assert (await statuses(app, ref), await queued(app)) == (["SUBMITTED"], []), "still running"
    provider.answers["fake-1"] = finished()
    await wake(app, ref)
    assert (await statuses(app, ref), await queued(app)) == (["READY"], [ref.public_id])
    assert await run_once(app, ref) == Done()
    assert (await statuses(app, ref), await status_of(app, ref)) == (["COLLECTED"], "SUCCESS")
    assert len(provider.requests) == 1


@pytest.mark.parametrize(
    ("providers", "dressed", "saved"),
    [
        ({}, "Put it on the mannequin", "Saved the previews"),
        (
            {StageName.DRESS: FakeProvider(is_synchronous=True)},
            "Put it on a person",
            "Saved the images",
        ),
    ],
    ids=["local", "hosted"],
)
async def test_the_timeline_tells_of_a_mannequin_only_if_there_is_one(
    running_app: RunningApp,
    providers: dict[StageName, FakeProvider],
    dressed: str,
    saved: str,
) -> None:
    app = hosted_app(running_app, FakeProvider(), providers=providers)
    ref = await hosted_job(app)
    await app.execute(
        "UPDATE jobs SET job_type = 'PRODUCT_TO_MODEL_DIRECT' WHERE public_id = :j", j=ref.public_id
    )
    assert await run_once(app, ref) == Done()
    told = await app.rows(
        "SELECT stage, message FROM job_events WHERE job_id = :j AND event_type = 'stage'",
        j=ref.public_id,
    )
    messages = {row["stage"]: row["message"] for row in told}
    assert (messages["dress"], messages["encode_render"]) == (dressed, saved)
    assert messages["segment"] == "Cut out the garment"


async def test_the_checkpoint_says_who_made_the_picture(
    app: RunningApp, provider: FakeProvider
) -> None:
    ref = await submitted_job(app)
    provider.answers["fake-1"] = finished()
    await run_once(app, ref)
    [stage] = await app.rows(
        "SELECT facts, files FROM job_stages WHERE job_id = :j AND stage = 'compose'",
        j=ref.public_id,
    )
    [sent] = provider.requests
    assert stage["facts"].pop("inputs").keys() == sent.inputs.keys()
    assert stage["facts"] == {
        "generative": True,
        "provider": "fake",
        "model": "fake-model-1",
        "seed": 7,
        "cost": {"units": 1.0, "unit": "credit", "amount_micros": 75_000, "source": "answer"},
        "provider_job_id": "fake-1",
    }
    assert await app.worker_context.store.get(stage["files"]["master"]) == b"anew: " + PICTURE
    [stored] = await submissions(app, ref)
    assert (stored["amount_micros"], stored["cost_source"], stored["model"], stored["seed"]) == (
        COST.amount_micros,
        "answer",
        "fake-model-1",
        7,
    )


async def test_a_running_worker_takes_the_job_to_its_end(
    app: RunningApp, provider: FakeProvider
) -> None:
    ref = await hosted_job(app)
    await app.drain()
    assert (await statuses(app, ref), await queued(app)) == (["SUBMITTED"], [])
    provider.answers["fake-1"] = finished()
    await wake(app, ref)
    await app.drain()
    assert await status_of(app, ref) == "SUCCESS"


async def test_the_timeline_tells_of_the_wait_once(app: RunningApp, provider: FakeProvider) -> None:
    ref = await hosted_job(app)
    for _ in range(6):  # more often than a job may crash
        await run_once(app, ref)
    events = await app.rows(
        "SELECT extra->>'waiting_for' AS waits FROM job_events WHERE job_id = :j ORDER BY seq",
        j=ref.public_id,
    )
    assert [row["waits"] for row in events].count("provider") == 1
    assert await status_of(app, ref) == "IN_PROGRESS"


async def test_a_synchronous_provider_ends_the_stage_in_the_same_run(
    app: RunningApp, provider: FakeProvider
) -> None:
    provider.is_synchronous = True
    ref = await hosted_job(app)
    assert await run_once(app, ref) == Done()
    assert (await statuses(app, ref), await status_of(app, ref)) == (["COLLECTED"], "SUCCESS")


async def test_a_result_with_a_broken_picture_keeps_the_usable_one(
    app: RunningApp, provider: FakeProvider
) -> None:
    ref = await submitted_job(app)
    provider.answers["fake-1"] = finished(BROKEN, PICTURE)
    await run_once(app, ref)
    assert await status_of(app, ref) == "SUCCESS"
    assert poller_of(app).by_name == {"fake": provider}


async def collected_and_lost(app: RunningApp, provider: FakeProvider) -> JobRef:
    """A job whose worker died after it had collected, and whose stored picture was lost."""
    ref = await submitted_job(app)
    provider.answers["fake-1"] = finished()
    with pytest.MonkeyPatch.context() as patch, pytest.raises(KilledHere):
        patch.setattr(execute, "run_stage", killed)
        await run_once(app, ref)
    assert await statuses(app, ref) == ["COLLECTED"]
    async with app.database.transaction(ref.shop_id) as connection:
        assert await reopen(connection, ref, {STAGE})
    return ref


async def killed(*_: Any, **__: Any) -> None:
    """The process ends here."""
    raise KilledHere


async def test_a_lost_picture_is_collected_again(app: RunningApp, provider: FakeProvider) -> None:
    ref = await collected_and_lost(app, provider)
    await run_once(app, ref)
    assert (await statuses(app, ref), await status_of(app, ref)) == (["COLLECTED"], "SUCCESS")
    assert len(provider.requests) == 1


async def test_a_lost_picture_waits_for_a_provider_that_is_away(
    app: RunningApp, provider: FakeProvider
) -> None:
    """A new picture would be paid."""
    ref = await collected_and_lost(app, provider)
    provider.answers["fake-1"] = ProviderUnavailable("503")
    assert isinstance(await run_once(app, ref), Retry)
    assert (await status_of(app, ref), len(provider.requests)) == ("IN_PROGRESS", 1)
    await app.execute("UPDATE jobs SET outages = 30")  # some three hours
    assert isinstance(await run_once(app, ref), Retry)
    provider.answers["fake-1"] = finished()
    await run_once(app, ref)
    assert (await status_of(app, ref), len(provider.requests)) == ("SUCCESS", 1)


async def test_a_lost_picture_is_given_up_after_hours_of_an_outage(
    app: RunningApp, provider: FakeProvider
) -> None:
    ref = await collected_and_lost(app, provider)
    provider.answers["fake-1"] = ProviderUnavailable("503")
    hours = PROVIDERS.give_up_after
    assert hours is not None
    outages = next(n for n in count() if PROVIDERS.waited(n) >= hours)
    await run_once(app, ref)
    await app.execute("UPDATE jobs SET outages = :n", n=outages - 2)
    assert isinstance(await run_once(app, ref), Retry)
    assert await run_once(app, ref) == Done()
    assert (await failure_code(app, ref), len(provider.requests)) == ("PROVIDER_UNAVAILABLE", 1)


async def test_a_lost_picture_that_the_provider_has_no_more_is_made_again(
    app: RunningApp, provider: FakeProvider
) -> None:
    ref = await collected_and_lost(app, provider)
    provider.answers["fake-1"] = RequestUnknown(PROVIDER_FAILED)
    await run_once(app, ref)
    assert (await statuses(app, ref), len(provider.requests)) == (["COLLECTED", "SUBMITTED"], 2)


async def test_a_lost_picture_is_made_again_only_once(
    app: RunningApp, provider: FakeProvider
) -> None:
    ref = await collected_and_lost(app, provider)
    provider.answers["fake-1"] = RequestUnknown(PROVIDER_FAILED)
    await app.execute("UPDATE submissions SET number = 2")
    await run_once(app, ref)
    assert (await status_of(app, ref), len(provider.requests)) == ("FAILURE", 1)
    assert await failure_code(app, ref) == PROVIDER_FAILED.code
