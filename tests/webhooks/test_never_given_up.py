"""Compliance webhooks are retried until they are done."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from sqlalchemy.ext.asyncio import AsyncConnection
from structlog.testing import capture_logs

from backend.leased_task import Retry
from backend.metrics import COMPLIANCE_OVERDUE
from backend.retries import COMPLIANCE
from backend.storage.objects import ObjectStore
from backend.worker import inbox
from backend.worker.compliance import take_up_failed, watch_compliance
from backend.worker.maintenance import requeue_overdue
from backend.worker.webhook_dispatch import handle_delivery
from tests.running_app import RunningApp
from tests.scenarios import (
    delivery_status,
    finished_job,
    process_webhook,
    send_webhook,
    waiting_job,
)
from webhooks.handlers import HANDLERS
from webhooks.outcome import HandlerContext, Outcome
from webhooks.payloads import UnsettledDelivery
from webhooks.receive import DeliveryRef
from webhooks.topics import COMPLIANCE_TOPICS, NEVER_GIVEN_UP

MANY = 30  # far more tries than anything else gets
DAY = timedelta(days=1)
CUSTOMER = "191167"  # as in the stand-in's samples

Prepare = Callable[[RunningApp, str, pytest.MonkeyPatch], Awaitable[HandlerContext]]


@pytest.fixture(autouse=True)
async def empty_queue(shared_app: RunningApp) -> AsyncIterator[None]:
    """What a test has had put off for a day is not waited for by the next."""
    yield
    await shared_app.execute("DELETE FROM queue.pgqueuer")


def unsettled(ref: DeliveryRef) -> str:
    """The row of the delivery."""
    return f"webhook_deliveries WHERE webhook_id = '{ref.webhook_id}'"


async def send_product(shared_app: RunningApp, shop: str) -> DeliveryRef:
    """A delivery that the law does not ask for."""
    shared_app.product(b"unread", shop=shop)
    return await send_webhook(shared_app, "products/update", shop=shop)


async def without_bucket(
    shared_app: RunningApp, _shop: str, _patch: pytest.MonkeyPatch
) -> HandlerContext:
    """S3 is away."""
    nowhere = msgspec.structs.replace(shared_app.settings, s3_endpoint_url="http://127.0.0.1:9")
    store = ObjectStore(nowhere)

    async def refuse(*_args: object, **_how: object) -> None:
        await asyncio.to_thread(store._clock)  # as they do, without boto's pauses in between

    store.put = store.delete = refuse  # type: ignore[method-assign]
    return msgspec.structs.replace(shared_app.handler_context, store=store)


async def with_a_bug(
    shared_app: RunningApp, _shop: str, patch: pytest.MonkeyPatch
) -> HandlerContext:
    """Our own handlers fall over."""

    async def fall_over(_delivery: UnsettledDelivery, _desk: HandlerContext) -> Outcome:
        raise ZeroDivisionError

    for topic in NEVER_GIVEN_UP:
        patch.setitem(HANDLERS, topic, fall_over)
    return shared_app.handler_context


async def without_a_key(
    shared_app: RunningApp, shop: str, _patch: pytest.MonkeyPatch
) -> HandlerContext:
    """The tokens are sealed under a key that this process does not have."""
    await shared_app.execute(
        "UPDATE shops SET access_token = 'v1.lost.' || split_part(access_token, '.', 3) "
        "WHERE domain = :d",
        d=shop,
    )
    return shared_app.handler_context


async def without_shopify(
    shared_app: RunningApp, shop: str, _patch: pytest.MonkeyPatch
) -> HandlerContext:
    """The shop's Admin API answers 500."""
    shared_app.shopify.lock_shop(shop, 500)
    return shared_app.handler_context


CASES: list[tuple[str, Prepare]] = [
    ("customers/redact", without_bucket),
    ("customers/redact", with_a_bug),
    ("customers/data_request", with_a_bug),
    ("shop/redact", with_a_bug),
    ("shop/redact", without_a_key),
    ("shop/redact", without_shopify),
    ("app/uninstalled", without_shopify),
]


