"""An import of ten thousand products, told of by eight at a time: the shop's cap holds exactly."""

import asyncio
from datetime import UTC, datetime

import msgspec
import pytest

from backend.rules.apply import apply_rules
from backend.shops.shopify_responses import Product
from tests.backend.uploads.multipart_forms import shop_id_of
from tests.running_app import RunningApp

PRODUCTS, CAP = 10_000, 1_000


def imported(number: int) -> Product:
    """A product as Shopify tells of it."""
    urls = {"url": f"https://x/{number}", "webpUrl": f"https://x/{number}.webp"}
    image = {"id": f"gid://shopify/MediaImage/{number}", "image": urls}
    facts = {
        "id": f"gid://shopify/Product/{number}",
        "title": "Tee",
        "status": "ACTIVE",
        "vendor": "Atelier",
        "productType": "",
        "tags": [],
        "createdAt": datetime.now(UTC),
        "updatedAt": datetime.now(UTC),
        "media": {"nodes": [image], "pageInfo": {"hasNextPage": False}},
    }
    return msgspec.convert(facts, Product)


@pytest.mark.timeout(600)
async def test_an_import_of_ten_thousand_products_stays_within_the_daily_cap(
    running_app: RunningApp,
) -> None:
    await running_app.install()
    body = {"rules": [{"workflow": "catalog-image"}], "daily_credit_cap": CAP}
    await running_app.http.put("/v1/settings", json=body, headers=running_app.bearer())
    shop_id = await shop_id_of(running_app)
    numbers = iter(range(PRODUCTS))

    async def told() -> int:
        made = 0
        for number in numbers:
            product = imported(number)
            done = await apply_rules(running_app.database, shop_id, product, closed=frozenset())
            assert done.made or done.is_capped
            made += len(done.made)
        return made

    assert sum(await asyncio.gather(*(told() for _ in range(8)))) == CAP
    assert len(await running_app.rows("SELECT 1 FROM jobs")) == CAP
    spent = await running_app.rows("SELECT amount FROM daily_counts WHERE what = 'rule_credits'")
    assert [row["amount"] for row in spent] == [CAP]
