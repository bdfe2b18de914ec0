"""`app/uninstalled` and `app/scopes_update`: the handlers check with Shopify."""

import asyncio
from typing import Any

import pytest

from backend.dev.shopify import payloads
from backend.dev.shopify.state import Call
from backend.leased_task import Done, Fenced, Retry
from backend.worker.webhook_dispatch import handle_delivery
from tests.running_app import OTHER_SHOP, RunningApp
from tests.scenarios import (
    claimed_job,
    expire_token,
    fingerprint,
    finished_job,
    make_stage,
    process_webhook,
    send_webhook,
    wait_for_call,
    waiting_job,
)

UNINSTALLED = "app/uninstalled"


async def row(shared_app: RunningApp, shop: str) -> dict[str, Any]:
    """The shop's own row."""
    return (await shared_app.rows("SELECT * FROM shops WHERE domain = :d", d=shop))[0]


async def timeline(shared_app: RunningApp, public_id: str) -> list[tuple[int, str]]:
    """The numbers and types of a job's events."""
    rows = await shared_app.rows(
        "SELECT seq, event_type FROM job_events WHERE job_id = :id ORDER BY seq", id=public_id
    )
    return [(each["seq"], each["event_type"]) for each in rows]


async def test_an_uninstall_closes_the_shop_and_deletes_its_tokens(
    shared_app: RunningApp, shop: str
) -> None:
    shared_app.shopify.uninstall(shop)
    assert await process_webhook(shared_app, UNINSTALLED, shop=shop) == ("processed", "UNINSTALLED")
    closed = await row(shared_app, shop)
    assert closed["status"] == "uninstalled"
    assert closed["uninstalled_at"] is not None
    secrets = ("access_token", "access_token_expires_at", "refresh_token")
    assert [closed[name] for name in secrets] == [None] * 3
    assert (await shared_app.detail("x", shop=shop)).json()["error"]["code"] == "SHOP_NOT_INSTALLED"


async def test_an_uninstall_ends_unfinished_jobs_with_one_event(
    shared_app: RunningApp, shop: str
) -> None:
    waiting = await waiting_job(shared_app, shop=shop)
    running = await claimed_job(shared_app, shop=shop)
    await make_stage(shared_app, running, "fetch")
    finished, _ = await finished_job(shared_app, shop=shop)
    shared_app.shopify.uninstall(shop)
    await process_webhook(shared_app, UNINSTALLED, shop=shop)
    assert await timeline(shared_app, waiting.public_id) == [(1, "queued"), (2, "failed")]
    assert await timeline(shared_app, running.ref.public_id) == [
        (1, "queued"),
        (2, "stage"),
        (3, "failed"),
    ]
    assert (await timeline(shared_app, finished.public_id))[-1][1] == "succeeded"
    codes = await shared_app.rows(
        "SELECT extra #>> '{error,code}' AS code FROM job_events WHERE event_type = 'failed' "
        "AND shop_id = :s",
        s=waiting.shop_id,
    )
    assert [each["code"] for each in codes] == ["SHOP_UNINSTALLED"] * 2


async def test_an_uninstall_fences_a_worker_in_the_middle_of_a_job(
    shared_app: RunningApp, shop: str
) -> None:
    running = await claimed_job(shared_app, shop=shop)
    shared_app.shopify.uninstall(shop)
    await process_webhook(shared_app, UNINSTALLED, shop=shop)
    with pytest.raises(Fenced):
        await make_stage(shared_app, running, "fetch")


async def test_an_uninstall_does_not_affect_other_shops(shared_app: RunningApp, shop: str) -> None:
    await shared_app.install(OTHER_SHOP)
    await waiting_job(shared_app, shop=OTHER_SHOP)
    before = await fingerprint(shared_app, OTHER_SHOP)
    shared_app.shopify.uninstall(shop)
    await process_webhook(shared_app, UNINSTALLED, shop=shop)
    assert await fingerprint(shared_app, OTHER_SHOP) == before


async def test_shopifys_sample_payload_with_nulls_closes_the_shop(
    shared_app: RunningApp, shop: str
) -> None:
    shared_app.shopify.uninstall(shop)
    record = shared_app.shopify.platform.shops[shop]
    payload = payloads.app_uninstalled_payload(record, null_domains=True)
    assert await process_webhook(shared_app, UNINSTALLED, payload, shop=shop) == (
        "processed",
        "UNINSTALLED",
    )


async def test_a_second_uninstall_is_ignored(shared_app: RunningApp, shop: str) -> None:
    shared_app.shopify.uninstall(shop)
    await process_webhook(shared_app, UNINSTALLED, shop=shop)
    before = await fingerprint(shared_app, shop)
    assert await process_webhook(shared_app, UNINSTALLED, shop=shop) == (
        "ignored",
        "SHOP_NOT_INSTALLED",
    )
    assert await fingerprint(shared_app, shop) == before


