"""Requesting and listing batches: what is accepted, what is refused, and idempotency."""

import asyncio
import dataclasses
import uuid
from typing import Any

import msgspec
import pytest

from backend.batches.execution import run_expansion
from backend.dev.transport import LoopbackShopify
from backend.workflows import FOR_MANY_PRODUCTS
from backend.workflows.pictures import PRIVATE_UPLOAD_FIELDS, ProductPhoto
from tests.backend.batches.scenarios import (
    counts,
    create_batch,
    end_jobs,
    expanded_batch,
    get_batch,
    get_items,
    jobs_of,
    post_batch,
    post_batch_action,
    product_gids,
)
from tests.hosted_engines import WITH_ENGINES, app_with
from tests.minimal_requests import UNKNOWN_ENTRY
from tests.running_app import SHOP, RunningApp, serve_app
from tests.scenarios import NoRenderer, fingerprint, refusal

NO_UPLOAD = "upl_" + "0" * 32
ROUTES = (("GET", ""), ("GET", "/items"), ("POST", "/retry"), ("POST", "/cancel"))


async def test_a_request_stores_the_batch_and_its_queue_entry(
    shared_app: RunningApp, shop: str
) -> None:
    answer = await post_batch(shared_app, shop, {"product_ids": product_gids(2)})
    assert answer.status_code == 202
    batch = answer.json()
    assert batch == {
        "public_id": batch["public_id"],
        "workflow": "catalog-image",
        "collection_id": None,
        "status": "EXPANDING",
        "counts": {"total": 2, "not_started": 2, "in_progress": 0, "succeeded": 0, "failed": 0},
        "waiting_for": None,
        "error": None,
        "created_at": batch["created_at"],
        "finished_at": None,
    }
    path = f"/v1/batches/{batch['public_id']}"
    assert answer.headers["location"] == path
    shown = await shared_app.http.get(path, headers=shared_app.bearer(shop))
    assert shown.json() == batch
    assert shown.headers["retry-after"] == answer.headers["retry-after"] == "2"
    queued = await shared_app.rows(
        "SELECT 1 FROM queue.pgqueuer WHERE dedupe_key LIKE :key",
        key=f"expand_batch:%:{batch['public_id']}:0",
    )
    assert len(queued) == 1


async def test_the_worker_creates_possible_jobs_and_reports_the_others(
    shared_app: RunningApp, shop: str
) -> None:
    await shared_app.execute("DELETE FROM queue.pgqueuer")
    tee = shared_app.product(b"unread", shop=shop)
    ref = await create_batch(shared_app, shop, {"product_ids": [tee.gid, *product_gids(1)]})
    worker_context = msgspec.structs.replace(shared_app.worker_context, renderer=NoRenderer())
    await dataclasses.replace(shared_app, worker_context=worker_context).drain()
    assert await counts(shared_app, shop, ref) == ("PARTIAL", 0, 0, 1, 1)
    good, bad = await get_items(shared_app, shop, ref)
    assert (await shared_app.detail(good["job_id"], shop=shop)).json()["status"] == "SUCCESS"
    assert bad["error"]["code"] == "PRODUCT_NOT_FOUND"


@pytest.mark.parametrize("workflow", FOR_MANY_PRODUCTS, ids=lambda each: each.name)
def test_batch_parameters_exclude_the_source_image(workflow: Any) -> None:
    not_kept = {*ProductPhoto.__struct_fields__} | PRIVATE_UPLOAD_FIELDS
    own = set(workflow.request.__struct_fields__) - not_kept
    assert set(workflow.without_photo.__struct_fields__) == own


