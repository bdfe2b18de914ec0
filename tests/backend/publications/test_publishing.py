"""Publishing: the pictures are on the product, in their places, once; or nothing is."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from backend.dev.shopify import Product
from backend.publications.ledger import PublicationRef
from backend.publications.running import run_publication
from backend.retries import SHOPIFY_PROCESSING, SPREAD
from backend.shops import media_api
from tests.backend.publications.studio import (
    events,
    finished,
    links,
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
from tests.doors import called
from tests.world import World


async def test_the_pictures_come_behind_the_products_own(
    house: World, shop: str, product: Product
) -> None:
    before, variants = looks(house, product), links(house, product)
    ref, digests = await finished(house, shop, product)
    made = await published(house, shop, ref, wanted(digests, alt=["From the front", None]))
    assert made["status"] == "PUBLISHED"
    assert [each["status"] for each in made["artifacts"]] == ["ATTACHED", "ATTACHED"]
    ids = [each["media_id"] for each in made["artifacts"]]
    assert looks(house, product) == [*before, (ids[0], "From the front"), (ids[1], None)]
    assert links(house, product) == variants
    assert ours(house, ref, shop) == ids
    assert made["published_at"] is not None


async def test_the_bytes_that_arrive_are_the_artifacts(
    house: World, shop: str, product: Product
) -> None:
    ref, digests = await finished(house, shop, product, pictures=1)
    await published(house, shop, ref, wanted(digests))
    last = house.shopify.current(product).media[-1]
    assert last.picture.content == png(f"{ref.public_id} 0")
    assert last.filename == f"atelier-{ref.public_id}-1.png"


async def test_positions_are_places_among_all_media(
    house: World, shop: str, product: Product
) -> None:
    a, b, c = (gid for gid, _ in looks(house, product))
    ref, digests = await finished(house, shop, product, pictures=3)
    made = await published(house, shop, ref, wanted(digests, position=[3, None, 1]))
    x, y, z = (each["media_id"] for each in made["artifacts"])
    assert [gid for gid, _ in looks(house, product)] == [z, a, x, b, c, y]


async def test_another_product_of_the_shop_can_be_named(
    house: World, shop: str, product: Product
) -> None:
    ref, digests = await finished(house, shop, pictures=1)
    body = {**wanted(digests), "product_id": product.gid}
    made = await published(house, shop, ref, body)
    assert (made["status"], made["product_id"]) == ("PUBLISHED", product.gid)
    assert len(looks(house, product)) == 4


async def test_the_jobs_timeline_tells_of_it_and_the_job_stays_as_it_is(
    house: World, shop: str, product: Product
) -> None:
    ref, digests = await finished(house, shop, product)
    before = await house.detail(ref.public_id, shop=shop)
    await published(house, shop, ref, wanted(digests))
    assert await statuses(house, ref) == ["PENDING", "PUBLISHING", "PUBLISHED"]
    assert {stage for _, stage, status in await events(house, ref) if status} == {"publish"}
    after = await house.detail(ref.public_id, shop=shop)
    assert after.headers["etag"] != before.headers["etag"]
    assert after.json()["status"] == "SUCCESS"
    assert len(after.json()["result"]) == len(before.json()["result"])
    event = after.json()["latest_event"]
    assert (event["event_type"], event["stage"]) == ("stage", "publish")
    assert event["extra"] == {"publication": {"status": "PUBLISHED", "error": None}}


async def test_the_queue_brings_it_to_a_worker(house: World, shop: str, product: Product) -> None:
    house.shopify.platform.steps_to_finish = 1
    ref, digests = await finished(house, shop, product, pictures=1)
    await post(house, shop, ref, wanted(digests))
    await house.drain()
    house.shopify.platform.steps_to_finish = 2
    assert (await look(house, shop, ref))["status"] == "PUBLISHED"


async def test_a_product_with_many_media_and_variants_is_read_whole(
    house: World, shop: str
) -> None:
    sizes = [f"Size {n}" for n in range(130)]
    product = house.shopify.create_product(shop, "Tee", png("one"), "image/png", variants=sizes)
    for number in range(119):
        house.shopify.add_image(product, png(str(number)), "image/png")
    current = house.shopify.current(product)
    house.shopify.show_at_variant(product, current.variants[-1].gid, current.media[-1].gid)
    ref, digests = await finished(house, shop, product, pictures=1)
    await published(house, shop, ref, wanted(digests, position=[120]))
    rows = await house.rows("SELECT snapshot FROM publications WHERE job_id = :j", j=ref.public_id)
    snapshot = rows[0]["snapshot"]
    assert [each["id"] for each in snapshot["media"]] == [media.gid for media in current.media]
    assert snapshot["variants"][current.variants[-1].gid] == current.media[-1].gid
    assert len(snapshot["variants"]) == 130
    assert looks(house, product)[119][0] == ours(house, ref, shop)[0]


async def test_a_picture_that_is_on_the_product_already_is_not_put_there_again(
    house: World, shop: str, product: Product, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody promises that adding what is there does nothing."""
    put_up: list[str] = []
    attach = media_api.attach

    async def counted(*told: Any, media: str, product: str) -> None:
        put_up.append(media)
        await attach(*told, media=media, product=product)

    monkeypatch.setattr(media_api, "attach", counted)
    ref, digests = await finished(house, shop, product)
    await post(house, shop, ref, wanted(digests))
    house.shopify.cut_next_answer("graphql", field="fileUpdate")
    assert len(await work(house, ref)) == 1, "the answer was lost, and the work done"
    assert put_up == ours(house, ref, shop)


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
async def test_a_refusal_has_a_code_of_ours_and_leaves_nothing_behind(
    house: World, shop: str, product: Product, mutation: str, code: str
) -> None:
    before, variants = looks(house, product), links(house, product)
    ref, digests = await finished(house, shop, product)
    house.shopify.platform.refusals[mutation].clear()
    await post(house, shop, ref, wanted(digests))
    house.shopify.refuse_next(mutation, code)
    await work(house, ref)
    made = await look(house, shop, ref)
    assert (made["status"], made["error"]["code"]) == ("FAILED", REFUSALS[code])
    if REFUSALS[code] == "IMAGE_REFUSED_BY_SHOPIFY":
        assert code in made["error"]["message"]
    assert (looks(house, product), links(house, product)) == (before, variants)
    assert ours(house, ref, shop) == []
    assert (await statuses(house, ref))[-1] == "FAILED"
    latest = (await house.detail(ref.public_id, shop=shop)).json()["latest_event"]
    assert latest["extra"]["publication"]["error"] == made["error"]


