"""`POST /v1/installation`: a session token becomes an account with a token that lasts."""

import asyncio
import uuid
from datetime import timedelta
from typing import Any

import httpx
import pytest

from backend.dev.shopify.state import Call, Fault, HttpResponse
from backend.shops.tokens import NeedsReauth, installed_shop
from tests.running_app import RunningApp
from tests.scenarios import (
    expire_token,
    fingerprint,
    finished_job,
    lock_out,
    process_webhook,
    refusal,
    wait_for_call,
)

RETRY = "x-shopify-retry-invalid-session-request"


@pytest.fixture
def new_shop_domain(shared_app: RunningApp) -> str:
    """The domain of a shop whose merchant has just opened the app."""
    domain = f"shop-{uuid.uuid4().hex[:12]}.myshopify.com"
    shared_app.shopify.create_shop(domain)
    return domain


async def post_installation(shared_app: RunningApp, shop: str) -> httpx.Response:
    """What the embedded page does."""
    return await shared_app.http.post("/v1/installation", headers=shared_app.bearer(shop))


async def rows(shared_app: RunningApp, shop: str) -> list[dict[str, Any]]:
    """The shop's row, if there is one."""
    return await shared_app.rows("SELECT * FROM shops WHERE domain = :d", d=shop)


async def assert_can_work_for(shared_app: RunningApp, shop: str) -> None:
    """The stored tokens open the shop now, and can be renewed."""
    for left in (timedelta(hours=1), timedelta(0)):
        await expire_token(shared_app, shop, left)
        found = await installed_shop(shared_app.database, shared_app.handler_context.admin, shop)
        assert found is not None
        await shared_app.handler_context.admin.installation(shop, found.access_token)


async def test_an_installation_stores_the_shop_and_reveals_no_token(
    shared_app: RunningApp, new_shop_domain: str
) -> None:
    response = await post_installation(shared_app, new_shop_domain)
    assert response.status_code == 200
    assert response.json()["shop"] == new_shop_domain
    assert sorted(response.json()["scopes"]) == ["write_files", "write_products"]
    (row,) = await rows(shared_app, new_shop_domain)
    assert row["status"] == "installed"
    assert row["shopify_gid"] == shared_app.shopify.platform.shops[new_shop_domain].gid
    assert "shpat_" not in response.text
    assert "shprt_" not in response.text
    await assert_can_work_for(shared_app, new_shop_domain)


async def test_a_shop_that_granted_nothing_has_no_scopes(
    shared_app: RunningApp, new_shop_domain: str
) -> None:
    shared_app.shopify.set_scopes(new_shop_domain, [])
    assert (await post_installation(shared_app, new_shop_domain)).json() == {
        "shop": new_shop_domain,
        "scopes": [],
    }


async def test_an_installation_can_be_repeated(
    shared_app: RunningApp, new_shop_domain: str
) -> None:
    answers = [await post_installation(shared_app, new_shop_domain) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200] * 3
    assert len(await rows(shared_app, new_shop_domain)) == 1
    await assert_can_work_for(shared_app, new_shop_domain)


async def test_a_reinstalled_shop_keeps_its_jobs(
    shared_app: RunningApp, new_shop_domain: str
) -> None:
    await post_installation(shared_app, new_shop_domain)
    ref, _ = await finished_job(shared_app, shop=new_shop_domain)
    await shared_app.execute(
        "UPDATE shops SET status = 'uninstalled', access_token = NULL, refresh_token = NULL, "
        "access_token_expires_at = NULL, uninstalled_at = now() WHERE domain = :d",
        d=new_shop_domain,
    )
    assert (await post_installation(shared_app, new_shop_domain)).status_code == 200
    assert (await rows(shared_app, new_shop_domain))[0]["uninstalled_at"] is None
    assert (await shared_app.detail(ref.public_id, shop=new_shop_domain)).status_code == 200
    await assert_can_work_for(shared_app, new_shop_domain)


async def test_two_concurrent_installations_leave_working_tokens(
    shared_app: RunningApp, new_shop_domain: str
) -> None:
    """Each exchange retires the other's refresh token; the one that is stored must be alive."""
    platform, calls = shared_app.shopify.platform, shared_app.shopify.calls.copy()
    slow = asyncio.create_task(post_installation(shared_app, new_shop_domain))
    await wait_for_call(shared_app, "exchange", calls["exchange"] + 1)
    platform.latency = 1.0
    await wait_for_call(shared_app, "graphql", calls["graphql"] + 1)
    platform.latency = 0.0
    assert (
        await post_installation(shared_app, new_shop_domain)
    ).status_code == 200  # overtakes the slow one
    assert (await slow).status_code == 200
    await assert_can_work_for(shared_app, new_shop_domain)


