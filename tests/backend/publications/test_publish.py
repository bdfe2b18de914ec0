"""Publishing puts each image on the product once, in its place, or nothing at all."""

import asyncio
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from backend.dev.shopify import ProductRecord
from backend.leased_task import Retry
from backend.publications.execution import run_publication
from backend.publications.leases import PublicationRef
from backend.retries import PAUSE_JITTER, SHOPIFY_PROCESSING
from backend.shops import media_api
from tests.backend.publications.scenarios import (
    first_publication,
    gallery_of,
    get_publication,
    our_media,
    png,
    post_publication,
    publication_context_of,
    publication_events,
    publication_request,
    publication_statuses,
    publish,
    publishable_job,
    run_publication_to_end,
    variant_media,
    withdraw_publication,
)
from tests.running_app import RunningApp
from tests.scenarios import wait_for_call


async def test_images_are_added_after_the_products_own(
    shared_app: RunningApp, shop: str, product: ProductRecord
) -> None:
    before, variants = gallery_of(shared_app, product), variant_media(shared_app, product)
    ref, digests = await publishable_job(shared_app, shop, product)
    made = await publish(
        shared_app, shop, ref, publication_request(digests, alt=["From the front", None])
    )
    assert made["status"] == "PUBLISHED"
    assert [each["status"] for each in made["artifacts"]] == ["ATTACHED", "ATTACHED"]
    ids = [each["media_id"] for each in made["artifacts"]]
    assert gallery_of(shared_app, product) == [*before, (ids[0], "From the front"), (ids[1], None)]
    assert variant_media(shared_app, product) == variants
    assert our_media(shared_app, ref, shop) == ids
    assert made["published_at"] is not None


async def test_the_uploaded_bytes_are_the_artifacts(
    shared_app: RunningApp, shop: str, product: ProductRecord
) -> None:
    ref, digests = await publishable_job(shared_app, shop, product, pictures=1)
    await publish(shared_app, shop, ref, publication_request(digests))
    last = shared_app.shopify.current(product).media[-1]
    assert last.picture.content == png(f"{ref.public_id} 0")
    assert last.filename == f"atelier-{ref.public_id}-1.png"


async def test_positions_count_all_media_of_the_product(
    shared_app: RunningApp, shop: str, product: ProductRecord
) -> None:
    a, b, c = (gid for gid, _ in gallery_of(shared_app, product))
    ref, digests = await publishable_job(shared_app, shop, product, pictures=3)
    made = await publish(shared_app, shop, ref, publication_request(digests, position=[3, None, 1]))
    x, y, z = (each["media_id"] for each in made["artifacts"])
    assert [gid for gid, _ in gallery_of(shared_app, product)] == [z, a, x, b, c, y]


async def test_another_product_of_the_shop_can_be_named(
    shared_app: RunningApp, shop: str, product: ProductRecord
) -> None:
    ref, digests = await publishable_job(shared_app, shop, pictures=1)
    body = {**publication_request(digests), "product_id": product.gid}
    made = await publish(shared_app, shop, ref, body)
    assert (made["status"], made["product_id"]) == ("PUBLISHED", product.gid)
    assert len(gallery_of(shared_app, product)) == 4


async def test_the_jobs_timeline_shows_its_publication(
    shared_app: RunningApp, shop: str, product: ProductRecord
) -> None:
    ref, digests = await publishable_job(shared_app, shop, product)
    before = await shared_app.detail(ref.public_id, shop=shop)
    await publish(shared_app, shop, ref, publication_request(digests))
    assert await publication_statuses(shared_app, ref) == ["PENDING", "PUBLISHING", "PUBLISHED"]
    assert {stage for _, stage, status in await publication_events(shared_app, ref) if status} == {
        "publish"
    }
    after = await shared_app.detail(ref.public_id, shop=shop)
    assert after.headers["etag"] != before.headers["etag"]
    assert after.json()["status"] == "SUCCESS"
    assert len(after.json()["result"]) == len(before.json()["result"])
    event = after.json()["latest_event"]
    assert (event["event_type"], event["stage"]) == ("stage", "publish")
    assert event["extra"] == {"publication": {"status": "PUBLISHED", "error": None}}


async def test_the_queue_runs_a_publication(
    shared_app: RunningApp, shop: str, product: ProductRecord
) -> None:
    shared_app.shopify.platform.steps_to_finish = 1
    ref, digests = await publishable_job(shared_app, shop, product, pictures=1)
    await post_publication(shared_app, shop, ref, publication_request(digests))
    await shared_app.drain()
    shared_app.shopify.platform.steps_to_finish = 2
    assert (await get_publication(shared_app, shop, ref))["status"] == "PUBLISHED"


