"""`POST /v1/installation`: a session token becomes an account with a token that lasts."""

import asyncio
import uuid
from datetime import timedelta
from typing import Any

import httpx
import pytest

from backend.dev.shopify.state import Answer, Call, Fault
from backend.shops.tokens import NeedsReauth, installed_shop
from tests.doors import called, end_token, fingerprint, finished_job, handled, lock_out, refusal
from tests.world import World

RETRY = "x-shopify-retry-invalid-session-request"


@pytest.fixture
def newcomer(house: World) -> str:
    """The domain of a shop whose merchant has just opened the app."""
    domain = f"shop-{uuid.uuid4().hex[:12]}.myshopify.com"
    house.shopify.create_shop(domain)
    return domain


async def installation(house: World, shop: str) -> httpx.Response:
    """What the embedded page does."""
    return await house.http.post("/v1/installation", headers=house.bearer(shop))


async def rows(house: World, shop: str) -> list[dict[str, Any]]:
    """The shop's row, if there is one."""
    return await house.rows("SELECT * FROM shops WHERE domain = :d", d=shop)


async def assert_can_work_for(house: World, shop: str) -> None:
    """The stored tokens open the shop now, and can be renewed."""
    for left in (timedelta(hours=1), timedelta(0)):
        await end_token(house, shop, left)
        found = await installed_shop(house.database, house.desk.admin, shop)
        assert found is not None
        await house.desk.admin.installation(shop, found.access_token)


async def test_an_installation_opens_an_account_and_tells_no_token(
    house: World, newcomer: str
) -> None:
    response = await installation(house, newcomer)
    assert response.status_code == 200
    assert response.json()["shop"] == newcomer
    assert sorted(response.json()["scopes"]) == ["write_files", "write_products"]
    (row,) = await rows(house, newcomer)
    assert row["status"] == "installed"
    assert row["shopify_gid"] == house.shopify.platform.shops[newcomer].gid
    assert "shpat_" not in response.text
    assert "shprt_" not in response.text
    await assert_can_work_for(house, newcomer)


async def test_a_shop_that_has_granted_nothing_has_no_scopes(house: World, newcomer: str) -> None:
    house.shopify.set_scopes(newcomer, [])
    assert (await installation(house, newcomer)).json() == {"shop": newcomer, "scopes": []}


async def test_an_installation_can_be_repeated(house: World, newcomer: str) -> None:
    answers = [await installation(house, newcomer) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200] * 3
    assert len(await rows(house, newcomer)) == 1
    await assert_can_work_for(house, newcomer)


async def test_a_shop_that_comes_back_finds_its_jobs(house: World, newcomer: str) -> None:
    await installation(house, newcomer)
    ref, _ = await finished_job(house, shop=newcomer)
    await house.execute(
        "UPDATE shops SET status = 'uninstalled', access_token = NULL, refresh_token = NULL, "
        "access_token_expires_at = NULL, uninstalled_at = now() WHERE domain = :d",
        d=newcomer,
    )
    assert (await installation(house, newcomer)).status_code == 200
    assert (await rows(house, newcomer))[0]["uninstalled_at"] is None
    assert (await house.detail(ref.public_id, shop=newcomer)).status_code == 200
    await assert_can_work_for(house, newcomer)


async def test_two_tabs_that_install_at_once_leave_tokens_that_work(
    house: World, newcomer: str
) -> None:
    """Each exchange retires the other's refresh token; the one that is stored must be alive."""
    platform, calls = house.shopify.platform, house.shopify.calls.copy()
    slow = asyncio.create_task(installation(house, newcomer))
    await called(house, "exchange", calls["exchange"] + 1)
    platform.latency = 1.0
    await called(house, "graphql", calls["graphql"] + 1)
    platform.latency = 0.0
    assert (await installation(house, newcomer)).status_code == 200  # overtakes the slow one
    assert (await slow).status_code == 200
    await assert_can_work_for(house, newcomer)


async def test_a_token_that_shopify_does_not_honour_asks_for_a_fresh_one(
    house: World, newcomer: str
) -> None:
    house.shopify.uninstall(newcomer)
    response = await installation(house, newcomer)
    assert refusal(response) == (401, "UNAUTHENTICATED")
    assert response.headers[RETRY] == "1"
    assert await rows(house, newcomer) == []


@pytest.mark.parametrize("status", [401, 402, 403, 404, 423, 429, 430, 500, 503])
@pytest.mark.parametrize("call", ["exchange", "graphql"])
async def test_whatever_shopify_answers_is_never_an_error_of_ours(
    house: World, newcomer: str, call: Call, status: int
) -> None:
    house.shopify.fail_next(call, status)
    response = await installation(house, newcomer)
    assert refusal(response)[0] in {401, 503}
    assert await rows(house, newcomer) == []


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
async def test_an_answer_that_lacks_what_it_should_have_is_an_outage(
    house: World, newcomer: str, call: Call, body: object
) -> None:
    house.shopify.platform.faults[call].append(Fault(Answer(200, body)))
    assert refusal(await installation(house, newcomer)) == (503, "SHOPIFY_UNAVAILABLE")
    assert await rows(house, newcomer) == []


