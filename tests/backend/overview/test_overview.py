"""The home page's numbers, and the setup guide."""

from typing import Any

import httpx

from backend.rules.schemas import DEFAULT_CAP
from tests.running_app import RunningApp
from tests.scenarios import claimed_job, finished_job, refusal, waiting_job

SETUP = "/v1/overview/setup-dismissal"


async def get_overview(shared_app: RunningApp, shop: str, tag: str = "") -> httpx.Response:
    """The numbers."""
    headers = shared_app.bearer(shop) | ({"If-None-Match": tag} if tag else {})
    return await shared_app.http.get("/v1/overview", headers=headers)


async def numbers(shared_app: RunningApp, shop: str) -> dict[str, Any]:
    """The numbers, decoded."""
    answer = await get_overview(shared_app, shop)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_a_new_shop_has_nothing_yet(shared_app: RunningApp, shop: str) -> None:
    answer = await get_overview(shared_app, shop)
    assert answer.json() == {
        "waiting": 0,
        "running": 0,
        "failed": 0,
        "credits_spent_today": 0,
        "daily_credit_cap": DEFAULT_CAP,
        "setup": {
            "dismissed": False,
            "has_jobs": False,
            "has_publications": False,
            "has_own_rules": False,
        },
    }
    assert "retry-after" not in answer.headers


async def test_the_numbers_count_the_shops_jobs(shared_app: RunningApp, shop: str) -> None:
    await waiting_job(shared_app, shop=shop)
    await claimed_job(shared_app, shop=shop)
    await finished_job(shared_app, shop=shop)
    published, _ = await finished_job(shared_app, shop=shop)
    await shared_app.execute(
        "INSERT INTO publications (shop_id, job_id, round, product_id) VALUES (:s, :j, 1, 'p')",
        s=published.shop_id,
        j=published.public_id,
    )
    old = "00" + published.public_id[2:]
    await shared_app.execute(
        "INSERT INTO jobs (shop_id, public_id, job_type, status, origin, request) VALUES "
        "(:s, :old, 'CATALOG_IMAGE', 'FAILURE', 'api', '{}'), "
        "(:s, :new, 'CATALOG_IMAGE', 'FAILURE', 'api', '{}')",
        s=published.shop_id,
        old=old,
        new=published.public_id[:-1] + ("0" if published.public_id[-1] != "0" else "1"),
    )
    answer = await get_overview(shared_app, shop)
    found = answer.json()
    assert (found["waiting"], found["running"], found["failed"]) == (1, 2, 1)
    assert found["setup"]["has_jobs"]
    assert found["setup"]["has_publications"]
    assert 4 <= int(answer.headers["retry-after"]) <= 6


async def test_credits_and_cap_are_those_of_the_rules(shared_app: RunningApp, shop: str) -> None:
    wanted = {"rules": [{"workflow": "catalog-image"}], "daily_credit_cap": 9}
    await shared_app.http.put("/v1/settings", json=wanted, headers=shared_app.bearer(shop))
    await shared_app.execute(
        "INSERT INTO daily_counts (shop_id, day, what, amount) "
        "SELECT id, (now() AT TIME ZONE 'UTC')::date - days, what, amount FROM shops, "
        "(VALUES (0, 'rule_credits', 4), (1, 'rule_credits', 5), (0, 'storefront_jobs', 6)) "
        "AS spent(days, what, amount) WHERE domain = :d",
        d=shop,
    )
    found = await numbers(shared_app, shop)
    assert (found["credits_spent_today"], found["daily_credit_cap"]) == (4, 9)
    assert found["setup"]["has_own_rules"]


async def test_the_setup_guide_is_dismissed_and_shown_again(
    shared_app: RunningApp, shop: str
) -> None:
    for method, dismissed in (("POST", True), ("POST", True), ("DELETE", False)):
        answer = await shared_app.http.request(method, SETUP, headers=shared_app.bearer(shop))
        assert (answer.status_code, answer.content) == (204, b"")
        assert (await numbers(shared_app, shop))["setup"]["dismissed"] is dismissed


async def test_unchanged_numbers_are_not_sent_again(shared_app: RunningApp, shop: str) -> None:
    first = await get_overview(shared_app, shop)
    again = await get_overview(shared_app, shop, first.headers["etag"])
    assert (again.status_code, again.content) == (304, b"")
    await waiting_job(shared_app, shop=shop)
    assert (await get_overview(shared_app, shop, first.headers["etag"])).status_code == 200


async def test_an_unknown_shop_gets_401(shared_app: RunningApp) -> None:
    unknown = "nobody-home.myshopify.com"
    shared_app.shopify.create_shop(unknown)
    headers = shared_app.bearer(unknown)
    assert refusal(await get_overview(shared_app, unknown)) == (401, "SHOP_NOT_INSTALLED")
    for method in ("POST", "DELETE"):
        answer = await shared_app.http.request(method, SETUP, headers=headers)
        assert refusal(answer) == (401, "SHOP_NOT_INSTALLED")
