"""`GET /v1/transactions`: what jobs cost, and where credits came from."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from backend.credits.lots import expire_lots, void_lot
from tests.backend.account.paid_jobs import failed, paid_job, succeeded
from tests.backend.credits.ledger import balance, grant, id_of
from tests.running_app import RunningApp
from tests.scenarios import refusal


async def get_page(shared_app: RunningApp, shop: str, query: str = "") -> httpx.Response:
    """One page."""
    answer = await shared_app.http.get(f"/v1/transactions{query}", headers=shared_app.bearer(shop))
    assert answer.status_code == 200, answer.text
    return answer


async def all_items(shared_app: RunningApp, shop: str, kind: str) -> list[dict[str, Any]]:
    """The items of all pages, two by two, along the links."""
    found, query = [], f"?kind={kind}&limit=2"
    while True:
        answer = await get_page(shared_app, shop, query)
        assert answer.json()["count"] == len(answer.json()["items"])
        found += answer.json()["items"]
        if "next" not in answer.links:
            return found
        query = "?" + answer.links["next"]["url"].partition("?")[2]


async def test_each_job_is_one_operation_with_its_outcome(
    shared_app: RunningApp, shop: str
) -> None:
    await grant(shared_app, shop, 10)
    good = await succeeded(shared_app, shop)
    bad = await failed(shared_app, shop)
    running = await paid_job(shared_app, shop)
    items = await all_items(shared_app, shop, "spend")
    assert [(each["id"], each["status"], each["credits_delta"]) for each in items] == [
        (running.public_id, "PENDING", -1),
        (bad.public_id, "REFUNDED", 0),
        (good.public_id, "SUCCESS", -1),
    ]
    assert {(each["kind"], each["label"]) for each in items} == {("operation", "catalog-image")}


async def test_a_job_that_was_deleted_is_still_listed(shared_app: RunningApp, shop: str) -> None:
    await grant(shared_app, shop, 1)
    ref = await succeeded(shared_app, shop)
    await shared_app.execute("DELETE FROM jobs WHERE public_id = :id", id=ref.public_id)
    [item] = await all_items(shared_app, shop, "spend")
    assert (item["id"], item["label"], item["credits_delta"]) == (ref.public_id, None, -1)


async def test_purchases_list_grants_and_what_became_of_them(
    shared_app: RunningApp, shop: str
) -> None:
    await grant(shared_app, shop, 7, source="plan", expires_at=datetime.now(UTC))
    await grant(shared_app, shop, 5, source="pack", ref="charge-1")
    await grant(shared_app, shop, 5, source="pack", ref="charge-1")
    await grant(shared_app, shop, 1, source="trial")
    await grant(shared_app, shop, 2, source="manual", ref="ticket-1")
    await shared_app.execute(
        "UPDATE credit_grants SET reason = 'Sorry for the wait' WHERE ref = 'ticket-1'"
    )
    await paid_job(shared_app, shop)
    shop_id = await id_of(shared_app, shop)
    async with shared_app.database.transaction(shop) as connection:
        await expire_lots(connection, shop_id)
        await void_lot(connection, shop_id, source="pack", ref="charge-1")
    items = await all_items(shared_app, shop, "purchases")
    assert [
        (each["kind"], each["status"], each["credits_delta"], each["label"]) for each in items
    ] == [
        ("pack", "REFUNDED", -5, None),
        ("subscription", "EXPIRED", -7, None),
        ("manual", "PURCHASED", 2, "Sorry for the wait"),
        ("trial", "PURCHASED", 1, None),
        ("pack", "PURCHASED", 5, None),
        ("subscription", "PURCHASED", 7, None),
    ]
    assert len({each["id"] for each in items}) == 6


async def test_a_pack_has_the_name_under_which_it_was_bought(
    shared_app: RunningApp, shop: str
) -> None:
    await shared_app.execute(
        "INSERT INTO purchases (shop_id, id, kind, handle, label, name, credits, price, currency, "
        "charge_gid) SELECT id, 'p_1', 'pack', 'pack-100', '100 credits', '100 credits p_1', 100, "
        "9, 'USD', 'gid://1' FROM shops WHERE domain = :d",
        d=shop,
    )
    await grant(shared_app, shop, 100, source="pack", ref="gid://1")
    [item] = await all_items(shared_app, shop, "purchases")
    assert (item["kind"], item["label"]) == ("pack", "100 credits")


async def test_both_lists_add_up_to_what_is_available(shared_app: RunningApp, shop: str) -> None:
    soon = datetime.now(UTC) + timedelta(seconds=1)
    await grant(shared_app, shop, 4, source="plan", expires_at=soon)
    await grant(shared_app, shop, 3)
    for end in (succeeded, failed, paid_job):
        await end(shared_app, shop)
    await shared_app.execute(
        "UPDATE credit_grants SET expires_at = now() WHERE source = 'plan' AND shop_id = :id",
        id=await id_of(shared_app, shop),
    )
    async with shared_app.database.transaction(shop) as connection:
        await expire_lots(connection, await id_of(shared_app, shop))
    changes = [
        each["credits_delta"]
        for kind in ("spend", "purchases")
        for each in await all_items(shared_app, shop, kind)
    ]
    assert sum(changes) == (await balance(shared_app, shop))[0] == 3


@pytest.mark.parametrize(
    "query",
    [
        "?kind=all",
        "?kind=null",
        "?limit=0",
        "?limit=201",
        "?cursor=x",
        "?cursor=12",
        "?cursor=",
        "?kind=purchases&cursor=01K00000000000000000000000",
        "?kind=purchases&cursor=99999999999999999999",
        "?offset=1",
    ],
)
async def test_an_invalid_list_is_refused(shared_app: RunningApp, shop: str, query: str) -> None:
    answer = await shared_app.http.get(f"/v1/transactions{query}", headers=shared_app.bearer(shop))
    assert refusal(answer) == (422, "INVALID_REQUEST")
