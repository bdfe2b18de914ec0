"""Long polling: no event is missed, and each arrives as soon as it commits."""

import asyncio
import contextlib
import time
from typing import Any

import httpx
import pytest
from sqlalchemy import func, select

from backend import db
from backend.errors import DatabaseUnavailable
from backend.failures.registry import Failure
from backend.jobs import long_poll, wakeups
from backend.jobs.detail import job_events
from backend.jobs.lifecycle import append_after_success, fail
from backend.jobs.read_services import ReadServices
from backend.storage.presign import Presigner
from tests.running_app import SHOP, RunningApp
from tests.scenarios import (
    claimed_job,
    failed_job,
    finished_job,
    make_stage,
    open_shared_app,
    refusal,
    waiting_job,
)
from tests.wait import wait_until

shared_app = pytest.fixture(open_shared_app, scope="module")
A_WHILE = db.Query(lambda: select(func.pg_sleep(0.1)))

EAR = f"pg_stat_activity WHERE datname = current_database() AND application_name = '{wakeups.NAME}'"


async def get_events(shared_app: RunningApp, public_id: str, **query: Any) -> httpx.Response:
    """The job's events."""
    return await shared_app.http.get(
        f"/v1/jobs/{public_id}/events", params=query, headers=shared_app.bearer()
    )


def numbers(response: httpx.Response) -> list[int]:
    """The numbers of the events in the answer."""
    assert response.status_code == 200, response.text
    return [event["seq"] for event in response.json()["events"]]


class Waits:
    """Counts the requests that have found no event and have begun to wait for one."""

    def __init__(self) -> None:
        self.count = 0

    async def reach(self, count: int) -> None:
        """Wait until so many have begun."""
        await wait_until(lambda: self.count >= count)


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> Waits:
    """The requests that wait, from now on."""
    waits = Waits()
    wait = wakeups.Wakeups.wait

    async def count(self: wakeups.Wakeups, *arguments: Any) -> None:
        waits.count += 1
        await wait(self, *arguments)

    monkeypatch.setattr(wakeups.Wakeups, "wait", count)
    return waits


async def wait_until_listening(shared_app: RunningApp) -> None:
    """Wait until the web process listens: its connection has said LISTEN, or probed since."""
    await wait_until(lambda: shared_app.rows(f"SELECT 1 FROM {EAR} AND state = 'idle'"))


async def test_since_returns_only_newer_events(shared_app: RunningApp) -> None:
    ref, _ = await finished_job(shared_app)
    whole = (await get_events(shared_app, ref.public_id)).json()
    assert [event["seq"] for event in whole["events"]] == [1, 2, 3, 4]
    assert [event["event_type"] for event in whole["events"]] == [
        "queued",
        "stage",
        "stage",
        "succeeded",
    ]
    assert [len(event["artifacts"]) for event in whole["events"]] == [0, 1, 2, 0]
    assert whole["latest_seq"] == 4
    assert numbers(await get_events(shared_app, ref.public_id, since=2)) == [3, 4]
    nothing = (await get_events(shared_app, ref.public_id, since=4)).json()
    assert (nothing["events"], nothing["latest_seq"]) == ([], 4)


async def test_a_waiting_request_returns_as_soon_as_an_event_commits(
    shared_app: RunningApp,
    waits: Waits,
) -> None:
    begun = await claimed_job(shared_app)
    await wait_until_listening(shared_app)
    poll = asyncio.create_task(get_events(shared_app, begun.ref.public_id, since=1, wait=20))
    await waits.reach(1)
    assert not poll.done()
    await make_stage(shared_app, begun, "segment")
    committed = time.monotonic()
    assert numbers(await poll) == [2]
    assert time.monotonic() - committed < wakeups.WHILE_LISTENING / 2, "woken, not found by looking"


async def test_a_wait_without_events_returns_an_empty_list(shared_app: RunningApp) -> None:
    ref = await waiting_job(shared_app)
    started = time.monotonic()
    answer = (await get_events(shared_app, ref.public_id, since=1, wait=1)).json()
    assert (answer["events"], answer["latest_seq"]) == ([], 1)
    assert 0.9 < time.monotonic() - started < wakeups.WHILE_LISTENING


