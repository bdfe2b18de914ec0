"""Edits that a merchant makes during a withdrawal are kept."""

from typing import Any

import pytest

from backend.leased_task import Done
from backend.publications.execution import run_publication
from backend.publications.publish import product_gallery
from backend.queue import UNPUBLISH
from backend.shops.media_responses import Gallery
from tests.backend.publications.crash_points import count_steps
from tests.backend.publications.scenarios import (
    first_publication,
    gallery_of,
    get_publication,
    png,
    product_with_two_images,
    run_publication_to_end,
    variant_media,
    withdraw_after_edits,
)
from tests.running_app import RunningApp

GALLERY = "backend.publications.restore.product_gallery"


async def test_a_merchants_edit_between_two_steps_is_kept(
    shared_app: RunningApp, shop: str
) -> None:
    """The worker was stopped after it had given the alt texts back."""
    product = product_with_two_images(shared_app, shop)
    shared_app.shopify.add_image(product, png("third"), "image/png", alt="Third")
    product = shared_app.shopify.current(product)
    (first, _), (second, _), (third, _) = gallery_of(shared_app, product)
    ref = await withdraw_after_edits(shared_app, shop, product)
    changed = False

    async def merchant_changes(_step: int) -> None:
        nonlocal changed
        if (
            not changed and dict(gallery_of(shared_app, product))[first] != "New"
        ):  # the texts are back
            changed = True
            shared_app.shopify.set_alt(product, third, "Written just now")
            shared_app.shopify.move_image(product, third, 0)

    async with count_steps(shared_app, merchant_changes) as (publication_context, _):
        assert (
            await run_publication(first_publication(ref), publication_context, UNPUBLISH) == Done()
        )
    assert changed
    assert (await get_publication(shared_app, shop, ref))["status"] == "RESTORED"
    (moved, alt), *others = gallery_of(shared_app, product)
    assert (moved, alt) == (third, "Written just now")
    assert [media for media, _ in others] == [second, first], "the order is the merchant's now"


async def test_a_stopped_worker_that_was_overtaken_writes_nothing(
    shared_app: RunningApp, shop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    product = product_with_two_images(shared_app, shop)
    ref = await withdraw_after_edits(shared_app, shop, product)
    real: Any = product_gallery
    later: list[object] = []

    async def stopped_after(*arguments: Any) -> Gallery | None:
        seen: Gallery | None = await real(*arguments)
        if not later:
            monkeypatch.setattr(GALLERY, real)
            await run_publication_to_end(shared_app, ref)  # another worker
            assert (await get_publication(shared_app, shop, ref))["status"] == "RESTORED"
            media = shared_app.shopify.current(product).media
            for each in media:
                shared_app.shopify.set_alt(product, each.gid, "Of the merchant")
            shared_app.shopify.move_image(product, media[1].gid, 0)
            later.extend((gallery_of(shared_app, product), variant_media(shared_app, product)))
        return seen

    monkeypatch.setattr(GALLERY, stopped_after)
    await run_publication(
        first_publication(ref), shared_app.worker_context.publication_context, UNPUBLISH
    )
    assert later == [gallery_of(shared_app, product), variant_media(shared_app, product)]
