"""Publications and webhooks, erasure, uninstalls, maintenance and reauth."""

from typing import Any

import pytest

from backend.dev.shopify import ProductRecord
from backend.errors import DatabaseUnavailable
from backend.leased_task import AT_ONCE, Retry
from backend.publications.execution import run_publication
from backend.publications.leases import PublicationRef
from backend.retries import PUBLICATIONS
from backend.worker.maintenance import requeue_overdue
from backend.worker.reauth import end_long_waits
from tests.backend.publications.scenarios import (
    gallery_of,
    get_publication,
    our_media,
    png,
    post_publication,
    product_with_two_images,
    publication_context_of,
    publication_request,
    publication_statuses,
    publish,
    publishable_job,
    run_publication_to_end,
    withdraw_publication,
)
from tests.running_app import SHOP, RunningApp
from tests.scenarios import UPDATE, process_webhook


async def jobs_of(shared_app: RunningApp, shop: str) -> int:
    """How many jobs the shop has."""
    return len(
        await shared_app.rows(
            "SELECT 1 FROM jobs j JOIN shops s ON s.id = j.shop_id WHERE s.domain = :d", d=shop
        )
    )


# The echo


async def test_our_published_image_creates_no_job(
    shared_app: RunningApp, shop: str, product: ProductRecord
) -> None:
    ref, digests = await publishable_job(shared_app, shop, product, pictures=1)
    await publish(shared_app, shop, ref, publication_request(digests, position=[1]))
    assert await process_webhook(shared_app, UPDATE, shop=shop) == ("ignored", "OWN_MEDIA")
    assert await jobs_of(shared_app, shop) == 1


async def test_a_withdrawn_image_still_counts_as_ours(
    shared_app: RunningApp, shop: str, product: ProductRecord
) -> None:
    ref, digests = await publishable_job(shared_app, shop, product, pictures=1)
    made = await publish(shared_app, shop, ref, publication_request(digests, position=[1]))
    await withdraw_publication(shared_app, shop, ref)
    await run_publication_to_end(shared_app, ref)
    media = made["artifacts"][0]["media_id"]
    await shared_app.execute(  # a file of that id leads the gallery, whoever put it there
        "UPDATE published_media SET media_id = :m WHERE media_id = :o",
        m=gallery_of(shared_app, product)[0][0],
        o=media,
    )
    assert await process_webhook(shared_app, UPDATE, shop=shop) == ("ignored", "OWN_MEDIA")


async def published_file(
    shared_app: RunningApp, shop: str, product: ProductRecord
) -> tuple[str, bytes]:
    """The name and the bytes of a file that we published."""
    ref, digests = await publishable_job(shared_app, shop, product, pictures=1)
    await publish(shared_app, shop, ref, publication_request(digests))
    media = shared_app.shopify.current(product).media[-1]
    return media.filename, media.picture.content


@pytest.mark.parametrize(
    "renamed",
    [
        "{stem}.png",
        "{stem}_6e7b9a2c-3a4f-4a57-9d0e-2b1f0c8d7e6f.png",
        "{stem}_2048x2048.png",
        "{stem}-1.jpg",
        "copy of {stem}.png",
    ],
)
async def test_our_published_file_imported_again_creates_no_job(
    shared_app: RunningApp, shop: str, product: ProductRecord, renamed: str
) -> None:
    name, _ = await published_file(shared_app, shop, product)
    for stem in (name.removesuffix(".png"), name.removesuffix(".png").lower()):
        shared_app.shopify.create_product(
            shop, "Tee", b"as re-encoded", "image/png", renamed.format(stem=stem)
        )
        assert await process_webhook(shared_app, UPDATE, shop=shop) == ("ignored", "OWN_MEDIA")
    assert await jobs_of(shared_app, shop) == 1


async def test_the_bytes_of_our_published_file_create_no_job_under_another_name(
    shared_app: RunningApp, shop: str, product: ProductRecord
) -> None:
    _, content = await published_file(shared_app, shop, product)
    shared_app.shopify.create_product(shop, "Tee", content, "image/png", "front.png")
    assert await process_webhook(shared_app, UPDATE, shop=shop) == ("ignored", "OWN_MEDIA")
    downloads = shared_app.shopify.calls["image"]
    assert await process_webhook(shared_app, UPDATE, shop=shop) == ("ignored", "ALREADY_MADE")
    assert shared_app.shopify.calls["image"] == downloads, "it is compared once"
    assert await jobs_of(shared_app, shop) == 1


