"""An endpoint that does not answer delays no other, and what is lost is found again."""

import asyncio
from collections import Counter
from typing import Any

import pytest

from backend import queue
from backend.leased_task import Done, Retry
from backend.webhook_endpoints import attempts
from backend.webhook_endpoints.queue_entries import EndpointRef
from backend.webhook_endpoints.schedule import FIRST_PROBE
from backend.worker import endpoint_deliveries, endpoint_leases, endpoint_upkeep
from backend.worker.dequeue import CapacityShare
from backend.worker.endpoint_deliveries import SIDE_BY_SIDE, deliver_events
from backend.worker.endpoint_leases import EndpointLease, lease_endpoint, release_endpoint
from backend.worker.endpoint_upkeep import prune_deliveries, wake_endpoints
from tests.backend.webhook_endpoints.receiver import (
    Receiver,
    add,
    answer,
    deliveries,
    end_pauses,
    one,
    open_receiver,
    send_test,
)
from tests.running_app import RunningApp
from tests.wait import wait_until

pytestmark = pytest.mark.slow


async def ref_of(shop_app: RunningApp, endpoint_id: object) -> EndpointRef:
    """The endpoint as the queue names it."""
    [row] = await shop_app.rows(
        "SELECT shop_id FROM webhook_endpoints WHERE id = :id", id=endpoint_id
    )
    return EndpointRef(shop_id=row["shop_id"], endpoint_id=str(endpoint_id))


async def backlog(shop_app: RunningApp, endpoint_id: object, count: int) -> None:
    """So many deliveries that are due."""
    await send_test(shop_app, endpoint_id)
    await shop_app.execute(
        "INSERT INTO endpoint_deliveries "
        "(shop_id, id, endpoint_id, event_id, event_type, body, next_attempt_at) "
        "SELECT shop_id, new_ulid(), endpoint_id, 'evt_' || new_ulid(), event_type, body, now() "
        "FROM endpoint_deliveries, generate_series(2, :n) WHERE endpoint_id = :id",
        n=count,
        id=endpoint_id,
    )


async def cause_event(shop_app: RunningApp, endpoint_id: object) -> None:
    """An event that nobody has asked for."""
    await shop_app.execute(
        "SELECT append_webhook_event(shop_id, 'job.succeeded', '{}') FROM webhook_endpoints "
        "WHERE id = :id",
        id=endpoint_id,
    )


async def test_an_endpoint_that_hangs_takes_one_attempt_and_the_rest_waits(
    shop_app: RunningApp, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attempts, "ATTEMPT_SECONDS", 0.2)
    receiver.answers = [None]
    endpoint = await add(shop_app, receiver.url)
    await backlog(shop_app, endpoint["id"], 1000)
    ref = await ref_of(shop_app, endpoint["id"])
    outcome = await deliver_events(ref, shop_app.worker_context)
    assert isinstance(outcome, Retry)
    assert outcome.delay.total_seconds() >= 5
    tried = "SELECT error FROM endpoint_deliveries WHERE attempts > 0"
    first_round = await shop_app.rows(tried)
    assert first_round == [{"error": "TIMEOUT"}] * SIDE_BY_SIDE, "it was healthy until then"
    await end_pauses(shop_app)
    await deliver_events(ref, shop_app.worker_context)
    assert len(await shop_app.rows(tried)) == SIDE_BY_SIDE + 1, "a failing one is probed"
    monkeypatch.undo()
    async with open_receiver() as other:
        healthy = await add(shop_app, other.url)
        await send_test(shop_app, healthy["id"])
        await shop_app.drain()
        assert len(other.requests) == 1