ONE = {"product_ids": product_gids(1)}
BAD: dict[str, tuple[dict[str, Any], list[list[Any]]]] = {
    "neither source": ({}, [["collection_id"]]),
    "both sources": (
        {**ONE, "collection_id": "gid://shopify/Collection/1"},
        [["collection_id"], ["product_ids"]],
    ),
    "no products": ({"product_ids": []}, [["product_ids"]]),
    "too many products": ({"product_ids": product_gids(1001)}, [["product_ids"]]),
    "a product twice": ({"product_ids": product_gids(2) + product_gids(1)}, [["product_ids", 2]]),
    "no product": ({"product_ids": ["gid://shopify/Collection/1"]}, [["product_ids", 0]]),
    "no collection": ({"collection_id": "gid://shopify/Product/1"}, [["collection_id"]]),
    "an unknown field": ({**ONE, "url": "x"}, [["url"]]),
    "an unknown workflow": ({**ONE, "workflow": "oil-painting"}, [["workflow"]]),
    "a bad parameter": ({**ONE, "parameters": {"margin": 0.5}}, [["parameters", "margin"]]),
    "a coerced one": ({**ONE, "parameters": {"margin": "0.1"}}, [["parameters", "margin"]]),
    "an unknown one": ({**ONE, "parameters": {"size": 1}}, [["parameters", "size"]]),
    "a bad choice": ({**ONE, "parameters": {"shadow": "x"}}, [["parameters", "shadow"]]),
    "a huge number": ({**ONE, "parameters": {"margin": 10**30}}, [["parameters", "margin"]]),
    "a photo of its own": (
        {**ONE, "parameters": {"product_id": product_gids(1)[0]}},
        [["parameters", "product_id"]],
    ),
    "the same output twice": (
        {**ONE, "parameters": {"outputs": [{"size": 512, "format": "webp"}] * 2}},
        [["parameters", "outputs"]],
    ),
    "a missing parameter": (
        {**ONE, "workflow": "background-swap-with-spec"},
        [["parameters", "scene_type"]],
    ),
    "a workflow for one photo at a time": ({**ONE, "workflow": "look"}, [["workflow"]]),
    "an image named twice": (
        {
            **ONE,
            "workflow": "background-swap-with-image",
            "parameters": {"background_upload_key": NO_UPLOAD, "background_id": UNKNOWN_ENTRY},
        },
        [["parameters", "background_upload_key"], ["parameters", "background_id"]],
    ),
    "no such entry": (
        {
            **ONE,
            "workflow": "background-swap-with-image",
            "parameters": {"background_id": UNKNOWN_ENTRY},
        },
        [["parameters", "background_id"]],
    ),
    "no such upload": (
        {
            **ONE,
            "workflow": "background-swap-with-image",
            "parameters": {"background_upload_key": NO_UPLOAD},
        },
        [["parameters", "background_upload_key"]],
    ),
}


@pytest.mark.parametrize(("body", "places"), BAD.values(), ids=BAD)
async def test_an_invalid_request_is_reported_by_field_and_stores_nothing(
    shared_app: RunningApp, shop: str, body: dict[str, Any], places: list[list[Any]]
) -> None:
    before = await fingerprint(shared_app, shop)
    answer = await post_batch(shared_app, shop, body)
    assert refusal(answer) == (422, "INVALID_REQUEST")
    assert [item["loc"] for item in answer.json()["detail"]] == [
        ["body", *place] for place in places
    ]
    assert await fingerprint(shared_app, shop) == before


async def test_one_upload_serves_every_job_of_a_batch(shared_app: RunningApp, shop: str) -> None:
    key = f"upl_{uuid.uuid4().hex}"
    await shared_app.execute(
        "INSERT INTO uploads (shop_id, upload_key, key, stored_at) "
        "SELECT id, :key, 'uploads/wall.jpg', now() FROM shops WHERE domain = :d",
        key=key,
        d=shop,
    )
    ref = await expanded_batch(
        shared_app,
        shop,
        {
            "workflow": "background-swap-with-image",
            "product_ids": product_gids(2),
            "parameters": {"background_upload_key": key},
        },
    )
    backgrounds = [
        job["request"]["background_upload_key"] for job in await jobs_of(shared_app, ref)
    ]
    assert backgrounds == ["uploads/wall.jpg"] * 2
    used = await shared_app.rows("SELECT used_at FROM uploads WHERE upload_key = :key", key=key)
    assert used[0]["used_at"] is not None


