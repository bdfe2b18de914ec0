"""`make waiters`: how long after its commit an event reaches those who wait for it.

Five hundred clients wait, one job each, at one web process that shares its core with them here.
Outside the suite, for its figure is the machine's as much as ours; it prints one JSON object.
"""

import asyncio
import json
import os
import random
import time
from typing import Any

import httpx
import pytest

from backend.jobs import long_poll
from backend.jobs.detail import job_events
from backend.jobs.service import JobRef
from tests.running_app import RunningApp
from tests.scenarios import claimed_job, make_stage, open_shared_app
from tests.wait import wait_until

shared_app = pytest.fixture(open_shared_app, scope="module")

WAITERS = int(os.environ.get("WAITERS", "0"))
P99 = 0.150  # seconds, what we promise


@pytest.mark.skipif(not WAITERS, reason="set WAITERS, as `make waiters` does")
@pytest.mark.timeout(300)
async def test_an_event_reaches_its_waiters_in_time(
    shared_app: RunningApp, capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    claims = [await claimed_job(shared_app) for _ in range(WAITERS)]
    arrived: dict[str, float] = {}
    read: set[str] = set()
    limits = httpx.Limits(max_connections=None)
    base_url, timeout = shared_app.http.base_url, httpx.Timeout(60)

    async def noted(*told: Any, public_id: str, **asked: Any) -> Any:
        found = await job_events(*told, public_id=public_id, **asked)
        read.add(public_id)
        return found

    monkeypatch.setattr(long_poll, "job_events", noted)

    async def wait_for(client: httpx.AsyncClient, ref: JobRef) -> None:
        path = f"/v1/jobs/{ref.public_id}/events?since=1&wait=25"

        answer = await client.get(path, headers=shared_app.bearer())
        arrived[ref.public_id] = time.perf_counter()
        assert [event["seq"] for event in answer.json()["events"]] == [2]

    async with httpx.AsyncClient(base_url=base_url, limits=limits, timeout=timeout) as client:
        waiting = [asyncio.create_task(wait_for(client, each.ref)) for each in claims]
        await asyncio.wait_for(all_read(read), 60)
        committed: dict[str, float] = {}
        random.Random(1).shuffle(claims)
        for each in claims:
            await make_stage(shared_app, each, "validate", pictures=0)
            committed[each.ref.public_id] = time.perf_counter()
        await asyncio.gather(*waiting)
    delays = sorted(arrived[job] - committed[job] for job in committed)
    figures = {
        "waiters": WAITERS,
        "p50_ms": round(delays[len(delays) // 2] * 1000, 1),
        "p99_ms": round(delays[int(len(delays) * 0.99)] * 1000, 1),
    }
    with capsys.disabled():
        print("\n" + json.dumps(figures))
    assert delays[int(len(delays) * 0.99)] < P99


async def all_read(read: set[str]) -> None:
    """Return once every waiter has found nothing yet."""
    await wait_until(lambda: len(read) >= WAITERS, 120, poll=0.05)
