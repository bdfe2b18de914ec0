"""Where a job's source images come from, and its failures."""

import io
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest
from PIL import Image

from backend.dev.shopify.media import FileStatus, MediaKind
from backend.errors import ShopifyUnavailable, StorageUnavailable
from backend.jobs.lifecycle import JobLease, lease_job
from backend.jobs.service import request_job
from backend.shops.product_image import ProductImageUnavailable
from backend.shops.tokens import NeedsReauth
from backend.worker.sources import SourceFailed, source_files
from backend.workflows.background_swap import BACKGROUND_SWAP_WITH_IMAGE
from backend.workflows.catalog_image import CATALOG_IMAGE
from backend.workflows.look import LOOK
from backend.workflows.try_on import TRY_ON
from tests.running_app import HEIC, OTHER_SHOP, SHOP, RunningApp
from tests.scenarios import expire_token, open_shared_app

shared_app = pytest.fixture(open_shared_app, scope="module")


async def claim_job(
    shared_app: RunningApp,
    origin: Any = "api",
    workflow: Any = CATALOG_IMAGE,
    **request: str | None,
) -> JobLease:
    """A job that asks for these pictures, in a worker's hands."""
    shops = await shared_app.rows("SELECT id FROM shops WHERE domain = :d", d=SHOP)
    async with shared_app.database.transaction() as connection:
        ref = await request_job(
            connection, workflow, shop_id=shops[0]["id"], request=request, origin=origin
        )
        assert ref is not None
        found = await lease_job(connection, ref)
    assert found is not None
    return found


async def fetch_sources(shared_app: RunningApp, job: JobLease) -> dict[str, bytes]:
    """The job's pictures."""
    found = source_files(job, shared_app.worker_context)
    return {source.name: source.data async for source in found}


async def failure_of_sources(shared_app: RunningApp, job: JobLease) -> tuple[str, bool]:
    """Why there are none, and whether trying later can help."""
    with pytest.raises(SourceFailed) as caught:
        await fetch_sources(shared_app, job)
    return caught.value.failure.code, caught.value.failure.retryable


async def test_a_products_source_is_its_current_first_image(shared_app: RunningApp) -> None:
    product = shared_app.product(b"old")
    job = await claim_job(shared_app, product_id=product.gid)
    shared_app.shopify.replace_image(product, b"new")
    assert await fetch_sources(shared_app, job) == {"source": b"new"}


async def test_the_title_of_a_product_is_kept_if_it_was_read(shared_app: RunningApp) -> None:
    long = shared_app.shopify.create_product(SHOP, "x" * 255, b"a photo")
    job = await claim_job(shared_app, product_id=long.gid)
    before = shared_app.shopify.calls.total()
    [source] = [each async for each in source_files(job, shared_app.worker_context)]
    assert source.product_title == "x" * 255
    assert shared_app.shopify.calls.total() == before + 2, "the product, and its photo"
    job = await claim_job(shared_app, media_id=long.media_gid)
    [source] = [each async for each in source_files(job, shared_app.worker_context)]
    assert source.product_title is None


async def test_a_media_image_is_read_by_its_id(shared_app: RunningApp) -> None:
    product = shared_app.product(b"a photo")
    assert await fetch_sources(
        shared_app, await claim_job(shared_app, media_id=product.media_gid)
    ) == {"source": b"a photo"}


@pytest.mark.parametrize("kind", ["heic", "gif", "tiff", "avif"])
async def test_an_original_that_we_may_not_read_arrives_as_webp(
    shared_app: RunningApp, kind: str
) -> None:
    drawn = Image.new("RGB", (600, 600), "navy")
    with io.BytesIO() as file:
        if kind != "heic":
            drawn.save(file, kind)
        content = file.getvalue() or (HEIC / "opaque.heic").read_bytes()
    product = shared_app.shopify.create_product(SHOP, "Tee", content, f"image/{kind}", f"a.{kind}")
    for asked in ({"product_id": product.gid}, {"media_id": product.media_gid}):
        files = await fetch_sources(shared_app, await claim_job(shared_app, **asked))
        assert files["source"][:4] == b"RIFF" and files["source"][8:12] == b"WEBP"


