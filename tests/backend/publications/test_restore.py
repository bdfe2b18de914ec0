"""Withdrawing restores the product's media and keeps the merchant's later changes."""

import pytest

from backend.dev.shopify import ProductRecord
from backend.jobs.service import JobRef
from tests.backend.publications.scenarios import (
    gallery_of,
    get_publication,
    our_media,
    png,
    post_publication,
    publication_request,
    publication_statuses,
    publish,
    publishable_job,
    run_publication_to_end,
    variant_media,
    withdraw_publication,
)
from tests.running_app import RunningApp
from tests.scenarios import refusal


async def publish_on_top(shared_app: RunningApp, shop: str, product: ProductRecord) -> JobRef:
    """A publication whose two pictures are the product's first."""
    ref, digests = await publishable_job(shared_app, shop, product)
    made = await publish(shared_app, shop, ref, publication_request(digests, position=[1, 2]))
    assert made["status"] == "PUBLISHED"
    return ref


async def withdraw(shared_app: RunningApp, shop: str, ref: JobRef) -> None:
    """Take it back, and wait for it."""
    answer = await withdraw_publication(shared_app, shop, ref)
    assert (answer.status_code, answer.json()["status"]) == (202, "RESTORING")
    await run_publication_to_end(shared_app, ref)
    made = await get_publication(shared_app, shop, ref)
    assert (made["status"], made["error"]) == ("RESTORED", None)
    assert made["restored_at"] is not None
    assert {each["status"] for each in made["artifacts"]} == {"REMOVED"}
    assert our_media(shared_app, ref, shop) == []


async def test_a_withdrawal_restores_the_gallery(
    shared_app: RunningApp, shop: str, product: ProductRecord
) -> None:
    before, shown = gallery_of(shared_app, product), variant_media(shared_app, product)
    ref = await publish_on_top(shared_app, shop, product)
    assert gallery_of(shared_app, product)[2:] == before
    await withdraw(shared_app, shop, ref)
    assert (gallery_of(shared_app, product), variant_media(shared_app, product)) == (before, shown)
    assert (await publication_statuses(shared_app, ref))[2:] == [
        "PUBLISHED",
        "RESTORING",
        "RESTORED",
    ]


async def test_a_withdrawal_restores_order_alt_texts_and_variants(
    shared_app: RunningApp, shop: str, product: ProductRecord
) -> None:
    before, shown = gallery_of(shared_app, product), variant_media(shared_app, product)
    ref = await publish_on_top(shared_app, shop, product)
    (one, two, a, b, c) = (gid for gid, _ in gallery_of(shared_app, product))
    shared_app.shopify.move_image(product, c, 0)
    shared_app.shopify.set_alt(product, b, "Meddled with")
    small, medium, large = shared_app.shopify.current(product).variants
    for variant, media in ((small, one), (medium, a), (large, two)):
        shared_app.shopify.show_at_variant(product, variant.gid, media)
    await withdraw(shared_app, shop, ref)
    assert (gallery_of(shared_app, product), variant_media(shared_app, product)) == (before, shown)


async def test_an_alt_text_added_since_is_removed_again(
    shared_app: RunningApp, shop: str, product: ProductRecord
) -> None:
    ref = await publish_on_top(shared_app, shop, product)
    last = gallery_of(shared_app, product)[-1][0]
    shared_app.shopify.set_alt(product, last, "Since")
    await withdraw(shared_app, shop, ref)
    assert gallery_of(shared_app, product)[-1] == (last, "")


async def test_media_added_by_the_merchant_stay_in_place(
    shared_app: RunningApp, shop: str, product: ProductRecord
) -> None:
    before = gallery_of(shared_app, product)
    ref = await publish_on_top(shared_app, shop, product)
    added = shared_app.shopify.add_image(product, png("added"), "image/png", alt="Added").media[-1]
    shared_app.shopify.move_image(product, added.gid, 0)
    large = shared_app.shopify.current(product).variants[2]
    shared_app.shopify.show_at_variant(product, large.gid, added.gid)
    await withdraw(shared_app, shop, ref)
    assert gallery_of(shared_app, product) == [(added.gid, "Added"), *before]
    assert variant_media(shared_app, product)[2] == added.gid


async def test_images_of_another_job_stay_in_place(
    shared_app: RunningApp, shop: str, product: ProductRecord
) -> None:
    before = gallery_of(shared_app, product)
    first = await publish_on_top(shared_app, shop, product)
    second = await publish_on_top(shared_app, shop, product)
    others = gallery_of(shared_app, product)[:2]
    await withdraw(shared_app, shop, first)
    assert gallery_of(shared_app, product) == [*others, *before]
    await withdraw(shared_app, shop, second)
    assert gallery_of(shared_app, product) == before


async def test_media_deleted_by_the_merchant_are_not_restored(
    shared_app: RunningApp, shop: str, product: ProductRecord
) -> None:
    before = gallery_of(shared_app, product)
    ref = await publish_on_top(shared_app, shop, product)
    shared_app.shopify.remove_image(product, before[0][0])
    shared_app.shopify.remove_image(product, our_media(shared_app, ref, shop)[0])
    await withdraw(shared_app, shop, ref)
    assert gallery_of(shared_app, product) == before[1:]
    assert variant_media(shared_app, product) == [None, before[2][0], None]