@pytest.mark.parametrize(
    ("topic", "prepare"), CASES, ids=[f"{topic} {each.__name__}" for topic, each in CASES]
)
async def test_a_compliance_delivery_is_retried_and_never_fails(
    shared_app: RunningApp, shop: str, monkeypatch: pytest.MonkeyPatch, topic: str, prepare: Prepare
) -> None:
    await waiting_job(shared_app, shop=shop, customer_id=CUSTOMER)
    ref = await send_webhook(shared_app, topic, shop=shop)
    handler_context = await prepare(shared_app, shop, monkeypatch)
    await shared_app.execute(
        f"UPDATE {unsettled(ref)}".replace(" WHERE", f" SET tries = {MANY} WHERE")
    )
    outcome = await handle_delivery(ref, handler_context, MANY)
    assert isinstance(outcome, Retry) and DAY * 0.7 < outcome.delay < DAY * 1.3
    assert (await delivery_status(shared_app, ref.webhook_id))[0] == "received"
    [row] = await shared_app.rows(
        f"SELECT tries, body, next_try_at > now() AS waits FROM {unsettled(ref)}"
    )
    assert (row["tries"], row["waits"]) == (MANY + 1, True)
    assert row["body"] is not None


def test_retry_pauses_grow_to_one_day() -> None:
    pauses = [COMPLIANCE.pause(tries) for tries in range(1, 20)]
    assert pauses[0] < timedelta(seconds=10)
    assert max(pauses) <= DAY * 1.25 and pauses[-1] >= DAY * 0.75
    assert not COMPLIANCE.is_exhausted(timedelta(days=300))
    assert sum(pauses[:12], timedelta(0)) < timedelta(days=3), "often enough within the 30 days"


@pytest.mark.parametrize("status", [401, 402, 403, 404, 423])
async def test_an_unreachable_shop_is_erased_without_its_uninstall(
    shared_app: RunningApp, shop: str, status: int
) -> None:
    await finished_job(shared_app, shop=shop)
    shared_app.shopify.fail_next("graphql", status, 1 + (status == 401))
    ended = await process_webhook(shared_app, "shop/redact", shop=shop)
    assert ended == ("processed", "ERASED 1 jobs and the shop")


