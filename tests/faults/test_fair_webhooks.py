"""Fifty small shops do not wait for one shop's ten thousand webhooks."""

import asyncio
import json
import uuid
from typing import Any

import msgspec
import pytest

from backend.dev.transport import LoopbackShopify
from backend.queue import MAX_FOREGROUND
from backend.shops.admin_api import AdminApi
from tests.faults.conftest import Measured
from tests.faults.two_slots import SMALL, SOON, TWO_SLOTS, SlowRenderer, running_worker
from tests.running_app import GARMENTS, SHOP, RunningApp
from webhooks.payloads import Delivery
from webhooks.receive import receive

STORM = 10_000
PRODUCTS = 40  # of the shop with the storm: each changes again and again
LATENCY = 0.1  # seconds that Shopify takes to answer
APART = 4 * LATENCY  # seconds between two small shops
# What is under way may end first, and as much again while theirs is worked on.
FIRST = 2 * (TWO_SLOTS.backlog + MAX_FOREGROUND)
UNDER_WAY = """
SELECT 1 FROM queue.pgqueuer WHERE status = 'picked'
AND dedupe_key LIKE 'handle_webhook:' || :big || ':%'
"""
SMALL_SHOPS = """
WITH settled AS (
    SELECT settled_at FROM webhook_deliveries WHERE shop_domain = :big AND status <> 'received'
)
SELECT extract(epoch FROM d.settled_at - d.received_at) AS handled,
       extract(epoch FROM j.started_at - j.created_at) AS begun,
       (SELECT count(*) FROM settled b
        WHERE b.settled_at BETWEEN d.received_at AND d.settled_at) AS before_it,
       (SELECT count(*) FROM settled) AS settled
FROM webhook_deliveries d JOIN shops s ON s.domain = d.shop_domain
LEFT JOIN jobs j ON j.shop_id = s.id WHERE s.domain <> :big ORDER BY handled
"""


class DistantShopify(AdminApi):
    """Shopify, as far away as it is."""

    async def graphql(self, *arguments: Any, **how: Any) -> Any:
        """The answer, a little later."""
        await asyncio.sleep(LATENCY)
        return await super().graphql(*arguments, **how)


@pytest.mark.timeout(600)
@pytest.mark.promise(
    "P19",
    "a shop's ten thousand webhooks hold up no other's webhook or single job",
    wanted=f"at most {FIRST} of them and {SOON:g} s",
)
async def test_small_shops_do_not_wait_for_a_big_shops_webhooks(
    running_app: RunningApp, record_promise: Measured
) -> None:
    await storm(running_app)
    shops = [f"small-{number}.myshopify.com" for number in range(SMALL)]
    for shop in shops:
        await running_app.install(shop)
    admin = DistantShopify(running_app.settings, LoopbackShopify(running_app.shopify.origin))
    handler_context = msgspec.structs.replace(running_app.handler_context, admin=admin)
    async with running_worker(running_app, SlowRenderer(), handler_context=handler_context):
        await until_under_way(running_app)
        for shop in shops:
            running_app.product(shop=shop)
            assert (await running_app.send("products/create", shop=shop)).status_code == 200
            await asyncio.sleep(APART)
        rows = await until_all_have_begun(running_app)
    await admin.close()
    settled, worst = rows[0]["settled"], max(row["before_it"] for row in rows)
    handled, median = float(rows[-1]["handled"]), float(rows[len(rows) // 2]["handled"])
    begun = max(float(row["begun"]) for row in rows)
    record_promise(
        "P19",
        f"{len(rows)} small shops' webhooks were handled within {handled:.2f} s (median "
        f"{median:.2f} s), none behind more than {worst} of the big shop's, and their jobs begun "
        f"within {begun:.2f} s ({settled} of {STORM:,} settled meanwhile)",
        len(rows) == SMALL and settled < STORM and worst <= FIRST and max(handled, begun) <= SOON,
    )


async def storm(running_app: RunningApp) -> None:
    """The webhooks of a shop's import, taken in and not yet acted on."""
    await running_app.install()
    picture = (GARMENTS / "tee_white.jpg").read_bytes()
    gids = [running_app.product(picture).gid for _ in range(PRODUCTS)]
    bodies = [json.dumps({"id": int(gid.rpartition("/")[2])}).encode() for gid in gids]
    for number in range(STORM):
        delivery = Delivery(
            shop_domain=SHOP,
            topic="products/update",
            webhook_id=str(uuid.uuid4()),
            event_id=None,
            api_version=None,
            body=bodies[number % PRODUCTS],
        )
        await receive(running_app.database, delivery)


async def until_under_way(running_app: RunningApp) -> None:
    """Wait until the worker is at the storm."""
    async with asyncio.timeout(60):
        while len(await running_app.rows(UNDER_WAY, big=SHOP)) < TWO_SLOTS.backlog:
            await asyncio.sleep(0.02)


async def until_all_have_begun(running_app: RunningApp) -> list[dict[str, Any]]:
    """The small shops' webhooks, once each of their jobs has begun; those that took long last."""
    async with asyncio.timeout(300):
        while True:
            rows = await running_app.rows(SMALL_SHOPS, big=SHOP)
            if all(None not in row.values() for row in rows):
                return rows
            await asyncio.sleep(0.2)