async def test_a_shop_that_removed_the_app_and_took_it_again_unheard_gets_new_tokens(
    house: World, newcomer: str
) -> None:
    """The news of the removal is late, so the account looks open and its tokens alive."""
    await installation(house, newcomer)
    house.shopify.uninstall(newcomer)
    late = house.shopify.payload(newcomer, "app/uninstalled")
    house.shopify.reinstall(newcomer)
    assert (await installation(house, newcomer)).status_code == 200
    await assert_can_work_for(house, newcomer)
    ended = await handled(house, "app/uninstalled", late, shop=newcomer)
    assert ended == ("ignored", "STILL_INSTALLED")


async def test_the_late_news_of_a_removal_does_not_keep_a_shop_from_coming_back(
    house: World, newcomer: str
) -> None:
    """It arrives after the app was taken again, and before anybody opened it."""
    await installation(house, newcomer)
    house.shopify.uninstall(newcomer)
    late = house.shopify.payload(newcomer, "app/uninstalled")
    house.shopify.reinstall(newcomer)
    assert (await handled(house, "app/uninstalled", late, shop=newcomer))[0] == "processed"
    answer = await house.http.get("/v1/jobs", headers=house.bearer(newcomer))
    assert refusal(answer) == (401, "SHOP_NOT_INSTALLED")
    assert (await installation(house, newcomer)).status_code == 200
    await assert_can_work_for(house, newcomer)


async def test_a_shop_that_no_token_opens_any_more_is_opened_by_a_session_token(
    house: World, newcomer: str
) -> None:
    await installation(house, newcomer)
    await lock_out(house, newcomer)
    with pytest.raises(NeedsReauth):
        await installed_shop(house.database, house.desk.admin, newcomer)
    assert (await rows(house, newcomer))[0]["reauth_needed_at"] is not None
    assert (await installation(house, newcomer)).status_code == 200
    assert (await rows(house, newcomer))[0]["reauth_needed_at"] is None
    await assert_can_work_for(house, newcomer)


async def test_a_session_token_that_shopify_refuses_leaves_the_shop_locked_out(
    house: World, newcomer: str
) -> None:
    await installation(house, newcomer)
    await lock_out(house, newcomer)
    with pytest.raises(NeedsReauth):
        await installed_shop(house.database, house.desk.admin, newcomer)
    before = await fingerprint(house, newcomer)
    house.shopify.uninstall(newcomer)
    assert refusal(await installation(house, newcomer)) == (401, "UNAUTHENTICATED")
    assert await fingerprint(house, newcomer) == before


async def test_raised_scopes_count_as_soon_as_shopify_tells_of_them(
    house: World, newcomer: str
) -> None:
    house.shopify.set_scopes(newcomer, {"read_files"})
    await installation(house, newcomer)
    house.product(b"unread", shop=newcomer)
    assert await handled(house, "products/create", shop=newcomer) == ("ignored", "SCOPE_MISSING")
    house.shopify.set_scopes(newcomer, {"read_files", "write_products"})
    await handled(house, "app/scopes_update", shop=newcomer)
    assert (await handled(house, "products/create", shop=newcomer))[0] == "processed"


@pytest.mark.parametrize("heard", [True, False])
async def test_lowered_scopes_count_even_before_shopify_tells_of_them(
    house: World, newcomer: str, heard: bool
) -> None:
    await installation(house, newcomer)
    house.product(b"unread", shop=newcomer)
    house.shopify.set_scopes(newcomer, {"read_files"})
    if heard:
        await handled(house, "app/scopes_update", shop=newcomer)
    ended = await handled(house, "products/create", shop=newcomer)
    assert ended == (("ignored", "SCOPE_MISSING") if heard else ("failed", "SHOPIFY_REFUSED"))


@pytest.mark.parametrize("call", ["exchange", "graphql"])
async def test_while_shopify_is_away_the_page_is_asked_to_come_back(
    house: World, newcomer: str, call: Call
) -> None:
    house.shopify.fail_next(call, 503)
    response = await installation(house, newcomer)
    assert refusal(response) == (503, "SHOPIFY_UNAVAILABLE")
    assert int(response.headers["retry-after"]) > 0
    assert (await installation(house, newcomer)).status_code == 200


async def test_a_throttled_installation_is_asked_to_come_back(house: World, newcomer: str) -> None:
    house.shopify.throttle_next()
    assert refusal(await installation(house, newcomer)) == (503, "SHOPIFY_UNAVAILABLE")


async def test_a_failed_repetition_leaves_the_account_as_it_was(
    house: World, newcomer: str
) -> None:
    await installation(house, newcomer)
    before = await fingerprint(house, newcomer)
    house.shopify.fail_next("exchange", 503)
    assert (await installation(house, newcomer)).status_code == 503
    assert await fingerprint(house, newcomer) == before


async def test_a_repetition_that_fails_after_the_exchange_keeps_the_new_tokens(
    house: World, newcomer: str
) -> None:
    """The exchange has retired the old ones; everything else stays."""
    await installation(house, newcomer)
    (before,) = await rows(house, newcomer)
    house.shopify.fail_next("graphql", 503)
    assert (await installation(house, newcomer)).status_code == 503
    (after,) = await rows(house, newcomer)
    changed = {name for name in after if after[name] != before[name]}
    assert changed == {"access_token", "access_token_expires_at", "refresh_token"}
    await assert_can_work_for(house, newcomer)