@pytest.mark.parametrize("trouble", [404, 503])
async def test_an_image_that_cannot_be_compared_creates_its_job(
    shared_app: RunningApp, shop: str, product: ProductRecord, trouble: int
) -> None:
    await published_file(shared_app, shop, product)
    shared_app.shopify.create_product(shop, "Tee", png("another"), "image/png", "front.png")
    shared_app.shopify.fail_next("image", trouble)
    assert (await process_webhook(shared_app, UPDATE, shop=shop))[0] == "processed"


async def test_only_images_of_the_same_size_are_downloaded_to_be_compared(
    shared_app: RunningApp, shop: str, product: ProductRecord
) -> None:
    _, content = await published_file(shared_app, shop, product)
    for other, requests in ((content + b"x", 1), (content[:-1] + b"x", 2)):
        before = shared_app.shopify.calls["image"]
        shared_app.shopify.create_product(shop, "Tee", other, "image/png", "front.png")
        assert (await process_webhook(shared_app, UPDATE, shop=shop))[0] == "processed"
        assert shared_app.shopify.calls["image"] - before == requests


async def test_a_name_like_ours_is_ours_only_for_a_job_of_this_shop(
    shared_app: RunningApp, shop: str, product: ProductRecord
) -> None:
    other = product_with_two_images(shared_app, SHOP)
    foreign, content = await published_file(shared_app, SHOP, other)
    names = [foreign, "atelier-1.png", "atelier-01J00000000000000000000000-1.png"]
    for number, name in enumerate(names):
        shared_app.shopify.create_product(shop, "Tee", content, "image/png", name)
        assert (await process_webhook(shared_app, UPDATE, shop=shop))[0] == "processed", name
        assert await jobs_of(shared_app, shop) == number + 1


async def test_the_merchants_own_image_creates_a_job(
    shared_app: RunningApp, shop: str, product: ProductRecord
) -> None:
    ref, digests = await publishable_job(shared_app, shop, product, pictures=1)
    await publish(shared_app, shop, ref, publication_request(digests))
    assert (await process_webhook(shared_app, UPDATE, shop=shop))[0] == "processed"


async def test_our_image_in_another_shop_is_not_ours_here(
    shared_app: RunningApp, shop: str, product: ProductRecord
) -> None:
    foreign = shared_app.product(b"unread")
    ref, digests = await publishable_job(shared_app, SHOP, foreign, pictures=1)
    await publish(shared_app, SHOP, ref, publication_request(digests))
    await shared_app.execute(
        "UPDATE published_media SET media_id = :m WHERE job_id = :j",
        m=gallery_of(shared_app, product)[0][0],
        j=ref.public_id,
    )
    assert (await process_webhook(shared_app, UPDATE, shop=shop))[0] == "processed"


# Goodbyes


async def rows_of(shared_app: RunningApp, ref: Any) -> int:
    """How many rows of publications a job has."""
    found = await shared_app.rows(
        "SELECT 1 FROM publications WHERE job_id = :j "
        "UNION ALL SELECT 1 FROM published_media WHERE job_id = :j",
        j=ref.public_id,
    )
    return len(found)


async def test_an_uninstall_ends_a_running_publication(
    shared_app: RunningApp, shop: str, product: ProductRecord
) -> None:
    ref, digests = await publishable_job(shared_app, shop, product, pictures=1)
    await post_publication(shared_app, shop, ref, publication_request(digests))
    shared_app.shopify.uninstall(shop)
    assert (await process_webhook(shared_app, "app/uninstalled", shop=shop))[0] == "processed"
    rows = await shared_app.rows(
        "SELECT status, error->>'code' AS code FROM publications WHERE job_id = :j",
        j=ref.public_id,
    )
    assert rows == [{"status": "FAILED", "code": "SHOP_UNINSTALLED"}]
    asked = shared_app.shopify.calls["graphql"]
    assert await run_publication_to_end(shared_app, ref) == []
    assert shared_app.shopify.calls["graphql"] == asked