@pytest.mark.parametrize("kind", ["jpeg", "png", "webp"])
async def test_an_original_that_we_read_arrives_unchanged(
    shared_app: RunningApp, kind: str
) -> None:
    with io.BytesIO() as file:
        Image.new("RGB", (600, 600), "navy").save(file, kind)
        content = file.getvalue()
    product = shared_app.shopify.create_product(SHOP, "Tee", content, f"image/{kind}", f"a.{kind}")
    job = await claim_job(shared_app, product_id=product.gid)
    assert await fetch_sources(shared_app, job) == {"source": content}


async def test_uploads_are_read_from_our_bucket(shared_app: RunningApp) -> None:
    keys = {"upload_key": "uploads/one.jpg", "background_upload_key": "uploads/two.jpg"}
    for key in keys.values():
        await shared_app.worker_context.store.put(key, key.encode(), content_type="image/jpeg")
    before = shared_app.shopify.calls.total()
    job = await claim_job(shared_app, workflow=BACKGROUND_SWAP_WITH_IMAGE, **keys)
    assert await fetch_sources(shared_app, job) == {
        "source": b"uploads/one.jpg",
        "background": b"uploads/two.jpg",
    }
    assert shared_app.shopify.calls.total() == before


async def test_a_person_and_garments_are_uploads_or_entries_of_the_catalog(
    shared_app: RunningApp,
) -> None:
    request = {
        "upload_key": "uploads/one.jpg",
        "garment_2_upload_key": "uploads/two.jpg",
        "garment_4_id": "an entry",
        "garment_4_key": "artifacts/four",
        "model_id": "an entry",
        "model_key": "artifacts/model",
    }
    keys = [value for name, value in request.items() if name.endswith("_key")]
    for key in keys:
        await shared_app.worker_context.store.put(key, key.encode(), content_type="image/jpeg")
    job = await claim_job(shared_app, workflow=LOOK, **request)
    assert await fetch_sources(shared_app, job) == {
        "source": b"uploads/one.jpg",
        "garment_2": b"uploads/two.jpg",
        "garment_4": b"artifacts/four",
        "person": b"artifacts/model",
    }


async def test_an_entry_without_its_image_is_named_in_the_failure(shared_app: RunningApp) -> None:
    photo = "uploads/one.jpg"
    await shared_app.worker_context.store.put(photo, b"x", content_type="image/jpeg")
    request = {"upload_key": photo, "model_id": "an entry", "model_key": "artifacts/gone"}
    job = await claim_job(shared_app, workflow=TRY_ON, **request)
    assert await failure_of_sources(shared_app, job) == ("CATALOG_IMAGE_GONE", False)


async def test_a_missing_upload_must_be_sent_again(
    shared_app: RunningApp,
) -> None:
    for gone in ({"upload_key": "uploads/never.jpg"}, {"upload_key": None}):
        assert await failure_of_sources(shared_app, await claim_job(shared_app, **gone)) == (
            "UPLOAD_EXPIRED",
            False,
        )


