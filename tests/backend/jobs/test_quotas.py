"""What a shop may have at once, and what it is told when it has as much; other shops do not notice.

Each test has a shop of its own; the module shares one app with small quotas.
"""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from msgspec.structs import replace

from backend.batches.execution import ROOM_DELAY, run_expansion
from backend.leased_task import Done, Retry
from backend.settings import Quotas
from backend.shops.service import ShopRef
from backend.worker.bucket_sweep import sweep_bucket
from backend.worker.product_sweep import sweep_products
from tests.backend.batches.scenarios import (
    counts,
    create_batch,
    end_jobs,
    post_batch,
    post_batch_action,
    product_gids,
    ref_of,
)
from tests.backend.credits.ledger import visit
from tests.backend.uploads.multipart_forms import post_upload, shop_id_of, upload_picture
from tests.conftest import settings_for
from tests.running_app import RunningApp, cloned_database, open_running_app
from tests.scenarios import new_shop, process_webhook, refusal

OPEN_JOBS, OPEN_BATCHES = 10, 2
JOBS_FULL = (429, "TOO_MANY_OPEN_JOBS")
BATCHES_FULL = (429, "TOO_MANY_OPEN_BATCHES")
STORE_FULL = (429, "STORAGE_QUOTA_REACHED")
BODY = {"product_id": "gid://shopify/Product/1"}


@pytest.fixture(scope="module")
async def shared_app(services, template, renderer) -> AsyncIterator[RunningApp]:
    """A running app with small quotas."""
    async with cloned_database(services.postgres.url(), template) as url:
        settings = replace(
            settings_for(services, url),
            quota_open_jobs=OPEN_JOBS,
            quota_open_batches=OPEN_BATCHES,
            quota_stored_mb=1,
        )
        async with open_running_app(settings, renderer) as running_app:
            yield running_app


shop = pytest.fixture(new_shop)


async def post_job(shared_app: RunningApp, shop: str) -> httpx.Response:
    """Ask for a job."""
    return await shared_app.http.post(
        "/v1/catalog-image", json=BODY, headers=shared_app.bearer(shop)
    )


async def fill(shared_app: RunningApp, shop: str) -> None:
    """Ask for as many jobs as there may be."""
    for _ in range(OPEN_JOBS):
        assert (await post_job(shared_app, shop)).status_code == 202


async def set_stored_megabytes(shared_app: RunningApp, shop: str, megabytes: int) -> None:
    """Let the shop have so much in the bucket."""
    await shared_app.execute(
        "UPDATE shops SET stored_bytes = :size WHERE domain = :shop",
        size=megabytes * 1_000_000,
        shop=shop,
    )


async def jobs_of(shared_app: RunningApp, shop: str) -> int:
    """How many jobs the shop has."""
    counted = "SELECT count(*) AS n FROM jobs WHERE shop_id = :s"
    return int((await shared_app.rows(counted, s=await shop_id_of(shared_app, shop)))[0]["n"])


async def test_the_open_jobs_quota_refuses_one_more_job(shared_app: RunningApp, shop: str) -> None:
    await fill(shared_app, shop)
    refused = await post_job(shared_app, shop)
    assert refusal(refused) == JOBS_FULL
    assert 60 <= int(refused.headers["retry-after"]) <= 75
    assert await jobs_of(shared_app, shop) == OPEN_JOBS
    assert (await post_job(shared_app, await new_shop(shared_app))).status_code == 202
    await shared_app.execute(
        "UPDATE jobs SET status = 'FAILURE' WHERE public_id = "
        "(SELECT min(public_id) FROM jobs WHERE shop_id = :s)",
        s=await shop_id_of(shared_app, shop),
    )
    assert (await post_job(shared_app, shop)).status_code == 202


async def test_a_rule_blocked_by_a_quota_waits_for_the_next_sweep(
    shared_app: RunningApp, shop: str
) -> None:
    await fill(shared_app, shop)
    shared_app.product(b"x", shop=shop)
    assert await process_webhook(shared_app, "products/create", shop=shop) == (
        "ignored",
        JOBS_FULL[1],
    )
    assert await jobs_of(shared_app, shop) == OPEN_JOBS
    ref = ShopRef(shop_id=await shop_id_of(shared_app, shop))
    mark = "SELECT products_swept_until FROM shops WHERE domain = :d"
    before = await shared_app.rows(mark, d=shop)
    assert await sweep(shared_app, ref) == 0
    assert await shared_app.rows(mark, d=shop) == before, "nothing counts as looked at"
    await shared_app.execute("UPDATE jobs SET status = 'FAILURE' WHERE shop_id = :s", s=ref.shop_id)
    assert await sweep(shared_app, ref) == 1
    assert await jobs_of(shared_app, shop) == OPEN_JOBS + 1


async def sweep(shared_app: RunningApp, ref: ShopRef) -> int:
    """Look for products that were missed until now."""
    until = (await shared_app.rows("SELECT now() + interval '1 second' AS now"))[0]["now"]
    return await sweep_products(ref, shared_app.worker_context, frozenset(), until=until)


async def test_a_batch_waits_for_the_open_jobs_quota(shared_app: RunningApp, shop: str) -> None:
    ref = await create_batch(shared_app, shop, {"product_ids": product_gids(3)})
    await fill(shared_app, shop)
    for _ in range(20):  # more often than it may try
        assert await run_expansion(ref, shared_app.worker_context.batch_context) == Retry(
            ROOM_DELAY
        )
    assert await counts(shared_app, shop, ref) == ("EXPANDING", 3, 0, 0, 0)
    await shared_app.execute("UPDATE jobs SET status = 'FAILURE' WHERE shop_id = :s", s=ref.shop_id)
    assert await run_expansion(ref, shared_app.worker_context.batch_context) == Done()
    assert await counts(shared_app, shop, ref) == ("IN_PROGRESS", 3, 0, 0, 0)


