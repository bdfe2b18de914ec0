"""What else meets publications: webhooks, erasure, uninstalling, housekeeping, a parked shop."""

from typing import Any

import pytest

from backend.dev.shopify import Product
from backend.errors import DatabaseUnavailable
from backend.publications.ledger import PublicationRef
from backend.publications.running import run_publication
from backend.retries import PUBLICATIONS
from backend.worker.maintenance import requeue_overdue
from tests.backend.publications.studio import (
    finished,
    look,
    looks,
    ours,
    png,
    post,
    press_of,
    published,
    statuses,
    undo,
    wanted,
    work,
)
from tests.doors import handled
from tests.world import SHOP, World

UPDATE = "products/update"


async def jobs_of(house: World, shop: str) -> int:
    """How many jobs the shop has."""
    return len(
        await house.rows(
            "SELECT 1 FROM jobs j JOIN shops s ON s.id = j.shop_id WHERE s.domain = :d", d=shop
        )
    )


# The echo


async def test_what_we_published_makes_no_job(house: World, shop: str, product: Product) -> None:
    ref, digests = await finished(house, shop, product, pictures=1)
    await published(house, shop, ref, wanted(digests, position=[1]))
    assert await handled(house, UPDATE, shop=shop) == ("ignored", "OWN_MEDIA")
    assert await jobs_of(house, shop) == 1


async def test_it_stays_ours_after_it_was_taken_back(
    house: World, shop: str, product: Product
) -> None:
    ref, digests = await finished(house, shop, product, pictures=1)
    made = await published(house, shop, ref, wanted(digests, position=[1]))
    await undo(house, shop, ref)
    await work(house, ref)
    media = made["artifacts"][0]["media_id"]
    await house.execute(  # a file of that id leads the gallery, whoever put it there
        "UPDATE published_media SET media_id = :m WHERE media_id = :o",
        m=looks(house, product)[0][0],
        o=media,
    )
    assert await handled(house, UPDATE, shop=shop) == ("ignored", "OWN_MEDIA")


async def test_the_merchants_own_picture_makes_one(
    house: World, shop: str, product: Product
) -> None:
    ref, digests = await finished(house, shop, product, pictures=1)
    await published(house, shop, ref, wanted(digests))
    assert (await handled(house, UPDATE, shop=shop))[0] == "processed"


async def test_what_is_ours_in_another_shop_is_not_ours_here(
    house: World, shop: str, product: Product
) -> None:
    foreign = house.product(b"unread")
    ref, digests = await finished(house, SHOP, foreign, pictures=1)
    await published(house, SHOP, ref, wanted(digests))
    await house.execute(
        "UPDATE published_media SET media_id = :m WHERE job_id = :j",
        m=looks(house, product)[0][0],
        j=ref.public_id,
    )
    assert (await handled(house, UPDATE, shop=shop))[0] == "processed"


# Goodbyes


async def rows_of(house: World, ref: Any) -> int:
    """How many rows of publications a job has."""
    found = await house.rows(
        "SELECT 1 FROM publications WHERE job_id = :j "
        "UNION ALL SELECT 1 FROM published_media WHERE job_id = :j",
        j=ref.public_id,
    )
    return len(found)


async def test_an_uninstall_stops_what_is_under_way(
    house: World, shop: str, product: Product
) -> None:
    ref, digests = await finished(house, shop, product, pictures=1)
    await post(house, shop, ref, wanted(digests))
    house.shopify.uninstall(shop)
    assert (await handled(house, "app/uninstalled", shop=shop))[0] == "processed"
    rows = await house.rows(
        "SELECT status, error->>'code' AS code FROM publications WHERE job_id = :j",
        j=ref.public_id,
    )
    assert rows == [{"status": "FAILED", "code": "SHOP_UNINSTALLED"}]
    asked = house.shopify.calls["graphql"]
    assert await work(house, ref) == []
    assert house.shopify.calls["graphql"] == asked


async def test_erasing_a_shop_erases_its_publications(
    house: World, shop: str, product: Product
) -> None:
    ref, digests = await finished(house, shop, product)
    await published(house, shop, ref, wanted(digests))
    kept, others = await finished(house, SHOP, house.product(b"unread"))
    await published(house, SHOP, kept, wanted(others))
    assert await rows_of(house, ref) == 3
    house.shopify.uninstall(shop)
    assert (await handled(house, "app/uninstalled", shop=shop))[0] == "processed"
    assert (await handled(house, "shop/redact", shop=shop))[0] == "processed"
    assert await rows_of(house, ref) == 0
    assert await rows_of(house, kept) == 3


async def test_a_job_that_is_erased_in_the_middle_stops_its_publication(
    house: World, shop: str, product: Product
) -> None:
    ref, digests = await finished(house, shop, product)
    await post(house, shop, ref, wanted(digests))
    await house.execute("DELETE FROM jobs WHERE public_id = :j", j=ref.public_id)
    assert await work(house, ref) == []