async def test_erasing_a_shop_erases_its_publications(
    shared_app: RunningApp, shop: str, product: ProductRecord
) -> None:
    ref, digests = await publishable_job(shared_app, shop, product)
    await publish(shared_app, shop, ref, publication_request(digests))
    kept, others = await publishable_job(shared_app, SHOP, shared_app.product(b"unread"))
    await publish(shared_app, SHOP, kept, publication_request(others))
    assert await rows_of(shared_app, ref) == 3
    shared_app.shopify.uninstall(shop)
    assert (await process_webhook(shared_app, "app/uninstalled", shop=shop))[0] == "processed"
    assert (await process_webhook(shared_app, "shop/redact", shop=shop))[0] == "processed"
    assert await rows_of(shared_app, ref) == 0
    assert await rows_of(shared_app, kept) == 3


async def test_erasing_a_job_stops_its_publication(
    shared_app: RunningApp, shop: str, product: ProductRecord
) -> None:
    ref, digests = await publishable_job(shared_app, shop, product)
    await post_publication(shared_app, shop, ref, publication_request(digests))
    await shared_app.execute("DELETE FROM jobs WHERE public_id = :j", j=ref.public_id)
    assert await run_publication_to_end(shared_app, ref) == []


# Waiting, and being taken up again


async def test_a_publication_without_a_queue_entry_is_queued_again(
    shared_app: RunningApp, shop: str, product: ProductRecord
) -> None:
    await shared_app.execute("DELETE FROM queue.pgqueuer")
    ref, digests = await publishable_job(shared_app, shop, product, pictures=1)
    await post_publication(shared_app, shop, ref, publication_request(digests))
    await shared_app.execute("DELETE FROM queue.pgqueuer")
    assert await requeue_overdue(shared_app.database) == 0, "too young to be overdue"
    old = "UPDATE publications SET changed_at = now() - interval '2 minutes' WHERE job_id = :j"
    await shared_app.execute(old, j=ref.public_id)
    assert await requeue_overdue(shared_app.database) == 1
    assert await requeue_overdue(shared_app.database) == 0, "it has its entry now"
    await shared_app.execute("DELETE FROM queue.pgqueuer")
    await run_publication_to_end(shared_app, ref)
    await shared_app.execute(old, j=ref.public_id)
    assert await requeue_overdue(shared_app.database) == 0, "it is done"


@pytest.mark.parametrize("had_begun", [False, True])
async def test_a_publication_of_a_shop_that_nobody_opens_ends_after_a_month(
    shared_app: RunningApp, shop: str, product: ProductRecord, had_begun: bool
) -> None:
    ref, digests = await publishable_job(shared_app, shop, product, pictures=1)
    await post_publication(shared_app, shop, ref, publication_request(digests))
    await shared_app.execute("UPDATE shops SET reauth_needed_at = now() WHERE domain = :d", d=shop)
    if had_begun:
        assert await run_publication_to_end(shared_app, ref) == []
    for days, status in ((29, "PUBLISHING" if had_begun else "PENDING"), (31, "FAILED")):
        for old in (
            "UPDATE shops SET reauth_needed_at = now() - make_interval(days => :days) "
            "WHERE id = :s",
            "UPDATE publications SET created_at = now() - make_interval(days => :days) "
            "WHERE shop_id = :s",
        ):
            await shared_app.execute(old, days=days, s=ref.shop_id)
        assert await end_long_waits(shared_app.database) == int(status == "FAILED")
        assert (await get_publication(shared_app, shop, ref))["status"] == status
    assert (await get_publication(shared_app, shop, ref))["error"]["code"] == "REAUTH_NEEDED"
    await shared_app.install(shop)
    again = await publish(shared_app, shop, ref, publication_request(digests), nth=2)
    assert again["status"] == "PUBLISHED"


