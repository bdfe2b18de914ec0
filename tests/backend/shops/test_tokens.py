"""A shop's token pair: renewed in time, once for everybody, and never lost on the way."""

import asyncio
from datetime import timedelta

import pytest

from backend.errors import ShopifyUnavailable
from backend.shops.admin_api import TokenRefused
from backend.shops.service import InstalledShop, installed_shop
from tests.doors import end_token
from tests.world import World


async def opened(house: World, shop: str) -> InstalledShop | None:
    """The shop as a handler gets it."""
    return await installed_shop(house.database, house.desk.admin, shop)


@pytest.mark.parametrize(("left", "renewals"), [(6, 0), (4, 1), (-60, 1)])
async def test_a_token_is_renewed_in_its_last_five_minutes(
    house: World, shop: str, left: int, renewals: int
) -> None:
    before = house.shopify.calls["refresh"]
    await end_token(house, shop, timedelta(minutes=left))
    assert await opened(house, shop) is not None
    assert await opened(house, shop) is not None
    assert house.shopify.calls["refresh"] == before + renewals


async def test_a_lasting_token_of_the_old_kind_is_never_renewed(house: World, shop: str) -> None:
    await house.execute(
        "UPDATE shops SET access_token_expires_at = NULL, refresh_token = NULL WHERE domain = :d",
        d=shop,
    )
    before = house.shopify.calls["refresh"]
    assert await opened(house, shop) is not None
    assert house.shopify.calls["refresh"] == before


async def test_twenty_who_need_it_at_once_get_one_and_the_same_new_token(
    house: World, shop: str
) -> None:
    before = house.shopify.calls["refresh"]
    await end_token(house, shop)
    shops = await asyncio.gather(*(opened(house, shop) for _ in range(20)))
    assert len({each.access_token for each in shops if each}) == 1
    assert house.shopify.calls["refresh"] == before + 1


async def test_a_renewal_whose_answer_was_lost_is_asked_for_again(house: World, shop: str) -> None:
    await end_token(house, shop)
    house.shopify.lose_next_answer("refresh")
    with pytest.raises(ShopifyUnavailable):
        await opened(house, shop)
    found = await opened(house, shop)
    assert found is not None
    await house.desk.admin.installation(shop, found.access_token)


async def test_a_refresh_token_that_has_died_is_refused_and_nothing_is_stored(
    house: World, shop: str
) -> None:
    await end_token(house, shop)
    house.shopify.uninstall(shop)
    stored = "SELECT refresh_token FROM shops WHERE domain = :d"
    before = await house.rows(stored, d=shop)
    with pytest.raises(TokenRefused):
        await opened(house, shop)
    assert await house.rows(stored, d=shop) == before


async def test_a_shop_that_is_not_here_has_no_token(house: World) -> None:
    assert await opened(house, "stranger.myshopify.com") is None


@pytest.mark.parametrize(
    ("granted", "asked", "covered"),
    [
        ("read_products", "read_products", True),
        ("write_products", "read_products", True),
        ("read_products", "write_products", False),
        ("write_files", "read_products", False),
        ("", "read_products", False),
    ],
)
def test_writing_implies_reading_and_nothing_else(granted: str, asked: str, covered: bool) -> None:
    shop = InstalledShop(id=1, domain="a.myshopify.com", scopes=granted, access_token="x")
    assert shop.has_granted(asked) is covered
