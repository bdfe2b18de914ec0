"""kill -9 of workers between intent, request, answer and commit: nothing is paid twice unseen.

Time is passed by hand between two workers, while none lives: the entries of the dead one are free,
and a request whose answer was lost is old enough to be looked for, or to be given up. It gets no
older with further kills: the provider's own times are not moved, and a request that was sent an
hour away from the intent is taken for another one.
"""

import asyncio
import contextlib
import json
import os
import random
import re
import sys
import uuid
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from backend.credits.grants import grant_credits
from backend.dev.providers import AcceptedRequest, StandInProvider
from backend.dev.services import LocalServices
from backend.shops.service import installed_id
from backend.worker.ledger_sums import compare_ledgers
from tests.backend.credits.invariants import Invariants
from tests.faults.conftest import Measured
from tests.flows.processes import environment, expire_heartbeats
from tests.prepaid_apps import running_app_with
from tests.running_app import SHOP, RunningApp
from tests.scenarios import NoRenderer
from tests.wait import wait_until

KILLS = int(os.environ.get("SUBMISSION_KILLS", "200"))
SEED = int(os.environ.get("SUBMISSION_SEED", "11"))
OPEN_JOBS = 6  # at a time: with more, hardly one of them ends between two kills
ROUNDS = 20  # of workers that are not killed in their work, at most
LATEST_STEP = 40  # at which a worker kills itself
GRANTED = 1_000_000
# fal lists an account's requests, so that a lost one can be found; FASHN does not.
GENERATORS = ("model-generator", "background-generator")  # made by FASHN, made by fal
PLACES = {
    *("before a commit", "after a commit"),
    *("before a request", "during a request", "after a request"),
}
UNFINISHED = "SELECT public_id FROM jobs WHERE status NOT IN ('SUCCESS', 'FAILURE')"
# What a test cannot wait for: nobody is killed so often within one stage by chance.
FORGIVEN = "UPDATE jobs SET strikes = 0 WHERE status NOT IN ('SUCCESS', 'FAILURE')"
GRACE_PASSED = """
UPDATE submissions SET wake_at = CASE WHEN wake_at > now() THEN now() ELSE wake_at END,
    intended_at = CASE WHEN status = 'INTENDED'
                       THEN least(intended_at, now() - interval '16 minutes')
                       ELSE intended_at END
WHERE settled_at IS NULL
"""
STORED = "SELECT job_id, provider, seed, possible_double_cost FROM submissions"


@dataclass
class Workers:
    """The process that forks workers, one after the other."""

    process: asyncio.subprocess.Process
    log: Path
    chance: random.Random = field(default_factory=lambda: random.Random(SEED))

    async def start(self, kill_at: int) -> int:
        """Fork a worker that kills itself at that step; its pid."""
        assert self.process.stdin is not None
        order = {"kill_at": kill_at, "seed": self.chance.randrange(2**31)}
        self.process.stdin.write(json.dumps(order).encode() + b"\n")
        return int((await self.told())["pid"])

    async def told(self) -> dict[str, Any]:
        """The next line of the process."""
        assert self.process.stdout is not None
        line = await asyncio.wait_for(self.process.stdout.readline(), 120)
        return dict(json.loads(line))

    def places(self) -> Counter[str]:
        """Where they were killed, and how often."""
        return Counter(re.findall(r"^killed (.*)$", self.log.read_text(), re.MULTILINE))


@contextlib.asynccontextmanager
async def forked_workers(running_app: RunningApp, log: Path) -> AsyncIterator[Workers]:
    """`tests.faults.forked_worker`, with the app's settings."""
    with log.open("ab") as output:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.faults.forked_worker"),
            env={**os.environ, **environment(running_app.settings)},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=output,
        )
    try:
        yield Workers(process, log)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


@pytest.mark.timeout(1800)
@pytest.mark.promise(
    "P70", "a request is paid once where the provider can be asked", wanted="1 each"
)
@pytest.mark.promise("P71", "and every other double payment is counted", wanted="0 uncounted")
@pytest.mark.promise("P72", "no job with a hosted stage is lost", wanted="each ends once")
@pytest.mark.promise("P73", "and the credits of all of them add up", wanted="0 differences")
async def test_killed_workers_pay_a_provider_once(
    services: LocalServices, template: str, tmp_path: Path, record_promise: Measured
) -> None:
    async with (
        StandInProvider(seconds=0.0) as provider,
        running_app_with(
            services, template, NoRenderer(), **hosted_settings(provider)
        ) as running_app,
        forked_workers(running_app, tmp_path / "log") as workers,
    ):
        provider.state.fashn_concurrency = provider.state.fashn_runs_per_minute = 10_000
        provider.state.fashn_polls_per_ten_seconds = 10_000
        await install_with_credits(running_app)
        for _ in range(KILLS):
            await fill_up(running_app)
            await pass_time(running_app, provider)
            await workers.start(workers.chance.randint(1, LATEST_STEP))
            assert (await workers.told())["signal"] == 9
        await work_to_the_end(running_app, provider, workers)
        kills = sum(workers.places().values())
        await tell(running_app, provider, workers, record_promise)
        assert kills == KILLS


