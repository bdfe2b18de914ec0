"""`app/uninstalled` and `app/scopes_update`: Shopify itself is asked whether it is so."""

import asyncio
from typing import Any

import pytest

from backend.dev.shopify import payloads
from backend.dev.shopify.state import Call
from backend.jobs.timeline import Fenced
from backend.worker.deliver import handle_delivery
from tests.doors import (
    begun_job,
    called,
    end_token,
    fingerprint,
    finished_job,
    handled,
    make_stage,
    sent,
    waiting_job,
)
from tests.world import OTHER_SHOP, World

UNINSTALLED = "app/uninstalled"


async def row(house: World, shop: str) -> dict[str, Any]:
    """The shop's own row."""
    return (await house.rows("SELECT * FROM shops WHERE domain = :d", d=shop))[0]


async def timeline(house: World, public_id: str) -> list[tuple[int, str]]:
    """The numbers and types of a job's events."""
    rows = await house.rows(
        "SELECT seq, event_type FROM job_events WHERE job_id = :id ORDER BY seq", id=public_id
    )
    return [(each["seq"], each["event_type"]) for each in rows]


async def test_a_removed_apps_account_is_closed_and_its_tokens_forgotten(
    house: World, shop: str
) -> None:
    house.shopify.uninstall(shop)
    assert await handled(house, UNINSTALLED, shop=shop) == ("processed", "UNINSTALLED")
    closed = await row(house, shop)
    assert closed["status"] == "uninstalled"
    assert closed["uninstalled_at"] is not None
    secrets = ("access_token", "access_token_expires_at", "refresh_token")
    assert [closed[name] for name in secrets] == [None] * 3
    assert (await house.detail("x", shop=shop)).json()["error"]["code"] == "SHOP_NOT_INSTALLED"


async def test_unfinished_jobs_end_with_one_event_and_finished_ones_stay(
    house: World, shop: str
) -> None:
    waiting = await waiting_job(house, shop=shop)
    running = await begun_job(house, shop=shop)
    await make_stage(house, running, "fetch")
    finished, _ = await finished_job(house, shop=shop)
    house.shopify.uninstall(shop)
    await handled(house, UNINSTALLED, shop=shop)
    assert await timeline(house, waiting.public_id) == [(1, "queued"), (2, "failed")]
    assert await timeline(house, running.ref.public_id) == [
        (1, "queued"),
        (2, "stage"),
        (3, "failed"),
    ]
    assert (await timeline(house, finished.public_id))[-1][1] == "succeeded"
    codes = await house.rows(
        "SELECT extra #>> '{error,code}' AS code FROM job_events WHERE event_type = 'failed' "
        "AND shop_id = :s",
        s=waiting.shop_id,
    )
    assert [each["code"] for each in codes] == ["SHOP_UNINSTALLED"] * 2


async def test_a_worker_in_the_middle_of_a_job_of_a_removed_app_can_write_no_more(
    house: World, shop: str
) -> None:
    running = await begun_job(house, shop=shop)
    house.shopify.uninstall(shop)
    await handled(house, UNINSTALLED, shop=shop)
    with pytest.raises(Fenced):
        await make_stage(house, running, "fetch")


async def test_other_shops_notice_nothing(house: World, shop: str) -> None:
    await house.install(OTHER_SHOP)
    await waiting_job(house, shop=OTHER_SHOP)
    before = await fingerprint(house, OTHER_SHOP)
    house.shopify.uninstall(shop)
    await handled(house, UNINSTALLED, shop=shop)
    assert await fingerprint(house, OTHER_SHOP) == before


async def test_shopifys_own_sample_with_its_nulls_closes_the_account(
    house: World, shop: str
) -> None:
    house.shopify.uninstall(shop)
    record = house.shopify.platform.shops[shop]
    payload = payloads.app_uninstalled(record, null_domains=True)
    assert await handled(house, UNINSTALLED, payload, shop=shop) == ("processed", "UNINSTALLED")


async def test_a_second_copy_finds_the_account_closed(house: World, shop: str) -> None:
    house.shopify.uninstall(shop)
    await handled(house, UNINSTALLED, shop=shop)
    before = await fingerprint(house, shop)
    assert await handled(house, UNINSTALLED, shop=shop) == ("ignored", "SHOP_NOT_INSTALLED")
    assert await fingerprint(house, shop) == before