async def test_a_failed_job_is_not_waited_for(shared_app: RunningApp) -> None:
    ref = await failed_job(shared_app, Failure(code="ANY", message="Any"))
    started = time.monotonic()
    assert numbers(await get_events(shared_app, ref.public_id, since=2, wait=25)) == []
    assert time.monotonic() - started < wakeups.WHILE_LISTENING


async def test_events_after_success_can_be_waited_for(
    shared_app: RunningApp,
    waits: Waits,
) -> None:
    ref, _ = await finished_job(shared_app)
    await wait_until_listening(shared_app)
    poll = asyncio.create_task(get_events(shared_app, ref.public_id, since=4, wait=20))
    await waits.reach(1)
    async with shared_app.database.transaction() as connection:
        await append_after_success(connection, ref, stage="publish", message="Published", extra={})
    assert numbers(await poll) == [5]


async def test_an_event_wakes_only_the_waiters_of_its_job(
    shared_app: RunningApp,
) -> None:
    begun, other = await claimed_job(shared_app), await claimed_job(shared_app)
    ear = wakeups.Wakeups(shared_app.settings.database_url)
    async with ear.listening():
        await wait_until(lambda: ear.hears)
        with (
            ear.watching(begun.ref.public_id) as one,
            ear.watching(begun.ref.public_id) as two,
            ear.watching(other.ref.public_id) as other_waiter,
        ):
            await make_stage(shared_app, begun, "segment")
            async with asyncio.timeout(10):
                await asyncio.gather(one.wait(), two.wait())
            assert not other_waiter.is_set()
    assert not ear.waiters, "who has stopped waiting is forgotten"


async def test_one_connection_listens_for_any_number_of_waiters(
    shared_app: RunningApp, waits: Waits
) -> None:
    begun = [await claimed_job(shared_app) for _ in range(15)]
    await wait_until_listening(shared_app)
    async with httpx.AsyncClient(base_url=shared_app.http.base_url, timeout=30) as http:
        path = "/v1/jobs/{}/events?since=1&wait=25"
        polls = [
            asyncio.create_task(
                http.get(path.format(job.ref.public_id), headers=shared_app.bearer())
            )
            for job in begun
        ]
        await waits.reach(15)
        assert len(await shared_app.rows(f"SELECT 1 FROM {EAR}")) == 1
        assert (await shared_app.detail(begun[0].ref.public_id)).status_code == 200, "none is held"
        for job in begun:
            await make_stage(shared_app, job, "segment")
        answers = await asyncio.gather(*polls)
    assert [numbers(answer) for answer in answers] == [[2]] * 15


class Telling(wakeups.Wakeups):
    """An ear that says when it has heard something."""

    def __init__(self, database_url: str) -> None:
        super().__init__(database_url)
        self.heard = asyncio.Event()

    def wake(self, *told: Any) -> None:
        """As usual."""
        super().wake(*told)
        self.heard.set()