async def test_batches_leave_a_tenth_of_the_quota_to_single_jobs(
    shared_app: RunningApp, shop: str
) -> None:
    ref = await create_batch(shared_app, shop, {"product_ids": product_gids(9)})
    assert await run_expansion(ref, shared_app.worker_context.batch_context) == Done()
    other = await create_batch(shared_app, shop, {"product_ids": product_gids(1)})
    assert await run_expansion(other, shared_app.worker_context.batch_context) == Retry(ROOM_DELAY)
    assert (await post_job(shared_app, shop)).status_code == 202
    assert refusal(await post_job(shared_app, shop)) == JOBS_FULL


async def test_the_open_batches_quota_refuses_one_more_batch(
    shared_app: RunningApp, shop: str
) -> None:
    first, _ = [
        await create_batch(shared_app, shop, {"product_ids": product_gids(1)})
        for _ in range(OPEN_BATCHES)
    ]
    assert (
        refusal(await post_batch(shared_app, shop, {"product_ids": product_gids(1)}))
        == BATCHES_FULL
    )
    assert await run_expansion(first, shared_app.worker_context.batch_context) == Done()
    await create_batch(shared_app, shop, {"product_ids": product_gids(1)})
    await end_jobs(shared_app, shop, first, bad=1)
    assert refusal(await post_batch_action(shared_app, shop, first, "retry")) == BATCHES_FULL
    assert (await ref_of(shared_app, first.public_id)).round == 0


async def test_the_storage_quota_refuses_jobs_batches_and_uploads(
    shared_app: RunningApp, shop: str
) -> None:
    ref = await create_batch(shared_app, shop, {"product_ids": product_gids(1)})
    await set_stored_megabytes(shared_app, shop, 1)
    shared_app.product(b"x", shop=shop)
    assert refusal(await post_job(shared_app, shop)) == STORE_FULL
    assert (
        refusal(await post_batch(shared_app, shop, {"product_ids": product_gids(1)})) == STORE_FULL
    )
    assert refusal(await post_upload(shared_app, b"not looked at", shop=shop)) == STORE_FULL
    assert await process_webhook(shared_app, "products/create", shop=shop) == (
        "ignored",
        STORE_FULL[1],
    )
    assert await run_expansion(ref, shared_app.worker_context.batch_context) == Retry(ROOM_DELAY)
    assert await jobs_of(shared_app, shop) == 0
    await set_stored_megabytes(shared_app, shop, 0)
    assert (await post_job(shared_app, shop)).status_code == 202


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/catalog-image", BODY),
        ("/v1/batches", {"workflow": "catalog-image", "product_ids": product_gids(1)}),
        ("/v1/jobs/{}/rerun", {}),
    ],
)
async def test_a_repeated_request_gets_its_answer_when_the_storage_is_full(
    shared_app: RunningApp, shop: str, path: str, body: Any
) -> None:
    path = path.format((await post_job(shared_app, shop)).json()["job_id"])
    headers = shared_app.bearer(shop) | {"Idempotency-Key": "the answer was lost"}
    first = await shared_app.http.post(path, json=body, headers=headers)
    assert first.status_code == 202, first.text
    await set_stored_megabytes(shared_app, shop, 1)
    again = await shared_app.http.post(path, json=body, headers=headers)
    assert (again.status_code, again.json()) == (202, first.json())
    other = {**headers, "Idempotency-Key": "another"}
    assert refusal(await shared_app.http.post(path, json=body, headers=other)) == STORE_FULL


@pytest.mark.usefixtures("same_day")
async def test_a_visitor_gets_todays_job_when_the_storage_is_full(
    shared_app: RunningApp, shop: str
) -> None:
    first = await visit(shared_app, shop)
    assert first.status_code == 202, first.text
    await set_stored_megabytes(shared_app, shop, 1)
    again = await visit(shared_app, shop)
    assert (again.status_code, again.json()["job_id"]) == (202, first.json()["job_id"])
    other = await visit(shared_app, shop, product="gid://shopify/Product/2")
    assert refusal(other) == STORE_FULL


async def test_stored_bytes_are_counted_at_upload_and_each_night(
    shared_app: RunningApp, shop: str
) -> None:
    await upload_picture(shared_app, shop=shop)
    sizes = "SELECT stored_bytes FROM shops WHERE domain = :d"
    (counted,) = await shared_app.rows(sizes, d=shop)
    assert counted["stored_bytes"] > 0
    await set_stored_megabytes(shared_app, shop, 5)
    nobody = await new_shop(shared_app)
    await set_stored_megabytes(shared_app, nobody, 5)
    await sweep_bucket(shared_app.settings, shared_app.worker_context)
    assert await shared_app.rows(sizes, d=shop) == [counted]
    assert await shared_app.rows(sizes, d=nobody) == [{"stored_bytes": 0}]


@pytest.mark.parametrize("quotas", [Quotas(open_jobs=0, open_batches=0, stored_mb=0)])
def test_a_quota_of_zero_means_no_limit(quotas: Any) -> None:
    assert quotas.has_room_for(10**9)
    assert quotas.has_room_for_batches(10**9)
    assert quotas.has_room_left(10**15)
    assert quotas.jobs_of_batches > 10**9