async def test_a_disabled_workflow_can_be_neither_started_nor_retried(
    shared_app: RunningApp, shop: str
) -> None:
    ref = await expanded_batch(shared_app, shop, {"product_ids": product_gids(1)})
    await end_jobs(shared_app, shop, ref, bad=1)
    settings = msgspec.structs.replace(shared_app.settings, disabled_workflows="catalog-image")
    async with serve_app(settings, LoopbackShopify(shared_app.shopify.origin)) as url:
        for path in ("/v1/batches", f"/v1/batches/{ref.public_id}/retry"):
            body = {"workflow": "catalog-image", **ONE}
            answer = await shared_app.http.post(
                url + path, json=body, headers=shared_app.bearer(shop)
            )
            assert refusal(answer) == (403, "WORKFLOW_DISABLED")


# Twice


async def test_the_same_request_and_key_create_one_batch(shared_app: RunningApp, shop: str) -> None:
    key = {"Idempotency-Key": uuid.uuid4().hex}
    first, again = [await post_batch(shared_app, shop, ONE, **key) for _ in range(2)]
    assert again.json() == first.json()
    assert again.headers["location"] == first.headers["location"]
    assert again.headers["idempotency-replayed"] == "true"
    assert "idempotency-replayed" not in first.headers
    other = await post_batch(shared_app, shop, {"product_ids": product_gids(2)}, **key)
    assert refusal(other) == (422, "IDEMPOTENCY_KEY_REUSED")
    assert len(await list_batches(shared_app, shop)) == 1


async def test_concurrent_requests_with_one_key_create_one_batch(
    shared_app: RunningApp, shop: str
) -> None:
    key = {"Idempotency-Key": uuid.uuid4().hex}
    answers = await asyncio.gather(*(post_batch(shared_app, shop, ONE, **key) for _ in range(4)))
    assert len({answer.json()["public_id"] for answer in answers}) == 1
    assert len(await list_batches(shared_app, shop)) == 1


# Pages


async def list_batches(shared_app: RunningApp, shop: str, **query: Any) -> list[str]:
    """The ids of a page of the shop's batches."""
    answer = await shared_app.http.get("/v1/batches", params=query, headers=shared_app.bearer(shop))
    assert answer.status_code == 200, answer.text
    return [batch["public_id"] for batch in answer.json()["batches"]]


async def follow_pages(shared_app: RunningApp, shop: str, path: str, name: str) -> list[Any]:
    """All that the pages from there on have, and that no page is longer than it may be."""
    found: list[Any] = []
    while path:
        answer = await shared_app.http.get(path, headers=shared_app.bearer(shop))
        body = answer.json()
        assert body["count"] == len(body[name]) <= body["limit"]
        found += body[name]
        path = answer.headers.get("link", "").partition(">")[0].removeprefix("<")
    return found


async def test_batches_are_listed_newest_first(shared_app: RunningApp, shop: str) -> None:
    refs = []
    for count in (1, 2, 3):
        refs.append(await expanded_batch(shared_app, shop, {"product_ids": product_gids(count)}))
        await asyncio.sleep(0.002)  # ids begin with the millisecond
    found = await follow_pages(shared_app, shop, "/v1/batches?limit=2", "batches")
    assert found == [await get_batch(shared_app, shop, ref) for ref in refs[::-1]]


async def test_a_shop_without_batches_has_an_empty_list(shared_app: RunningApp, shop: str) -> None:
    assert await list_batches(shared_app, shop) == []


async def test_items_are_listed_in_order_and_filtered_by_status(
    shared_app: RunningApp, shop: str
) -> None:
    ref = await expanded_batch(shared_app, shop, {"product_ids": product_gids(5)})
    await end_jobs(shared_app, shop, ref, good=2, bad=1, begun=1)
    path = f"/v1/batches/{ref.public_id}/items?limit=2"
    found = await follow_pages(shared_app, shop, path, "items")
    assert [item["product_id"] for item in found] == product_gids(5)
    statuses = ["SUCCESS", "SUCCESS", "FAILURE", "IN_PROGRESS", "NOT_STARTED"]
    assert [item["status"] for item in found] == statuses
    assert [item["error"] and item["error"]["code"] for item in found] == [
        None,
        None,
        "PRODUCT_NOT_FOUND",
        None,
        None,
    ]
    for status in set(statuses):
        wanted = [item for item in found if item["status"] == status]
        assert await follow_pages(shared_app, shop, f"{path}&status={status}", "items") == wanted


