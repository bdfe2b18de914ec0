"""How long a 404 takes tells nothing: missing, foreign and erased jobs, asked for in turn (T-21).

A measurement: it wants a machine that is doing nothing else.
"""

import gc
import time
from math import erfc, sqrt

import numpy as np
import pytest

from backend.jobs.ids import new_public_id
from tests.running_app import OTHER_SHOP, RunningApp
from tests.scenarios import finished_job, open_shared_app

shared_app = pytest.fixture(open_shared_app, scope="module")

PAIRS = 5_000
WARM_UP = 200
TELLING = 0.01  # the probability of chance below which a difference counts as seen
ONE_MS = 0.001


def of_chance(one: list[float], other: list[float]) -> float:
    """Mann and Whitney's U test, two-sided, by the normal approximation; ties are rare here."""
    ranks = np.argsort(np.argsort([*one, *other])) + 1.0
    n, m = len(one), len(other)
    u = ranks[:n].sum() - n * (n + 1) / 2
    z = abs(u - n * m / 2) / np.sqrt(n * m * (n + m + 1) / 12)
    return erfc(float(z) / sqrt(2))


async def erased_job(shared_app: RunningApp) -> str:
    """The id of a job that was there, and is not."""
    ref, _ = await finished_job(shared_app)
    await shared_app.execute("DELETE FROM jobs WHERE public_id = :id", id=ref.public_id)
    return ref.public_id


@pytest.mark.timeout(900)
@pytest.mark.parametrize("kind", ["another shop's", "erased"])
async def test_a_missing_job_takes_as_long_as_a_foreign_one(
    shared_app: RunningApp, kind: str
) -> None:
    await shared_app.install(OTHER_SHOP)
    foreign, _ = await finished_job(shared_app, shop=OTHER_SHOP)
    there = foreign.public_id if kind == "another shop's" else await erased_job(shared_app)
    headers = shared_app.bearer()

    async def seconds(public_id: str) -> float:
        nonlocal headers
        started = time.perf_counter()
        answer = await shared_app.http.get(f"/v1/jobs/{public_id}", headers=headers)
        took = time.perf_counter() - started
        if answer.status_code == 401:  # the token has run out
            headers = shared_app.bearer()
            return await seconds(public_id)
        assert answer.status_code == 404
        return took

    missing: list[float] = []
    other: list[float] = []
    nobodys = new_public_id()  # one and the same, as the other is: what was asked for is remembered
    gc.disable()
    for number in range(PAIRS + WARM_UP):
        pair = [(missing, nobodys), (other, there)]
        for times, public_id in pair if number % 2 else reversed(pair):
            times.append(await seconds(public_id))
    gc.enable()
    missing, other = missing[WARM_UP:], other[WARM_UP:]
    medians = float(np.median(missing)), float(np.median(other))
    chance = of_chance(missing, other)
    print(f"\n{kind}: p50 {medians[0] * 1e6:.0f} and {medians[1] * 1e6:.0f} µs, p = {chance:.3f}")
    assert abs(medians[0] - medians[1]) < ONE_MS
    assert chance > TELLING
