"""A silent database, as behind a cut cable: 503 soon, and full recovery."""

import asyncio
import time
from dataclasses import dataclass

import httpx
import pytest

from backend.dev.services import LocalServices
from backend.dev.transport import LoopbackShopify
from tests.faults.conftest import Measured
from tests.faults.pools import held_connections, seen_databases
from tests.faults.postgres import before_postgres, through
from tests.faults.proxy import FaultProxy
from tests.faults.writers import BODY, PATH
from tests.running_app import RunningApp, serve_app

# Half of those who ask read, half write. Many are more than both pools hold, so that all of their
# connections die while they are in use; after few, most die while they are idle.
MANY, FEW = 40, 4
CALM, SILENCE, AFTER = 2, 10, 5  # seconds


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One request, on the monotonic clock."""

    asked_at: float
    came_at: float
    status: int
    has_retry_after: bool

    @property
    def took(self) -> float:
        """Seconds."""
        return self.came_at - self.asked_at


@pytest.mark.timeout(180)
@pytest.mark.promise(
    "P21", "a silent database is an honest 503, and heals", wanted="503 in 6 s, healed in 5 s"
)
async def test_a_silent_database_gets_every_request_answered_and_pools_recover(
    running_app: RunningApp,
    services: LocalServices,
    monkeypatch: pytest.MonkeyPatch,
    record_promise: Measured,
) -> None:
    await running_app.install()
    job = await running_app.request_job()
    opened = seen_databases(monkeypatch)
    transport = LoopbackShopify(running_app.shopify.origin)
    async with (
        before_postgres(services.postgres) as proxy,
        serve_app(through(proxy, running_app.settings), transport) as url,
    ):
        phases = [await phase(proxy, running_app, url, job, many=many) for many in (MANY, FEW)]
        (database,) = opened
        still_held = held_connections(database)
    answers = [answer for each, _, _ in phases for answer in each]
    away = [a for each, silent, healed in phases for a in each if silent < a.came_at < healed]
    refused = [a for a in away if a.status == 503]
    late = [a.came_at - healed for each, _, healed in phases for a in each if a.status != 200]
    slowest = max(answer.took for answer in answers)
    record_promise(
        "P21",
        f"{len(refused)} of {len(away)} answers 503, slowest {slowest:.1f} s, "
        f"last one {max(0.0, *late):.1f} s after it was back; {still_held} connections held",
        len(away) > MANY
        and len(refused) == len(away)
        and {a.status for a in answers} == {200, 503}
        and all(a.has_retry_after for a in answers if a.status == 503)
        and all(each[-1].status == 200 for each, _, _ in phases)
        and slowest <= 6
        and max(late) <= 5
        and still_held == 0,
    )


Phase = tuple[list[Answer], float, float]


async def phase(
    proxy: FaultProxy, running_app: RunningApp, url: str, job: str, *, many: int
) -> Phase:
    """So many ask while the database falls silent and comes back: the answers, and both times."""
    answers: list[Answer] = []
    done = asyncio.Event()
    limits = httpx.Limits(max_connections=None)
    async with (
        httpx.AsyncClient(base_url=url, timeout=30, trust_env=False, limits=limits) as client,
        asyncio.TaskGroup() as group,
    ):
        for number in range(many):
            read = job if number % 2 else None
            group.create_task(asking(running_app, client, read, answers, done))
        await asyncio.sleep(CALM)
        proxy.blackhole()
        silent_at = time.monotonic() + 1  # what is under way in the sockets' buffers still comes
        await asyncio.sleep(SILENCE)
        healed_at = time.monotonic()
        proxy.heal()
        await asyncio.sleep(AFTER)
        done.set()
    return answers, silent_at, healed_at


async def asking(
    running_app: RunningApp,
    client: httpx.AsyncClient,
    job: str | None,
    answers: list[Answer],
    done: asyncio.Event,
) -> None:
    """Ask until it is done: for that job's detail, or for a new job."""
    while not done.is_set():
        asked_at = time.monotonic()
        if job is not None:
            answer = await client.get(f"/v1/jobs/{job}", headers=running_app.bearer())
        else:
            answer = await client.post(PATH, json=BODY, headers=running_app.bearer())
        answers.append(
            Answer(
                asked_at=asked_at,
                came_at=time.monotonic(),
                status=200 if answer.is_success else answer.status_code,
                has_retry_after="Retry-After" in answer.headers,
            )
        )
        if not answer.is_success:
            await asyncio.sleep(0.1)
