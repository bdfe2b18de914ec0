"""Deliveries are retried on temporary errors and fail on permanent ones."""

import asyncio
import functools
import itertools
from collections.abc import Callable
from datetime import timedelta

import msgspec
import pytest

from backend.dev.shopify import StandInShopify
from backend.leased_task import Done, Retry
from backend.retries import DELIVERIES, PAUSE_JITTER
from backend.worker.webhook_dispatch import handle_delivery
from tests.running_app import RunningApp
from tests.scenarios import delivery_status, expire_token, lock_out, send_webhook
from webhooks.receive import DeliveryRef, claim_delivery

TOPIC = "products/update"
DONE = "processed"


async def product_sent(shared_app: RunningApp, shop: str) -> DeliveryRef:
    """A delivery about a product with a picture, in the inbox."""
    shared_app.product(b"unread", shop=shop)
    return await send_webhook(shared_app, TOPIC, shop=shop)


async def wait_of(shared_app: RunningApp, shop: str) -> timedelta | None:
    """How long the shop's entry in the queue still has to wait, once somebody has put it off."""
    rows = await shared_app.rows(
        "SELECT execute_after - now() AS wait FROM queue.pgqueuer WHERE status = 'queued' "
        "AND attempts > 0 AND convert_from(payload, 'UTF8') LIKE :s",
        s=f'%"{shop}"%',
    )
    return rows[0]["wait"] if rows else None


TROUBLES: dict[str, Callable[[StandInShopify], None]] = {
    "too many requests": lambda shopify: shopify.fail_next("graphql", 429, retry_after="60"),
    "an internal error": lambda shopify: shopify.fail_next("graphql", 500),
    "unavailable": lambda shopify: shopify.fail_next("graphql", 503),
    "an inactive shop": lambda shopify: shopify.fail_next("graphql", 403),
    "a lost answer": lambda shopify: shopify.lose_next_answer("graphql"),
}


@pytest.mark.parametrize("trouble", TROUBLES)
async def test_a_temporary_shopify_error_postpones_the_delivery(
    shared_app: RunningApp, shop: str, trouble: str
) -> None:
    ref = await product_sent(shared_app, shop)
    TROUBLES[trouble](shared_app.shopify)
    await shared_app.drain(only_webhooks=True)
    asked_for = 60 if trouble == "too many requests" else 3
    wait = await wait_of(shared_app, shop)
    assert wait is not None
    assert timedelta(seconds=asked_for / 3) < wait <= timedelta(seconds=asked_for)
    assert await delivery_status(shared_app, ref.webhook_id) == ("received", None)
    await shared_app.execute("UPDATE queue.pgqueuer SET execute_after = now()")
    await shared_app.drain(only_webhooks=True)
    assert (await delivery_status(shared_app, ref.webhook_id))[0] == DONE
    assert (
        len(await shared_app.rows("SELECT 1 FROM queue.pgqueuer WHERE entrypoint <> 'run_job'"))
        == 0
    )


async def test_a_brief_throttle_is_waited_out(shared_app: RunningApp, shop: str) -> None:
    ref = await product_sent(shared_app, shop)
    shared_app.shopify.throttle_next(2)
    await shared_app.drain(only_webhooks=True)
    assert (await delivery_status(shared_app, ref.webhook_id))[0] == DONE


async def test_retries_wait_longer_each_time_and_the_last_failure_keeps_the_body(
    shared_app: RunningApp, shop: str
) -> None:
    ref = await product_sent(shared_app, shop)
    shared_app.shopify.fail_next("graphql", 503, 100)
    waited: list[timedelta] = []
    handle = functools.partial(handle_delivery, ref, shared_app.handler_context)
    while isinstance(outcome := await handle(len(waited)), Retry):
        waited.append(outcome.delay)
    shared_app.shopify.platform.faults["graphql"].clear()
    assert waited[:6] == sorted(waited[:6]) and max(waited) <= DELIVERIES.longest * (
        1 + PAUSE_JITTER
    )
    assert sum(waited, timedelta(0)) >= timedelta(hours=6)
    assert await delivery_status(shared_app, ref.webhook_id) == ("failed", "ShopifyUnavailable")
    kept = await shared_app.rows(
        "SELECT body FROM webhook_deliveries WHERE webhook_id = :id", id=ref.webhook_id
    )
    assert kept[0]["body"] is not None


