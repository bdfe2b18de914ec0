"""Where a job's pictures come from, and why they may not come."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from backend.errors import ShopifyUnavailable, StorageUnavailable
from backend.jobs.service import request_job
from backend.jobs.timeline import Claim, claim
from backend.shops.product_image import ImageUnavailable
from backend.shops.tokens import NeedsReauth
from backend.worker.sources import SourceFailed, source_files
from backend.workflows.catalog_image import CATALOG_IMAGE
from tests.doors import end_token, shared_world
from tests.world import OTHER_SHOP, SHOP, World

house = pytest.fixture(shared_world, scope="module")


async def claimed(house: World, origin: Any = "api", **request: str | None) -> Claim:
    """A job that asks for these pictures, in a worker's hands."""
    shops = await house.rows("SELECT id FROM shops WHERE domain = :d", d=SHOP)
    async with house.database.transaction() as connection:
        ref = await request_job(
            connection, CATALOG_IMAGE, shop_id=shops[0]["id"], request=request, origin=origin
        )
        assert ref is not None
        found = await claim(connection, ref)
    assert found is not None
    return found


async def files(house: World, job: Claim) -> dict[str, bytes]:
    """The job's pictures."""
    return {name: data async for name, data in source_files(job, house.workshop)}


async def failure(house: World, job: Claim) -> tuple[str, bool]:
    """Why there are none, and whether trying later can help."""
    with pytest.raises(SourceFailed) as caught:
        await files(house, job)
    return caught.value.failure.code, caught.value.failure.retryable


async def test_a_products_photo_is_its_featured_one_as_of_now(house: World) -> None:
    product = house.product(b"old")
    job = await claimed(house, product_id=product.gid)
    house.shopify.replace_image(product, b"new")
    assert await files(house, job) == {"source": b"new"}


async def test_a_media_image_is_read_by_its_own_id(house: World) -> None:
    product = house.product(b"a photo")
    assert await files(house, await claimed(house, media_id=product.media_gid)) == {
        "source": b"a photo"
    }


async def test_uploads_come_from_our_own_bucket(house: World) -> None:
    keys = {"upload_key": "uploads/one.jpg", "background_upload_key": "uploads/two.jpg"}
    for key in keys.values():
        await house.workshop.store.put(key, key.encode(), content_type="image/jpeg")
    before = house.shopify.calls.total()
    assert await files(house, await claimed(house, **keys)) == {
        "source": b"uploads/one.jpg",
        "background": b"uploads/two.jpg",
    }
    assert house.shopify.calls.total() == before


async def test_an_upload_that_is_no_longer_there_is_to_be_sent_again(house: World) -> None:
    for gone in ({"upload_key": "uploads/never.jpg"}, {"upload_key": None}):
        assert await failure(house, await claimed(house, **gone)) == ("UPLOAD_EXPIRED", False)


async def test_an_upload_that_storage_does_not_hand_out_is_storages_trouble(
    house: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = await claimed(house, upload_key="uploads/one.jpg")
    monkeypatch.setattr(house.workshop.store, "bucket", "no-such-bucket")
    with pytest.raises(StorageUnavailable):
        await files(house, job)


async def test_what_the_shop_does_not_have_is_not_found(house: World) -> None:
    await house.install(OTHER_SHOP)
    foreign = house.product(b"theirs", shop=OTHER_SHOP)
    gone = house.product(b"gone")
    house.shopify.delete_product(gone)
    for product in (foreign, gone):
        assert await failure(house, await claimed(house, product_id=product.gid)) == (
            "PRODUCT_NOT_FOUND",
            False,
        )
        assert await failure(house, await claimed(house, media_id=product.media_gid)) == (
            "MEDIA_NOT_FOUND",
            False,
        )


async def test_a_product_without_a_photo_says_so(house: World) -> None:
    product = house.shopify.create_product(SHOP, "Bare", None)
    assert await failure(house, await claimed(house, product_id=product.gid)) == (
        "NO_IMAGE",
        False,
    )


async def test_a_visitor_gets_no_picture_of_what_the_storefront_does_not_show(
    house: World,
) -> None:
    product = house.product(b"a secret")
    shown = await claimed(house, "storefront", product_id=product.gid)
    assert await files(house, shown) == {"source": b"a secret"}
    house.shopify.unlist_product(product)
    hidden = await claimed(house, "storefront", product_id=product.gid)
    assert await failure(house, hidden) == ("PRODUCT_NOT_FOUND", False)
    merchants = await claimed(house, product_id=product.gid)
    assert await files(house, merchants) == {"source": b"a secret"}


Trouble = Callable[[World], Awaitable[None]]


async def scopes_lowered(house: World) -> None:
    """The merchant takes the permission back, and we have heard of it."""
    await house.execute("UPDATE shops SET scopes = 'write_files' WHERE domain = :d", d=SHOP)


async def scopes_lowered_unheard(house: World) -> None:
    """The merchant takes the permission back, and the news is still on its way."""
    house.shopify.set_scopes(SHOP, {"write_themes"})


async def uninstalled(house: World) -> None:
    """The shop has left."""
    await house.execute("UPDATE shops SET status = 'uninstalled' WHERE domain = :d", d=SHOP)


async def busy(house: World) -> None:
    """Shopify has a bad minute."""
    house.shopify.fail_next("graphql", 503)


async def frozen(house: World) -> None:
    """The merchant has not paid Shopify."""
    house.shopify.fail_next("graphql", 402)


async def forbidden(house: World) -> None:
    """Shopify says no, and not why."""
    house.shopify.fail_next("graphql", 404)


async def throttled(house: World) -> None:
    """We ask too often."""
    house.shopify.fail_next("graphql", 429, retry_after="60")


@pytest.mark.parametrize(
    ("trouble", "code", "retryable"),
    [
        (scopes_lowered, "SCOPE_MISSING", False),
        (scopes_lowered_unheard, "SCOPE_MISSING", False),
        (uninstalled, "SHOP_NOT_INSTALLED", False),
        (forbidden, "SHOPIFY_REFUSED", False),
    ],
)
async def test_trouble_with_the_shop_ends_the_job_with_a_reason(
    world: World, trouble: Trouble, code: str, retryable: bool
) -> None:
    await world.install()
    product = world.product(b"a photo")
    job = await claimed(world, product_id=product.gid)
    await trouble(world)
    assert await failure(world, job) == (code, retryable)


@pytest.mark.parametrize("trouble", [busy, frozen, throttled])
async def test_a_shopify_that_is_away_is_an_outage_and_no_reason(
    world: World, trouble: Trouble
) -> None:
    await world.install()
    product = world.product(b"a photo")
    job = await claimed(world, product_id=product.gid)
    await trouble(world)
    with pytest.raises(ShopifyUnavailable):
        await files(world, job)


@pytest.mark.parametrize("is_due", [True, False])
async def test_a_shop_that_no_token_opens_is_no_fault_of_the_job(
    house: World, is_due: bool
) -> None:
    """The app may be gone, or may have been idle for 90 days: Shopify answers alike."""
    product = house.product(b"a photo")
    job = await claimed(house, product_id=product.gid)
    house.shopify.platform.shops[SHOP].grants.revoke_all()
    if is_due:
        await end_token(house, SHOP)
    with pytest.raises(NeedsReauth):
        await files(house, job)
    await house.install()
    assert await files(house, job) == {"source": b"a photo"}


async def test_a_cdn_that_stumbles_is_asked_again_later(house: World) -> None:
    product = house.product(b"a photo")
    house.shopify.fail_next("image", 503)
    with pytest.raises(ImageUnavailable):
        await files(house, await claimed(house, product_id=product.gid))