async def test_an_unreadable_bucket_is_a_storage_outage(
    shared_app: RunningApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = await claim_job(shared_app, upload_key="uploads/one.jpg")
    monkeypatch.setattr(shared_app.worker_context.store, "bucket", "no-such-bucket")
    with pytest.raises(StorageUnavailable):
        await fetch_sources(shared_app, job)


async def test_products_and_media_outside_the_shop_are_not_found(shared_app: RunningApp) -> None:
    await shared_app.install(OTHER_SHOP)
    foreign = shared_app.product(b"theirs", shop=OTHER_SHOP)
    gone = shared_app.product(b"gone")
    shared_app.shopify.delete_product(gone)
    for product in (foreign, gone):
        assert await failure_of_sources(
            shared_app, await claim_job(shared_app, product_id=product.gid)
        ) == (
            "PRODUCT_NOT_FOUND",
            False,
        )
        assert await failure_of_sources(
            shared_app, await claim_job(shared_app, media_id=product.media_gid)
        ) == (
            "MEDIA_NOT_FOUND",
            False,
        )


async def test_a_product_without_an_image_is_reported(shared_app: RunningApp) -> None:
    product = shared_app.shopify.create_product(SHOP, "Bare", None)
    for kind in ("none", "a video"):
        job = await claim_job(shared_app, product_id=product.gid)
        assert await failure_of_sources(shared_app, job) == ("NO_IMAGE", False), kind
        shared_app.shopify.add_video(product)


@pytest.mark.parametrize("videos", [1, 3, 60])
async def test_videos_and_models_before_the_first_image_are_passed(
    shared_app: RunningApp, videos: int
) -> None:
    product = shared_app.shopify.create_product(SHOP, "Filmed", None)
    kinds: list[MediaKind] = ["Video", "Model3d", "ExternalVideo"]
    for number in range(videos):
        shared_app.shopify.add_video(product, kinds[number % 3])
    shared_app.shopify.add_image(product, b"first")
    shared_app.shopify.add_image(product, b"second")
    shared_app.shopify.fault_next_pages("Product.media", "empty")
    job = await claim_job(shared_app, product_id=product.gid)
    assert await fetch_sources(shared_app, job) == {"source": b"first"}


async def test_an_image_that_shopify_could_not_process_is_passed(shared_app: RunningApp) -> None:
    product = shared_app.product(b"broken")
    shared_app.shopify.add_image(product, b"good")
    broken = shared_app.shopify.current(product).media[0]
    library = shared_app.shopify.platform.catalogue.library
    library.put(replace(broken, status="FAILED", error="IMAGE_PROCESSING_FAILURE"))
    job = await claim_job(shared_app, product_id=product.gid)
    assert await fetch_sources(shared_app, job) == {"source": b"good"}
    job = await claim_job(shared_app, media_id=broken.gid)
    assert await failure_of_sources(shared_app, job) == ("MEDIA_NOT_FOUND", False)


@pytest.mark.parametrize("status", ["UPLOADED", "PROCESSING"])
async def test_an_image_that_shopify_still_processes_is_waited_for(
    shared_app: RunningApp, status: FileStatus
) -> None:
    product = shared_app.product(b"first")
    shared_app.shopify.add_image(product, b"second")
    first = shared_app.shopify.current(product).media[0]
    library = shared_app.shopify.platform.catalogue.library
    for request in ({"product_id": product.gid}, {"media_id": first.gid}):
        shared_app.shopify.platform.is_held = True
        library.put(replace(first, status=status))
        job = await claim_job(shared_app, **request)
        with pytest.raises(ShopifyUnavailable, match="still processing"):
            await fetch_sources(shared_app, job)
        library.put(first)
        shared_app.shopify.platform.is_held = False
        assert await fetch_sources(shared_app, job) == {"source": b"first"}


async def test_a_visitor_gets_the_image_of_an_unlisted_product(shared_app: RunningApp) -> None:
    product = shared_app.product(b"by link only")
    shared_app.shopify.set_status(product, "UNLISTED")
    job = await claim_job(shared_app, "storefront", product_id=product.gid)
    assert await fetch_sources(shared_app, job) == {"source": b"by link only"}


@pytest.mark.parametrize("status", ["DRAFT", "ARCHIVED"])
async def test_a_visitor_gets_no_image_of_a_product_that_is_not_for_sale(
    shared_app: RunningApp, status: str
) -> None:
    product = shared_app.product(b"a secret")
    shared_app.shopify.set_status(product, status)
    job = await claim_job(shared_app, "storefront", product_id=product.gid)
    assert await failure_of_sources(shared_app, job) == ("PRODUCT_NOT_FOUND", False)


async def test_a_visitor_gets_no_image_of_an_unpublished_product(
    shared_app: RunningApp,
) -> None:
    product = shared_app.product(b"a secret")
    shown = await claim_job(shared_app, "storefront", product_id=product.gid)
    assert await fetch_sources(shared_app, shown) == {"source": b"a secret"}
    shared_app.shopify.unpublish_product(product)
    hidden = await claim_job(shared_app, "storefront", product_id=product.gid)
    assert await failure_of_sources(shared_app, hidden) == ("PRODUCT_NOT_FOUND", False)
    merchants = await claim_job(shared_app, product_id=product.gid)
    assert await fetch_sources(shared_app, merchants) == {"source": b"a secret"}


Trouble = Callable[[RunningApp], Awaitable[None]]


async def scopes_lowered(shared_app: RunningApp) -> None:
    """The merchant takes the permission back, and we have heard of it."""
    await shared_app.execute("UPDATE shops SET scopes = 'write_files' WHERE domain = :d", d=SHOP)


async def scopes_lowered_unheard(shared_app: RunningApp) -> None:
    """The merchant takes the permission back, and the news is still on its way."""
    shared_app.shopify.set_scopes(SHOP, {"write_themes"})


async def uninstalled(shared_app: RunningApp) -> None:
    """The shop has left."""
    await shared_app.execute("UPDATE shops SET status = 'uninstalled' WHERE domain = :d", d=SHOP)


async def busy(shared_app: RunningApp) -> None:
    """Shopify has a bad minute."""
    shared_app.shopify.fail_next("graphql", 503)


async def frozen(shared_app: RunningApp) -> None:
    """The merchant has not paid Shopify."""
    shared_app.shopify.lock_shop(SHOP, 402)


async def unavailable(shared_app: RunningApp) -> None:
    """Shopify has closed the shop for now."""
    shared_app.shopify.lock_shop(SHOP, 403)


async def inactive(shared_app: RunningApp) -> None:
    """The same, as GraphQL says it."""
    shared_app.shopify.lock_shop(SHOP, 200)


async def forbidden(shared_app: RunningApp) -> None:
    """Shopify says no, and not why."""
    shared_app.shopify.fail_next("graphql", 404)


async def throttled(shared_app: RunningApp) -> None:
    """We ask too often."""
    shared_app.shopify.fail_next("graphql", 429, retry_after="60")


@pytest.mark.parametrize(
    ("trouble", "code", "retryable"),
    [
        (scopes_lowered, "SCOPE_MISSING", False),
        (scopes_lowered_unheard, "SCOPE_MISSING", False),
        (uninstalled, "SHOP_NOT_INSTALLED", False),
        (forbidden, "SHOPIFY_REFUSED", False),
    ],
)
async def test_permanent_shop_errors_end_the_job_with_a_reason(
    running_app: RunningApp, trouble: Trouble, code: str, retryable: bool
) -> None:
    await running_app.install()
    product = running_app.product(b"a photo")
    job = await claim_job(running_app, product_id=product.gid)
    await trouble(running_app)
    assert await failure_of_sources(running_app, job) == (code, retryable)


@pytest.mark.parametrize("trouble", [busy, frozen, unavailable, inactive, throttled])
async def test_temporary_shop_errors_count_as_an_outage(
    running_app: RunningApp, trouble: Trouble
) -> None:
    await running_app.install()
    product = running_app.product(b"a photo")
    job = await claim_job(running_app, product_id=product.gid)
    await trouble(running_app)
    with pytest.raises(ShopifyUnavailable):
        await fetch_sources(running_app, job)


@pytest.mark.parametrize("is_due", [True, False])
async def test_a_shop_that_needs_reauth_does_not_fail_the_job(
    shared_app: RunningApp, is_due: bool
) -> None:
    """The app may be gone, or may have been idle for 90 days: Shopify answers alike."""
    product = shared_app.product(b"a photo")
    job = await claim_job(shared_app, product_id=product.gid)
    shared_app.shopify.platform.shops[SHOP].grants.revoke_all()
    if is_due:
        await expire_token(shared_app, SHOP)
    with pytest.raises(NeedsReauth):
        await fetch_sources(shared_app, job)
    await shared_app.install()
    assert await fetch_sources(shared_app, job) == {"source": b"a photo"}


@pytest.mark.parametrize("status", [429, 430, 503, 520])
async def test_a_cdn_error_is_retried(shared_app: RunningApp, status: int) -> None:
    product = shared_app.product(b"a photo")
    shared_app.shopify.fail_next("image", status)
    with pytest.raises(ProductImageUnavailable):
        await fetch_sources(shared_app, await claim_job(shared_app, product_id=product.gid))
