"""An import of ten thousand products, told of by eight at a time: the shop's cap holds exactly."""

import asyncio
from datetime import UTC, datetime

import msgspec
import pytest

from backend.rules.applying import apply_rules
from backend.shops.answers import Product
from tests.backend.uploads.sending import shop_id_of
from tests.world import World

PRODUCTS, CAP = 10_000, 1_000


def imported(number: int) -> Product:
    """A product as Shopify tells of it."""
    image = {"id": f"gid://shopify/MediaImage/{number}", "image": {"url": f"https://x/{number}"}}
    facts = {
        "id": f"gid://shopify/Product/{number}",
        "title": "Tee",
        "status": "ACTIVE",
        "vendor": "Atelier",
        "productType": "",
        "tags": [],
        "createdAt": datetime.now(UTC),
        "updatedAt": datetime.now(UTC),
        "featuredMedia": image,
    }
    return msgspec.convert(facts, Product)


@pytest.mark.timeout(600)
async def test_ten_thousand_products_start_no_more_jobs_than_the_cap_pays_for(
    world: World,
) -> None:
    await world.install()
    body = {"rules": [{"workflow": "catalog-image"}], "daily_credit_cap": CAP}
    await world.http.put("/v1/settings", json=body, headers=world.bearer())
    shop_id = await shop_id_of(world)
    numbers = iter(range(PRODUCTS))

    async def told() -> int:
        made = 0
        for number in numbers:
            product = imported(number)
            done = await apply_rules(world.database, shop_id, product, disabled=frozenset())
            assert done.made or done.is_capped
            made += len(done.made)
        return made

    assert sum(await asyncio.gather(*(told() for _ in range(8)))) == CAP
    assert len(await world.rows("SELECT 1 FROM jobs")) == CAP
    spent = await world.rows("SELECT amount FROM daily_counts WHERE what = 'rule_credits'")
    assert [row["amount"] for row in spent] == [CAP]
