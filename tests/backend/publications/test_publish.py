"""Publishing puts each image on the product once, in its place, or nothing at all."""

import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from backend.dev.shopify import Product
from backend.publications.execution import run_publication
from backend.publications.leases import PublicationRef
from backend.retries import SHOPIFY_PROCESSING, SPREAD
from backend.shops import media_api
from tests.backend.publications.scenarios import (
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
from tests.running_app import RunningApp
from tests.scenarios import called


async def test_the_pictures_come_behind_the_products_own(
    shared_app: RunningApp, shop: str, product: Product
) -> None:
    before, variants = looks(shared_app, product), links(shared_app, product)
    ref, digests = await finished(shared_app, shop, product)
    made = await published(shared_app, shop, ref, wanted(digests, alt=["From the front", None]))
    assert made["status"] == "PUBLISHED"
    assert [each["status"] for each in made["artifacts"]] == ["ATTACHED", "ATTACHED"]
    ids = [each["media_id"] for each in made["artifacts"]]
    assert looks(shared_app, product) == [*before, (ids[0], "From the front"), (ids[1], None)]
    assert links(shared_app, product) == variants
    assert ours(shared_app, ref, shop) == ids
    assert made["published_at"] is not None


async def test_the_bytes_that_arrive_are_the_artifacts(
    shared_app: RunningApp, shop: str, product: Product
) -> None:
    ref, digests = await finished(shared_app, shop, product, pictures=1)
    await published(shared_app, shop, ref, wanted(digests))
    last = shared_app.shopify.current(product).media[-1]
    assert last.picture.content == png(f"{ref.public_id} 0")
    assert last.filename == f"atelier-{ref.public_id}-1.png"


async def test_positions_are_places_among_all_media(
    shared_app: RunningApp, shop: str, product: Product
) -> None:
    a, b, c = (gid for gid, _ in looks(shared_app, product))
    ref, digests = await finished(shared_app, shop, product, pictures=3)
    made = await published(shared_app, shop, ref, wanted(digests, position=[3, None, 1]))
    x, y, z = (each["media_id"] for each in made["artifacts"])
    assert [gid for gid, _ in looks(shared_app, product)] == [z, a, x, b, c, y]


async def test_another_product_of_the_shop_can_be_named(
    shared_app: RunningApp, shop: str, product: Product
) -> None:
    ref, digests = await finished(shared_app, shop, pictures=1)
    body = {**wanted(digests), "product_id": product.gid}
    made = await published(shared_app, shop, ref, body)
    assert (made["status"], made["product_id"]) == ("PUBLISHED", product.gid)
    assert len(looks(shared_app, product)) == 4


async def test_the_jobs_timeline_tells_of_it_and_the_job_stays_as_it_is(
    shared_app: RunningApp, shop: str, product: Product
) -> None:
    ref, digests = await finished(shared_app, shop, product)
    before = await shared_app.detail(ref.public_id, shop=shop)
    await published(shared_app, shop, ref, wanted(digests))
    assert await statuses(shared_app, ref) == ["PENDING", "PUBLISHING", "PUBLISHED"]
    assert {stage for _, stage, status in await events(shared_app, ref) if status} == {"publish"}
    after = await shared_app.detail(ref.public_id, shop=shop)
    assert after.headers["etag"] != before.headers["etag"]
    assert after.json()["status"] == "SUCCESS"
    assert len(after.json()["result"]) == len(before.json()["result"])
    event = after.json()["latest_event"]
    assert (event["event_type"], event["stage"]) == ("stage", "publish")
    assert event["extra"] == {"publication": {"status": "PUBLISHED", "error": None}}


async def test_the_queue_brings_it_to_a_worker(
    shared_app: RunningApp, shop: str, product: Product
) -> None:
    shared_app.shopify.platform.steps_to_finish = 1
    ref, digests = await finished(shared_app, shop, product, pictures=1)
    await post(shared_app, shop, ref, wanted(digests))
    await shared_app.drain()
    shared_app.shopify.platform.steps_to_finish = 2
    assert (await look(shared_app, shop, ref))["status"] == "PUBLISHED"


async def test_a_product_with_many_media_and_variants_is_read_whole(
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
    ref, digests = await finished(shared_app, shop, product, pictures=1)
    await published(shared_app, shop, ref, wanted(digests, position=[120]))
    rows = await shared_app.rows(
        "SELECT snapshot FROM publications WHERE job_id = :j", j=ref.public_id
    )
    snapshot = rows[0]["snapshot"]
    assert [each["id"] for each in snapshot["media"]] == [media.gid for media in current.media]
    assert snapshot["variants"][current.variants[-1].gid] == current.media[-1].gid
    assert len(snapshot["variants"]) == 130
    assert looks(shared_app, product)[119][0] == ours(shared_app, ref, shop)[0]


async def test_a_picture_that_is_on_the_product_already_is_not_put_there_again(
    shared_app: RunningApp, shop: str, product: Product, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody promises that adding what is there does nothing."""
    put_up: list[str] = []
    attach = media_api.attach

    async def counted(*told: Any, media: str, product: str) -> None:
        put_up.append(media)
        await attach(*told, media=media, product=product)

    monkeypatch.setattr(media_api, "attach", counted)
    ref, digests = await finished(shared_app, shop, product)
    await post(shared_app, shop, ref, wanted(digests))
    shared_app.shopify.cut_next_answer("graphql", field="fileUpdate")
    assert len(await work(shared_app, ref)) == 1, "the answer was lost, and the work done"
    assert put_up == ours(shared_app, ref, shop)


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
    shared_app: RunningApp, shop: str, product: Product, mutation: str, code: str
) -> None:
    before, variants = looks(shared_app, product), links(shared_app, product)
    ref, digests = await finished(shared_app, shop, product)
    shared_app.shopify.platform.refusals[mutation].clear()
    await post(shared_app, shop, ref, wanted(digests))
    shared_app.shopify.refuse_next(mutation, code)
    await work(shared_app, ref)
    made = await look(shared_app, shop, ref)
    assert (made["status"], made["error"]["code"]) == ("FAILED", REFUSALS[code])
    if REFUSALS[code] == "IMAGE_REFUSED_BY_SHOPIFY":
        assert code in made["error"]["message"]
    assert (looks(shared_app, product), links(shared_app, product)) == (before, variants)
    assert ours(shared_app, ref, shop) == []
    assert (await statuses(shared_app, ref))[-1] == "FAILED"
    latest = (await shared_app.detail(ref.public_id, shop=shop)).json()["latest_event"]
    assert latest["extra"]["publication"]["error"] == made["error"]


async def test_a_failure_after_half_of_them_takes_the_other_half_back(
    shared_app: RunningApp, shop: str, product: Product
) -> None:
    before = looks(shared_app, product)
    ref, digests = await finished(shared_app, shop, product)
    await post(shared_app, shop, ref, wanted(digests))
    shared_app.shopify.refuse_next("productReorderMedia", "INVALID")
    await shared_app.execute(
        "UPDATE published_media SET position = number WHERE job_id = :j", j=ref.public_id
    )
    await work(shared_app, ref)
    assert (await look(shared_app, shop, ref))["status"] == "FAILED"
    assert looks(shared_app, product) == before
    assert ours(shared_app, ref, shop) == []


async def test_a_file_that_fails_says_why(
    shared_app: RunningApp, shop: str, product: Product
) -> None:
    ref, digests = await finished(shared_app, shop, product, pictures=1, data=b"no picture at all")
    made = await published(shared_app, shop, ref, wanted(digests))
    assert made["error"]["code"] == "IMAGE_REFUSED_BY_SHOPIFY"
    assert "UNSUPPORTED_IMAGE_FILE_TYPE" in made["error"]["message"]
    assert ours(shared_app, ref, shop) == []


async def test_a_product_that_was_deleted_or_is_another_shops_is_not_found(
    shared_app: RunningApp, shop: str, product: Product
) -> None:
    foreign = shared_app.product(b"unread")
    gone = shared_app.shopify.create_product(shop, "Gone", png("gone"), "image/png")
    shared_app.shopify.delete_product(gone)
    for target in (foreign, gone):
        ref, digests = await finished(shared_app, shop, target)
        made = await published(shared_app, shop, ref, wanted(digests))
        assert (made["status"], made["error"]["code"]) == ("FAILED", "PRODUCT_NOT_FOUND")
        assert ours(shared_app, ref, shop) == []
    assert len(shared_app.shopify.current(foreign).media) == 1


async def test_a_full_product_takes_no_more(
    shared_app: RunningApp, shop: str, product: Product
) -> None:
    for number in range(246):
        shared_app.shopify.add_image(product, png(str(number)), "image/png")
    ref, digests = await finished(shared_app, shop, product)
    made = await published(shared_app, shop, ref, wanted(digests))
    assert (made["status"], made["error"]["code"]) == ("FAILED", "MEDIA_LIMIT_REACHED")
    assert len(looks(shared_app, product)) == 249


async def test_scopes_that_were_taken_away_meanwhile_end_it(
    shared_app: RunningApp, shop: str, product: Product
) -> None:
    ref, digests = await finished(shared_app, shop, product)
    await post(shared_app, shop, ref, wanted(digests))
    shared_app.shopify.set_scopes(shop, {"write_products"})
    await work(shared_app, ref)
    made = await look(shared_app, shop, ref)
    assert (made["status"], made["error"]["code"]) == ("FAILED", "SCOPE_MISSING")


# What passes


@pytest.mark.parametrize("code", ["FILE_LOCKED", "MEDIA_CANNOT_BE_MODIFIED", "NON_READY_STATE"])
async def test_what_shopify_is_just_busy_with_is_tried_again(
    shared_app: RunningApp, shop: str, product: Product, code: str
) -> None:
    ref, digests = await finished(shared_app, shop, product)
    await post(shared_app, shop, ref, wanted(digests))
    shared_app.shopify.refuse_next("fileUpdate", code)
    delays = await work(shared_app, ref)
    assert len(delays) == 1
    assert (await look(shared_app, shop, ref))["status"] == "PUBLISHED"
    assert len(ours(shared_app, ref, shop)) == 2


async def test_a_shopify_that_stays_away_fails_it_in_the_end(
    shared_app: RunningApp, shop: str, product: Product
) -> None:
    ref, digests = await finished(shared_app, shop, product)
    await post(shared_app, shop, ref, wanted(digests))
    shared_app.shopify.fail_next("graphql", 503, 50, field="stagedUploadsCreate")
    delays = await work(shared_app, ref)
    shared_app.shopify.platform.faults["graphql"].clear()
    made = await look(shared_app, shop, ref)
    assert (made["status"], made["error"]["code"]) == ("FAILED", "SHOPIFY_UNAVAILABLE")
    assert made["error"]["retryable"]
    assert sum(delays, timedelta(0)) >= timedelta(minutes=30), "and no try was used up before"


async def test_a_throttled_question_is_asked_again_within_the_same_run(
    shared_app: RunningApp, shop: str, product: Product
) -> None:
    ref, digests = await finished(shared_app, shop, product, pictures=1)
    await post(shared_app, shop, ref, wanted(digests))
    shared_app.shopify.throttle_next(field="fileCreate")
    shared_app.shopify.fail_next("graphql", 429, retry_after="0.05", field="fileUpdate")
    assert await work(shared_app, ref) == []
    assert len(ours(shared_app, ref, shop)) == 1


async def test_what_shopify_asks_to_wait_for_is_waited_for_off_the_worker(
    shared_app: RunningApp, shop: str, product: Product
) -> None:
    ref, digests = await finished(shared_app, shop, product, pictures=1)
    await post(shared_app, shop, ref, wanted(digests))
    shared_app.shopify.fail_next("graphql", 429, retry_after="90.5", field="fileCreate")
    assert [delay.total_seconds() for delay in await work(shared_app, ref)] == [90.5]
    assert (await look(shared_app, shop, ref))["status"] == "PUBLISHED"


async def test_a_file_that_takes_long_gives_its_worker_free(
    shared_app: RunningApp, shop: str, product: Product, slow: None
) -> None:
    ref, digests = await finished(shared_app, shop, product, pictures=1)
    await post(shared_app, shop, ref, wanted(digests))
    publication = PublicationRef(shop_id=ref.shop_id, job_id=ref.public_id, round=1)
    delay = await run_publication(publication, press_of(shared_app))
    assert delay is not None and delay <= SHOPIFY_PROCESSING.first * (1 + SPREAD)
    rows = await shared_app.rows(
        "SELECT tries FROM publications WHERE job_id = :j", j=ref.public_id
    )
    assert rows == [{"tries": 0}], "nothing has failed"
    delays = await work(shared_app, ref)
    assert len(delays) >= 3 and delays[-1] > delays[0]
    assert (await look(shared_app, shop, ref))["status"] == "PUBLISHED"
    assert len(ours(shared_app, ref, shop)) == 1


async def test_a_file_that_is_never_ready_ends_it_and_goes(
    shared_app: RunningApp, shop: str, product: Product, slow: None
) -> None:
    shared_app.shopify.platform.steps_to_finish = 10_000
    before = looks(shared_app, product)
    ref, digests = await finished(shared_app, shop, product, pictures=1)
    await post(shared_app, shop, ref, wanted(digests))
    started = time.monotonic()
    delays = await work(shared_app, ref, most=120)
    elapsed = timedelta(seconds=time.monotonic() - started)  # counts as waiting, too
    assert SHOPIFY_PROCESSING.patience is not None
    assert sum(delays, elapsed) >= SHOPIFY_PROCESSING.patience
    assert max(delays) <= SHOPIFY_PROCESSING.longest * (1 + SPREAD)
    made = await look(shared_app, shop, ref)
    assert (made["status"], made["error"]["code"]) == ("FAILED", "SHOPIFY_UNAVAILABLE")
    assert (looks(shared_app, product), ours(shared_app, ref, shop)) == (before, [])


async def test_a_move_that_takes_long_is_asked_for_once(
    shared_app: RunningApp, shop: str, product: Product, slow: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, asked = media_api.reorder, []

    async def counted(*arguments: Any) -> str | None:
        asked.append(arguments)
        return await real(*arguments)

    monkeypatch.setattr(media_api, "reorder", counted)
    ref, digests = await finished(shared_app, shop, product, pictures=1)
    await post(shared_app, shop, ref, wanted(digests, position=[1]))
    assert len(await work(shared_app, ref)) >= 6  # for the file, and for the move
    assert (await look(shared_app, shop, ref))["status"] == "PUBLISHED"
    assert [gid for gid, _ in looks(shared_app, product)][:1] == ours(shared_app, ref, shop)
    await undo(shared_app, shop, ref)
    await work(shared_app, ref)
    assert (await look(shared_app, shop, ref))["status"] == "RESTORED"
    assert len(asked) == 1, "and none to take it back, where ours was the only one that moved"


@pytest.fixture
def slow(shared_app: RunningApp) -> Iterator[None]:
    """A Shopify that takes long over files and moves."""
    usual = shared_app.shopify.platform.steps_to_finish
    shared_app.shopify.platform.steps_to_finish = 20
    yield
    shared_app.shopify.platform.steps_to_finish = usual


async def test_a_token_that_dies_in_the_middle_is_renewed(
    shared_app: RunningApp, shop: str, product: Product
) -> None:
    ref, digests = await finished(shared_app, shop, product)
    await post(shared_app, shop, ref, wanted(digests))
    before = shared_app.shopify.calls["refresh"]
    shared_app.shopify.revoke_access_tokens(shop)
    assert await work(shared_app, ref) == []
    await called(shared_app, "refresh", before + 1)
    assert (await look(shared_app, shop, ref))["status"] == "PUBLISHED"
