"""Taking back: the product's media are what they were, but for what the merchant did since."""

import pytest

from backend.dev.shopify import Product
from backend.jobs.service import JobRef
from tests.backend.publications.studio import (
    finished,
    links,
    look,
    looks,
    ours,
    png,
    post,
    published,
    statuses,
    undo,
    wanted,
    work,
)
from tests.doors import refusal
from tests.world import World


async def on_top(house: World, shop: str, product: Product) -> JobRef:
    """A publication whose two pictures are the product's first."""
    ref, digests = await finished(house, shop, product)
    made = await published(house, shop, ref, wanted(digests, position=[1, 2]))
    assert made["status"] == "PUBLISHED"
    return ref


async def taken_back(house: World, shop: str, ref: JobRef) -> None:
    """Take it back, and wait for it."""
    answer = await undo(house, shop, ref)
    assert (answer.status_code, answer.json()["status"]) == (202, "RESTORING")
    await work(house, ref)
    made = await look(house, shop, ref)
    assert (made["status"], made["error"]) == ("RESTORED", None)
    assert made["restored_at"] is not None
    assert {each["status"] for each in made["artifacts"]} == {"REMOVED"}
    assert ours(house, ref, shop) == []


async def test_everything_is_as_it_was(house: World, shop: str, product: Product) -> None:
    before, shown = looks(house, product), links(house, product)
    ref = await on_top(house, shop, product)
    assert looks(house, product)[2:] == before
    await taken_back(house, shop, ref)
    assert (looks(house, product), links(house, product)) == (before, shown)
    assert (await statuses(house, ref))[2:] == ["PUBLISHED", "RESTORING", "RESTORED"]


async def test_the_order_the_alt_texts_and_the_variants_come_back(
    house: World, shop: str, product: Product
) -> None:
    before, shown = looks(house, product), links(house, product)
    ref = await on_top(house, shop, product)
    (one, two, a, b, c) = (gid for gid, _ in looks(house, product))
    house.shopify.move_image(product, c, 0)
    house.shopify.set_alt(product, b, "Meddled with")
    small, medium, large = house.shopify.current(product).variants
    for variant, media in ((small, one), (medium, a), (large, two)):
        house.shopify.show_at_variant(product, variant.gid, media)
    await taken_back(house, shop, ref)
    assert (looks(house, product), links(house, product)) == (before, shown)


async def test_an_alt_text_that_was_added_to_a_media_without_one_goes(
    house: World, shop: str, product: Product
) -> None:
    ref = await on_top(house, shop, product)
    last = looks(house, product)[-1][0]
    house.shopify.set_alt(product, last, "Since")
    await taken_back(house, shop, ref)
    assert looks(house, product)[-1] == (last, "")


async def test_what_the_merchant_added_stays_where_it_is(
    house: World, shop: str, product: Product
) -> None:
    before = looks(house, product)
    ref = await on_top(house, shop, product)
    added = house.shopify.add_image(product, png("added"), "image/png", alt="Added").media[-1]
    house.shopify.move_image(product, added.gid, 0)
    large = house.shopify.current(product).variants[2]
    house.shopify.show_at_variant(product, large.gid, added.gid)
    await taken_back(house, shop, ref)
    assert looks(house, product) == [(added.gid, "Added"), *before]
    assert links(house, product)[2] == added.gid


async def test_another_jobs_pictures_stay_where_they_are(
    house: World, shop: str, product: Product
) -> None:
    before = looks(house, product)
    first = await on_top(house, shop, product)
    second = await on_top(house, shop, product)
    others = looks(house, product)[:2]
    await taken_back(house, shop, first)
    assert looks(house, product) == [*others, *before]
    await taken_back(house, shop, second)
    assert looks(house, product) == before


async def test_what_the_merchant_deleted_does_not_come_back(
    house: World, shop: str, product: Product
) -> None:
    before = looks(house, product)
    ref = await on_top(house, shop, product)
    house.shopify.remove_image(product, before[0][0])
    house.shopify.remove_image(product, ours(house, ref, shop)[0])
    await taken_back(house, shop, ref)
    assert looks(house, product) == before[1:]
    assert links(house, product) == [None, before[2][0], None]


