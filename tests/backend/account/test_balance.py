"""`GET /v1/credits`: what the shop may spend, what is held, and its lots."""

from datetime import UTC, datetime, timedelta
from typing import Any

from tests.backend.account.paid_jobs import failed, paid_job, succeeded
from tests.backend.credits.ledger import grant
from tests.running_app import RunningApp
from tests.scenarios import refusal


async def credits_of(app: RunningApp, shop: str) -> dict[str, Any]:
    """The answer."""
    answer = await app.http.get("/v1/credits", headers=app.bearer(shop))
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_a_new_shop_has_no_credits(shared_app: RunningApp, shop: str) -> None:
    assert await credits_of(shared_app, shop) == {
        "available": 0,
        "held": 0,
        "unlimited": False,
        "lots": [],
        "plan": None,
    }


async def test_the_balance_follows_the_jobs(shared_app: RunningApp, shop: str) -> None:
    await grant(shared_app, shop, 5)
    await succeeded(shared_app, shop)
    await failed(shared_app, shop)
    await paid_job(shared_app, shop)
    found = await credits_of(shared_app, shop)
    assert (found["available"], found["held"]) == (3, 1)
    assert [lot["remaining"] for lot in found["lots"]] == [3]


async def test_lots_are_in_the_order_in_which_they_are_spent(
    shared_app: RunningApp, shop: str
) -> None:
    soon, later = (datetime.now(UTC) + timedelta(days=days) for days in (1, 2))
    await grant(shared_app, shop, 1, source="manual")
    await grant(shared_app, shop, 2, source="pack", expires_at=later)
    await grant(shared_app, shop, 3, source="pack", expires_at=soon)
    await grant(shared_app, shop, 4, source="plan", expires_at=later)
    await grant(shared_app, shop, 5, source="trial")
    found = await credits_of(shared_app, shop)
    assert found["available"] == 15
    assert [(lot["source"], lot["remaining"]) for lot in found["lots"]] == [
        ("trial", 5),
        ("plan", 4),
        ("pack", 3),
        ("pack", 2),
        ("manual", 1),
    ]
    assert datetime.fromisoformat(found["lots"][2]["expires_at"]) == soon
    assert found["lots"][4]["expires_at"] is None
    for _ in range(5):
        await paid_job(shared_app, shop)
    assert (await credits_of(shared_app, shop))["lots"][0]["source"] == "plan", "as jobs take them"


async def test_lots_that_have_expired_do_not_count(shared_app: RunningApp, shop: str) -> None:
    await grant(shared_app, shop, 2)
    await grant(shared_app, shop, 9, source="plan", expires_at=datetime.now(UTC))
    found = await credits_of(shared_app, shop)
    assert found["available"] == 2
    assert [lot["source"] for lot in found["lots"]] == ["manual"]


async def test_the_plan_is_the_subscription_that_shopify_told_of(
    shared_app: RunningApp, shop: str
) -> None:
    await shared_app.execute(
        "UPDATE subscriptions SET handle = 'studio', name = 'Studio', status = 'FROZEN', "
        "period_end = '2100-01-01' WHERE shop_id = (SELECT id FROM shops WHERE domain = :d)",
        d=shop,
    )
    found = await credits_of(shared_app, shop)
    assert (found["available"], found["lots"]) == (0, [])
    assert found["plan"] == {
        "handle": "studio",
        "name": "Studio",
        "status": "FROZEN",
        "period_end": "2100-01-01T00:00:00Z",
    }
    await shared_app.execute(
        "UPDATE subscriptions SET handle = NULL, name = NULL, status = NULL, period_end = NULL "
        "WHERE shop_id = (SELECT id FROM shops WHERE domain = :d)",
        d=shop,
    )
    assert (await credits_of(shared_app, shop))["plan"] is None


async def test_without_billing_credits_are_unlimited(free_app: RunningApp) -> None:
    await free_app.install("no-bills.myshopify.com")
    assert (await credits_of(free_app, "no-bills.myshopify.com"))["unlimited"] is True


async def test_the_balance_of_an_unknown_shop_is_a_401(shared_app: RunningApp) -> None:
    unknown = "no-balance.myshopify.com"
    shared_app.shopify.create_shop(unknown)
    for path in ("/v1/credits", "/v1/transactions", "/v1/transactions?kind=purchases"):
        answer = await shared_app.http.get(path, headers=shared_app.bearer(unknown))
        assert refusal(answer) == (401, "SHOP_NOT_INSTALLED")