async def test_withdrawing_from_a_deleted_product_succeeds(
    shared_app: RunningApp, shop: str, product: ProductRecord
) -> None:
    ref = await publish_on_top(shared_app, shop, product)
    shared_app.shopify.delete_product(product)
    await withdraw(shared_app, shop, ref)


async def test_withdrawing_an_unstarted_publication_makes_no_calls(
    shared_app: RunningApp, shop: str, product: ProductRecord
) -> None:
    before = gallery_of(shared_app, product)
    ref, digests = await publishable_job(shared_app, shop, product)
    await post_publication(shared_app, shop, ref, publication_request(digests))
    asked = shared_app.shopify.calls["graphql"]
    await withdraw_publication(shared_app, shop, ref)
    await run_publication_to_end(shared_app, ref)
    assert shared_app.shopify.calls["graphql"] == asked
    assert (await get_publication(shared_app, shop, ref))["status"] == "RESTORED"
    assert gallery_of(shared_app, product) == before


async def test_withdrawing_twice_is_the_same_as_once(
    shared_app: RunningApp, shop: str, product: ProductRecord
) -> None:
    ref = await publish_on_top(shared_app, shop, product)
    for _ in range(2):
        assert (await withdraw_publication(shared_app, shop, ref)).json()["status"] == "RESTORING"
    await run_publication_to_end(shared_app, ref)
    answer = await withdraw_publication(shared_app, shop, ref)
    assert (answer.status_code, answer.json()["status"]) == (202, "RESTORED")
    assert (await publication_statuses(shared_app, ref)).count("RESTORING") == 1


async def test_a_job_can_be_published_again_after_a_withdrawal(
    shared_app: RunningApp, shop: str, product: ProductRecord
) -> None:
    before, shown = gallery_of(shared_app, product), variant_media(shared_app, product)
    ref, digests = await publishable_job(shared_app, shop, product)
    first = await publish(shared_app, shop, ref, publication_request(digests, position=[1, 2]))
    refused = await post_publication(shared_app, shop, ref, publication_request(digests))
    assert refusal(refused) == (409, "ALREADY_PUBLISHED")
    await withdraw(shared_app, shop, ref)
    second = await publish(shared_app, shop, ref, publication_request(digests[:1]), nth=2)
    assert second["status"] == "PUBLISHED"
    assert second["artifacts"][0]["media_id"] not in str(first)
    assert len(gallery_of(shared_app, product)) == 4
    await withdraw_publication(shared_app, shop, ref)
    await run_publication_to_end(shared_app, ref, nth=2)
    assert (gallery_of(shared_app, product), variant_media(shared_app, product)) == (before, shown)


async def test_a_failed_withdrawal_can_be_requested_again(
    shared_app: RunningApp, shop: str, product: ProductRecord
) -> None:
    before = gallery_of(shared_app, product)
    ref = await publish_on_top(shared_app, shop, product)
    shared_app.shopify.set_scopes(shop, {"read_products"})
    await withdraw_publication(shared_app, shop, ref)
    await run_publication_to_end(shared_app, ref)
    made = await get_publication(shared_app, shop, ref)
    assert (made["status"], made["error"]["code"]) == ("FAILED", "SCOPE_MISSING")
    shared_app.shopify.set_scopes(shop, {"write_products", "write_files"})
    await withdraw(shared_app, shop, ref)
    assert gallery_of(shared_app, product) == before


async def test_a_failed_publication_that_left_images_can_be_withdrawn(
    shared_app: RunningApp, shop: str, product: ProductRecord
) -> None:
    before = gallery_of(shared_app, product)
    ref, digests = await publishable_job(shared_app, shop, product)
    await post_publication(shared_app, shop, ref, publication_request(digests))
    shared_app.shopify.refuse_next("fileUpdate", "INVALID")
    shared_app.shopify.refuse_next("fileDelete", "INVALID")
    await run_publication_to_end(shared_app, ref)
    assert (await get_publication(shared_app, shop, ref))["status"] == "FAILED"
    assert len(our_media(shared_app, ref, shop)) == 2
    await withdraw(shared_app, shop, ref)
    assert gallery_of(shared_app, product) == before


@pytest.mark.parametrize("position", [None, 1])
async def test_two_publications_on_one_product_can_be_withdrawn_in_any_order(
    shared_app: RunningApp, shop: str, product: ProductRecord, position: int | None
) -> None:
    before = gallery_of(shared_app, product)
    refs = []
    for _ in range(2):
        ref, digests = await publishable_job(shared_app, shop, product, pictures=1)
        await publish(shared_app, shop, ref, publication_request(digests, position=[position]))
        refs.append(ref)
    await withdraw(shared_app, shop, refs[0])
    assert len(gallery_of(shared_app, product)) == 4
    await withdraw(shared_app, shop, refs[1])
    assert gallery_of(shared_app, product) == before