async def test_an_expired_token_does_not_keep_an_uninstalled_shop_open(
    shared_app: RunningApp, shop: str
) -> None:
    await expire_token(shared_app, shop)
    shared_app.shopify.uninstall(shop)
    assert await process_webhook(shared_app, UNINSTALLED, shop=shop) == ("processed", "UNINSTALLED")


async def test_an_uninstall_is_ignored_while_the_token_works(
    shared_app: RunningApp, shop: str
) -> None:
    await waiting_job(shared_app, shop=shop)
    before = await fingerprint(shared_app, shop)
    assert await process_webhook(shared_app, UNINSTALLED, shop=shop) == (
        "ignored",
        "STILL_INSTALLED",
    )
    assert await fingerprint(shared_app, shop) == before


async def test_an_uninstall_that_arrives_after_a_reinstall_is_ignored(
    shared_app: RunningApp, shop: str
) -> None:
    shared_app.shopify.uninstall(shop)
    late = shared_app.shopify.payload(shop, UNINSTALLED)
    shared_app.shopify.reinstall(shop)
    await shared_app.install(shop)
    before = await fingerprint(shared_app, shop)
    assert await process_webhook(shared_app, UNINSTALLED, late, shop=shop) == (
        "ignored",
        "STILL_INSTALLED",
    )
    assert await fingerprint(shared_app, shop) == before


async def test_a_reinstall_during_the_uninstall_check_stays_installed(
    shared_app: RunningApp, shop: str
) -> None:
    shared_app.shopify.uninstall(shop)
    asked = shared_app.shopify.calls["graphql"] + 1
    shared_app.shopify.platform.latency = 1.0
    handling = asyncio.create_task(process_webhook(shared_app, UNINSTALLED, shop=shop))
    await wait_for_call(shared_app, "graphql", asked)
    shared_app.shopify.platform.latency = 0.0
    shared_app.shopify.reinstall(shop)
    await shared_app.install(shop)  # overtakes the question, which is answered for the old token
    await handling
    assert (await row(shared_app, shop))["status"] == "installed"


@pytest.mark.parametrize("call", ["graphql", "refresh"])
@pytest.mark.parametrize("status", [401, 402, 403, 404, 423])
async def test_a_leaving_shop_that_refuses_every_call_is_closed(
    shared_app: RunningApp, shop: str, call: Call, status: int
) -> None:
    if call == "refresh":
        await expire_token(shared_app, shop)
    is_asked_again = status == 401 and call == "graphql"  # with a new token
    shared_app.shopify.fail_next(call, status, 1 + is_asked_again)
    assert await process_webhook(shared_app, UNINSTALLED, shop=shop) == ("processed", "UNINSTALLED")
    assert (await row(shared_app, shop))["status"] == "uninstalled"


@pytest.mark.parametrize("call", ["graphql", "refresh"])
async def test_an_html_404_page_counts_as_a_closed_shop(
    shared_app: RunningApp, shop: str, call: Call
) -> None:
    if call == "refresh":
        await expire_token(shared_app, shop)
    shared_app.shopify.answer_next_with_a_page(call, 404)
    assert await process_webhook(shared_app, UNINSTALLED, shop=shop) == ("processed", "UNINSTALLED")


async def test_a_body_that_names_another_shop_is_ignored(shared_app: RunningApp, shop: str) -> None:
    shared_app.shopify.uninstall(shop)
    own_id = shared_app.shopify.platform.shops[shop].number
    for foreign in ({"id": own_id, "myshopify_domain": OTHER_SHOP}, {"id": 1}):
        assert await process_webhook(shared_app, UNINSTALLED, foreign, shop=shop) == (
            "ignored",
            "SHOP_MISMATCH",
        )
    assert (await row(shared_app, shop))["status"] == "installed"


async def test_an_uninstall_is_retried_while_shopify_is_unavailable(
    shared_app: RunningApp, shop: str
) -> None:
    shared_app.shopify.uninstall(shop)
    shared_app.shopify.fail_next("graphql", 503)
    ref = await send_webhook(shared_app, UNINSTALLED, shop=shop)
    assert isinstance(await handle_delivery(ref, shared_app.handler_context, 0), Retry)
    assert (await row(shared_app, shop))["status"] == "installed"
    assert await handle_delivery(ref, shared_app.handler_context, 1) == Done()
    assert (await row(shared_app, shop))["status"] == "uninstalled"


@pytest.mark.parametrize("current", [["read_products"], "read_products,write_orders", None, []])
async def test_scopes_are_read_from_shopify_and_not_from_the_body(
    shared_app: RunningApp, shop: str, current: object
) -> None:
    shared_app.shopify.set_scopes(shop, {"read_products", "write_files"})
    gid = shared_app.shopify.platform.shops[shop].gid
    payload = {"id": 1, "shop_id": gid, "previous": None, "current": current}
    ended = await process_webhook(shared_app, "app/scopes_update", payload, shop=shop)
    assert ended == ("processed", "SCOPES_UPDATED")
    assert (await row(shared_app, shop))["scopes"] == "read_products,write_files"
