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
@pytest.mark.promise(
    "P19", "a shop's ten thousand jobs hold nobody up", wanted=f"at most {AT_ONCE}"
)
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
            await asyncio.sleep(4 * STAGE)  # so that the big one's turn comes as well
        await until_begun(world, *small)
        took = time.monotonic() - started
        pgq.qm.shutdown.set()
        await working
    overtaken = await world.rows(
        """
        SELECT count(big.public_id) AS times FROM jobs small
        JOIN shops s ON s.id = small.shop_id AND s.domain <> :big
        LEFT JOIN jobs big ON big.shop_id = :id
          AND big.started_at > small.created_at AND big.started_at < small.started_at
        GROUP BY small.public_id ORDER BY 1
        """,
        big=SHOP,
        id=shop_id,
    )
    begun = (await world.rows("SELECT count(*) FROM jobs WHERE attempt > 0"))[0]["count"] - SMALL
    worst = overtaken[-1]["times"]
    measured(
        "P19",
        f"none of {len(overtaken)} small shops saw more than {worst} of its jobs begun before its "
        f"own ({begun} begun of {BIG:,} in {took:.0f} s)",
        len(overtaken) == SMALL and worst <= AT_ONCE,
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
