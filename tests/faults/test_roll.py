"""A deployment under load: each process is replaced by a new one, and no request fails.

As in production: the new web process answers `/health/ready`, the proxy in front sends to it as
well, and only then the old one gets its SIGTERM. It ends what it has begun. A request that meets a
connection being closed is sent once more, as a proxy does (nginx: `proxy_next_upstream`); those
that write carry an Idempotency-Key, so that this does no harm.
"""

import asyncio
import itertools
import os
import uuid
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx
import msgspec
import pytest

from tests.faults.conftest import Measured
from tests.faults.web import WebProcess, running_web
from tests.faults.writers import BODY, PATH
from tests.flows.processes import running_worker_process, start_worker, wait_for_end
from tests.running_app import RunningApp

ROLLS = int(os.environ.get("ROLLS", "5"))
CLIENTS = 8
POLITELY = 0  # it ends what it has begun


@dataclass
class Balancer:
    """A proxy's view: where it sends to, and what became of it."""

    upstreams: list[WebProcess]
    sent: int = 0
    repeated: int = 0
    failed: int = 0

    async def send(self, client: httpx.AsyncClient, method: str, path: str, **how: object) -> None:
        """One request, sent to another upstream if the first lets go of it."""
        for attempt in (0, 1):
            self.sent += attempt == 0
            self.repeated += attempt == 1
            upstream = self.upstreams[self.sent % len(self.upstreams)]
            try:
                answer = await client.request(method, upstream.url + path, **how)  # type: ignore[arg-type]
            except httpx.TransportError:
                continue
            self.failed += not answer.is_success
            return
        self.failed += 1


@pytest.mark.timeout(300)
@pytest.mark.promise("P9", "a roll of web processes fails no request", wanted="0 failed")
async def test_a_rolling_restart_of_web_processes_fails_no_request(
    running_app: RunningApp, tmp_path: Path, record_promise: Measured
) -> None:
    await running_app.install()
    job = await running_app.request_job()
    settings = msgspec.structs.replace(running_app.settings, rate_limit_writes="1000000/minute")
    done = asyncio.Event()
    codes = []
    async with AsyncExitStack() as stack:
        names = itertools.count()

        async def started() -> WebProcess:
            log = tmp_path / f"web-{next(names)}"
            return await stack.enter_async_context(
                running_web(settings, running_app.shopify.origin, log)
            )

        balancer = Balancer([await started(), await started()])
        loading = [
            asyncio.create_task(load(running_app, balancer, job, done)) for _ in range(CLIENTS)
        ]
        for number in range(ROLLS):
            fresh = await started()
            old = balancer.upstreams[number % 2]
            balancer.upstreams[number % 2] = fresh
            codes.append(await old.end())
        await asyncio.sleep(1)
        done.set()
        await asyncio.gather(*loading)
    record_promise(
        "P9",
        f"{balancer.failed} of {balancer.sent:,} requests failed in {ROLLS} rolls, "
        f"{balancer.repeated} were sent twice",
        balancer.failed == 0 and balancer.sent > 100 and set(codes) == {POLITELY},
    )


@pytest.mark.timeout(300)
@pytest.mark.promise("P11", "a roll of workers hands jobs over", wanted="10 s, SUCCESS")
async def test_a_rolling_restart_of_workers_hands_every_job_over(
    running_app: RunningApp, tmp_path: Path, record_promise: Measured
) -> None:
    await running_app.install()
    jobs = [await running_app.request_job() for _ in range(4)]
    seconds = []
    for _ in range(3):
        old = await start_worker(running_app, tmp_path / "log")
        attempts = (await running_app.rows("SELECT sum(attempt)::int AS n FROM jobs"))[0]["n"]
        async with asyncio.timeout(60):
            while (await running_app.rows("SELECT sum(attempt)::int AS n FROM jobs"))[0][
                "n"
            ] == attempts:
                await asyncio.sleep(0.02)
        begun = asyncio.get_running_loop().time()
        old.terminate()
        assert await asyncio.wait_for(old.wait(), 60) == 0
        seconds.append(asyncio.get_running_loop().time() - begun)
    picked = await running_app.rows("SELECT 1 FROM queue.pgqueuer WHERE status = 'picked'")
    stage_attempts = (await running_app.rows("SELECT max(strikes) AS most FROM jobs"))[0]["most"]
    async with running_worker_process(running_app, tmp_path / "log"):
        ends = [str((await wait_for_end(running_app, job))["status"]) for job in jobs]
    record_promise(
        "P11",
        f"{len(seconds)} rolls, slowest {max(seconds):.1f} s, {len(picked)} jobs left behind, "
        f"at most {stage_attempts} attempts at a stage, ends {sorted(set(ends))}",
        max(seconds) <= 10 and not picked and stage_attempts <= 1 and set(ends) == {"SUCCESS"},
    )


async def load(running_app: RunningApp, balancer: Balancer, job: str, done: asyncio.Event) -> None:
    """Read and write by turns."""
    async with httpx.AsyncClient(timeout=30, trust_env=False) as client:
        while not done.is_set():
            await balancer.send(client, "GET", f"/v1/jobs/{job}", headers=running_app.bearer())
            key = {"Idempotency-Key": str(uuid.uuid4())}
            await balancer.send(
                client, "POST", PATH, json=BODY, headers={**running_app.bearer(), **key}
            )