def misread(*_: object) -> None:
    """Something of ours that does not decode, such as a row that another release has written."""
    raise msgspec.ValidationError("Expected `str`, got `int`")


async def test_a_decoding_error_outside_the_body_is_retried_as_our_fault(
    shared_app: RunningApp, shop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ref = await product_sent(shared_app, shop)
    monkeypatch.setattr("backend.rules.apply.settings_of", misread)
    outcomes = [
        await handle_delivery(ref, shared_app.handler_context, tries)
        for tries in range(DELIVERIES.faults + 1)
    ]
    assert Done() not in outcomes[:-1], "somebody may put it right"
    assert outcomes[-1] == Done()
    assert await delivery_status(shared_app, ref.webhook_id) == ("failed", "ValidationError")


async def test_faults_after_an_outage_are_ten_all_the_same(
    shared_app: RunningApp, shop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ref = await product_sent(shared_app, shop)
    tries = itertools.count()
    shared_app.shopify.fail_next("graphql", 503, 100)
    for _ in range(DELIVERIES.faults):
        outcome = await handle_delivery(ref, shared_app.handler_context, next(tries))
        assert isinstance(outcome, Retry)
    shared_app.shopify.platform.faults["graphql"].clear()
    monkeypatch.setattr("backend.rules.apply.settings_of", misread)
    for _ in range(DELIVERIES.faults):
        outcome = await handle_delivery(ref, shared_app.handler_context, next(tries))
        assert isinstance(outcome, Retry)
    assert await handle_delivery(ref, shared_app.handler_context, next(tries)) == Done()


async def test_an_outage_after_faults_is_waited_for_all_the_same(
    shared_app: RunningApp, shop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ref = await product_sent(shared_app, shop)
    tries = itertools.count()
    with monkeypatch.context() as broken:
        broken.setattr("backend.rules.apply.settings_of", misread)
        for _ in range(DELIVERIES.faults):
            await handle_delivery(ref, shared_app.handler_context, next(tries))
    monkeypatch.setattr("backend.retries.jittered", lambda seconds: seconds * (1 - PAUSE_JITTER))
    shared_app.shopify.fail_next("graphql", 503, 100)
    waited = timedelta(0)
    while isinstance(
        outcome := await handle_delivery(ref, shared_app.handler_context, next(tries)), Retry
    ):
        waited += outcome.delay
    shared_app.shopify.platform.faults["graphql"].clear()
    assert waited >= timedelta(hours=6)


async def set_crashes(shared_app: RunningApp, ref: DeliveryRef, times: int) -> None:
    """So many workers have begun with it, and never came back."""
    for _ in range(times):
        async with shared_app.database.transaction(ref.shop_domain) as connection:
            assert await claim_delivery(connection, ref) is not None


async def test_a_delivery_that_kills_its_workers_fails(shared_app: RunningApp, shop: str) -> None:
    ref = await product_sent(shared_app, shop)
    await set_crashes(shared_app, ref, DELIVERIES.crashes)
    assert await handle_delivery(ref, shared_app.handler_context, 0) == Done()
    assert await delivery_status(shared_app, ref.webhook_id) == ("failed", "WORKER_CRASHED")


async def test_a_compliance_delivery_that_kills_its_workers_is_postponed(
    shared_app: RunningApp, shop: str
) -> None:
    ref = await send_webhook(shared_app, "customers/redact", shop=shop)
    await set_crashes(shared_app, ref, DELIVERIES.crashes)
    assert isinstance(await handle_delivery(ref, shared_app.handler_context, 0), Retry)
    assert await delivery_status(shared_app, ref.webhook_id) == ("received", "WorkerCrashed")
    assert await handle_delivery(ref, shared_app.handler_context, 1) == Done()
    assert (await delivery_status(shared_app, ref.webhook_id))[0] == DONE


async def test_an_error_that_the_worker_survives_is_not_counted_as_a_crash(
    shared_app: RunningApp, shop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ref = await product_sent(shared_app, shop)
    with monkeypatch.context() as broken:
        broken.setattr("backend.rules.apply.settings_of", misread)
        for _ in range(DELIVERIES.crashes + 1):
            assert isinstance(await handle_delivery(ref, shared_app.handler_context, 0), Retry)
    assert await handle_delivery(ref, shared_app.handler_context, 1) == Done()
    assert (await delivery_status(shared_app, ref.webhook_id))[0] == DONE


async def test_a_fault_that_is_fixed_in_time_loses_no_product(
    shared_app: RunningApp, shop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ref = await product_sent(shared_app, shop)
    with monkeypatch.context() as broken:
        broken.setattr("backend.rules.apply.settings_of", misread)
        assert isinstance(await handle_delivery(ref, shared_app.handler_context, 0), Retry)
    assert await delivery_status(shared_app, ref.webhook_id) == ("received", None)
    assert await handle_delivery(ref, shared_app.handler_context, 1) == Done()
    assert (await delivery_status(shared_app, ref.webhook_id))[0] == DONE


async def test_an_expired_token_is_refreshed_once_for_all_deliveries(
    shared_app: RunningApp, shop: str
) -> None:
    refs = [await product_sent(shared_app, shop) for _ in range(6)]
    before = shared_app.shopify.calls["refresh"]
    await expire_token(shared_app, shop)
    shared_app.shopify.revoke_access_tokens(shop)
    await asyncio.gather(*(handle_delivery(ref, shared_app.handler_context, 0) for ref in refs))
    assert shared_app.shopify.calls["refresh"] == before + 1
    assert {(await delivery_status(shared_app, ref.webhook_id))[0] for ref in refs} == {DONE}


@pytest.mark.parametrize("trouble", ["an error", "a lost answer"])
async def test_a_failed_token_refresh_is_repeated_with_the_same_token(
    shared_app: RunningApp, shop: str, trouble: str
) -> None:
    ref = await product_sent(shared_app, shop)
    await expire_token(shared_app, shop)
    if trouble == "an error":
        shared_app.shopify.fail_next("refresh", 503)
    else:
        shared_app.shopify.lose_next_answer("refresh")
    assert isinstance(await handle_delivery(ref, shared_app.handler_context, 0), Retry)
    assert await handle_delivery(ref, shared_app.handler_context, 1) == Done()
    assert (await delivery_status(shared_app, ref.webhook_id))[0] == DONE


async def test_a_token_refused_early_is_refreshed(shared_app: RunningApp, shop: str) -> None:
    ref = await product_sent(shared_app, shop)
    shared_app.shopify.revoke_access_tokens(shop)
    assert await handle_delivery(ref, shared_app.handler_context, 0) == Done()
    assert (await delivery_status(shared_app, ref.webhook_id))[0] == DONE


async def test_deliveries_of_a_locked_out_shop_are_processed_after_reauth(
    shared_app: RunningApp, shop: str
) -> None:
    ref = await product_sent(shared_app, shop)
    await lock_out(shared_app, shop)
    assert await handle_delivery(ref, shared_app.handler_context, 0) == Done()
    assert await delivery_status(shared_app, ref.webhook_id) == ("failed", "REAUTH_NEEDED")
    await shared_app.drain(only_webhooks=True)  # its own entry: there is nothing left to do
    await shared_app.install(shop)
    await shared_app.drain()
    assert (await delivery_status(shared_app, ref.webhook_id))[0] == DONE


async def test_a_withdrawn_scope_fails_the_delivery_at_once(
    shared_app: RunningApp, shop: str
) -> None:
    ref = await product_sent(shared_app, shop)
    shared_app.shopify.set_scopes(shop, {"write_files"})
    assert await handle_delivery(ref, shared_app.handler_context, 0) == Done()
    assert await delivery_status(shared_app, ref.webhook_id) == ("failed", "SHOPIFY_REFUSED")