async def test_a_session_token_refused_by_shopify_asks_for_a_new_one(
    shared_app: RunningApp, new_shop_domain: str
) -> None:
    shared_app.shopify.uninstall(new_shop_domain)
    response = await post_installation(shared_app, new_shop_domain)
    assert refusal(response) == (401, "UNAUTHENTICATED")
    assert response.headers[RETRY] == "1"
    assert await rows(shared_app, new_shop_domain) == []


@pytest.mark.parametrize("status", [401, 402, 403, 404, 423, 429, 430, 500, 503])
@pytest.mark.parametrize("call", ["exchange", "graphql"])
async def test_no_shopify_response_causes_an_internal_error(
    shared_app: RunningApp, new_shop_domain: str, call: Call, status: int
) -> None:
    shared_app.shopify.fail_next(call, status)
    response = await post_installation(shared_app, new_shop_domain)
    assert refusal(response)[0] in {401, 503}
    assert await rows(shared_app, new_shop_domain) == []


UNREADABLE: list[tuple[Call, object]] = [
    ("exchange", []),
    ("exchange", {}),
    ("exchange", {"access_token": 1}),
    ("graphql", []),
    ("graphql", {}),
    ("graphql", {"data": None}),
    ("graphql", {"data": {"shop": None, "currentAppInstallation": None}}),
]


@pytest.mark.parametrize(("call", "body"), UNREADABLE)
async def test_an_incomplete_response_is_an_outage(
    shared_app: RunningApp, new_shop_domain: str, call: Call, body: object
) -> None:
    shared_app.shopify.platform.faults[call].append(Fault(HttpResponse(200, body)))
    assert refusal(await post_installation(shared_app, new_shop_domain)) == (
        503,
        "SHOPIFY_UNAVAILABLE",
    )
    assert await rows(shared_app, new_shop_domain) == []


async def test_an_unnoticed_reinstall_gets_new_tokens(
    shared_app: RunningApp, new_shop_domain: str
) -> None:
    """The news of the removal is late, so the account looks open and its tokens alive."""
    await post_installation(shared_app, new_shop_domain)
    shared_app.shopify.uninstall(new_shop_domain)
    late = shared_app.shopify.payload(new_shop_domain, "app/uninstalled")
    shared_app.shopify.reinstall(new_shop_domain)
    assert (await post_installation(shared_app, new_shop_domain)).status_code == 200
    await assert_can_work_for(shared_app, new_shop_domain)
    ended = await process_webhook(shared_app, "app/uninstalled", late, shop=new_shop_domain)
    assert ended == ("ignored", "STILL_INSTALLED")


async def test_a_late_uninstall_does_not_prevent_a_reinstall(
    shared_app: RunningApp, new_shop_domain: str
) -> None:
    """It arrives after the app was taken again, and before anybody opened it."""
    await post_installation(shared_app, new_shop_domain)
    shared_app.shopify.uninstall(new_shop_domain)
    late = shared_app.shopify.payload(new_shop_domain, "app/uninstalled")
    shared_app.shopify.reinstall(new_shop_domain)
    assert (await process_webhook(shared_app, "app/uninstalled", late, shop=new_shop_domain))[
        0
    ] == "processed"
    answer = await shared_app.http.get("/v1/jobs", headers=shared_app.bearer(new_shop_domain))
    assert refusal(answer) == (401, "SHOP_NOT_INSTALLED")
    assert (await post_installation(shared_app, new_shop_domain)).status_code == 200
    await assert_can_work_for(shared_app, new_shop_domain)


async def test_a_session_token_reopens_a_locked_out_shop(
    shared_app: RunningApp, new_shop_domain: str
) -> None:
    await post_installation(shared_app, new_shop_domain)
    await lock_out(shared_app, new_shop_domain)
    with pytest.raises(NeedsReauth):
        await installed_shop(shared_app.database, shared_app.handler_context.admin, new_shop_domain)
    assert (await rows(shared_app, new_shop_domain))[0]["reauth_needed_at"] is not None
    assert (await post_installation(shared_app, new_shop_domain)).status_code == 200
    assert (await rows(shared_app, new_shop_domain))[0]["reauth_needed_at"] is None
    await assert_can_work_for(shared_app, new_shop_domain)


