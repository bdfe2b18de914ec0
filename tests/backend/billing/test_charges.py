"""Orders: the request is stored before Shopify is asked, and nothing is granted for it yet."""

import asyncio
from datetime import timedelta
from decimal import Decimal

import httpx
import msgspec
import pytest

from backend.billing.charges import MAX_OPEN_CHARGES
from backend.dev.transport import NO_TLS, LoopbackShopify
from tests.backend.billing.buying import (
    bought,
    lots,
    order,
    ordered,
    purchases,
    read_billing,
)
from tests.running_app import RunningApp, serve_app


async def test_a_pack_is_ordered_with_its_exact_price(shared_app: RunningApp, shop: str) -> None:
    gid = await ordered(shared_app, shop, pack="pack-100")
    charge = shared_app.shopify.charge(shop, gid)
    assert (charge.kind, charge.price, charge.currency) == (
        "AppPurchaseOneTime",
        Decimal("6.00"),
        "USD",
    )
    assert charge.test is False
    (row,) = await purchases(shared_app, shop)
    assert (row["status"], row["charge_gid"], row["credits"]) == ("PENDING", gid, 100)
    assert charge.name == row["name"] == f"100 credits · {row['id']}"
    assert await read_billing(shared_app, shop) == 0


async def test_a_plan_is_ordered_with_its_interval_and_trial(
    shared_app: RunningApp, shop: str
) -> None:
    gid = await ordered(shared_app, shop, plan="starter")
    charge = shared_app.shopify.charge(shop, gid)
    assert (charge.interval, charge.trial_days, charge.price) == (
        "EVERY_30_DAYS",
        7,
        Decimal("9.00"),
    )
    gid = await ordered(shared_app, shop, plan="studio-annual")
    assert shared_app.shopify.charge(shop, gid).interval == "ANNUAL"


async def test_the_merchant_comes_back_into_the_admin(shared_app: RunningApp, shop: str) -> None:
    gid = await ordered(shared_app, shop, pack="pack-100")
    store = shop.partition(".")[0]
    assert shared_app.shopify.charge(shop, gid).return_url == (
        f"https://admin.shopify.com/store/{store}/apps/{shared_app.settings.shopify_api_key}/plan"
    )


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/v1/purchases", {"pack": "starter"}, "pack"),
        ("/v1/subscription", {"plan": "pack-100"}, "plan"),
        ("/v1/subscription", {"plan": "x", "price": "1"}, "price"),
    ],
)
async def test_what_is_not_sold_cannot_be_ordered(
    shared_app: RunningApp, shop: str, path: str, body: dict[str, str], field: str
) -> None:
    response = await order(shared_app, shop, path, **body)
    assert response.status_code == 422
    assert field in response.text
    assert await purchases(shared_app, shop) == []


async def test_a_charge_that_shopify_refuses_is_told_and_never_granted(
    shared_app: RunningApp, shop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_app.shopify.platform, "has_app_pricing", True)
    response = await order(shared_app, shop, "/v1/purchases", pack="pack-100")
    assert response.status_code == 409
    error = response.json()["error"]
    assert error["code"] == "CHARGE_REFUSED"
    assert "Managed Pricing Apps cannot use the Billing API" in error["message"]
    assert [row["status"] for row in await purchases(shared_app, shop)] == ["FAILED"]


@pytest.mark.parametrize("fault", ["lose_next_answer", "cut_next_answer"])
async def test_a_charge_whose_answer_was_lost_is_found_by_its_name(
    shared_app: RunningApp, shop: str, fault: str
) -> None:
    getattr(shared_app.shopify, fault)("graphql", field="appPurchaseOneTimeCreate")
    response = await order(shared_app, shop, "/v1/purchases", pack="pack-100")
    assert response.status_code == 503
    (row,) = await purchases(shared_app, shop)
    assert (row["status"], row["charge_gid"]) == ("INTENT", None)
    charge = shared_app.shopify.latest_charge(shop)
    shared_app.shopify.approve_charge(shop, charge.gid)
    assert await read_billing(shared_app, shop) == 1
    (row,) = await purchases(shared_app, shop)
    assert (row["status"], row["charge_gid"]) == ("ACTIVE", charge.gid)
    assert await lots(shared_app, shop) == [("pack", 100)]


async def test_the_request_is_stored_before_shopify_is_asked(
    shared_app: RunningApp, shop: str
) -> None:
    shared_app.shopify.fail_next("graphql", 503, field="appPurchaseOneTimeCreate")
    response = await order(shared_app, shop, "/v1/purchases", pack="pack-100")
    assert response.status_code == 503
    assert [row["status"] for row in await purchases(shared_app, shop)] == ["INTENT"]


async def test_a_request_that_shopify_never_got_expires(shared_app: RunningApp, shop: str) -> None:
    shared_app.shopify.fail_next("graphql", 503, field="appPurchaseOneTimeCreate")
    await order(shared_app, shop, "/v1/purchases", pack="pack-100")
    await shared_app.execute("UPDATE purchases SET created_at = now() - interval '49 hours'")
    await read_billing(shared_app, shop)
    assert [row["status"] for row in await purchases(shared_app, shop)] == ["EXPIRED"]