async def test_a_product_with_many_media_and_variants_is_read_completely(
    shared_app: RunningApp, shop: str
) -> None:
    sizes = [f"Size {n}" for n in range(130)]
    product = shared_app.shopify.create_product(
        shop, "Tee", png("one"), "image/png", variants=sizes
    )
    for number in range(119):
        shared_app.shopify.add_image(product, png(str(number)), "image/png")
    current = shared_app.shopify.current(product)
    shared_app.shopify.show_at_variant(product, current.variants[-1].gid, current.media[-1].gid)
    ref, digests = await publishable_job(shared_app, shop, product, pictures=1)
    await publish(shared_app, shop, ref, publication_request(digests, position=[120]))
    rows = await shared_app.rows(
        "SELECT snapshot FROM publications WHERE job_id = :j", j=ref.public_id
    )
    snapshot = rows[0]["snapshot"]
    assert [each["id"] for each in snapshot["media"]] == [media.gid for media in current.media]
    assert snapshot["variants"][current.variants[-1].gid] == current.media[-1].gid
    assert len(snapshot["variants"]) == 130
    assert gallery_of(shared_app, product)[119][0] == our_media(shared_app, ref, shop)[0]


async def test_an_image_already_on_the_product_is_not_attached_again(
    shared_app: RunningApp, shop: str, product: ProductRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody promises that adding what is there does nothing."""
    put_up: list[str] = []
    attach = media_api.attach

    async def counted(*told: Any, media: str, product: str) -> None:
        put_up.append(media)
        await attach(*told, media=media, product=product)

    monkeypatch.setattr(media_api, "attach", counted)
    ref, digests = await publishable_job(shared_app, shop, product)
    await post_publication(shared_app, shop, ref, publication_request(digests))
    shared_app.shopify.cut_next_answer("graphql", field="fileUpdate")
    assert len(await run_publication_to_end(shared_app, ref)) == 1, (
        "the answer was lost, and the work done"
    )
    assert put_up == our_media(shared_app, ref, shop)


# What Shopify refuses

REFUSALS = {
    "REFERENCE_TARGET_DOES_NOT_EXIST": "PRODUCT_NOT_FOUND",
    "PRODUCT_MEDIA_LIMIT_EXCEEDED": "MEDIA_LIMIT_REACHED",
    "ALT_VALUE_LIMIT_EXCEEDED": "ALT_TOO_LONG",
    "UNACCEPTABLE_TRIAL_ASSET": "IMAGE_REFUSED_BY_SHOPIFY",
    "PRODUCT_SUSPENDED": "IMAGE_REFUSED_BY_SHOPIFY",
}


@pytest.mark.parametrize("mutation", ["fileCreate", "fileUpdate"])
@pytest.mark.parametrize("code", REFUSALS)
async def test_a_shopify_refusal_maps_to_our_code_and_leaves_nothing_behind(
    shared_app: RunningApp, shop: str, product: ProductRecord, mutation: str, code: str
) -> None:
    before, variants = gallery_of(shared_app, product), variant_media(shared_app, product)
    ref, digests = await publishable_job(shared_app, shop, product)
    shared_app.shopify.platform.refusals[mutation].clear()
    await post_publication(shared_app, shop, ref, publication_request(digests))
    shared_app.shopify.refuse_next(mutation, code)
    await run_publication_to_end(shared_app, ref)
    made = await get_publication(shared_app, shop, ref)
    assert (made["status"], made["error"]["code"]) == ("FAILED", REFUSALS[code])
    if REFUSALS[code] == "IMAGE_REFUSED_BY_SHOPIFY":
        assert code in made["error"]["message"]
    assert (gallery_of(shared_app, product), variant_media(shared_app, product)) == (
        before,
        variants,
    )
    assert our_media(shared_app, ref, shop) == []
    assert (await publication_statuses(shared_app, ref))[-1] == "FAILED"
    latest = (await shared_app.detail(ref.public_id, shop=shop)).json()["latest_event"]
    assert latest["extra"]["publication"]["error"] == made["error"]


async def test_a_failure_after_some_images_removes_them_again(
    shared_app: RunningApp, shop: str, product: ProductRecord
) -> None:
    before = gallery_of(shared_app, product)
    ref, digests = await publishable_job(shared_app, shop, product)
    await post_publication(shared_app, shop, ref, publication_request(digests))
    shared_app.shopify.refuse_next("productReorderMedia", "INVALID")
    await shared_app.execute(
        "UPDATE published_media SET position = number WHERE job_id = :j", j=ref.public_id
    )
    await run_publication_to_end(shared_app, ref)
    assert (await get_publication(shared_app, shop, ref))["status"] == "FAILED"
    assert gallery_of(shared_app, product) == before
    assert our_media(shared_app, ref, shop) == []


async def test_a_failed_file_reports_the_reason(
    shared_app: RunningApp, shop: str, product: ProductRecord
) -> None:
    ref, digests = await publishable_job(
        shared_app, shop, product, pictures=1, data=b"no picture at all"
    )
    made = await publish(shared_app, shop, ref, publication_request(digests))
    assert made["error"]["code"] == "IMAGE_REFUSED_BY_SHOPIFY"
    assert "UNSUPPORTED_IMAGE_FILE_TYPE" in made["error"]["message"]
    assert our_media(shared_app, ref, shop) == []


async def test_a_deleted_or_foreign_product_is_not_found(
    shared_app: RunningApp, shop: str, product: ProductRecord
) -> None:
    foreign = shared_app.product(b"unread")
    gone = shared_app.shopify.create_product(shop, "Gone", png("gone"), "image/png")
    shared_app.shopify.delete_product(gone)
    for target in (foreign, gone):
        ref, digests = await publishable_job(shared_app, shop, target)
        made = await publish(shared_app, shop, ref, publication_request(digests))
        assert (made["status"], made["error"]["code"]) == ("FAILED", "PRODUCT_NOT_FOUND")
        assert our_media(shared_app, ref, shop) == []
    assert len(shared_app.shopify.current(foreign).media) == 1


async def test_a_product_at_the_media_limit_is_refused(
    shared_app: RunningApp, shop: str, product: ProductRecord
) -> None:
    for number in range(246):
        shared_app.shopify.add_image(product, png(str(number)), "image/png")
    ref, digests = await publishable_job(shared_app, shop, product)
    made = await publish(shared_app, shop, ref, publication_request(digests))
    assert (made["status"], made["error"]["code"]) == ("FAILED", "MEDIA_LIMIT_REACHED")
    assert len(gallery_of(shared_app, product)) == 249


async def test_withdrawn_scopes_end_the_publication(
    shared_app: RunningApp, shop: str, product: ProductRecord
) -> None:
    ref, digests = await publishable_job(shared_app, shop, product)
    await post_publication(shared_app, shop, ref, publication_request(digests))
    shared_app.shopify.set_scopes(shop, {"write_products"})
    await run_publication_to_end(shared_app, ref)
    made = await get_publication(shared_app, shop, ref)
    assert (made["status"], made["error"]["code"]) == ("FAILED", "SCOPE_MISSING")


# What passes


@pytest.mark.parametrize("code", ["FILE_LOCKED", "MEDIA_CANNOT_BE_MODIFIED", "NON_READY_STATE"])
async def test_a_busy_file_is_retried(
    shared_app: RunningApp, shop: str, product: ProductRecord, code: str
) -> None:
    ref, digests = await publishable_job(shared_app, shop, product)
    await post_publication(shared_app, shop, ref, publication_request(digests))
    shared_app.shopify.refuse_next("fileUpdate", code)
    delays = await run_publication_to_end(shared_app, ref)
    assert len(delays) == 1
    assert (await get_publication(shared_app, shop, ref))["status"] == "PUBLISHED"
    assert len(our_media(shared_app, ref, shop)) == 2


async def test_a_lasting_shopify_outage_fails_the_publication(
    shared_app: RunningApp, shop: str, product: ProductRecord
) -> None:
    ref, digests = await publishable_job(shared_app, shop, product)
    await post_publication(shared_app, shop, ref, publication_request(digests))
    shared_app.shopify.fail_next("graphql", 503, 50, field="stagedUploadsCreate")
    delays = await run_publication_to_end(shared_app, ref)
    shared_app.shopify.platform.faults["graphql"].clear()
    made = await get_publication(shared_app, shop, ref)
    assert (made["status"], made["error"]["code"]) == ("FAILED", "SHOPIFY_UNAVAILABLE")
    assert made["error"]["retryable"]
    assert sum(delays, timedelta(0)) >= timedelta(minutes=30), "and no try was used up before"


@pytest.mark.parametrize("status", [402, 403, 423, 200])
async def test_a_publication_of_an_inactive_shop_waits(
    shared_app: RunningApp, shop: str, product: ProductRecord, status: int
) -> None:
    ref, digests = await publishable_job(shared_app, shop, product, pictures=1)
    await post_publication(shared_app, shop, ref, publication_request(digests))
    shared_app.shopify.lock_shop(shop, status)
    outcome = await run_publication(first_publication(ref), publication_context_of(shared_app))
    assert isinstance(outcome, Retry)
    shared_app.shopify.unlock_shop(shop)
    assert await run_publication_to_end(shared_app, ref) == []
    assert len(our_media(shared_app, ref, shop)) == 1


async def test_empty_pages_of_media_and_variants_are_passed(
    shared_app: RunningApp, shop: str, product: ProductRecord
) -> None:
    ref, digests = await publishable_job(shared_app, shop, product, pictures=1)
    before = gallery_of(shared_app, product)
    for connection in ("Product.media", "Product.variants"):
        shared_app.shopify.fault_next_pages(connection, "empty", "empty")
    made = await publish(shared_app, shop, ref, publication_request(digests, position=[1]))
    assert made["status"] == "PUBLISHED"
    ours = our_media(shared_app, ref, shop)
    assert [media for media, _ in gallery_of(shared_app, product)] == [
        *ours,
        *(media for media, _ in before),
    ]


async def test_a_page_of_media_without_a_next_cursor_is_read_again_later(
    shared_app: RunningApp, shop: str, product: ProductRecord
) -> None:
    ref, digests = await publishable_job(shared_app, shop, product, pictures=1)
    await post_publication(shared_app, shop, ref, publication_request(digests))
    shared_app.shopify.fault_next_pages("Product.media", "empty", "stuck")
    assert len(await run_publication_to_end(shared_app, ref)) == 1
    assert (await get_publication(shared_app, shop, ref))["status"] == "PUBLISHED"


@pytest.mark.parametrize(("position", "place"), [(None, 4), (1, 0), (2, 1)])
async def test_a_gallery_with_videos_keeps_its_order(
    shared_app: RunningApp, shop: str, position: int | None, place: int
) -> None:
    product = shared_app.shopify.create_product(shop, "Filmed", None)
    for kind in ("Video", "Model3d", "ExternalVideo"):
        shared_app.shopify.add_video(product, kind)
    shared_app.shopify.add_image(product, png("last"), "image/png")
    before = gallery_of(shared_app, product)
    ref, digests = await publishable_job(shared_app, shop, product, pictures=1)
    await publish(shared_app, shop, ref, publication_request(digests, position=[position]))
    ours = our_media(shared_app, ref, shop)[0]
    assert gallery_of(shared_app, product) == [*before[:place], (ours, None), *before[place:]]
    await withdraw_publication(shared_app, shop, ref)
    await run_publication_to_end(shared_app, ref)
    assert gallery_of(shared_app, product) == before


async def test_an_upload_target_that_has_expired_is_replaced(
    shared_app: RunningApp, shop: str, product: ProductRecord
) -> None:
    ref, digests = await publishable_job(shared_app, shop, product, pictures=1)
    await post_publication(shared_app, shop, ref, publication_request(digests))
    shared_app.shopify.fail_next("upload", 403)
    assert len(await run_publication_to_end(shared_app, ref)) == 1
    assert (await get_publication(shared_app, shop, ref))["status"] == "PUBLISHED"


async def test_a_throttled_call_is_repeated_in_the_same_run(
    shared_app: RunningApp, shop: str, product: ProductRecord
) -> None:
    ref, digests = await publishable_job(shared_app, shop, product, pictures=1)
    await post_publication(shared_app, shop, ref, publication_request(digests))
    shared_app.shopify.throttle_next(field="fileCreate")
    shared_app.shopify.fail_next("graphql", 429, retry_after="0.05", field="fileUpdate")
    assert await run_publication_to_end(shared_app, ref) == []
    assert len(our_media(shared_app, ref, shop)) == 1


async def test_a_long_retry_after_is_waited_for_in_the_queue(
    shared_app: RunningApp, shop: str, product: ProductRecord
) -> None:
    ref, digests = await publishable_job(shared_app, shop, product, pictures=1)
    await post_publication(shared_app, shop, ref, publication_request(digests))
    shared_app.shopify.fail_next("graphql", 429, retry_after="90.5", field="fileCreate")
    assert [delay.total_seconds() for delay in await run_publication_to_end(shared_app, ref)] == [
        90.5
    ]
    assert (await get_publication(shared_app, shop, ref))["status"] == "PUBLISHED"


async def test_a_slow_file_frees_its_worker(
    shared_app: RunningApp, shop: str, product: ProductRecord, slow_files: None
) -> None:
    ref, digests = await publishable_job(shared_app, shop, product, pictures=1)
    await post_publication(shared_app, shop, ref, publication_request(digests))
    publication = PublicationRef(shop_id=ref.shop_id, job_id=ref.public_id, round=1)
    outcome = await run_publication(publication, publication_context_of(shared_app))
    assert isinstance(outcome, Retry)
    assert outcome.delay <= SHOPIFY_PROCESSING.first * (1 + PAUSE_JITTER)
    rows = await shared_app.rows(
        "SELECT tries FROM publications WHERE job_id = :j", j=ref.public_id
    )
    assert rows == [{"tries": 0}], "nothing has failed"
    delays = await run_publication_to_end(shared_app, ref)
    assert len(delays) >= 3 and delays[-1] > delays[0]
    assert (await get_publication(shared_app, shop, ref))["status"] == "PUBLISHED"
    assert len(our_media(shared_app, ref, shop)) == 1


async def test_a_file_that_is_never_ready_fails_and_is_removed(
    shared_app: RunningApp, shop: str, product: ProductRecord, slow_files: None
) -> None:
    shared_app.shopify.platform.steps_to_finish = 10_000
    before = gallery_of(shared_app, product)
    ref, digests = await publishable_job(shared_app, shop, product, pictures=1)
    await post_publication(shared_app, shop, ref, publication_request(digests))
    clock = asyncio.get_running_loop().time
    began = clock()
    delays = await run_publication_to_end(shared_app, ref, most=120)
    worked = timedelta(seconds=clock() - began)  # is part of what it has waited for Shopify
    assert SHOPIFY_PROCESSING.give_up_after is not None
    assert sum(delays, worked) >= SHOPIFY_PROCESSING.give_up_after
    assert max(delays) <= SHOPIFY_PROCESSING.longest * (1 + PAUSE_JITTER)
    made = await get_publication(shared_app, shop, ref)
    assert (made["status"], made["error"]["code"]) == ("FAILED", "SHOPIFY_UNAVAILABLE")
    assert (gallery_of(shared_app, product), our_media(shared_app, ref, shop)) == (before, [])


async def test_a_slow_reorder_is_requested_once(
    shared_app: RunningApp,
    shop: str,
    product: ProductRecord,
    slow_files: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real, asked = media_api.reorder, []

    async def counted(*arguments: Any) -> str | None:
        asked.append(arguments)
        return await real(*arguments)

    monkeypatch.setattr(media_api, "reorder", counted)
    ref, digests = await publishable_job(shared_app, shop, product, pictures=1)
    await post_publication(shared_app, shop, ref, publication_request(digests, position=[1]))
    assert len(await run_publication_to_end(shared_app, ref)) >= 6  # for the file, and for the move
    assert (await get_publication(shared_app, shop, ref))["status"] == "PUBLISHED"
    assert [gid for gid, _ in gallery_of(shared_app, product)][:1] == our_media(
        shared_app, ref, shop
    )
    await withdraw_publication(shared_app, shop, ref)
    await run_publication_to_end(shared_app, ref)
    assert (await get_publication(shared_app, shop, ref))["status"] == "RESTORED"
    assert len(asked) == 1, "and none to take it back, where ours was the only one that moved"


@pytest.fixture
def slow_files(shared_app: RunningApp) -> Iterator[None]:
    """A Shopify that takes long over files and moves."""
    usual = shared_app.shopify.platform.steps_to_finish
    shared_app.shopify.platform.steps_to_finish = 20
    yield
    shared_app.shopify.platform.steps_to_finish = usual


async def test_a_token_that_expires_during_publishing_is_refreshed(
    shared_app: RunningApp, shop: str, product: ProductRecord
) -> None:
    ref, digests = await publishable_job(shared_app, shop, product)
    await post_publication(shared_app, shop, ref, publication_request(digests))
    before = shared_app.shopify.calls["refresh"]
    shared_app.shopify.revoke_access_tokens(shop)
    assert await run_publication_to_end(shared_app, ref) == []
    await wait_for_call(shared_app, "refresh", before + 1)
    assert (await get_publication(shared_app, shop, ref))["status"] == "PUBLISHED"