async def test_a_batch_without_items_has_an_empty_page(shared_app: RunningApp, shop: str) -> None:
    ref = await create_batch(shared_app, shop, {"collection_id": "gid://shopify/Collection/1"})
    assert await get_items(shared_app, shop, ref) == []


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=51", "cursor=x", "cursor=null", "cursor=01J0000000000000000000000"]
)
async def test_an_invalid_page_of_batches_is_refused(
    shared_app: RunningApp, shop: str, query: str
) -> None:
    answer = await shared_app.http.get(f"/v1/batches?{query}", headers=shared_app.bearer(shop))
    assert refusal(answer) == (422, "INVALID_REQUEST")


@pytest.mark.parametrize("query", ["limit=201", "cursor=0", "cursor=null", "status=DONE"])
async def test_an_invalid_page_of_items_is_refused(
    shared_app: RunningApp, shop: str, query: str
) -> None:
    ref = await create_batch(shared_app, shop, ONE)
    path = f"/v1/batches/{ref.public_id}/items?{query}"
    answer = await shared_app.http.get(path, headers=shared_app.bearer(shop))
    assert refusal(answer) == (422, "INVALID_REQUEST")


# Others


@pytest.mark.parametrize(("method", "path"), ROUTES)
async def test_another_shops_batch_is_not_found(
    shared_app: RunningApp, shop: str, method: str, path: str
) -> None:
    theirs = await expanded_batch(shared_app, SHOP, ONE)
    await end_jobs(shared_app, SHOP, theirs, bad=1)
    before = await fingerprint(shared_app, SHOP)
    told = set()
    for public_id in (theirs.public_id, "7" * 26, "nonsense"):
        answer = await shared_app.http.request(
            method,
            f"/v1/batches/{public_id}{path}",
            headers={**shared_app.bearer(shop), "X-Request-Id": "12345678"},
        )
        assert refusal(answer) == (404, "BATCH_NOT_FOUND")
        kept = {name: value for name, value in answer.headers.items() if name != "date"}
        told.add((answer.content, str(kept)))
    assert len(told) == 1
    assert await fingerprint(shared_app, SHOP) == before


async def test_an_uninstalled_shop_gets_401(shared_app: RunningApp, shop: str) -> None:
    ref = await create_batch(shared_app, shop, ONE)
    await shared_app.execute("UPDATE shops SET status = 'uninstalled' WHERE domain = :d", d=shop)
    for method, path in ROUTES:
        url = f"/v1/batches/{ref.public_id}{path}"
        answer = await shared_app.http.request(method, url, headers=shared_app.bearer(shop))
        assert refusal(answer) == (401, "SHOP_NOT_INSTALLED")
    assert refusal(await post_batch(shared_app, shop, ONE)) == (401, "SHOP_NOT_INSTALLED")
    assert refusal(await post_batch_action(shared_app, shop, ref, "retry")) == (
        401,
        "SHOP_NOT_INSTALLED",
    )


async def test_a_batch_of_a_workflow_without_an_engine_is_refused(
    shared_app: RunningApp, shop: str
) -> None:
    before = await fingerprint(shared_app, shop)
    refused = await post_batch(shared_app, shop, {**ONE, "workflow": "extract"})
    assert refusal(refused) == (409, "NO_ENGINE")
    assert await fingerprint(shared_app, shop) == before


async def test_a_batch_whose_engine_is_removed_ends_and_cannot_be_retried(
    shared_app: RunningApp, shop: str
) -> None:
    async with app_with(shared_app, **WITH_ENGINES) as engines:
        ref = await create_batch(engines, shop, {**ONE, "workflow": "extract"})
    context = msgspec.structs.replace(
        shared_app.worker_context.batch_context, without_engine=frozenset({"extract"})
    )
    await run_expansion(ref, context)
    ended = await get_batch(shared_app, shop, ref)
    assert (ended["status"], ended["error"]["code"]) == ("FAILURE", "ENGINE_MISSING")
    retried = await post_batch_action(shared_app, shop, ref, "retry")
    assert refusal(retried) == (409, "NO_ENGINE")
