"""The sweep of billing: renewals have no webhook, and webhooks can get lost."""

from datetime import timedelta

import pytest

from backend.worker.billing_sweep import due_shops, sweep_billing
from tests.backend.billing.buying import bought, lots, ordered, pass_months, read_billing
from tests.prepaid_apps import open_selling_app
from tests.running_app import RunningApp
from tests.scenarios import new_shop

shared_app = pytest.fixture(open_selling_app, scope="module")
shop = pytest.fixture(new_shop)


async def last_asked(app: RunningApp, shop: str, **ago: float) -> None:
    """Have Shopify been asked so long ago."""
    await app.execute(
        "UPDATE subscriptions SET asked_at = now() - cast(:ago AS interval), read_at = NULL "
        "FROM shops WHERE shops.id = shop_id AND domain = :d",
        ago=timedelta(**ago),
        d=shop,
    )


async def test_a_renewal_is_granted_without_a_webhook(shared_app: RunningApp, shop: str) -> None:
    await bought(shared_app, shop, plan="studio")
    await read_billing(shared_app, shop)
    await pass_months(shared_app, shop, 35)
    await last_asked(shared_app, shop, minutes=61)
    assert await sweep_billing(shared_app.worker_context) == 1
    assert await lots(shared_app, shop) == [("plan", 1000)] * 2
    assert await sweep_billing(shared_app.worker_context) == 0


async def test_a_purchase_whose_webhook_was_lost_is_granted(
    shared_app: RunningApp, shop: str
) -> None:
    await bought(shared_app, shop, pack="pack-100")
    await last_asked(shared_app, shop, minutes=61)
    await sweep_billing(shared_app.worker_context)
    assert await lots(shared_app, shop) == [("pack", 100)]


async def test_shops_are_read_when_something_is_expected_else_once_a_day(
    shared_app: RunningApp, shop: str
) -> None:
    context = shared_app.worker_context
    await last_asked(shared_app, shop, days=2)
    assert shop not in await due_shops(context)  # it never asked to buy anything
    gid = await ordered(shared_app, shop, pack="pack-100")
    await last_asked(shared_app, shop, minutes=61)
    assert shop in await due_shops(context)
    await last_asked(shared_app, shop, minutes=59)
    assert shop not in await due_shops(context)
    shared_app.shopify.decline_charge(shop, gid)
    await read_billing(shared_app, shop)
    await last_asked(shared_app, shop, hours=23)
    assert shop not in await due_shops(context)
    await last_asked(shared_app, shop, hours=25)
    assert shop in await due_shops(context)


async def test_one_shop_that_fails_does_not_stop_the_others(
    shared_app: RunningApp, shop: str
) -> None:
    other = await new_shop(shared_app)
    for each in (shop, other):
        await bought(shared_app, each, pack="pack-100")
        await last_asked(shared_app, each, days=3 if each == shop else 2)
    shared_app.shopify.lock_shop(shop, 402)
    await sweep_billing(shared_app.worker_context)
    assert await lots(shared_app, shop) == []
    assert await lots(shared_app, other) == [("pack", 100)]
    shared_app.shopify.unlock_shop(shop)
