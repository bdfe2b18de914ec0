"""Two thousand jobs wait at a provider: they take no place of a worker, and hardly any memory."""

import asyncio
import contextlib
import os
import time
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from backend.dev.providers import StandInProvider
from backend.dev.services import LocalServices
from backend.errors import DatabaseUnavailable
from backend.jobs.service import request_job
from backend.renderers.base import Renderer
from backend.shops.service import installed_id
from backend.workflows.generators import BACKGROUND_GENERATOR
from tests.faults.conftest import Measured
from tests.flows.processes import running_worker_process, wait_for_end
from tests.prepaid_apps import running_app_with
from tests.running_app import SHOP, RunningApp
from tests.wait import wait_until

WAITING = int(os.environ.get("WAITING_JOBS", "2000"))
DRAWN = 20  # the others are refused: to draw and to encode two thousand takes an hour
PATIENCE = 1500  # seconds, for a loaded machine; alone it takes a few minutes
SOON = 30.0  # seconds for a local job on a loaded machine; alone it takes about five
MOST_GROWTH = 100  # MB
OPEN = "SELECT count(*) AS n FROM jobs WHERE status NOT IN ('SUCCESS', 'FAILURE')"
PICKED = "SELECT count(*) AS n FROM queue.pgqueuer WHERE status = 'picked'"
# A job gives the provider up after ten minutes, which a loaded machine needs to submit them all.
PATIENT = "UPDATE submissions SET deadline_at = now() + interval '1 hour' WHERE settled_at IS NULL"
SUBMITTED = "SELECT count(*) AS n FROM submissions WHERE status = 'SUBMITTED'"


@pytest.mark.timeout(3600)
@pytest.mark.promise("P74", "jobs that wait at a provider take no place", wanted="0 places, 30 s")
@pytest.mark.promise("P75", "and hardly any memory", wanted="100 MB")
@pytest.mark.promise("P76", "and all end when the provider ends them", wanted="all")
async def test_two_thousand_jobs_wait_at_the_provider(
    services: LocalServices,
    template: str,
    renderer: Renderer,
    tmp_path: Path,
    record_promise: Measured,
) -> None:
    async with (
        StandInProvider(seconds=0.0) as provider,
        running_app_with(
            services, template, renderer, **provider.settings, **settings()
        ) as running_app,
        running_worker_process(
            running_app, tmp_path / "log", PUBLIC_URL=str(running_app.http.base_url)
        ) as process,
    ):
        await running_app.install()
        await wait_for_end(running_app, await running_app.request_job())  # the worker is warm
        provider.hold()
        provider.order_fault("moderation", times=WAITING - DRAWN)
        async with measured_memory(process.pid) as memory:
            seconds = await submitted_by_all(running_app, provider)
            places = await count(running_app, PICKED)
            local = await seconds_of_a_local_job(running_app)
            still = await count(running_app, SUBMITTED)
        record_promise(
            "P74",
            f"{still} wait, submitted within {seconds:.0f} s; {places} places taken, and a local "
            f"job ends after {local:.1f} s",
            still == WAITING and places == 0 and local < SOON,
        )
        growth = max(memory) - memory[0]
        record_promise(
            "P75",
            f"the worker grew by {growth:.0f} MB, from {memory[0]:.0f} to {max(memory):.0f} MB",
            growth < MOST_GROWTH,
        )
        released = time.monotonic()
        provider.release()
        await wait_until(lambda: has_ended(running_app), PATIENCE, poll=1.0)
        ends = await running_app.rows(
            "SELECT j.status, s.failure->>'code' AS code FROM submissions s "
            "JOIN jobs j ON j.public_id = s.job_id"
        )
        told = Counter(f"{row['status']} {row['code'] or ''}".strip() for row in ends)
        record_promise(
            "P76",
            f"{dict(told)} within {time.monotonic() - released:.0f} s, "
            f"{len(provider.predictions)} requests",
            told == {"SUCCESS": DRAWN, "FAILURE CONTENT_REFUSED": WAITING - DRAWN}
            and len(provider.predictions) == WAITING,
        )


def settings() -> dict[str, Any]:
    """One hosted stage, at a provider that takes as many requests as there are."""
    return {"engines": "generate_background=fal", "fal_concurrency": 2 * WAITING}


async def submitted_by_all(running_app: RunningApp, provider: StandInProvider) -> float:
    """Create the jobs, and wait until each waits at the provider; in seconds."""
    started = time.monotonic()
    async with running_app.database.transaction(SHOP) as connection:
        shop_id = await installed_id(connection, SHOP)
        for _ in range(WAITING):
            await request_job(
                connection, BACKGROUND_GENERATOR, shop_id=shop_id, request={}, origin="api"
            )

    async def all_wait() -> bool:
        with contextlib.suppress(DatabaseUnavailable):  # on a loaded machine
            await running_app.execute(PATIENT)
            return await count(running_app, SUBMITTED) == WAITING
        return False

    await wait_until(all_wait, PATIENCE, poll=5.0)
    assert len(provider.predictions) == WAITING
    return time.monotonic() - started


async def seconds_of_a_local_job(running_app: RunningApp) -> float:
    """How long a job takes that no provider has a part in."""
    started = time.monotonic()
    detail = await wait_for_end(running_app, await running_app.request_job())
    assert detail["status"] == "SUCCESS"
    return time.monotonic() - started


async def count(running_app: RunningApp, sql: str) -> int:
    """What the query counts."""
    return int((await running_app.rows(sql))[0]["n"])


async def has_ended(running_app: RunningApp) -> bool:
    """Whether no job is open."""
    with contextlib.suppress(DatabaseUnavailable):  # on a loaded machine
        return await count(running_app, OPEN) == 0
    return False


@contextlib.asynccontextmanager
async def measured_memory(pid: int) -> AsyncIterator[list[float]]:
    """The process's memory in MB, twice a second; without its children, which render."""
    process, measured = psutil.Process(pid), []

    async def measure() -> None:
        while True:
            measured.append(process.memory_info().rss / 1_000_000)
            await asyncio.sleep(0.5)

    task = asyncio.create_task(measure())
    await asyncio.sleep(0)
    try:
        yield measured
    finally:
        task.cancel()