async def test_a_token_that_has_run_out_does_not_keep_a_removed_apps_account_open(
    house: World, shop: str
) -> None:
    await end_token(house, shop)
    house.shopify.uninstall(shop)
    assert await handled(house, UNINSTALLED, shop=shop) == ("processed", "UNINSTALLED")


async def test_while_the_token_lives_nothing_is_closed(house: World, shop: str) -> None:
    await waiting_job(house, shop=shop)
    before = await fingerprint(house, shop)
    assert await handled(house, UNINSTALLED, shop=shop) == ("ignored", "STILL_INSTALLED")
    assert await fingerprint(house, shop) == before


async def test_an_uninstall_that_arrives_after_the_reinstall_is_ignored(
    house: World, shop: str
) -> None:
    house.shopify.uninstall(shop)
    late = house.shopify.payload(shop, UNINSTALLED)
    house.shopify.reinstall(shop)
    await house.install(shop)
    before = await fingerprint(house, shop)
    assert await handled(house, UNINSTALLED, late, shop=shop) == ("ignored", "STILL_INSTALLED")
    assert await fingerprint(house, shop) == before


async def test_a_reinstall_while_shopify_is_being_asked_stays_installed(
    house: World, shop: str
) -> None:
    house.shopify.uninstall(shop)
    asked = house.shopify.calls["graphql"] + 1
    house.shopify.platform.latency = 1.0
    handling = asyncio.create_task(handled(house, UNINSTALLED, shop=shop))
    await called(house, "graphql", asked)
    house.shopify.platform.latency = 0.0
    house.shopify.reinstall(shop)
    await house.install(shop)  # overtakes the question, which is answered for the old token
    await handling
    assert (await row(house, shop))["status"] == "installed"


@pytest.mark.parametrize("call", ["graphql", "refresh"])
@pytest.mark.parametrize("status", [401, 402, 403, 404, 423])
async def test_a_shop_that_says_it_leaves_and_opens_no_more_has_left(
    house: World, shop: str, call: Call, status: int
) -> None:
    if call == "refresh":
        await end_token(house, shop)
    is_asked_again = status == 401 and call == "graphql"  # with a new token
    house.shopify.fail_next(call, status, 1 + is_asked_again)
    assert await handled(house, UNINSTALLED, shop=shop) == ("processed", "UNINSTALLED")
    assert (await row(house, shop))["status"] == "uninstalled"


@pytest.mark.parametrize("call", ["graphql", "refresh"])
async def test_a_page_in_html_that_says_404_is_a_shop_that_has_left(
    house: World, shop: str, call: Call
) -> None:
    if call == "refresh":
        await end_token(house, shop)
    house.shopify.answer_next_with_a_page(call, 404)
    assert await handled(house, UNINSTALLED, shop=shop) == ("processed", "UNINSTALLED")


async def test_a_body_that_names_another_shop_than_its_header_is_ignored(
    house: World, shop: str
) -> None:
    house.shopify.uninstall(shop)
    own_id = house.shopify.platform.shops[shop].number
    for foreign in ({"id": own_id, "myshopify_domain": OTHER_SHOP}, {"id": 1}):
        assert await handled(house, UNINSTALLED, foreign, shop=shop) == ("ignored", "SHOP_MISMATCH")
    assert (await row(house, shop))["status"] == "installed"


async def test_while_shopify_cannot_say_nothing_is_closed_and_it_is_asked_again(
    house: World, shop: str
) -> None:
    house.shopify.uninstall(shop)
    house.shopify.fail_next("graphql", 503)
    ref = await sent(house, UNINSTALLED, shop=shop)
    assert await handle_delivery(ref, house.desk, 0) is not None
    assert (await row(house, shop))["status"] == "installed"
    assert await handle_delivery(ref, house.desk, 1) is None
    assert (await row(house, shop))["status"] == "uninstalled"


@pytest.mark.parametrize("current", [["read_products"], "read_products,write_orders", None, []])
async def test_scopes_are_read_from_shopify_whatever_the_body_says(
    house: World, shop: str, current: object
) -> None:
    house.shopify.set_scopes(shop, {"read_products", "write_files"})
    gid = house.shopify.platform.shops[shop].gid
    payload = {"id": 1, "shop_id": gid, "previous": None, "current": current}
    ended = await handled(house, "app/scopes_update", payload, shop=shop)
    assert ended == ("processed", "SCOPES_UPDATED")
    assert (await row(house, shop))["scopes"] == "read_products,write_files"