async def test_a_failure_after_half_of_them_takes_the_other_half_back(
    house: World, shop: str, product: Product
) -> None:
    before = looks(house, product)
    ref, digests = await finished(house, shop, product)
    await post(house, shop, ref, wanted(digests))
    house.shopify.refuse_next("productReorderMedia", "INVALID")
    await house.execute(
        "UPDATE published_media SET position = number WHERE job_id = :j", j=ref.public_id
    )
    await work(house, ref)
    assert (await look(house, shop, ref))["status"] == "FAILED"
    assert looks(house, product) == before
    assert ours(house, ref, shop) == []


async def test_a_file_that_fails_says_why(house: World, shop: str, product: Product) -> None:
    ref, digests = await finished(house, shop, product, pictures=1, data=b"no picture at all")
    made = await published(house, shop, ref, wanted(digests))
    assert made["error"]["code"] == "IMAGE_REFUSED_BY_SHOPIFY"
    assert "UNSUPPORTED_IMAGE_FILE_TYPE" in made["error"]["message"]
    assert ours(house, ref, shop) == []


async def test_a_product_that_was_deleted_or_is_another_shops_is_not_found(
    house: World, shop: str, product: Product
) -> None:
    foreign = house.product(b"unread")
    gone = house.shopify.create_product(shop, "Gone", png("gone"), "image/png")
    house.shopify.delete_product(gone)
    for target in (foreign, gone):
        ref, digests = await finished(house, shop, target)
        made = await published(house, shop, ref, wanted(digests))
        assert (made["status"], made["error"]["code"]) == ("FAILED", "PRODUCT_NOT_FOUND")
        assert ours(house, ref, shop) == []
    assert len(house.shopify.current(foreign).media) == 1


async def test_a_full_product_takes_no_more(house: World, shop: str, product: Product) -> None:
    for number in range(246):
        house.shopify.add_image(product, png(str(number)), "image/png")
    ref, digests = await finished(house, shop, product)
    made = await published(house, shop, ref, wanted(digests))
    assert (made["status"], made["error"]["code"]) == ("FAILED", "MEDIA_LIMIT_REACHED")
    assert len(looks(house, product)) == 249


async def test_scopes_that_were_taken_away_meanwhile_end_it(
    house: World, shop: str, product: Product
) -> None:
    ref, digests = await finished(house, shop, product)
    await post(house, shop, ref, wanted(digests))
    house.shopify.set_scopes(shop, {"write_products"})
    await work(house, ref)
    made = await look(house, shop, ref)
    assert (made["status"], made["error"]["code"]) == ("FAILED", "SCOPE_MISSING")


# What passes


@pytest.mark.parametrize("code", ["FILE_LOCKED", "MEDIA_CANNOT_BE_MODIFIED", "NON_READY_STATE"])
async def test_what_shopify_is_just_busy_with_is_tried_again(
    house: World, shop: str, product: Product, code: str
) -> None:
    ref, digests = await finished(house, shop, product)
    await post(house, shop, ref, wanted(digests))
    house.shopify.refuse_next("fileUpdate", code)
    delays = await work(house, ref)
    assert len(delays) == 1
    assert (await look(house, shop, ref))["status"] == "PUBLISHED"
    assert len(ours(house, ref, shop)) == 2


