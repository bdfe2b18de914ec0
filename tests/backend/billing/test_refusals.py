"""Before rules and visitors are refused for lack of credits, Shopify is read: once a minute."""

import pytest

from tests.backend.billing.buying import bought, lots
from tests.backend.credits.ledger import visit
from tests.backend.rules.settings_api import CATALOG_RULE, delivery_outcome, put_settings
from tests.prepaid_apps import open_selling_app
from tests.running_app import RunningApp
from tests.scenarios import new_shop

shared_app = pytest.fixture(open_selling_app, scope="module")
shop = pytest.fixture(new_shop)


async def last_read_long_ago(app: RunningApp) -> None:
    """Have every shop be read at the next reason."""
    await app.execute("UPDATE subscriptions SET asked_at = now() - interval '1 hour'")


async def test_a_visitor_is_not_refused_what_the_shop_has_just_bought(
    shared_app: RunningApp, shop: str
) -> None:
    await bought(shared_app, shop, pack="pack-100")
    await last_read_long_ago(shared_app)
    assert (await visit(shared_app, shop)).status_code == 202
    assert await lots(shared_app, shop) == [("pack", 100)]


async def test_a_rule_is_not_refused_what_the_shop_has_just_bought(
    shared_app: RunningApp, shop: str
) -> None:
    await put_settings(shared_app, shop, CATALOG_RULE)
    await bought(shared_app, shop, pack="pack-100")
    await last_read_long_ago(shared_app)
    shared_app.product(shop=shop)
    assert await delivery_outcome(shared_app, shop) == ("processed", "JOB")


async def test_rules_without_credits_read_shopify_once_a_minute(
    shared_app: RunningApp, shop: str
) -> None:
    await put_settings(shared_app, shop, CATALOG_RULE)
    await last_read_long_ago(shared_app)
    rows = "SELECT asked_at FROM subscriptions JOIN shops ON shops.id = shop_id WHERE domain = :d"
    asked = []
    for _ in range(3):
        shared_app.product(shop=shop)
        assert await delivery_outcome(shared_app, shop) == ("ignored", "INSUFFICIENT_BALANCE")
        asked += [row["asked_at"] for row in await shared_app.rows(rows, d=shop)]
    assert len(set(asked)) == 1
    assert (await visit(shared_app, shop)).status_code == 402
    assert [row["asked_at"] for row in await shared_app.rows(rows, d=shop)] == asked[:1]