async def test_a_shop_has_a_limit_of_undecided_charges(shared_app: RunningApp, shop: str) -> None:
    for _ in range(MAX_OPEN_CHARGES):
        await ordered(shared_app, shop, pack="pack-100")
    response = await order(shared_app, shop, "/v1/purchases", pack="pack-100")
    assert response.status_code == 429
    assert response.json()["error"]["code"] == "TOO_MANY_OPEN_CHARGES"
    shared_app.shopify.decline_charge(shop, shared_app.shopify.latest_charge(shop).gid)
    await read_billing(shared_app, shop)
    await ordered(shared_app, shop, pack="pack-100")


async def test_the_plan_that_a_shop_has_is_marked_and_not_sold_again(
    shared_app: RunningApp, shop: str
) -> None:
    await bought(shared_app, shop, plan="starter")
    await read_billing(shared_app, shop)
    response = await shared_app.http.get("/v1/plans", headers=shared_app.bearer(shop))
    listed = response.json()
    assert [(plan["handle"], plan["current"]) for plan in listed["plans"]] == [
        ("starter", True),
        ("studio", False),
        ("studio-annual", False),
    ]
    assert listed["plans"][0]["price"] == "9.00"
    assert listed["plans"][0]["trial_days"] == 0  # it has begun
    assert [pack["handle"] for pack in listed["packs"]] == ["pack-100", "pack-1000"]
    response = await order(shared_app, shop, "/v1/subscription", plan="starter")
    assert response.json()["error"]["code"] == "PLAN_ALREADY_ACTIVE"


async def test_an_app_that_charges_nothing_sells_nothing(shared_app: RunningApp, shop: str) -> None:
    settings = msgspec.structs.replace(shared_app.settings, billing="none")
    async with (
        serve_app(settings, LoopbackShopify(shared_app.shopify.origin)) as url,
        httpx.AsyncClient(base_url=url, verify=NO_TLS) as client,
    ):
        headers = shared_app.bearer(shop)
        listed = await client.get("/v1/plans", headers=headers)
        assert listed.json() == {"plans": [], "packs": []}
        response = await client.post("/v1/purchases", headers=headers, json={"pack": "pack-100"})
    assert response.status_code == 409
    assert response.json()["error"]["code"] == "BILLING_DISABLED"


# Idempotency-Key


async def order_with_key(
    app: RunningApp, shop: str, key: str, path: str = "/v1/purchases", **body: str
) -> httpx.Response:
    """The answer to an order with an Idempotency-Key."""
    headers = app.bearer(shop) | {"Idempotency-Key": key}
    return await app.http.post(path, headers=headers, json=body)


@pytest.mark.parametrize(
    ("path", "body"),
    [("/v1/purchases", {"pack": "pack-100"}), ("/v1/subscription", {"plan": "studio"})],
)
async def test_an_order_with_the_same_key_is_asked_for_once(
    shared_app: RunningApp, shop: str, path: str, body: dict[str, str]
) -> None:
    first, again = [await order_with_key(shared_app, shop, "key-1", path, **body) for _ in range(2)]
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json() == again.json()
    assert "Idempotency-Replayed" not in first.headers
    assert again.headers["Idempotency-Replayed"] == "true"
    assert len(await purchases(shared_app, shop)) == 1


async def test_a_key_cannot_be_used_for_another_order(shared_app: RunningApp, shop: str) -> None:
    await order_with_key(shared_app, shop, "key-1", pack="pack-100")
    other = await order_with_key(shared_app, shop, "key-1", pack="pack-1000")
    assert other.status_code == 422
    assert other.json()["error"]["code"] == "IDEMPOTENCY_KEY_REUSED"
    assert len(await purchases(shared_app, shop)) == 1


async def test_two_orders_with_one_key_at_once_make_one_charge(
    shared_app: RunningApp, shop: str
) -> None:
    shared_app.shopify.slow_next("graphql", 0.5, field="appPurchaseOneTimeCreate")
    answers = await asyncio.gather(
        *(order_with_key(shared_app, shop, "key-1", pack="pack-100") for _ in range(3))
    )
    assert sorted(answer.status_code for answer in answers) == [201, 409, 409]
    assert {answer.json()["error"]["code"] for answer in answers if answer.status_code == 409} == {
        "REQUEST_IN_PROGRESS"
    }
    assert len(await purchases(shared_app, shop)) == 1


async def test_an_order_that_failed_can_be_repeated_with_its_key(
    shared_app: RunningApp, shop: str
) -> None:
    shared_app.shopify.fail_next("graphql", 503, field="appPurchaseOneTimeCreate")
    failed = await order_with_key(shared_app, shop, "key-1", pack="pack-100")
    assert failed.status_code == 503
    assert (await order_with_key(shared_app, shop, "key-1", pack="pack-100")).status_code == 201


async def test_a_key_of_a_process_that_has_died_is_free_after_a_minute(
    shared_app: RunningApp, shop: str
) -> None:
    await order_with_key(shared_app, shop, "key-1", pack="pack-100")
    died = "UPDATE idempotency_keys SET answer = '{}', created_at = now() - cast(:ago AS interval)"
    await shared_app.execute(died, ago=timedelta(seconds=50))
    assert (await order_with_key(shared_app, shop, "key-1", pack="pack-100")).status_code == 409
    await shared_app.execute(died, ago=timedelta(seconds=61))
    assert (await order_with_key(shared_app, shop, "key-1", pack="pack-100")).status_code == 201
