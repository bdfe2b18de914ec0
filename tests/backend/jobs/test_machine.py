"""Random sequences of requests, claims, crashes and erasures keep every job invariant.

The suite runs the same few examples every time. `make machine` runs many more, chosen anew, and
keeps those that failed for the next run.
"""

import asyncio
import os
import random

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from backend.dev.services import LocalServices
from backend.jobs.lifecycle import JobLease, lease_job, succeed
from backend.leased_task import Fenced
from tests.backend.jobs.machine.rules import JobMachine
from tests.backend.jobs.machine.shared_app import SharedApp
from tests.running_app import RunningApp
from tests.scenarios import claimed_job, open_shared_app

pytestmark = pytest.mark.usefixtures("same_day")

shared_app = pytest.fixture(open_shared_app, scope="module")

EXAMPLES = int(os.environ.get("MACHINE_EXAMPLES", "0"))  # 0: the few of the suite
STEPS = int(os.environ.get("MACHINE_STEPS", "25"))


@pytest.mark.slow
@pytest.mark.timeout(0)  # once it has failed, it takes its time to find a shorter way to fail
def test_random_histories_keep_every_job_invariant(services: LocalServices, template: str) -> None:
    profile = settings(
        max_examples=EXAMPLES or 20,
        stateful_step_count=STEPS,
        derandomize=not EXAMPLES,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    with SharedApp(services, template) as running:
        run_state_machine_as_test(
            lambda: JobMachine(running, is_short=not EXAMPLES),  # type: ignore[arg-type]
            settings=profile,
        )


@pytest.mark.parametrize("seed", range(6))
async def test_a_race_of_forty_leaves_a_job_with_one_end(shared_app: RunningApp, seed: int) -> None:
    begun = await claimed_job(shared_app)
    ref = begun.ref

    async def cancelled() -> bool:
        path = f"/v1/jobs/{ref.public_id}/cancel"
        answer = await shared_app.http.post(path, headers=shared_app.bearer())
        assert answer.status_code in {202, 409}, answer.text
        return answer.status_code == 202

    async def succeeded(worker: JobLease) -> bool:
        try:
            async with shared_app.database.transaction() as connection:
                await succeed(connection, worker, {})
        except Fenced:
            return False
        return True

    async def claimed_and_succeeded() -> bool:
        async with shared_app.database.transaction() as connection:
            worker = await lease_job(connection, ref)
        return worker is not None and await succeeded(worker)

    async def the_first_succeeded() -> bool:
        return await succeeded(begun)

    racers = [cancelled] * 2 + [claimed_and_succeeded] * 18 + [the_first_succeeded] * 20
    random.Random(seed).shuffle(racers)
    winners = sum(await asyncio.gather(*(race() for race in racers)))
    events = await shared_app.rows(
        "SELECT seq, event_type, extra->'error'->>'code' AS code FROM job_events "
        "WHERE job_id = :id ORDER BY seq",
        id=ref.public_id,
    )
    assert [event["seq"] for event in events] == [1, 2], "it was queued, and it ended"
    assert winners == (events[-1]["code"] != "WORKER_CRASHED"), "poison has no winner"
    job = (await shared_app.detail(ref.public_id)).json()
    assert job["status"] == ("SUCCESS" if events[-1]["event_type"] == "succeeded" else "FAILURE")
