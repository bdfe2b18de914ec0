"""Requesting a publication: what is accepted, what is refused, and idempotency."""

import asyncio
from typing import Any

import pytest

from backend.dev.shopify import ProductRecord
from tests.backend.publications.scenarios import (
    get_publication,
    post_publication,
    publication_path,
    publication_request,
    publication_statuses,
    publish,
    publishable_job,
    run_publication_to_end,
    withdraw_publication,
)
from tests.running_app import SHOP, RunningApp
from tests.scenarios import claimed_job, fingerprint, refusal

UNKNOWN = "0" * 64


async def test_a_request_stores_the_publication_its_event_and_queue_entry(
    shared_app: RunningApp, shop: str, product: ProductRecord
) -> None:
    ref, digests = await publishable_job(shared_app, shop, product)
    answer = await post_publication(
        shared_app, shop, ref, publication_request(digests, alt=["A", None], position=[1, None])
    )
    assert answer.status_code == 202
    made = answer.json()
    assert made == {
        "job_id": ref.public_id,
        "product_id": product.gid,
        "status": "PENDING",
        "error": None,
        "artifacts": [
            {
                "sha256": digest,
                "alt": alt,
                "position": position,
                "status": "PENDING",
                "media_id": None,
            }
            for digest, alt, position in zip(digests, ["A", None], [1, None], strict=True)
        ],
        "created_at": made["created_at"],
        "published_at": None,
        "restored_at": None,
    }
    assert await get_publication(shared_app, shop, ref) == made
    assert await publication_statuses(shared_app, ref) == ["PENDING"]
    queued = await shared_app.rows(
        "SELECT 1 FROM queue.pgqueuer WHERE dedupe_key LIKE :key",
        key=f"publish:%:{ref.public_id}:1",
    )
    assert len(queued) == 1


async def test_only_a_succeeded_job_can_be_published(
    shared_app: RunningApp, shop: str, product: ProductRecord
) -> None:
    ref = (await claimed_job(shared_app, shop=shop, request={"product_id": product.gid})).ref
    answer = await post_publication(shared_app, shop, ref, publication_request([UNKNOWN]))
    assert refusal(answer) == (409, "JOB_NOT_FINISHED")


async def test_a_job_made_from_an_upload_needs_a_product(shared_app: RunningApp, shop: str) -> None:
    ref, digests = await publishable_job(shared_app, shop)
    answer = await post_publication(shared_app, shop, ref, publication_request(digests))
    assert refusal(answer) == (422, "INVALID_REQUEST")
    assert [item["loc"] for item in answer.json()["detail"]] == [["body", "product_id"]]


async def test_a_preview_cannot_be_published(
    shared_app: RunningApp, shop: str, product: ProductRecord
) -> None:
    ref, digests = await publishable_job(shared_app, shop, product, is_preview=True)
    answer = await post_publication(shared_app, shop, ref, publication_request(digests))
    assert refusal(answer) == (422, "PREVIEW_NOT_PUBLISHABLE")
    assert len(answer.json()["detail"]) == 2
    told = await publishable_job(shared_app, shop, product, is_preview=False)
    assert (
        await post_publication(shared_app, shop, told[0], publication_request(told[1]))
    ).status_code == 202


async def test_only_final_artifacts_of_the_same_job_can_be_published(
    shared_app: RunningApp, shop: str, product: ProductRecord
) -> None:
    ref, digests = await publishable_job(shared_app, shop, product)
    _, foreign = await publishable_job(shared_app, shop, product)
    between, intermediate = await publishable_job(shared_app, shop, product, role="intermediate")
    for job, asked in ((ref, [digests[0], foreign[0]]), (ref, [digests[0], UNKNOWN])):
        answer = await post_publication(shared_app, shop, job, publication_request(asked))
        assert refusal(answer) == (422, "INVALID_REQUEST")
        places = [item["loc"] for item in answer.json()["detail"]]
        assert places == [["body", "artifacts", 1, "sha256"]]
    answer = await post_publication(
        shared_app, shop, between, publication_request(intermediate[:1])
    )
    assert refusal(answer) == (422, "INVALID_REQUEST")


BAD: dict[str, Any] = {
    "nothing": {"artifacts": []},
    "too many": {"artifacts": [{"sha256": f"{n:064x}"} for n in range(21)]},
    "no digest": {"artifacts": [{"sha256": "A" * 64}]},
    "an unknown field": {"artifacts": [{"sha256": UNKNOWN, "url": "x"}]},
    "a place before the first": {"artifacts": [{"sha256": UNKNOWN, "position": 0}]},
    "a long alt text": {"artifacts": [{"sha256": UNKNOWN, "alt": "x" * 513}]},
    "no product": {"artifacts": [{"sha256": UNKNOWN}], "product_id": "gid://shopify/Collection/1"},
    "the same twice": {"artifacts": [{"sha256": UNKNOWN}] * 2},
    "two in one place": {"artifacts": [{"sha256": f"{n:064x}", "position": 1} for n in range(2)]},
}


@pytest.mark.parametrize("body", BAD.values(), ids=BAD)
async def test_an_invalid_request_is_refused_and_stores_nothing(
    shared_app: RunningApp, shop: str, product: ProductRecord, body: Any
) -> None:
    ref, _ = await publishable_job(shared_app, shop, product)
    before = await fingerprint(shared_app, shop)
    answer = await post_publication(shared_app, shop, ref, body)
    assert refusal(answer) == (422, "INVALID_REQUEST")
    assert len(answer.json()["detail"]) >= 1
    assert await fingerprint(shared_app, shop) == before


