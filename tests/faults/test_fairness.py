"""Fifty small shops do not wait for one shop with ten thousand jobs."""

import asyncio
import time

import pytest

from backend.jobs.service import request_jobs
from backend.queue import MAX_FOREGROUND
from backend.workflows.catalog_image import CATALOG_IMAGE
from tests.faults.conftest import Measured
from tests.faults.two_slots import (
    BIGS_PICTURE,
    SMALL,
    SOON,
    STAGE,
    TWO_SLOTS,
    SlowRenderer,
    running_worker,
)
from tests.running_app import SHOP, RunningApp
from tests.scenarios import waiting_job

BIG = 10_000
LONG = 30.0  # seconds that a render of the big shop takes where it takes long


@pytest.mark.timeout(300)
@pytest.mark.promise(
    "P19", "a shop's ten thousand jobs hold nobody up", wanted=f"at most {TWO_SLOTS.backlog}"
)
async def test_small_shops_do_not_wait_for_a_big_shop(
    running_app: RunningApp, record_promise: Measured
) -> None:
    gids = await shops(running_app)
    async with running_worker(running_app, SlowRenderer()):
        await until_begun(running_app, SHOP)
        started = time.monotonic()
        await ask_in_turn(running_app, gids)
        took = time.monotonic() - started
    overtaken = await running_app.rows(
        """
        SELECT count(big.public_id) AS times FROM jobs small
        JOIN shops s ON s.id = small.shop_id AND s.domain <> :big
        LEFT JOIN (jobs big JOIN shops b ON b.id = big.shop_id AND b.domain = :big)
          ON big.started_at > small.created_at AND big.started_at < small.started_at
        GROUP BY small.public_id ORDER BY 1
        """,
        big=SHOP,
    )
    begun = await begun_of_the_big_one(running_app)
    worst = overtaken[-1]["times"]
    record_promise(
        "P19",
        f"none of {len(overtaken)} small shops saw more than {worst} of its jobs begun before its "
        f"own ({begun} begun of {BIG:,} in {took:.0f} s)",
        len(overtaken) == SMALL and worst <= TWO_SLOTS.backlog,
    )


@pytest.mark.timeout(300)
@pytest.mark.promise(
    "P19", "nor do they while each of them renders for long", wanted=f"at most {SOON:g} s"
)
async def test_small_shops_do_not_wait_for_long_renders(
    running_app: RunningApp, record_promise: Measured
) -> None:
    gids = await shops(running_app)
    async with running_worker(running_app, SlowRenderer(long=LONG)):
        async with asyncio.timeout(LONG):
            while await begun_of_the_big_one(running_app) < TWO_SLOTS.backlog + MAX_FOREGROUND:
                await asyncio.sleep(0.05)
        await ask_in_turn(running_app, gids)
        begun = await begun_of_the_big_one(running_app)
    waits = await running_app.rows(
        """
        SELECT extract(epoch FROM started_at - created_at) AS seconds FROM jobs
        JOIN shops s ON s.id = shop_id AND s.domain <> :big ORDER BY 1
        """,
        big=SHOP,
    )
    worst, median = waits[-1]["seconds"], waits[len(waits) // 2]["seconds"]
    record_promise(
        "P19",
        f"{len(waits)} small shops' jobs began within {worst:.2f} s (median {median:.2f} s) beside "
        f"{begun} renders of {LONG:.0f} s",
        len(waits) == SMALL and worst <= SOON,
    )


async def shops(running_app: RunningApp) -> dict[str, str]:
    """A shop asks for ten thousand jobs; fifty others have yet to ask: their products."""
    await running_app.install()
    gid = running_app.product(BIGS_PICTURE).gid
    shop_id = (await running_app.rows("SELECT id FROM shops"))[0]["id"]
    async with running_app.database.transaction() as connection:
        requests = [{"product_id": gid}] * BIG
        await request_jobs(
            connection, CATALOG_IMAGE, shop_id=shop_id, requests=requests, origin="api"
        )
    gids = {}
    for number in range(SMALL):
        shop = f"small-{number}.myshopify.com"
        await running_app.install(shop)
        gids[shop] = running_app.product(shop=shop).gid
    return gids


async def ask_in_turn(running_app: RunningApp, gids: dict[str, str]) -> None:
    """A job for each small shop, one after the other; wait until all have begun."""
    for shop, gid in gids.items():
        await waiting_job(running_app, shop=shop, request={"product_id": gid})
        await asyncio.sleep(4 * STAGE)  # so that the big one's turn comes as well
    await until_begun(running_app, *gids)


async def until_begun(running_app: RunningApp, *shops: str) -> None:
    """Wait until a job of each shop has been begun."""
    sql = (
        "SELECT count(DISTINCT s.id) FROM jobs j JOIN shops s ON s.id = j.shop_id "
        "WHERE j.started_at IS NOT NULL AND s.domain = ANY(:shops)"
    )
    async with asyncio.timeout(120):
        while (await running_app.rows(sql, shops=list(shops)))[0]["count"] < len(shops):
            await asyncio.sleep(0.05)


async def begun_of_the_big_one(running_app: RunningApp) -> int:
    """How many of its jobs have been begun."""
    sql = (
        "SELECT count(*) FROM jobs JOIN shops ON shops.id = shop_id "
        "WHERE started_at IS NOT NULL AND domain = :d"
    )
    return int((await running_app.rows(sql, d=SHOP))[0]["count"])