async def test_a_publication_of_a_parked_shop_waits_for_the_merchant(
    shared_app: RunningApp, shop: str, product: ProductRecord
) -> None:
    ref, digests = await publishable_job(shared_app, shop, product, pictures=1)
    await post_publication(shared_app, shop, ref, publication_request(digests))
    await shared_app.execute("DELETE FROM queue.pgqueuer")
    await shared_app.execute("UPDATE shops SET reauth_needed_at = now() WHERE domain = :d", d=shop)
    assert await run_publication_to_end(shared_app, ref) == []
    assert (await get_publication(shared_app, shop, ref))["status"] == "PUBLISHING"
    old = "UPDATE publications SET changed_at = now() - interval '2 minutes' WHERE job_id = :j"
    await shared_app.execute(old, j=ref.public_id)
    assert await requeue_overdue(shared_app.database) == 0
    await shared_app.install(shop)
    await shared_app.execute("DELETE FROM queue.pgqueuer")
    assert await requeue_overdue(shared_app.database) == 1
    await run_publication_to_end(shared_app, ref)
    assert (await get_publication(shared_app, shop, ref))["status"] == "PUBLISHED"


async def test_a_stopping_worker_hands_a_publication_over(
    shared_app: RunningApp, shop: str, product: ProductRecord
) -> None:
    ref, digests = await publishable_job(shared_app, shop, product, pictures=1)
    await post_publication(shared_app, shop, ref, publication_request(digests))
    publication = PublicationRef(shop_id=ref.shop_id, job_id=ref.public_id, round=1)
    publication_context = publication_context_of(shared_app)
    publication_context.stopping.set()
    try:
        for _ in range(PUBLICATIONS.crashes + 2):  # it is no fault of the publication's
            assert await run_publication(publication, publication_context) == AT_ONCE
    finally:
        publication_context.stopping.clear()
    await run_publication_to_end(shared_app, ref)
    assert len(our_media(shared_app, ref, shop)) == 1


async def test_a_publication_that_kills_its_workers_fails_and_leaves_nothing(
    shared_app: RunningApp, shop: str, product: ProductRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = gallery_of(shared_app, product)
    ref, digests = await publishable_job(shared_app, shop, product, pictures=1)
    await post_publication(shared_app, shop, ref, publication_request(digests))
    publication = PublicationRef(shop_id=ref.shop_id, job_id=ref.public_id, round=1)
    with monkeypatch.context() as poisoned:
        poisoned.setattr(shared_app.worker_context.store, "get", poison)
        for _ in range(PUBLICATIONS.crashes + 1):  # the first gets as far as the snapshot
            with pytest.raises(RuntimeError):
                await run_publication(publication, publication_context_of(shared_app))
    await run_publication_to_end(shared_app, ref)
    made = await get_publication(shared_app, shop, ref)
    assert (made["status"], made["error"]["code"]) == ("FAILED", "PUBLICATION_CRASHED")
    assert gallery_of(shared_app, product) == before


async def poison(_key: str) -> bytes:
    """What nobody thought of."""
    raise RuntimeError


async def test_a_short_database_outage_costs_no_attempts(
    shared_app: RunningApp, shop: str, product: ProductRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    ref, digests = await publishable_job(shared_app, shop, product, pictures=1)
    await post_publication(shared_app, shop, ref, publication_request(digests))

    async def away(*_: object, **__: object) -> None:
        raise DatabaseUnavailable

    with monkeypatch.context() as broken:
        broken.setattr("backend.publications.files.note_picture", away)
        publication = PublicationRef(shop_id=ref.shop_id, job_id=ref.public_id, round=1)
        for _ in range(PUBLICATIONS.crashes + 2):
            outcome = await run_publication(publication, publication_context_of(shared_app))
            assert isinstance(outcome, Retry) and outcome != AT_ONCE
    await run_publication_to_end(shared_app, ref)
    assert await publication_statuses(shared_app, ref) == ["PENDING", "PUBLISHING", "PUBLISHED"]


async def test_the_snapshot_contains_none_of_our_media(
    shared_app: RunningApp, shop: str, product: ProductRecord
) -> None:
    shared_app.shopify.add_image(product, png("more"), "image/png")
    ref, digests = await publishable_job(shared_app, shop, product, pictures=1)
    await publish(shared_app, shop, ref, publication_request(digests))
    rows = await shared_app.rows(
        "SELECT snapshot FROM publications WHERE job_id = :j", j=ref.public_id
    )
    assert our_media(shared_app, ref, shop)[0] not in str(rows[0]["snapshot"])
    assert len(rows[0]["snapshot"]["media"]) == 4