async def test_an_unstorable_alt_text_is_reported_with_its_location(
    shared_app: RunningApp, shop: str, product: ProductRecord
) -> None:
    ref, digests = await publishable_job(shared_app, shop, product)
    answer = await post_publication(
        shared_app, shop, ref, publication_request(digests, alt=[None, "nul: \0"])
    )
    assert refusal(answer) == (422, "INVALID_REQUEST")
    assert [item["loc"] for item in answer.json()["detail"]] == [["body", "artifacts", 1, "alt"]]


@pytest.mark.parametrize("scopes", ["read_products", "write_products", "write_files", ""])
async def test_publishing_requires_both_scopes(
    shared_app: RunningApp, shop: str, product: ProductRecord, scopes: str
) -> None:
    ref, digests = await publishable_job(shared_app, shop, product)
    await shared_app.execute("UPDATE shops SET scopes = :s WHERE domain = :d", s=scopes, d=shop)
    assert refusal(await post_publication(shared_app, shop, ref, publication_request(digests))) == (
        403,
        "SCOPE_MISSING",
    )


async def test_a_job_has_at_most_one_active_publication(
    shared_app: RunningApp, shop: str, product: ProductRecord
) -> None:
    ref, digests = await publishable_job(shared_app, shop, product)
    asked = [
        post_publication(shared_app, shop, ref, publication_request(digests)) for _ in range(4)
    ]
    answers = await asyncio.gather(*asked)
    assert sorted(answer.status_code for answer in answers) == [202, 409, 409, 409]
    assert {refusal(each) for each in answers if each.is_error} == {(409, "ALREADY_PUBLISHED")}
    await run_publication_to_end(shared_app, ref)
    assert refusal(await post_publication(shared_app, shop, ref, publication_request(digests))) == (
        409,
        "ALREADY_PUBLISHED",
    )
    await withdraw_publication(shared_app, shop, ref)
    assert refusal(await post_publication(shared_app, shop, ref, publication_request(digests))) == (
        409,
        "ALREADY_PUBLISHED",
    )


async def test_a_failed_publication_can_be_followed_by_another(
    shared_app: RunningApp, shop: str, product: ProductRecord
) -> None:
    ref, digests = await publishable_job(shared_app, shop, product, pictures=1)
    shared_app.shopify.refuse_next("fileCreate", "INVALID")
    assert (await publish(shared_app, shop, ref, publication_request(digests)))[
        "status"
    ] == "FAILED"
    made = await publish(shared_app, shop, ref, publication_request(digests), nth=2)
    assert made["status"] == "PUBLISHED"


async def test_the_same_key_and_body_get_the_same_answer(
    shared_app: RunningApp, shop: str, product: ProductRecord
) -> None:
    ref, digests = await publishable_job(shared_app, shop, product)
    key, body = {"Idempotency-Key": "again"}, publication_request(digests)
    answers = await asyncio.gather(
        *(post_publication(shared_app, shop, ref, body, **key) for _ in range(3))
    )
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.content for answer in answers}) == 1
    await run_publication_to_end(shared_app, ref)
    replay = await post_publication(shared_app, shop, ref, body, **key)
    assert replay.content == answers[0].content
    assert replay.headers["idempotency-replayed"] == "true"
    other = await post_publication(shared_app, shop, ref, publication_request(digests[:1]), **key)
    assert refusal(other) == (422, "IDEMPOTENCY_KEY_REUSED")


async def test_an_idempotency_key_is_scoped_to_one_job(
    shared_app: RunningApp, shop: str, product: ProductRecord
) -> None:
    key = {"Idempotency-Key": "mine"}
    for _ in range(2):
        ref, digests = await publishable_job(shared_app, shop, product)
        answer = await post_publication(shared_app, shop, ref, publication_request(digests), **key)
        assert answer.json()["job_id"] == ref.public_id
        assert "idempotency-replayed" not in answer.headers


async def test_a_refused_request_does_not_use_up_its_key(
    shared_app: RunningApp, shop: str, product: ProductRecord
) -> None:
    ref, digests = await publishable_job(shared_app, shop, product)
    key = {"Idempotency-Key": "later"}
    await shared_app.execute("UPDATE shops SET scopes = '' WHERE domain = :d", d=shop)
    assert (
        await post_publication(shared_app, shop, ref, publication_request(digests), **key)
    ).status_code == 403
    await shared_app.execute(
        "UPDATE shops SET scopes = 'write_files,write_products' WHERE domain = :d", d=shop
    )
    assert (
        await post_publication(shared_app, shop, ref, publication_request(digests), **key)
    ).status_code == 202


async def test_an_unpublished_job_has_no_publication(
    shared_app: RunningApp, shop: str, product: ProductRecord
) -> None:
    ref, _ = await publishable_job(shared_app, shop, product)
    for method in ("GET", "DELETE"):
        answer = await shared_app.http.request(
            method, publication_path(ref), headers=shared_app.bearer(shop)
        )
        assert refusal(answer) == (404, "PUBLICATION_NOT_FOUND")


async def test_another_shops_job_is_not_found(
    shared_app: RunningApp, shop: str, product: ProductRecord
) -> None:
    ref, digests = await publishable_job(shared_app, shop, product)
    await publish(shared_app, shop, ref, publication_request(digests))
    for method, body in (("POST", publication_request(digests)), ("GET", None), ("DELETE", None)):
        answer = await shared_app.http.request(
            method, publication_path(ref), json=body, headers=shared_app.bearer(SHOP)
        )
        assert refusal(answer) == (404, "JOB_NOT_FOUND")
    assert (await get_publication(shared_app, shop, ref))["status"] == "PUBLISHED"
