"""Fifty jobs of one shop in several processes, and a token that ends among them: one refresh.

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
from backend.shops.admin_api import AdminApi
from backend.shops.answers import Installation
from backend.shops.tokens import asked, installed_shop
from backend.tenancy import WORKER
from backend.worker.execute import Retry, run_job
from backend.worker.workshop import Workshop
from tests.doors import NoRenderer, called, end_token, new_shop, shared_world, waiting_job
from tests.world import World

PROCESSES, SLOTS, JOBS = 5, 4, 50

shop = pytest.fixture(new_shop)


@pytest.fixture(scope="module")
async def house(services: LocalServices, template: str) -> AsyncIterator[World]:
    """A world that renders nothing: this is about tokens."""
    async for world in shared_world(services, template, NoRenderer()):
        yield world


@pytest.fixture
async def workshops(house: World) -> AsyncIterator[list[Workshop]]:
    """As many workers."""
    async with contextlib.AsyncExitStack() as stack:
        made = []
        for _ in range(PROCESSES):
            database = Database(house.settings.database_url, role=WORKER, statement_timeout=30)
            stack.push_async_callback(database.close)
            admin = AdminApi(house.settings, LoopbackShopify(house.shopify.origin))
            stack.push_async_callback(admin.close)
            made.append(msgspec.structs.replace(house.workshop, database=database, admin=admin))
        yield made


async def jobs(house: World, shop: str) -> list[JobRef]:
    """Jobs that need the shop's token, each for its own."""
    product = house.product(b"a photo", shop=shop)
    return [
        await waiting_job(house, shop=shop, request={"product_id": product.gid})
        for _ in range(JOBS)
    ]


async def worked_off(refs: Iterable[JobRef], workshop: Workshop) -> None:
    """Run the jobs as a worker does: some at a time, and again when this machine is too slow."""
    slots = asyncio.Semaphore(SLOTS)

    async def one(ref: JobRef) -> None:
        async with slots:
            while isinstance(await run_job(ref, workshop), Retry):
                await asyncio.sleep(0.1)

    await asyncio.gather(*(one(ref) for ref in refs))


async def assert_all_done(house: World, refs: list[JobRef]) -> None:
    """Every job ended well."""
    found = await house.rows(
        "SELECT status, count(*) AS jobs FROM jobs WHERE shop_id = :s GROUP BY 1",
        s=refs[0].shop_id,
    )
    assert found == [{"status": "SUCCESS", "jobs": len(refs)}]


async def test_fifty_jobs_in_several_processes_need_one_refresh(
    house: World, shop: str, workshops: list[Workshop]
) -> None:
    refs = await jobs(house, shop)
    before = house.shopify.calls.copy()
    house.shopify.platform.latency = 0.1  # all of them are under way before the first is through
    running = [
        asyncio.create_task(worked_off(refs[number::PROCESSES], workshop))
        for number, workshop in enumerate(workshops)
    ]
    await called(house, "graphql", before["graphql"] + 1)
    await end_token(house, shop)
    house.shopify.revoke_access_tokens(shop)
    await asyncio.gather(*running)
    house.shopify.platform.latency = 0.0
    await assert_all_done(house, refs)
    assert house.shopify.calls["refresh"] == before["refresh"] + 1


async def test_fifty_who_find_a_token_refused_before_its_time_need_one_refresh(
    house: World, shop: str, workshops: list[Workshop]
) -> None:
    shops = [await installed_shop(each.database, each.admin, shop) for each in workshops]
    before = house.shopify.calls.copy()
    house.shopify.revoke_access_tokens(shop)
    house.shopify.platform.latency = 0.1

    async def ask(number: int) -> Installation:
        found, mine = shops[number % PROCESSES], workshops[number % PROCESSES]
        assert found is not None
        return await asked(
            mine.database,
            mine.admin,
            found,
            lambda it: mine.admin.installation(it.domain, it.access_token),
        )

    await asyncio.gather(*(ask(number) for number in range(JOBS)))
    house.shopify.platform.latency = 0.0
    assert house.shopify.calls["refresh"] == before["refresh"] + 1


async def test_fifty_wait_for_a_refresh_that_takes_longer_than_others_wait_for_a_lock(
    house: World, shop: str, workshops: list[Workshop]
) -> None:
    """Two seconds is what a statement waits for a lock, and anybody for a connection."""
    before = house.shopify.calls["refresh"]
    await end_token(house, shop)
    house.shopify.platform.latency = 2.4
    found = await asyncio.gather(
        *(
            installed_shop(each.database, each.admin, shop)
            for each in workshops
            for _ in range(JOBS // PROCESSES)
        )
    )
    house.shopify.platform.latency = 0.0
    assert len({each.access_token for each in found if each}) == 1
    assert house.shopify.calls["refresh"] == before + 1