async def test_a_shopify_that_stays_away_fails_it_in_the_end(
    house: World, shop: str, product: Product
) -> None:
    ref, digests = await finished(house, shop, product)
    await post(house, shop, ref, wanted(digests))
    house.shopify.fail_next("graphql", 503, 50, field="stagedUploadsCreate")
    delays = await work(house, ref)
    house.shopify.platform.faults["graphql"].clear()
    made = await look(house, shop, ref)
    assert (made["status"], made["error"]["code"]) == ("FAILED", "SHOPIFY_UNAVAILABLE")
    assert made["error"]["retryable"]
    assert sum(delays, timedelta(0)) >= timedelta(minutes=30), "and no try was used up before"


async def test_a_throttled_question_is_asked_again_within_the_same_run(
    house: World, shop: str, product: Product
) -> None:
    ref, digests = await finished(house, shop, product, pictures=1)
    await post(house, shop, ref, wanted(digests))
    house.shopify.throttle_next(field="fileCreate")
    house.shopify.fail_next("graphql", 429, retry_after="0.05", field="fileUpdate")
    assert await work(house, ref) == []
    assert len(ours(house, ref, shop)) == 1


async def test_what_shopify_asks_to_wait_for_is_waited_for_off_the_worker(
    house: World, shop: str, product: Product
) -> None:
    ref, digests = await finished(house, shop, product, pictures=1)
    await post(house, shop, ref, wanted(digests))
    house.shopify.fail_next("graphql", 429, retry_after="90.5", field="fileCreate")
    assert [delay.total_seconds() for delay in await work(house, ref)] == [90.5]
    assert (await look(house, shop, ref))["status"] == "PUBLISHED"


async def test_a_file_that_takes_long_gives_its_worker_free(
    house: World, shop: str, product: Product, slow: None
) -> None:
    ref, digests = await finished(house, shop, product, pictures=1)
    await post(house, shop, ref, wanted(digests))
    publication = PublicationRef(shop_id=ref.shop_id, job_id=ref.public_id, round=1)
    delay = await run_publication(publication, press_of(house))
    assert delay is not None and delay <= SHOPIFY_PROCESSING.first * (1 + SPREAD)
    rows = await house.rows("SELECT tries FROM publications WHERE job_id = :j", j=ref.public_id)
    assert rows == [{"tries": 0}], "nothing has failed"
    delays = await work(house, ref)
    assert len(delays) >= 3 and delays[-1] > delays[0]
    assert (await look(house, shop, ref))["status"] == "PUBLISHED"
    assert len(ours(house, ref, shop)) == 1


async def test_a_file_that_is_never_ready_ends_it_and_goes(
    house: World, shop: str, product: Product, slow: None
) -> None:
    house.shopify.platform.steps_to_finish = 10_000
    before = looks(house, product)
    ref, digests = await finished(house, shop, product, pictures=1)
    await post(house, shop, ref, wanted(digests))
    delays = await work(house, ref, most=120)
    assert SHOPIFY_PROCESSING.patience is not None
    assert sum(delays, timedelta(0)) >= SHOPIFY_PROCESSING.patience
    assert max(delays) <= SHOPIFY_PROCESSING.longest * (1 + SPREAD)
    made = await look(house, shop, ref)
    assert (made["status"], made["error"]["code"]) == ("FAILED", "SHOPIFY_UNAVAILABLE")
    assert (looks(house, product), ours(house, ref, shop)) == (before, [])


async def test_a_move_that_takes_long_is_asked_for_once(
    house: World, shop: str, product: Product, slow: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, asked = media_api.reorder, []

    async def counted(*arguments: Any) -> str | None:
        asked.append(arguments)
        return await real(*arguments)

    monkeypatch.setattr(media_api, "reorder", counted)
    ref, digests = await finished(house, shop, product, pictures=1)
    await post(house, shop, ref, wanted(digests, position=[1]))
    assert len(await work(house, ref)) >= 6  # for the file, and for the move
    assert (await look(house, shop, ref))["status"] == "PUBLISHED"
    assert [gid for gid, _ in looks(house, product)][:1] == ours(house, ref, shop)
    await undo(house, shop, ref)
    await work(house, ref)
    assert (await look(house, shop, ref))["status"] == "RESTORED"
    assert len(asked) == 1, "and none to take it back, where ours was the only one that moved"


@pytest.fixture
def slow(house: World) -> Iterator[None]:
    """A Shopify that takes long over files and moves."""
    usual = house.shopify.platform.steps_to_finish
    house.shopify.platform.steps_to_finish = 20
    yield
    house.shopify.platform.steps_to_finish = usual


async def test_a_token_that_dies_in_the_middle_is_renewed(
    house: World, shop: str, product: Product
) -> None:
    ref, digests = await finished(house, shop, product)
    await post(house, shop, ref, wanted(digests))
    before = house.shopify.calls["refresh"]
    house.shopify.revoke_access_tokens(shop)
    assert await work(house, ref) == []
    await called(house, "refresh", before + 1)
    assert (await look(house, shop, ref))["status"] == "PUBLISHED"
