"""One shop with ten thousand jobs beside fifty shops with one each: nobody waits for it."""

import asyncio
import time
from datetime import timedelta

import msgspec
import pytest

from backend.jobs.service import request_jobs
from backend.renderers.base import Rendered, RenderRequest
from backend.worker.run import manager
from backend.workflows.catalog_image import CATALOG_IMAGE
from tests.doors import NoRenderer, waiting_job
from tests.faults.conftest import Measured
from tests.world import SHOP, World

BIG, SMALL = 10_000, 50
STAGE = 0.05  # seconds that a stage takes
AT_ONCE = 4


class Unhurried(NoRenderer):
    """Makes nothing, in some time."""

    async def render(self, request: RenderRequest) -> Rendered:
        """Nothing, a little later."""
        await asyncio.sleep(STAGE)
        return await super().render(request)


@pytest.mark.timeout(300)
@pytest.mark.promise("P19", "a shop's ten thousand jobs hold nobody up", wanted="begun in 2 s")
async def test_small_shops_do_not_wait_for_a_big_one(world: World, measured: Measured) -> None:
    await world.install()
    gid = world.product().gid
    shop_id = (await world.rows("SELECT id FROM shops"))[0]["id"]
    async with world.database.transaction() as connection:
        requests = [{"product_id": gid}] * BIG
        await request_jobs(
            connection, CATALOG_IMAGE, shop_id=shop_id, requests=requests, origin="api"
        )
    small = [f"small-{number}.myshopify.com" for number in range(SMALL)]
    gids = {}
    for shop in small:
        await world.install(shop)
        gids[shop] = world.product(shop=shop).gid
    workshop = msgspec.structs.replace(world.workshop, renderer=Unhurried())
    async with manager(world.settings, workshop, world.desk) as pgq:
        working = asyncio.create_task(
            pgq.qm.run(
                dequeue_timeout=timedelta(seconds=1),
                batch_size=AT_ONCE // 2,
                max_concurrent_tasks=AT_ONCE,
            )
        )
        await until_begun(world, SHOP)
        started = time.monotonic()
        for shop in small:
            await waiting_job(world, shop=shop, request={"product_id": gids[shop]})
            await asyncio.sleep(STAGE)
        await until_begun(world, *small)
        took = time.monotonic() - started
        pgq.qm.shutdown.set()
        await working
    waits = await world.rows(
        "SELECT extract(epoch FROM j.started_at - j.created_at)::float AS wait FROM jobs j "
        "JOIN shops s ON s.id = j.shop_id WHERE s.domain LIKE 'small-%' ORDER BY 1"
    )
    left = (await world.rows("SELECT count(*) FROM jobs WHERE started_at IS NULL"))[0]["count"]
    longest = waits[-1]["wait"]
    measured(
        "P19",
        f"the longest of {len(waits)} waited {longest:.2f} s (median "
        f"{waits[len(waits) // 2]['wait']:.2f} s) within {took:.0f} s; {left:,} of the big shop's "
        "jobs still waited",
        len(waits) == SMALL and longest <= 2 and left > BIG // 2,
    )


async def until_begun(world: World, *shops: str) -> None:
    """Wait until a job of each shop has been begun."""
    sql = (
        "SELECT count(DISTINCT s.id) FROM jobs j JOIN shops s ON s.id = j.shop_id "
        "WHERE j.started_at IS NOT NULL AND s.domain = ANY(:shops)"
    )
    async with asyncio.timeout(120):
        while (await world.rows(sql, shops=list(shops)))[0]["count"] < len(shops):
            await asyncio.sleep(0.05)
