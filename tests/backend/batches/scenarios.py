"""What the tests of batches share: collections, batches, and jobs that end as a test wants."""

import contextlib
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import httpx

from backend.batches.execution import BatchContext, run_expansion
from backend.batches.leases import BatchRef
from backend.dev.shopify.products import Collection, ProductRecord
from backend.failures.codes import PRODUCT_NOT_FOUND
from backend.jobs.lifecycle import fail, lease_job, succeed
from backend.jobs.service import JobRef
from backend.leased_task import Retry
from tests.backend.publications.crash_points import Happens, count_steps
from tests.running_app import RunningApp


def products(
    shared_app: RunningApp, shop: str, count: int, *, image: bytes | None = b"x"
) -> list[ProductRecord]:
    """Products with a photo that nobody looks at."""
    return [
        shared_app.shopify.create_product(shop, f"Tee {number}", image) for number in range(count)
    ]


def collection(shared_app: RunningApp, shop: str, count: int) -> Collection:
    """A collection of so many products."""
    return shared_app.shopify.create_collection(shop, "Tees", products(shared_app, shop, count))


def product_gids(count: int, start: int = 1) -> list[str]:
    """Products that need not exist."""
    return [f"gid://shopify/Product/{number}" for number in range(start, start + count)]


async def post_batch(
    shared_app: RunningApp, shop: str, body: Any, **headers: str
) -> httpx.Response:
    """Ask for a batch, by default of catalog images."""
    wanted = {"workflow": "catalog-image", **body}
    return await shared_app.http.post(
        "/v1/batches", json=wanted, headers={**shared_app.bearer(shop), **headers}
    )


async def create_batch(shared_app: RunningApp, shop: str, body: Any) -> BatchRef:
    """A batch that no worker has begun."""
    answer = await post_batch(shared_app, shop, body)
    assert answer.status_code == 202, answer.text
    return await ref_of(shared_app, answer.json()["public_id"])


async def ref_of(shared_app: RunningApp, public_id: str) -> BatchRef:
    """The batch as the queue would name it now."""
    rows = await shared_app.rows(
        "SELECT shop_id, round FROM batches WHERE public_id = :id", id=public_id
    )
    return BatchRef(shop_id=rows[0]["shop_id"], public_id=public_id, round=rows[0]["round"])


async def run_expansion_to_end(
    shared_app: RunningApp, ref: BatchRef, handler_context: BatchContext | None = None
) -> list[timedelta]:
    """Run the expansion until nothing is left to do; the delays in between, which are skipped."""
    delays: list[timedelta] = []
    current = await ref_of(shared_app, ref.public_id)
    context = handler_context or shared_app.worker_context.batch_context
    while isinstance(outcome := await run_expansion(current, context), Retry):
        delays.append(outcome.delay)
        assert len(delays) < 60, "it never ends"
    return delays


@contextlib.asynccontextmanager
async def stepped_batch_context(
    shared_app: RunningApp, happens: Happens
) -> AsyncIterator[BatchContext]:
    """A batch context as a process has it, with a hook after each transaction.

    The first is the claim, and each page is one.
    """
    async with count_steps(shared_app, happens) as (publication_context, _):
        yield BatchContext(
            database=publication_context.database,
            admin=publication_context.admin,
            stopping=publication_context.stopping,
        )


async def expanded_batch(shared_app: RunningApp, shop: str, body: Any) -> BatchRef:
    """A batch whose jobs are made, and not begun."""
    ref = await create_batch(shared_app, shop, body)
    assert await run_expansion_to_end(shared_app, ref) == []
    return ref


async def get_batch(shared_app: RunningApp, shop: str, ref: BatchRef) -> dict[str, Any]:
    """The batch as the API shows it."""
    answer = await shared_app.http.get(
        f"/v1/batches/{ref.public_id}", headers=shared_app.bearer(shop)
    )
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def counts(
    shared_app: RunningApp, shop: str, ref: BatchRef
) -> tuple[str, int, int, int, int]:
    """Its status, and how many products are not started, in progress, succeeded and failed."""
    found = await get_batch(shared_app, shop, ref)
    numbers = found["counts"]
    parts = [numbers[name] for name in ("not_started", "in_progress", "succeeded", "failed")]
    assert numbers["total"] == sum(parts)
    return found["status"], parts[0], parts[1], parts[2], parts[3]


async def get_items(
    shared_app: RunningApp, shop: str, ref: BatchRef, **query: Any
) -> list[dict[str, Any]]:
    """A page of its items as the API shows them."""
    answer = await shared_app.http.get(
        f"/v1/batches/{ref.public_id}/items",
        params={"limit": 200, **query},
        headers=shared_app.bearer(shop),
    )
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["items"]
    return found


async def post_batch_action(
    shared_app: RunningApp, shop: str, ref: BatchRef, verb: str
) -> httpx.Response:
    """Cancel it or retry it."""
    path = f"/v1/batches/{ref.public_id}/{verb}"
    return await shared_app.http.post(path, headers=shared_app.bearer(shop))


async def end_jobs(
    shared_app: RunningApp, shop: str, ref: BatchRef, *, good: int = 0, bad: int = 0, begun: int = 0
) -> None:
    """Let so many of the jobs that have not begun end well, end badly, and begin."""
    waiting = await get_items(shared_app, shop, ref, status="NOT_STARTED", limit=good + bad + begun)
    assert len(waiting) == good + bad + begun
    for number, item in enumerate(waiting):
        job = JobRef(shop_id=ref.shop_id, public_id=item["job_id"])
        async with shared_app.database.transaction() as connection:
            claimed = await lease_job(connection, job)
            assert claimed is not None
            if number < good:
                await succeed(connection, claimed, {})
            elif number < good + bad:
                await fail(connection, claimed, PRODUCT_NOT_FOUND)


async def jobs_of(shared_app: RunningApp, ref: BatchRef) -> list[dict[str, Any]]:
    """All jobs of the shop, in the order in which the queue runs those that wait."""
    return await shared_app.rows(
        "SELECT j.public_id, j.status, j.origin, j.request, q.priority FROM jobs j "
        "LEFT JOIN queue.pgqueuer q "
        "ON q.dedupe_key = 'run_job:' || j.shop_id || ':' || j.public_id "
        "WHERE j.shop_id = :s ORDER BY q.priority DESC, q.id",
        s=ref.shop_id,
    )


async def products_of_jobs(shared_app: RunningApp, ref: BatchRef) -> list[str]:
    """The product of each of the shop's jobs, in the order in which the queue runs them."""
    return [job["request"]["product_id"] for job in await jobs_of(shared_app, ref)]