async def test_a_product_that_is_gone_needs_nothing(
    house: World, shop: str, product: Product
) -> None:
    ref = await on_top(house, shop, product)
    house.shopify.delete_product(product)
    await taken_back(house, shop, ref)


async def test_before_anything_was_done_nothing_is_done(
    house: World, shop: str, product: Product
) -> None:
    before = looks(house, product)
    ref, digests = await finished(house, shop, product)
    await post(house, shop, ref, wanted(digests))
    asked = house.shopify.calls["graphql"]
    await undo(house, shop, ref)
    await work(house, ref)
    assert house.shopify.calls["graphql"] == asked
    assert (await look(house, shop, ref))["status"] == "RESTORED"
    assert looks(house, product) == before


async def test_taking_back_twice_is_taking_back_once(
    house: World, shop: str, product: Product
) -> None:
    ref = await on_top(house, shop, product)
    for _ in range(2):
        assert (await undo(house, shop, ref)).json()["status"] == "RESTORING"
    await work(house, ref)
    answer = await undo(house, shop, ref)
    assert (answer.status_code, answer.json()["status"]) == (202, "RESTORED")
    assert (await statuses(house, ref)).count("RESTORING") == 1


async def test_the_job_can_be_published_again_afterwards(
    house: World, shop: str, product: Product
) -> None:
    before, shown = looks(house, product), links(house, product)
    ref, digests = await finished(house, shop, product)
    first = await published(house, shop, ref, wanted(digests, position=[1, 2]))
    refused = await post(house, shop, ref, wanted(digests))
    assert refusal(refused) == (409, "ALREADY_PUBLISHED")
    await taken_back(house, shop, ref)
    second = await published(house, shop, ref, wanted(digests[:1]), nth=2)
    assert second["status"] == "PUBLISHED"
    assert second["artifacts"][0]["media_id"] not in str(first)
    assert len(looks(house, product)) == 4
    await undo(house, shop, ref)
    await work(house, ref, nth=2)
    assert (looks(house, product), links(house, product)) == (before, shown)


async def test_a_failed_taking_back_can_be_asked_for_again(
    house: World, shop: str, product: Product
) -> None:
    before = looks(house, product)
    ref = await on_top(house, shop, product)
    house.shopify.set_scopes(shop, {"read_products"})
    await undo(house, shop, ref)
    await work(house, ref)
    made = await look(house, shop, ref)
    assert (made["status"], made["error"]["code"]) == ("FAILED", "SCOPE_MISSING")
    house.shopify.set_scopes(shop, {"write_products", "write_files"})
    await taken_back(house, shop, ref)
    assert looks(house, product) == before


async def test_a_failed_publication_that_left_something_can_be_taken_back(
    house: World, shop: str, product: Product
) -> None:
    before = looks(house, product)
    ref, digests = await finished(house, shop, product)
    await post(house, shop, ref, wanted(digests))
    house.shopify.refuse_next("fileUpdate", "INVALID")
    house.shopify.refuse_next("fileDelete", "INVALID")
    await work(house, ref)
    assert (await look(house, shop, ref))["status"] == "FAILED"
    assert len(ours(house, ref, shop)) == 2
    await taken_back(house, shop, ref)
    assert looks(house, product) == before


@pytest.mark.parametrize("position", [None, 1])
async def test_two_jobs_on_one_product_are_taken_back_in_any_order(
    house: World, shop: str, product: Product, position: int | None
) -> None:
    before = looks(house, product)
    refs = []
    for _ in range(2):
        ref, digests = await finished(house, shop, product, pictures=1)
        await published(house, shop, ref, wanted(digests, position=[position]))
        refs.append(ref)
    await taken_back(house, shop, refs[0])
    assert len(looks(house, product)) == 4
    await taken_back(house, shop, refs[1])
    assert looks(house, product) == before
