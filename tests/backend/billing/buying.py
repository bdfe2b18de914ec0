"""How a merchant buys, for the tests of billing; and what the ledger has then."""

from typing import Any

from backend.billing.sync import sync_billing
from tests.running_app import RunningApp

PACKS = {"pack-100": 100, "pack-1000": 1000}


async def order(app: RunningApp, shop: str, path: str, **body: str) -> Any:
    """The answer to an order."""
    return await app.http.post(path, headers=app.bearer(shop), json=body)


async def ordered(app: RunningApp, shop: str, *, plan: str = "", pack: str = "") -> str:
    """The global ID of a charge that is not approved yet."""
    path, body = ("/v1/subscription", {"plan": plan}) if plan else ("/v1/purchases", {"pack": pack})
    response = await order(app, shop, path, **body)
    assert response.status_code == 201, response.text
    assert response.json()["confirmation_url"].startswith(app.shopify.origin)
    return app.shopify.latest_charge(shop).gid


async def bought(app: RunningApp, shop: str, *, plan: str = "", pack: str = "") -> str:
    """The global ID of a charge that the merchant has approved; nothing is granted yet."""
    gid = await ordered(app, shop, plan=plan, pack=pack)
    app.shopify.approve_charge(shop, gid)
    return gid


async def read_billing(app: RunningApp, shop: str) -> int:
    """Read Shopify as a worker does; how many lots are new."""
    context = app.worker_context
    return await sync_billing(
        context.database, context.admin, context.prices, shop, partner=context.partner
    )


async def lots(app: RunningApp, shop: str) -> list[tuple[str, int]]:
    """Source and amount of each grant, in their order."""
    rows = await app.rows(
        "SELECT source, amount FROM credit_grants JOIN shops ON shops.id = shop_id "
        "WHERE domain = :d ORDER BY credit_grants.id",
        d=shop,
    )
    return [(row["source"], row["amount"]) for row in rows]


async def purchases(app: RunningApp, shop: str) -> list[dict[str, Any]]:
    """The shop's rows, the oldest first."""
    return await app.rows(
        "SELECT purchases.* FROM purchases JOIN shops ON shops.id = shop_id "
        "WHERE domain = :d ORDER BY purchases.id",
        d=shop,
    )


async def pass_months(app: RunningApp, shop: str, days: int) -> None:
    """Have so many days pass: what is stored, and what Shopify has, moves into the past."""
    for table, column in (
        ("plan_periods", "ends_at"),
        ("subscriptions", "period_end"),
        ("credit_grants", "expires_at"),
    ):
        await app.execute(
            f"UPDATE {table} SET {column} = {column} - make_interval(days => :days) "
            "FROM shops WHERE shops.id = shop_id AND domain = :d",
            days=days,
            d=shop,
        )
    app.shopify.charges_age(shop, days)
    app.shopify.contract_ages(shop, days)