def hosted_settings(provider: StandInProvider) -> dict[str, Any]:
    """An app that charges, with both providers and without their limits."""
    return {
        **provider.settings,
        "billing": "manual",
        "engines": "generate_model=fashn,generate_background=fal",
        "fashn_concurrency": 1000,
        "fashn_per_minute": 0,
        "fal_concurrency": 1000,
    }


async def install_with_credits(running_app: RunningApp) -> None:
    """Enough for every job."""
    await running_app.install()
    async with running_app.database.transaction(SHOP) as connection:
        shop_id = await installed_id(connection, SHOP)
        await grant_credits(
            connection, shop_id, source="pack", ref="1", amount=GRANTED, expires_at=None
        )


async def fill_up(running_app: RunningApp) -> None:
    """Ask for jobs of both providers, in turns, until so many are open."""
    for number in range(len(await running_app.rows(UNFINISHED)), OPEN_JOBS):
        answer = await running_app.http.post(
            f"/v1/{GENERATORS[number % 2]}",
            json={},
            headers={**running_app.bearer(), "Idempotency-Key": str(uuid.uuid4())},
        )
        assert answer.status_code == 202, answer.text


async def pass_time(running_app: RunningApp, provider: StandInProvider) -> None:
    """What would take minutes: the provider finishes, and the dead worker is found to be dead."""
    for _ in range(2):  # the loop takes up what the dead worker has sent before its end
        await asyncio.sleep(0)
    await wait_until(lambda: provider.is_idle, 60)
    await expire_heartbeats(running_app)
    await running_app.execute(FORGIVEN)
    await running_app.execute(GRACE_PASSED)


async def work_to_the_end(
    running_app: RunningApp, provider: StandInProvider, workers: Workers
) -> None:
    """Workers that live for a while, until no job is left. No time is passed while one lives."""

    async def is_done() -> bool:
        return not await running_app.rows(UNFINISHED)

    for _ in range(ROUNDS):
        await pass_time(running_app, provider)
        pid = await workers.start(kill_at=10**9)
        with contextlib.suppress(TimeoutError):
            await wait_until(is_done, 15, poll=0.5)
        os.kill(pid, 9)
        await workers.told()
        if await is_done():
            return


async def tell(
    running_app: RunningApp,
    provider: StandInProvider,
    workers: Workers,
    record_promise: Measured,
) -> None:
    """What was paid, counted, and ended."""
    paid = await paid_requests(running_app, provider.predictions)
    jobs = await running_app.rows("SELECT public_id, job_type, status FROM jobs")
    stored = await running_app.rows(STORED)
    counted = Counter(row["job_id"] for row in stored if row["possible_double_cost"])
    by_fal = {row["job_id"] for row in stored if row["provider"] == "fal"}
    twice = {job: n for job, n in paid.items() if n > 1}
    places = ", ".join(f"{n} {where}" for where, n in sorted(workers.places().items()))
    record_promise(
        "P70",
        f"{len(by_fal)} jobs at fal, {sum(paid[job] for job in by_fal)} requests accepted; "
        f"{KILLS} kills: {places}",
        all(paid[job] == 1 for job in by_fal) and set(workers.places()) == PLACES,
    )
    uncounted = {job: n for job, n in twice.items() if n - 1 > counted[job]}
    record_promise(
        "P71",
        f"{len(jobs) - len(by_fal)} jobs at FASHN, {len(twice)} paid twice, "
        f"{sum(counted.values())} counted as possible, {len(uncounted)} paid twice uncounted",
        not uncounted,
    )
    ends = Counter(job["status"] for job in jobs)
    told = await running_app.rows(
        "SELECT job_id FROM job_events WHERE event_type IN ('succeeded', 'failed')"
    )
    record_promise(
        "P72",
        f"{len(jobs)} jobs: {dict(ends)}, {len(told)} ends",
        len(told) == len(jobs) == sum(ends[status] for status in ("SUCCESS", "FAILURE")),
    )
    await Invariants(running_app).hold()
    tally = await compare_ledgers(running_app.settings, running_app.database)
    [account] = await running_app.rows("SELECT available, held FROM credit_accounts")
    [charged] = await running_app.rows(
        "SELECT coalesce(sum(credits_cost), 0) AS n FROM jobs WHERE status = 'SUCCESS'"
    )
    record_promise(
        "P73",
        f"{tally.found} differences; {charged['n']} credits for what succeeded, "
        f"{GRANTED - account['available']} taken, {account['held']} held",
        not tally.found and account["held"] == 0 and account["available"] == GRANTED - charged["n"],
    )


async def paid_requests(running_app: RunningApp, accepted: list[AcceptedRequest]) -> Counter[str]:
    """How many requests the providers have accepted for each job: told by the seed."""
    jobs = {row["seed"]: row["job_id"] for row in await running_app.rows(STORED)}
    return Counter(jobs[each.seed] for each in accepted)
