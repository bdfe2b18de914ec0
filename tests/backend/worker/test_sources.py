"""Where a job's source images come from, and its failures."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from backend.errors import ShopifyUnavailable, StorageUnavailable
from backend.jobs.lifecycle import JobLease, lease_job
from backend.jobs.service import request_job
from backend.shops.product_image import ProductImageUnavailable
from backend.shops.tokens import NeedsReauth
from backend.worker.sources import SourceFailed, source_files
from backend.workflows.catalog_image import CATALOG_IMAGE
from tests.running_app import OTHER_SHOP, SHOP, RunningApp
from tests.scenarios import expire_token, open_shared_app

shared_app = pytest.fixture(open_shared_app, scope="module")


async def claim_job(shared_app: RunningApp, origin: Any = "api", **request: str | None) -> JobLease:
    """A job that asks for these pictures, in a worker's hands."""
    shops = await shared_app.rows("SELECT id FROM shops WHERE domain = :d", d=SHOP)
    async with shared_app.database.transaction() as connection:
        ref = await request_job(
            connection, CATALOG_IMAGE, shop_id=shops[0]["id"], request=request, origin=origin
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


async def test_a_products_source_is_its_current_featured_image(shared_app: RunningApp) -> None:
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


async def test_uploads_are_read_from_our_bucket(shared_app: RunningApp) -> None:
    keys = {"upload_key": "uploads/one.jpg", "background_upload_key": "uploads/two.jpg"}
    for key in keys.values():
        await shared_app.worker_context.store.put(key, key.encode(), content_type="image/jpeg")
    before = shared_app.shopify.calls.total()
    assert await fetch_sources(shared_app, await claim_job(shared_app, **keys)) == {
        "source": b"uploads/one.jpg",
        "background": b"uploads/two.jpg",
    }
    assert shared_app.shopify.calls.total() == before


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
    assert await failure_of_sources(
        shared_app, await claim_job(shared_app, product_id=product.gid)
    ) == (
        "NO_IMAGE",
        False,
    )


async def test_a_visitor_gets_no_image_of_an_unlisted_product(
    shared_app: RunningApp,
) -> None:
    product = shared_app.product(b"a secret")
    shown = await claim_job(shared_app, "storefront", product_id=product.gid)
    assert await fetch_sources(shared_app, shown) == {"source": b"a secret"}
    shared_app.shopify.unlist_product(product)
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
    shared_app.shopify.fail_next("graphql", 402)


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


@pytest.mark.parametrize("trouble", [busy, frozen, throttled])
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


async def test_a_cdn_error_is_retried(shared_app: RunningApp) -> None:
    product = shared_app.product(b"a photo")
    shared_app.shopify.fail_next("image", 503)
    with pytest.raises(ProductImageUnavailable):
        await fetch_sources(shared_app, await claim_job(shared_app, product_id=product.gid))