async def test_an_event_committed_between_read_and_wait_is_not_missed(
    shared_app: RunningApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = await claimed_job(shared_app)
    ear = Telling(shared_app.settings.database_url)
    heard_at: list[float] = []

    async def read_before_it_commits(*told: Any, **asked: Any) -> Any:
        found = await job_events(*told, **asked)
        if not heard_at:
            await make_stage(shared_app, begun, "segment")
            await asyncio.wait_for(ear.heard.wait(), 10)
            heard_at.append(time.monotonic())
        return found

    monkeypatch.setattr(long_poll, "job_events", read_before_it_commits)
    async with ear.listening():
        await wait_until(lambda: ear.hears)
        presigner = Presigner(shared_app.settings)
        _, page = await long_poll.wait_for_events(
            ReadServices(database=shared_app.database, presigner=presigner, wakeups=ear),
            shop_domain=SHOP,
            public_id=begun.ref.public_id,
            since=1,
            wait=20,
        )
    assert [event.seq for event in page.events] == [2]
    assert time.monotonic() - heard_at[0] < wakeups.WHILE_LISTENING * 0.4, "before its first look"


async def test_waiters_take_turns_and_leave_connections_to_other_requests(
    shared_app: RunningApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else all whom a reconnection wakes would get a 503, and everybody else beside them."""
    begun = await claimed_job(shared_app)
    monkeypatch.setattr(db, "POOL_TIMEOUT", 0.3)
    monkeypatch.setattr(wakeups, "TURNS", 1)
    database = db.Database(shared_app.settings.database_url, pool_size=2)
    ear = wakeups.Wakeups(shared_app.settings.database_url)

    async def slow(*told: Any, **asked: Any) -> Any:
        await database.row(A_WHILE)
        return await job_events(*told, **asked)

    monkeypatch.setattr(long_poll, "job_events", slow)
    asked: Any = {"shop_domain": SHOP, "public_id": begun.ref.public_id, "since": 0, "wait": 20}
    reads = ReadServices(database=database, presigner=Presigner(shared_app.settings), wakeups=ear)
    waiting = [asyncio.create_task(long_poll.wait_for_events(reads, **asked)) for _ in range(12)]
    followers = ear.waiters[begun.ref.public_id]
    await wait_until(lambda: len(followers) == 12 and ear.turns.locked())
    assert await database.row(A_WHILE) is not None, "somebody who does not wait"
    pages = [page for _, page in await asyncio.gather(*waiting)]
    assert [page.latest_seq for page in pages] == [1] * 12
    await database.close()


async def test_a_turn_that_never_comes_is_database_unavailable() -> None:
    ear = wakeups.Wakeups("postgresql://nobody@127.0.0.1:9/none")
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(wakeups.TURNS):
            await stack.enter_async_context(ear.turn(1))
        with pytest.raises(DatabaseUnavailable):
            await stack.enter_async_context(ear.turn(0.05))
    async with ear.turn(1):
        pass


async def test_a_poller_receives_every_event_of_a_running_job(shared_app: RunningApp) -> None:
    begun = await claimed_job(shared_app)
    seen: list[int] = []

    async def follow() -> None:
        while len(seen) < 12:
            answer = await get_events(
                shared_app, begun.ref.public_id, since=seen[-1] if seen else 0, wait=5
            )
            seen.extend(numbers(answer))

    following = asyncio.create_task(follow())
    for number in range(10):
        await make_stage(shared_app, begun, f"stage-{number}")
    async with shared_app.database.transaction() as connection:
        await fail(connection, begun, Failure(code="TEST", message="for a test"))
    async with asyncio.timeout(20):
        await following
    assert seen == list(range(1, 13))


async def test_waiters_poll_when_the_listener_is_cut_off(
    shared_app: RunningApp, waits: Waits, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = await claimed_job(shared_app)
    await wait_until_listening(shared_app)
    monkeypatch.setattr(wakeups, "RECONNECT", 60.0)
    monkeypatch.setattr(wakeups, "PROBE", 0.1)
    poll = asyncio.create_task(get_events(shared_app, begun.ref.public_id, since=1, wait=20))
    await waits.reach(1)
    await shared_app.execute(f"SELECT pg_terminate_backend(pid) FROM {EAR}")
    await make_stage(shared_app, begun, "segment")
    async with asyncio.timeout(15):
        assert numbers(await poll) == [2]


@pytest.mark.parametrize(
    "query", [{"since": -1}, {"since": "x"}, {"since": 2**40}, {"wait": 26}, {"wait": -1}]
)
async def test_an_invalid_query_parameter_is_reported_by_name(
    shared_app: RunningApp, query: dict[str, Any]
) -> None:
    ref = await waiting_job(shared_app)
    answer = await get_events(shared_app, ref.public_id, **query)
    assert refusal(answer) == (422, "INVALID_REQUEST")
    assert [item["loc"] for item in answer.json()["detail"]] == [["query", next(iter(query))]]
