"""What a merchant changes while a publication is being taken back is theirs, and stays."""

from typing import Any

import pytest

from backend.publications.publishing import product_gallery
from backend.publications.running import run_publication
from backend.queue import UNPUBLISH
from backend.shops.media_answers import Gallery
from tests.backend.publications.crashing import stepped
from tests.backend.publications.studio import links, look, looks, png, work
from tests.backend.publications.test_crashes import first_of, meddled_with, new_product
from tests.world import World

GALLERY = "backend.publications.restoring.product_gallery"


async def test_what_the_merchant_changes_between_two_steps_stays(house: World, shop: str) -> None:
    """The worker was stopped after it had given the alt texts back."""
    product = new_product(house, shop)
    house.shopify.add_image(product, png("third"), "image/png", alt="Third")
    product = house.shopify.current(product)
    (first, _), (second, _), (third, _) = looks(house, product)
    ref = await meddled_with(house, shop, product)
    changed = False

    async def merchant_changes(_step: int) -> None:
        nonlocal changed
        if not changed and dict(looks(house, product))[first] != "New":  # the texts are back
            changed = True
            house.shopify.set_alt(product, third, "Written just now")
            house.shopify.move_image(product, third, 0)

    async with stepped(house, merchant_changes) as (press, _):
        assert await run_publication(first_of(ref), press, UNPUBLISH) is None
    assert changed
    assert (await look(house, shop, ref))["status"] == "RESTORED"
    (moved, alt), *others = looks(house, product)
    assert (moved, alt) == (third, "Written just now")
    assert [media for media, _ in others] == [second, first], "the order is the merchant's now"


async def test_a_worker_that_was_stopped_before_it_writes_and_was_overtaken_writes_nothing(
    house: World, shop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    product = new_product(house, shop)
    ref = await meddled_with(house, shop, product)
    real: Any = product_gallery
    later: list[object] = []

    async def stopped_after(*arguments: Any) -> Gallery | None:
        seen: Gallery | None = await real(*arguments)
        if not later:
            monkeypatch.setattr(GALLERY, real)
            await work(house, ref)  # another worker
            assert (await look(house, shop, ref))["status"] == "RESTORED"
            media = house.shopify.current(product).media
            for each in media:
                house.shopify.set_alt(product, each.gid, "Of the merchant")
            house.shopify.move_image(product, media[1].gid, 0)
            later.extend((looks(house, product), links(house, product)))
        return seen

    monkeypatch.setattr(GALLERY, stopped_after)
    await run_publication(first_of(ref), house.workshop.press, UNPUBLISH)
    assert later == [looks(house, product), links(house, product)]