async def test_a_refused_session_token_leaves_the_shop_locked_out(
    shared_app: RunningApp, new_shop_domain: str
) -> None:
    await post_installation(shared_app, new_shop_domain)
    await lock_out(shared_app, new_shop_domain)
    with pytest.raises(NeedsReauth):
        await installed_shop(shared_app.database, shared_app.handler_context.admin, new_shop_domain)
    before = await fingerprint(shared_app, new_shop_domain)
    shared_app.shopify.uninstall(new_shop_domain)
    assert refusal(await post_installation(shared_app, new_shop_domain)) == (401, "UNAUTHENTICATED")
    assert await fingerprint(shared_app, new_shop_domain) == before


async def test_raised_scopes_apply_after_the_scopes_webhook(
    shared_app: RunningApp, new_shop_domain: str
) -> None:
    shared_app.shopify.set_scopes(new_shop_domain, {"read_files"})
    await post_installation(shared_app, new_shop_domain)
    shared_app.product(b"unread", shop=new_shop_domain)
    assert await process_webhook(shared_app, "products/create", shop=new_shop_domain) == (
        "ignored",
        "SCOPE_MISSING",
    )
    shared_app.shopify.set_scopes(new_shop_domain, {"read_files", "write_products"})
    await process_webhook(shared_app, "app/scopes_update", shop=new_shop_domain)
    assert (await process_webhook(shared_app, "products/create", shop=new_shop_domain))[
        0
    ] == "processed"


@pytest.mark.parametrize("heard", [True, False])
async def test_lowered_scopes_apply_even_before_the_scopes_webhook(
    shared_app: RunningApp, new_shop_domain: str, heard: bool
) -> None:
    await post_installation(shared_app, new_shop_domain)
    shared_app.product(b"unread", shop=new_shop_domain)
    shared_app.shopify.set_scopes(new_shop_domain, {"read_files"})
    if heard:
        await process_webhook(shared_app, "app/scopes_update", shop=new_shop_domain)
    ended = await process_webhook(shared_app, "products/create", shop=new_shop_domain)
    assert ended == (("ignored", "SCOPE_MISSING") if heard else ("failed", "SHOPIFY_REFUSED"))


@pytest.mark.parametrize("call", ["exchange", "graphql"])
async def test_a_shopify_outage_answers_503_with_retry_after(
    shared_app: RunningApp, new_shop_domain: str, call: Call
) -> None:
    shared_app.shopify.fail_next(call, 503)
    response = await post_installation(shared_app, new_shop_domain)
    assert refusal(response) == (503, "SHOPIFY_UNAVAILABLE")
    assert int(response.headers["retry-after"]) > 0
    assert (await post_installation(shared_app, new_shop_domain)).status_code == 200


async def test_a_throttled_installation_answers_503(
    shared_app: RunningApp, new_shop_domain: str
) -> None:
    shared_app.shopify.throttle_next()
    assert refusal(await post_installation(shared_app, new_shop_domain)) == (
        503,
        "SHOPIFY_UNAVAILABLE",
    )


async def test_a_failed_reinstallation_changes_nothing(
    shared_app: RunningApp, new_shop_domain: str
) -> None:
    await post_installation(shared_app, new_shop_domain)
    before = await fingerprint(shared_app, new_shop_domain)
    shared_app.shopify.fail_next("exchange", 503)
    assert (await post_installation(shared_app, new_shop_domain)).status_code == 503
    assert await fingerprint(shared_app, new_shop_domain) == before


async def test_a_reinstallation_that_fails_after_the_exchange_keeps_the_new_tokens(
    shared_app: RunningApp, new_shop_domain: str
) -> None:
    """The exchange has retired the old ones; everything else stays."""
    await post_installation(shared_app, new_shop_domain)
    (before,) = await rows(shared_app, new_shop_domain)
    shared_app.shopify.fail_next("graphql", 503)
    assert (await post_installation(shared_app, new_shop_domain)).status_code == 503
    (after,) = await rows(shared_app, new_shop_domain)
    changed = {name for name in after if after[name] != before[name]}
    assert changed == {"access_token", "access_token_expires_at", "refresh_token"}
    await assert_can_work_for(shared_app, new_shop_domain)
