"""Whoever closes a lot waits for the jobs that are just taking from it."""

import asyncio
from datetime import UTC, datetime, timedelta

from backend.credits.lots import void_lot
from backend.jobs.service import request_jobs
from backend.workflows.catalog_image import CATALOG_IMAGE
from tests.backend.credits.history import PREPAID
from tests.backend.credits.ledger import balance, entries, grant, id_of
from tests.running_app import RunningApp
from tests.scenarios import wait_for_lock


async def test_a_lot_is_closed_with_what_jobs_have_left_of_it(
    shared_app: RunningApp, shop: str
) -> None:
    later = datetime.now(UTC) + timedelta(hours=1)
    await grant(shared_app, shop, 5, source="pack", ref="charge", expires_at=later)
    shop_id = await id_of(shared_app, shop)

    async def voided() -> int:
        async with shared_app.database.transaction(shop_id) as connection:
            return await void_lot(connection, shop_id, source="pack", ref="charge")

    async with shared_app.database.transaction(shop_id) as connection:
        await request_jobs(
            connection,
            CATALOG_IMAGE,
            shop_id=shop_id,
            requests=[{}] * 2,
            origin="api",
            quotas=PREPAID,
        )
        voiding = asyncio.create_task(voided())
        await wait_for_lock(shared_app)
    assert await voiding == 3
    assert (await entries(shared_app, shop))[-1] == ("void", -3, 0)
    assert await balance(shared_app, shop) == (0, 2)