async def test_new_events_do_not_end_the_pause_of_an_endpoint_that_hangs(
    shop_app: RunningApp, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each attempt takes a place of the worker for as long as an attempt may take."""
    monkeypatch.setattr(attempts, "ATTEMPT_SECONDS", 0.2)
    receiver.answers = [None]
    endpoint = await add(shop_app, receiver.url)
    await backlog(shop_app, endpoint["id"], 20)
    await shop_app.drain()
    for _ in range(5):
        await cause_event(shop_app, endpoint["id"])
        await shop_app.drain()
    assert len(receiver.requests) == SIDE_BY_SIDE
    for number in (1, 2):
        await end_pauses(shop_app)
        await cause_event(shop_app, endpoint["id"])
        await shop_app.drain()
        assert len(receiver.requests) == SIDE_BY_SIDE + number


async def test_what_comes_in_the_pause_is_sent_when_it_is_over(
    shop_app: RunningApp, receiver: Receiver
) -> None:
    """Also where the delivery that failed is tried again much later."""
    receiver.answers = [answer(503, "Retry-After: 3600"), answer(200)]
    endpoint = await add(shop_app, receiver.url)
    await send_test(shop_app, endpoint["id"])
    await shop_app.drain()
    await cause_event(shop_app, endpoint["id"])
    await shop_app.drain()
    assert len(receiver.requests) == 1
    [left] = await shop_app.rows(
        "SELECT execute_after - now() AS pause FROM queue.pgqueuer "
        "WHERE entrypoint = 'deliver_events'"
    )
    assert 3 < left["pause"].total_seconds() <= 5
    await end_pauses(shop_app)
    await shop_app.execute("UPDATE queue.pgqueuer SET execute_after = now()")
    await shop_app.drain()
    assert len(receiver.requests) == 2


async def test_failures_side_by_side_are_one_failure_of_the_endpoint(
    shop_app: RunningApp, receiver: Receiver
) -> None:
    receiver.answers = [answer(500)]
    endpoint = await add(shop_app, receiver.url)
    await backlog(shop_app, endpoint["id"], SIDE_BY_SIDE)
    outcome = await deliver_events(await ref_of(shop_app, endpoint["id"]), shop_app.worker_context)
    assert len(receiver.requests) == SIDE_BY_SIDE
    assert outcome == Retry(FIRST_PROBE)


@pytest.mark.parametrize("action", ["test", "redeliver"])
async def test_what_the_merchant_asks_for_does_not_wait_for_the_pause(
    shop_app: RunningApp, receiver: Receiver, action: str
) -> None:
    receiver.answers = [answer(500)]
    endpoint = await add(shop_app, receiver.url)
    await send_test(shop_app, endpoint["id"])
    await shop_app.drain()
    await shop_app.execute("UPDATE webhook_endpoints SET failures = 9")
    receiver.answers = [answer(200)]
    if action == "test":
        await send_test(shop_app, endpoint["id"])
    else:
        [failed] = await deliveries(shop_app, endpoint["id"])
        path = f"/v1/webhook-endpoints/{endpoint['id']}/deliveries/{failed['id']}/redeliver"
        await shop_app.http.post(path, headers=shop_app.bearer())
    await shop_app.drain()
    assert len(receiver.requests) == 2
    assert (await one(shop_app, endpoint["id"]))["failing_since"] is None


async def test_an_endpoint_with_many_deliveries_lets_those_that_wait_go_first(
    shop_app: RunningApp, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A few receivers that take their time would otherwise have all places of a worker."""
    monkeypatch.setattr(endpoint_deliveries, "RUN_SECONDS", 0.001)  # one round
    busy, waiting = await add(shop_app, receiver.url), await add(shop_app, receiver.url)
    await backlog(shop_app, busy["id"], 40)
    await send_test(shop_app, waiting["id"])
    await shop_app.drain(shares=[CapacityShare(1, frozenset({queue.DELIVER_EVENTS}))])
    order = await shop_app.rows(
        "SELECT endpoint_id FROM endpoint_deliveries WHERE status = 'succeeded' "
        "ORDER BY last_attempt_at"
    )
    assert len(order) == 41
    assert [row["endpoint_id"] for row in order].index(waiting["id"]) == SIDE_BY_SIDE


async def test_a_thousand_deliveries_make_no_queue_entries_and_go_a_few_at_a_time(
    shop_app: RunningApp, receiver: Receiver
) -> None:
    endpoint = await add(shop_app, receiver.url)
    await backlog(shop_app, endpoint["id"], 100)
    assert len(await entries(shop_app)) == 1
    await shop_app.drain()
    assert len(receiver.requests) == len(set(receiver.ids())) == 100
    assert receiver.most_at_once <= SIDE_BY_SIDE
    assert await entries(shop_app) == []


async def test_one_worker_at_a_time_has_an_endpoint(
    shop_app: RunningApp, receiver: Receiver
) -> None:
    receiver.answers = [None]
    endpoint = await add(shop_app, receiver.url)
    await send_test(shop_app, endpoint["id"])
    ref = await ref_of(shop_app, endpoint["id"])
    first = asyncio.create_task(deliver_events(ref, shop_app.worker_context))
    await wait_until(lambda: receiver.requests)
    await send_test(shop_app, endpoint["id"])
    assert await deliver_events(ref, shop_app.worker_context) == Done()
    assert len(receiver.requests) == 1
    receiver.answers = [answer(200)]
    receiver.ended.set()  # closes the first connection without an answer
    assert isinstance(await first, Retry), "it looks at what has come meanwhile"


async def test_an_endpoint_that_is_being_given_back_is_waited_for(shop_app: RunningApp) -> None:
    endpoint = await add(shop_app, "https://hooks.example.com/")
    ref = await ref_of(shop_app, endpoint["id"])
    database = shop_app.worker_context.database
    async with database.transaction(ref.shop_id) as connection:
        lease = await lease_endpoint(connection, ref)
    assert lease is not None

    async def next_lease() -> EndpointLease | None:
        async with database.transaction(ref.shop_id) as connection:
            return await lease_endpoint(connection, ref)

    async with database.transaction(ref.shop_id) as connection:
        assert await release_endpoint(connection, lease) is None, "nothing is due yet"
        woken = asyncio.create_task(next_lease())  # for what has just become due
        await wait_until(lambda: is_waiting_or_done(shop_app, woken))
    assert await woken is not None, "nobody else would deliver it"


async def is_waiting_or_done(shop_app: RunningApp, task: asyncio.Task[Any]) -> bool:
    """Whether the task waits for a lock of the database, or has ended."""
    waiting = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = "
    return task.done() or bool(await shop_app.rows(waiting + "current_database()"))


async def test_a_lost_queue_entry_is_found(shop_app: RunningApp, receiver: Receiver) -> None:
    endpoint = await add(shop_app, receiver.url)
    await send_test(shop_app, endpoint["id"])
    await shop_app.execute("DELETE FROM queue.pgqueuer WHERE entrypoint = 'deliver_events'")
    await shop_app.drain()
    assert receiver.requests == []
    assert await wake_endpoints(shop_app.database) == 1
    await shop_app.drain()
    assert len(receiver.requests) == 1
    assert await wake_endpoints(shop_app.database) == 0


async def test_more_endpoints_than_are_woken_at_once_are_woken_one_after_the_other(
    shop_app: RunningApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endpoint_upkeep, "ENDPOINTS_PER_RUN", 2)
    for _ in range(5):
        await send_test(shop_app, (await add(shop_app, "https://hooks.example.com/"))["id"])
    await shop_app.execute("DELETE FROM queue.pgqueuer WHERE entrypoint = 'deliver_events'")
    assert [await wake_endpoints(shop_app.database) for _ in range(4)] == [2, 2, 1, 0]
    assert len(await entries(shop_app)) == 5


async def test_a_claim_that_nobody_came_back_from_is_repeated_with_the_same_id(
    shop_app: RunningApp, receiver: Receiver
) -> None:
    endpoint = await add(shop_app, receiver.url)
    await send_test(shop_app, endpoint["id"])
    ref = await ref_of(shop_app, endpoint["id"])
    receiver.answers = [None]
    crashed = asyncio.create_task(deliver_events(ref, shop_app.worker_context))
    await wait_until(lambda: receiver.requests)
    crashed.cancel()
    await asyncio.gather(crashed, return_exceptions=True)
    receiver.answers = [answer(200)]
    assert await wake_endpoints(shop_app.database) == 0, "perhaps it is still under way"
    past = "now() - interval '1 second'"
    await shop_app.execute(f"UPDATE webhook_endpoints SET drained_until = {past}")
    await shop_app.execute(f"UPDATE endpoint_deliveries SET next_attempt_at = {past}")
    assert await wake_endpoints(shop_app.database) == 1
    await shop_app.drain()
    assert len(receiver.ids()) == 2
    assert len(set(receiver.ids())) == 1
    [logged] = await deliveries(shop_app, endpoint["id"])
    assert (logged["status"], logged["attempts"]) == ("succeeded", 1)


async def test_what_a_switched_off_endpoint_does_not_get_is_ended(shop_app: RunningApp) -> None:
    endpoint = await add(shop_app, "https://hooks.example.com/")
    await send_test(shop_app, endpoint["id"])
    await shop_app.http.patch(
        f"/v1/webhook-endpoints/{endpoint['id']}",
        json={"enabled": False},
        headers=shop_app.bearer(),
    )
    assert await wake_endpoints(shop_app.database) == 0
    [logged] = await deliveries(shop_app, endpoint["id"])
    assert (logged["status"], logged["error"]) == ("canceled", "ENDPOINT_ENDED")


async def test_what_an_endpoint_that_is_gone_does_not_get_is_ended_in_slices(
    shop_app: RunningApp, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One statement for hundreds of thousands would take longer than a statement may."""
    monkeypatch.setattr(endpoint_leases, "ROWS_PER_SLICE", 10)
    monkeypatch.setattr(endpoint_deliveries, "ROWS_PER_SLICE", 10)
    receiver.answers = [answer(410)]
    endpoint = await add(shop_app, receiver.url)
    await backlog(shop_app, endpoint["id"], 45)
    await deliver_events(await ref_of(shop_app, endpoint["id"]), shop_app.worker_context)
    ended = await shop_app.rows("SELECT status, xmin::text FROM endpoint_deliveries")
    assert {row["status"] for row in ended} == {"canceled"}
    assert max(Counter(row["xmin"] for row in ended).values()) == 10


async def test_old_deliveries_and_removed_endpoints_are_pruned(shop_app: RunningApp) -> None:
    kept = await add(shop_app, "https://hooks.example.com/")
    removed = await add(shop_app, "https://hooks.example.com/")
    for endpoint in (kept, kept, removed):
        await send_test(shop_app, endpoint["id"])
    await shop_app.http.delete(f"/v1/webhook-endpoints/{removed['id']}", headers=shop_app.bearer())
    await shop_app.execute(
        "UPDATE endpoint_deliveries SET status = 'succeeded', created_at = now() - "
        "interval '31 days' WHERE id = (SELECT min(id) FROM endpoint_deliveries)"
    )
    await prune_deliveries(shop_app.database)
    left = await shop_app.rows("SELECT endpoint_id FROM endpoint_deliveries")
    assert [row["endpoint_id"] for row in left] == [kept["id"]]
    assert len(await shop_app.rows("SELECT 1 FROM webhook_endpoints")) == 1


async def entries(shop_app: RunningApp) -> list[dict[str, object]]:
    """The queue's entries for endpoints."""
    return await shop_app.rows("SELECT id FROM queue.pgqueuer WHERE entrypoint = 'deliver_events'")