# Waiting, and being taken up again


async def test_one_whose_queue_entry_was_lost_is_queued_again(
    house: World, shop: str, product: Product
) -> None:
    await house.execute("DELETE FROM queue.pgqueuer")
    ref, digests = await finished(house, shop, product, pictures=1)
    await post(house, shop, ref, wanted(digests))
    await house.execute("DELETE FROM queue.pgqueuer")
    assert await requeue_overdue(house.database) == 0, "too young to be overdue"
    old = "UPDATE publications SET changed_at = now() - interval '2 minutes' WHERE job_id = :j"
    await house.execute(old, j=ref.public_id)
    assert await requeue_overdue(house.database) == 1
    assert await requeue_overdue(house.database) == 0, "it has its entry now"
    await house.execute("DELETE FROM queue.pgqueuer")
    await work(house, ref)
    await house.execute(old, j=ref.public_id)
    assert await requeue_overdue(house.database) == 0, "it is done"


async def test_that_of_a_parked_shop_waits_for_the_merchant(
    house: World, shop: str, product: Product
) -> None:
    ref, digests = await finished(house, shop, product, pictures=1)
    await post(house, shop, ref, wanted(digests))
    await house.execute("DELETE FROM queue.pgqueuer")
    await house.execute("UPDATE shops SET reauth_needed_at = now() WHERE domain = :d", d=shop)
    assert await work(house, ref) == []
    assert (await look(house, shop, ref))["status"] == "PUBLISHING"
    old = "UPDATE publications SET changed_at = now() - interval '2 minutes' WHERE job_id = :j"
    await house.execute(old, j=ref.public_id)
    assert await requeue_overdue(house.database) == 0
    await house.install(shop)
    await house.execute("DELETE FROM queue.pgqueuer")
    assert await requeue_overdue(house.database) == 1
    await work(house, ref)
    assert (await look(house, shop, ref))["status"] == "PUBLISHED"


async def test_a_worker_that_is_to_stop_hands_it_over(
    house: World, shop: str, product: Product
) -> None:
    ref, digests = await finished(house, shop, product, pictures=1)
    await post(house, shop, ref, wanted(digests))
    publication = PublicationRef(shop_id=ref.shop_id, job_id=ref.public_id, round=1)
    press = press_of(house)
    press.stopping.set()
    try:
        for _ in range(PUBLICATIONS.crashes + 2):  # it is no fault of the publication's
            delay = await run_publication(publication, press)
            assert delay is not None and delay.total_seconds() == 0
    finally:
        press.stopping.clear()
    await work(house, ref)
    assert len(ours(house, ref, shop)) == 1


async def test_one_that_kills_its_workers_ends_and_leaves_nothing(
    house: World, shop: str, product: Product, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = looks(house, product)
    ref, digests = await finished(house, shop, product, pictures=1)
    await post(house, shop, ref, wanted(digests))
    publication = PublicationRef(shop_id=ref.shop_id, job_id=ref.public_id, round=1)
    with monkeypatch.context() as poisoned:
        poisoned.setattr(house.workshop.store, "get", poison)
        for _ in range(PUBLICATIONS.crashes + 1):  # the first gets as far as the snapshot
            with pytest.raises(RuntimeError):
                await run_publication(publication, press_of(house))
    await work(house, ref)
    made = await look(house, shop, ref)
    assert (made["status"], made["error"]["code"]) == ("FAILED", "PUBLICATION_CRASHED")
    assert looks(house, product) == before


async def poison(_key: str) -> bytes:
    """What nobody thought of."""
    raise RuntimeError


async def test_a_database_that_is_away_for_a_moment_costs_nothing(
    house: World, shop: str, product: Product, monkeypatch: pytest.MonkeyPatch
) -> None:
    ref, digests = await finished(house, shop, product, pictures=1)
    await post(house, shop, ref, wanted(digests))

    async def away(*_: object, **__: object) -> None:
        raise DatabaseUnavailable

    with monkeypatch.context() as broken:
        broken.setattr("backend.publications.files.note_picture", away)
        publication = PublicationRef(shop_id=ref.shop_id, job_id=ref.public_id, round=1)
        for _ in range(PUBLICATIONS.crashes + 2):
            delay = await run_publication(publication, press_of(house))
            assert delay is not None and delay.total_seconds() > 0
    await work(house, ref)
    assert await statuses(house, ref) == ["PENDING", "PUBLISHING", "PUBLISHED"]


async def test_the_snapshot_has_nothing_of_ours(house: World, shop: str, product: Product) -> None:
    house.shopify.add_image(product, png("more"), "image/png")
    ref, digests = await finished(house, shop, product, pictures=1)
    await published(house, shop, ref, wanted(digests))
    rows = await house.rows("SELECT snapshot FROM publications WHERE job_id = :j", j=ref.public_id)
    assert ours(house, ref, shop)[0] not in str(rows[0]["snapshot"])
    assert len(rows[0]["snapshot"]["media"]) == 4
