"""A shop's account: its installation, settings, overview, credits and purchases."""

from dataclasses import replace

import httpx
import msgspec

from backend.credits.grants import grant_credits
from backend.dev.transport import NO_TLS, LoopbackShopify
from backend.jobs.service import JobRef, request_job
from backend.settings import UNLIMITED
from backend.shops.service import installed_id
from backend.workflows.catalog_image import CATALOG_IMAGE
from tests.prepaid_apps import SELLING
from tests.running_app import OTHER_SHOP, SHOP, RunningApp, serve_app
from tests.scenarios import (
    finished_job,
)
from tests.security.tenant_checks.callers import PRODUCT, RouteCase


async def an_installation_is_its_shops_alone(
    shared_app: RunningApp, _others: list[JobRef], ask: RouteCase
) -> None:
    """The token's shop is the one that is installed."""
    assert (await ask(shared_app, "POST", "/v1/installation")).json()["shop"] == SHOP


async def settings_are_its_shops_alone(
    shared_app: RunningApp, _others: list[JobRef], ask: RouteCase
) -> None:
    """To read and to change."""
    wanted = {"rules": [{"workflow": "catalog-image"}], "daily_credit_cap": 7}
    theirs = await shared_app.http.get("/v1/settings", headers=shared_app.bearer(OTHER_SHOP))
    assert (await ask(shared_app, "PUT", "/v1/settings", wanted)).status_code == 200
    assert (await ask(shared_app, "GET", "/v1/settings")).json()["daily_credit_cap"] == 7
    after = await shared_app.http.get("/v1/settings", headers=shared_app.bearer(OTHER_SHOP))
    assert after.json() == theirs.json()
    assert after.json()["daily_credit_cap"] != 7


async def an_overview_is_its_shops_alone(
    shared_app: RunningApp, _others: list[JobRef], ask: RouteCase
) -> None:
    """Its numbers are those of its own jobs, and so is its setup guide."""
    theirs = await shared_app.http.get("/v1/overview", headers=shared_app.bearer(OTHER_SHOP))
    for method, dismissed in (("DELETE", False), ("POST", True)):
        await ask(shared_app, method, "/v1/overview/setup-dismissal")
        found = (await ask(shared_app, "GET", "/v1/overview")).json()
        assert found["setup"]["dismissed"] is dismissed
    [counted] = await shared_app.rows(
        "SELECT count(*) FILTER (WHERE status = 'FAILURE') AS failed, "
        "count(*) FILTER (WHERE status IN ('NOT_STARTED', 'IN_PROGRESS')) AS running, "
        "count(*) FILTER (WHERE review = 'WAITING' AND status = 'SUCCESS' "
        "AND origin <> 'storefront') AS waiting "
        "FROM jobs WHERE shop_id = (SELECT id FROM shops WHERE domain = :d)",
        d=SHOP,
    )
    assert {name: found[name] for name in counted} == counted
    after = await shared_app.http.get("/v1/overview", headers=shared_app.bearer(OTHER_SHOP))
    assert after.json() == theirs.json()


async def usage_is_its_shops_alone(
    shared_app: RunningApp, _others: list[JobRef], ask: RouteCase
) -> None:
    """It counts the shop's own jobs."""
    await finished_job(shared_app)
    [own] = await shared_app.rows(
        "SELECT count(*) AS jobs FROM jobs WHERE status = 'SUCCESS' "
        "AND shop_id = (SELECT id FROM shops WHERE domain = :d)",
        d=SHOP,
    )
    found = (await ask(shared_app, "GET", "/v1/usage")).json()["days"]
    assert sum(each["jobs"] for each in found) == own["jobs"]


async def credits_are_its_shops_alone(
    shared_app: RunningApp, _others: list[JobRef], ask: RouteCase
) -> None:
    """Its balance, its lots and its transactions, also from a cursor that is the other's."""
    own = await prepaid_job(shared_app, SHOP, 30)
    found = (await ask(shared_app, "GET", "/v1/credits")).json()
    assert found["available"] + found["held"] == 30
    theirs = await shared_app.rows(
        "SELECT job_id FROM credit_entries e JOIN shops s ON s.id = e.shop_id "
        "WHERE s.domain = :d AND kind = 'hold'",
        d=OTHER_SHOP,
    )
    foreign = {row["job_id"] for row in theirs}
    for query in ("", f"&cursor={max(foreign)}"):
        answer = await ask(shared_app, "GET", f"/v1/transactions?kind=spend&limit=200{query}")
        ids = {item["id"] for item in answer.json()["items"]}
        assert foreign and foreign.isdisjoint(ids)
        assert query or own.public_id in ids
    answer = await ask(shared_app, "GET", "/v1/transactions?kind=purchases&limit=200")
    assert sum(item["credits_delta"] for item in answer.json()["items"]) == 30


async def prepaid_job(shared_app: RunningApp, shop: str, amount: int) -> JobRef:
    """A job that holds its price from a grant of that many credits, which the shop gets once."""
    async with shared_app.database.transaction(shop) as connection:
        shop_id = await installed_id(connection, shop)
        await grant_credits(
            connection, shop_id, source="manual", ref="once", amount=amount, expires_at=None
        )
        ref = await request_job(
            connection,
            CATALOG_IMAGE,
            shop_id=shop_id,
            request=PRODUCT,
            origin="api",
            quotas=msgspec.structs.replace(UNLIMITED, prepaid=True),
        )
    assert ref is not None
    return ref


async def a_purchase_is_its_shops_alone(
    shared_app: RunningApp, _others: list[JobRef], ask: RouteCase
) -> None:
    """Whose plan is shown, and whose account an order is for."""
    settings = msgspec.structs.replace(shared_app.settings, **SELLING)
    asked = {"/v1/subscription": {"plan": "studio"}, "/v1/purchases": {"pack": "pack-100"}}
    async with (
        serve_app(settings, LoopbackShopify(shared_app.shopify.origin)) as url,
        httpx.AsyncClient(base_url=url, verify=NO_TLS) as http,
    ):
        selling = replace(shared_app, http=http)
        listed = (await ask(selling, "GET", "/v1/plans")).json()["plans"]
        assert [plan["current"] for plan in listed] == [False] * 3
        theirs = await http.get("/v1/plans", headers=shared_app.bearer(OTHER_SHOP))
        assert [plan["current"] for plan in theirs.json()["plans"]] == [False, True, False]
        for path, body in asked.items():
            charges = len(shared_app.shopify.platform.shops[SHOP].charges.charges)
            assert (await ask(selling, "POST", path, body)).status_code == 201
            assert len(shared_app.shopify.platform.shops[SHOP].charges.charges) == charges + 1
    assert shared_app.shopify.platform.shops[OTHER_SHOP].charges.charges == []


async def foreign_subscription(shared_app: RunningApp) -> None:
    """A plan of the other shop's."""
    await shared_app.execute(
        "INSERT INTO subscriptions (shop_id, handle, name, status) SELECT id, 'studio', 'Studio', "
        "'ACTIVE' FROM shops WHERE domain = :d ON CONFLICT DO NOTHING",
        d=OTHER_SHOP,
    )