async def test_a_postponed_delivery_is_not_requeued_early(
    shared_app: RunningApp, shop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ref = await send_webhook(shared_app, "shop/redact", shop=shop)
    await handle_delivery(ref, await with_a_bug(shared_app, shop, monkeypatch), 0)
    await shared_app.execute("DELETE FROM queue.pgqueuer WHERE entrypoint = 'handle_webhook'")
    await shared_app.execute(
        "UPDATE webhook_deliveries SET received_at = now() - interval '1 hour', "
        "next_try_at = now() + interval '1 hour' WHERE webhook_id = :id",
        id=ref.webhook_id,
    )
    await requeue_overdue(shared_app.database)
    assert await queued(shared_app, ref) == []
    await shared_app.execute(
        "UPDATE webhook_deliveries SET next_try_at = now() WHERE webhook_id = :id",
        id=ref.webhook_id,
    )
    await requeue_overdue(shared_app.database)
    assert len(await queued(shared_app, ref)) == 1
    [row] = await shared_app.rows(f"SELECT tries FROM {unsettled(ref)}")
    assert row["tries"] == 1, "the count is not lost with the entry"


async def queued(shared_app: RunningApp, ref: DeliveryRef) -> list[dict[str, object]]:
    """The delivery's entries in the queue."""
    return await shared_app.rows(
        "SELECT execute_after <= now() AS is_due FROM queue.pgqueuer WHERE dedupe_key LIKE :key",
        key=f"%{ref.webhook_id}",
    )


async def test_failed_compliance_deliveries_are_taken_up_again(
    shared_app: RunningApp, shop: str
) -> None:
    law = [await send_webhook(shared_app, topic, shop=shop) for topic in sorted(COMPLIANCE_TOPICS)]
    other = await send_product(shared_app, shop)
    await shared_app.execute(
        "UPDATE webhook_deliveries SET status = 'failed' WHERE shop_domain = :d", d=shop
    )
    assert await take_up_failed(shared_app.database) == len(law)
    assert {(await delivery_status(shared_app, ref.webhook_id))[0] for ref in law} == {"received"}
    assert (await delivery_status(shared_app, other.webhook_id))[0] == "failed"


async def test_an_overdue_compliance_delivery_is_logged(shared_app: RunningApp, shop: str) -> None:
    await shared_app.execute("UPDATE webhook_deliveries SET status = 'processed', body = NULL")
    ref = await send_webhook(shared_app, "customers/redact", shop=shop)
    assert await watch_compliance(shared_app.database) == 0
    await shared_app.execute(
        "UPDATE webhook_deliveries SET received_at = now() - interval '49 hours' "
        "WHERE webhook_id = :id",
        id=ref.webhook_id,
    )
    with capture_logs() as lines:
        assert await watch_compliance(shared_app.database) == 1
    [line] = [line for line in lines if line["event"] == "compliance_overdue"]
    assert (line["log_level"], line["count"]) == ("error", 1)
    assert (line["oldest_hours"], line["days_left"]) == (49, 27)
    assert COMPLIANCE_OVERDUE._value.get() == 1


# What an operator can do


@pytest.fixture
def operator(shared_app: RunningApp, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment of somebody at the command line."""
    monkeypatch.setenv("DATABASE_URL", shared_app.settings.database_url)


@pytest.mark.usefixtures("operator")
async def test_the_inbox_lists_waiting_deliveries_with_their_error(
    shared_app: RunningApp,
    shop: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    ref = await send_webhook(shared_app, "shop/redact", shop=shop)
    await send_product(shared_app, shop)
    await handle_delivery(ref, await with_a_bug(shared_app, shop, monkeypatch), 0)
    capsys.readouterr()
    await inbox.show_deliveries(status="received", shop=shop, topic="shop/redact", limit=5)
    [line] = capsys.readouterr().out.splitlines()
    for word in (
        "received",
        "shop/redact",
        shop,
        ref.webhook_id,
        "ZeroDivisionError after 1 attempts",
    ):
        assert word in line
    await inbox.show_deliveries(status=None, shop=shop, topic=None, limit=5)
    assert len(capsys.readouterr().out.splitlines()) == 2
    await inbox.show_deliveries(status="failed", shop=shop, topic=None, limit=5)
    assert "No deliveries found." in capsys.readouterr().err


@pytest.mark.usefixtures("operator")
async def test_retry_applies_to_failed_and_waiting_deliveries_only(
    shared_app: RunningApp, shop: str
) -> None:
    failed, waits, done = [await send_product(shared_app, shop) for _ in range(3)]
    await shared_app.execute(
        "DELETE FROM queue.pgqueuer WHERE dedupe_key LIKE :k", k=f"%{failed.webhook_id}"
    )
    tomorrow = "UPDATE queue.pgqueuer SET execute_after = now() + interval '1 day' "
    await shared_app.execute(f"{tomorrow} WHERE dedupe_key LIKE :k", k=f"%{waits.webhook_id}")
    for ref, change in (
        (failed, "status = 'failed', note = 'SHOPIFY_REFUSED', settled_at = now()"),
        (waits, "tries = 7, next_try_at = now() + interval '1 day'"),
        (done, "status = 'processed', body = NULL"),
    ):
        await shared_app.execute(
            f"UPDATE webhook_deliveries SET {change} WHERE webhook_id = :id", id=ref.webhook_id
        )
    ids = [failed.webhook_id, waits.webhook_id]
    assert await inbox.retry_deliveries(ids, failed=False)
    assert not await inbox.retry_deliveries([done.webhook_id], failed=False)
    for ref in (failed, waits):
        assert await delivery_status(shared_app, ref.webhook_id) == ("received", None)
        assert await queued(shared_app, ref) == [{"is_due": True}]
        [row] = await shared_app.rows(f"SELECT tries, next_try_at FROM {unsettled(ref)}")
        assert (row["tries"], row["next_try_at"]) == (0, None)
    assert (await delivery_status(shared_app, done.webhook_id))[0] == "processed"


@pytest.mark.usefixtures("operator")
async def test_retry_failed_retries_every_failed_delivery(
    shared_app: RunningApp, shop: str, capsys: pytest.CaptureFixture[str]
) -> None:
    refs = [await send_product(shared_app, shop) for _ in range(3)]
    await fail_deliveries(shared_app, shop)
    assert await inbox.retry_deliveries([], failed=True)
    assert "3 deliveries are queued again." in capsys.readouterr().out
    assert {(await delivery_status(shared_app, ref.webhook_id))[0] for ref in refs} == {"received"}


@pytest.mark.usefixtures("operator")
async def test_retry_failed_ends_although_deliveries_fail_again(
    shared_app: RunningApp,
    shop: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Each of them fails again before the next slice."""

    async def failing_again(connection: AsyncConnection, *which: Any) -> list[DeliveryRef]:
        await fail_deliveries(shared_app, shop)
        return await retried(connection, *which)

    retried = inbox.retried
    monkeypatch.setattr(inbox, "RETRIED_AT_ONCE", 2)
    for _ in range(3):
        await send_product(shared_app, shop)
    await fail_deliveries(shared_app, shop)
    monkeypatch.setattr(inbox, "retried", failing_again)
    async with asyncio.timeout(20):
        assert await inbox.retry_deliveries([], failed=True)
    assert "3 deliveries are queued again." in capsys.readouterr().out


async def fail_deliveries(shared_app: RunningApp, shop: str) -> None:
    """Let a worker give up what it has of the shop."""
    await shared_app.execute(
        "UPDATE webhook_deliveries SET status = 'failed', settled_at = clock_timestamp() "
        "WHERE shop_domain = :d AND status = 'received'",
        d=shop,
    )
