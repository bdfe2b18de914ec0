"""Fifty jobs of one shop in several processes cause one token refresh.

Each pool of connections with an `AdminApi` of its own stands for a process: they share nothing but
Postgres and Shopify.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable

import msgspec
import pytest

from backend.db import Database
from backend.dev.services import LocalServices
from backend.dev.transport import LoopbackShopify
from backend.jobs.service import JobRef
from backend.leased_task import Retry
from backend.shops.admin_api import AdminApi
from backend.shops.shopify_responses import Installation
from backend.shops.tokens import installed_shop, with_fresh_token
from backend.tenancy import WORKER
from backend.worker.context import WorkerContext
from backend.worker.execute import run_job
from tests.running_app import RunningApp
from tests.scenarios import (
    NoRenderer,
    expire_token,
    new_shop,
    open_shared_app,
    wait_for_call,
    waiting_job,
)

pytestmark = pytest.mark.slow

PROCESSES, SLOTS, JOBS = 5, 4, 50

shop = pytest.fixture(new_shop)


@pytest.fixture(scope="module")
async def shared_app(services: LocalServices, template: str) -> AsyncIterator[RunningApp]:
    """A running app that renders nothing."""
    async for running_app in open_shared_app(services, template, NoRenderer()):
        yield running_app


@pytest.fixture
async def worker_contexts(shared_app: RunningApp) -> AsyncIterator[list[WorkerContext]]:
    """As many workers."""
    async with contextlib.AsyncExitStack() as stack:
        made = []
        for _ in range(PROCESSES):
            database = Database(shared_app.settings.database_url, role=WORKER, statement_timeout=30)
            stack.push_async_callback(database.close)
            admin = AdminApi(shared_app.settings, LoopbackShopify(shared_app.shopify.origin))
            stack.push_async_callback(admin.close)
            made.append(
                msgspec.structs.replace(shared_app.worker_context, database=database, admin=admin)
            )
        yield made


async def jobs(shared_app: RunningApp, shop: str) -> list[JobRef]:
    """Jobs that need the shop's token, each for its own."""
    product = shared_app.product(b"a photo", shop=shop)
    return [
        await waiting_job(shared_app, shop=shop, request={"product_id": product.gid})
        for _ in range(JOBS)
    ]


async def run_jobs(refs: Iterable[JobRef], worker_context: WorkerContext) -> None:
    """Run the jobs as a worker does: some at a time, and again when this machine is too slow."""
    slots = asyncio.Semaphore(SLOTS)

    async def one(ref: JobRef) -> None:
        async with slots:
            while isinstance(await run_job(ref, worker_context), Retry):
                await asyncio.sleep(0.1)

    await asyncio.gather(*(one(ref) for ref in refs))


async def assert_all_done(shared_app: RunningApp, refs: list[JobRef]) -> None:
    """Every job ended well."""
    found = await shared_app.rows(
        "SELECT status, count(*) AS jobs FROM jobs WHERE shop_id = :s GROUP BY 1",
        s=refs[0].shop_id,
    )
    assert found == [{"status": "SUCCESS", "jobs": len(refs)}]


async def test_fifty_jobs_in_several_processes_cause_one_token_refresh(
    shared_app: RunningApp, shop: str, worker_contexts: list[WorkerContext]
) -> None:
    refs = await jobs(shared_app, shop)
    before = shared_app.shopify.calls.copy()
    shared_app.shopify.platform.latency = (
        0.1  # all of them are under way before the first is through
    )
    running = [
        asyncio.create_task(run_jobs(refs[number::PROCESSES], worker_context))
        for number, worker_context in enumerate(worker_contexts)
    ]
    await wait_for_call(shared_app, "graphql", before["graphql"] + 1)
    await expire_token(shared_app, shop)
    shared_app.shopify.revoke_access_tokens(shop)
    await asyncio.gather(*running)
    shared_app.shopify.platform.latency = 0.0
    await assert_all_done(shared_app, refs)
    assert shared_app.shopify.calls["refresh"] == before["refresh"] + 1


async def test_fifty_refused_requests_cause_one_token_refresh(
    shared_app: RunningApp, shop: str, worker_contexts: list[WorkerContext]
) -> None:
    shops = [await installed_shop(each.database, each.admin, shop) for each in worker_contexts]
    before = shared_app.shopify.calls.copy()
    shared_app.shopify.revoke_access_tokens(shop)
    shared_app.shopify.platform.latency = 0.1

    async def ask(number: int) -> Installation:
        found, mine = shops[number % PROCESSES], worker_contexts[number % PROCESSES]
        assert found is not None
        return await with_fresh_token(
            mine.database,
            mine.admin,
            found,
            lambda it: mine.admin.installation(it.domain, it.access_token),
        )

    await asyncio.gather(*(ask(number) for number in range(JOBS)))
    shared_app.shopify.platform.latency = 0.0
    assert shared_app.shopify.calls["refresh"] == before["refresh"] + 1


async def test_fifty_waiters_outlast_a_slow_token_refresh(
    shared_app: RunningApp, shop: str, worker_contexts: list[WorkerContext]
) -> None:
    """Two seconds is what a statement waits for a lock, and anybody for a connection."""
    before = shared_app.shopify.calls["refresh"]
    await expire_token(shared_app, shop)
    shared_app.shopify.platform.latency = 2.4
    found = await asyncio.gather(
        *(
            installed_shop(each.database, each.admin, shop)
            for each in worker_contexts
            for _ in range(JOBS // PROCESSES)
        )
    )
    shared_app.shopify.platform.latency = 0.0
    assert len({each.access_token for each in found if each}) == 1
    assert shared_app.shopify.calls["refresh"] == before + 1
