"""The merchant's review, page by page."""

import asyncio
from typing import Any

import pytest

from backend.publications.leases import lease_publication
from backend.worker.expiry import retract
from backend.worker.retention import EXPIRING_FILES
from tests.backend.publications.scenarios import (
    first_publication,
    post_publication,
    publication_request,
    publishable_job,
)
from tests.backend.review.cards import card_ids, dismissal, get_review, reviewable_job
from tests.running_app import RunningApp
from tests.scenarios import claimed_job, finished_job, refusal, waiting_job

REASON = {"code": "LOW_CONTRAST", "message": "The product is hard to tell from its background."}


async def test_a_card_has_all_that_is_needed_to_decide(shared_app: RunningApp, shop: str) -> None:
    product = shared_app.product(b"unread", shop=shop)
    job, digests = await publishable_job(
        shared_app, shop, product, verdict="needs_review", reasons=[REASON]
    )
    body = (await get_review(shared_app, shop)).json()
    assert (body["limit"], body["count"]) == (24, 1)
    [card] = body["cards"]
    assert (card["public_id"], card["job_type"]) == (job.public_id, "CATALOG_IMAGE")
    assert card["product"] == {"id": product.gid, "title": None}
    assert [each["meta"]["sha256"] for each in card["result"]] == digests
    assert (card["verdict"], card["reasons"]) == ("needs_review", [REASON["message"]])
    assert (card["original"], card["preview"]) == (None, None)
    assert (card["publication"], card["dismissed_at"]) == (None, None)
    shown = await shared_app.http.get(card["result"][0]["image_url"])
    assert shown.status_code == 200


async def test_the_original_of_an_upload_is_the_upload(shared_app: RunningApp, shop: str) -> None:
    await publishable_job(shared_app, shop)
    [card] = (await get_review(shared_app, shop)).json()["cards"]
    assert card["product"] is None
    assert (card["original"]["kind"], card["original"]["role"]) == ("original", "intermediate")
    assert "/uploads/x.jpg?" in card["original"]["image_url"]


async def test_only_successful_jobs_of_the_merchant_are_reviewed(
    shared_app: RunningApp, shop: str
) -> None:
    await waiting_job(shared_app, shop=shop)
    await claimed_job(shared_app, shop=shop)
    await finished_job(shared_app, shop=shop, customer_id="7")
    job, _ = await finished_job(shared_app, shop=shop)
    assert await card_ids(shared_app, shop) == [job.public_id]


async def test_pages_cover_every_card_once_while_jobs_finish(
    shared_app: RunningApp, shop: str
) -> None:
    made = []
    for _ in range(5):
        made.append((await finished_job(shared_app, shop=shop))[0].public_id)
        await asyncio.sleep(0.002)  # ids begin with the millisecond
    seen: list[str] = []
    answer = await get_review(shared_app, shop, limit=2)
    while True:
        seen += [card["public_id"] for card in answer.json()["cards"]]
        if "link" not in answer.headers:
            break
        await finished_job(shared_app, shop=shop)
        path, _, relation = answer.headers["link"].partition("; ")
        assert relation == 'rel="next"'
        answer = await shared_app.http.get(path.strip("<>"), headers=shared_app.bearer(shop))
    assert seen == made[::-1]


async def test_an_unchanged_page_is_not_sent_again(shared_app: RunningApp, shop: str) -> None:
    job = await reviewable_job(shared_app, shop)
    first = await get_review(shared_app, shop)
    again = await get_review(shared_app, shop, tag=first.headers["etag"])
    assert (again.status_code, again.content) == (304, b"")
    await dismissal(shared_app, shop, job.public_id)
    changed = await get_review(shared_app, shop, tag=first.headers["etag"])
    assert (changed.status_code, changed.json()["cards"]) == (200, [])


async def test_an_unknown_shop_gets_401(shared_app: RunningApp) -> None:
    shared_app.shopify.create_shop("nobody-reviews.myshopify.com")
    answer = await get_review(shared_app, "nobody-reviews.myshopify.com")
    assert refusal(answer) == (401, "SHOP_NOT_INSTALLED")


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ({"limit": 0}, "limit"),
        ({"limit": 101}, "limit"),
        ({"state": "WAITING"}, "state"),
        ({"cursor": "x"}, "cursor"),
        ({"cursor": "null"}, "cursor"),
    ],
)
async def test_an_invalid_query_parameter_is_reported_by_name(
    shared_app: RunningApp, shop: str, query: dict[str, Any], named: str
) -> None:
    answer = await get_review(shared_app, shop, **query)
    assert refusal(answer) == (422, "INVALID_REQUEST")
    assert [item["loc"] for item in answer.json()["detail"]] == [["query", named]]


async def test_a_changed_publication_and_expired_files_change_the_page(
    shared_app: RunningApp, shop: str
) -> None:
    product = shared_app.product(b"unread", shop=shop)
    job, digests = await publishable_job(shared_app, shop, product)
    await post_publication(shared_app, shop, job, publication_request(digests))
    context = shared_app.worker_context.publication_context
    ref = first_publication(job)
    pages = [await get_review(shared_app, shop, state="published")]
    async with context.database.transaction(ref.shop_id) as connection:
        await lease_publication(connection, ref, "publish")
    pages.append(await get_review(shared_app, shop, state="published"))
    async with context.database.transaction() as connection:
        await retract(connection, [job], EXPIRING_FILES)
    pages.append(await get_review(shared_app, shop, state="published"))
    assert len({page.headers["etag"] for page in pages}) == 3
    shown = [page.json()["cards"][0]["publication"]["status"] for page in pages]
    assert shown == ["PENDING", "PUBLISHING", "PUBLISHING"]
