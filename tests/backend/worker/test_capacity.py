"""A shop's backlog leaves slots for other shops, and still completes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import msgspec

from backend import queue
from backend.jobs.service import request_jobs
from backend.queue import MAX_FOREGROUND
from backend.renderers.base import Rendered, RenderRequest
from backend.worker.capacity import Capacity
from backend.worker.run import manager
from backend.workflows.catalog_image import CATALOG_IMAGE
from tests.running_app import GARMENTS, OTHER_SHOP, SHOP, RunningApp
from tests.scenarios import NoRenderer, waiting_job
from tests.wait import wait_until

JOBS = 12
PLACES = Capacity(slots=1)
THEIRS = PLACES.backlog + MAX_FOREGROUND  # that a shop alone may have
BEGUN = """
SELECT 1 FROM jobs j JOIN shops s ON s.id = j.shop_id
WHERE s.domain = :shop AND j.started_at IS NOT NULL
"""
ENDED = """
SELECT 1 FROM jobs j JOIN shops s ON s.id = j.shop_id
WHERE s.domain = :shop AND j.status = 'SUCCESS' AND j.attempt = 1 AND j.strikes <= 1
"""


class Held(NoRenderer):
    """Makes nothing of one picture before it is told to, and of others at once."""

    def __init__(self, picture: bytes) -> None:
        self.picture = picture
        self.go_on = asyncio.Event()
        self.is_low_priority: list[bool] = []  # of those that are held
        self.others: list[bool] = []

    async def count(self, wanted: int) -> None:
        """Wait until so many are held."""
        await wait_until(lambda: len(self.is_low_priority) >= wanted, 15)

    async def render(self, request: RenderRequest) -> Rendered:
        """Nothing, perhaps much later."""
        is_held = self.picture in request.inputs.values()
        (self.is_low_priority if is_held else self.others).append(request.is_low_priority)
        if is_held:
            await self.go_on.wait()
        return await super().render(request)


async def test_a_small_shop_starts_beside_a_slow_backlog(
    running_app: RunningApp,
) -> None:
    held = Held((GARMENTS / "tee_white.jpg").read_bytes())
    await backlog(running_app)
    await running_app.install(OTHER_SHOP)
    async with running_worker(running_app, held):
        await held.count(THEIRS)
        gid = running_app.product(shop=OTHER_SHOP).gid
        await waiting_job(running_app, shop=OTHER_SHOP, request={"product_id": gid})
        await wait_for_jobs(running_app, ENDED, OTHER_SHOP, 1)
        assert (
            len(await running_app.rows(BEGUN, shop=SHOP)) == THEIRS
        )  # nothing of theirs has ended
        assert sorted(held.is_low_priority) == [False] * MAX_FOREGROUND + [True] * PLACES.backlog
        assert not any(held.others)
        held.go_on.set()
        await wait_for_jobs(running_app, ENDED, SHOP, JOBS)
    assert (
        await running_app.rows("SELECT 1 FROM queue.pgqueuer WHERE entrypoint LIKE 'run_%'") == []
    )


async def backlog(running_app: RunningApp) -> None:
    """A shop asks for a dozen jobs at once."""
    await running_app.install()
    gid = running_app.product(GARMENTS / "tee_white.jpg").gid
    shop_id = (await running_app.rows("SELECT id FROM shops"))[0]["id"]
    async with running_app.database.transaction() as connection:
        requests = [{"product_id": gid}] * JOBS
        await request_jobs(
            connection, CATALOG_IMAGE, shop_id=shop_id, requests=requests, origin="api"
        )


@asynccontextmanager
async def running_worker(running_app: RunningApp, renderer: Held) -> AsyncIterator[None]:
    """A worker with the places of one slot."""
    worker_context = msgspec.structs.replace(running_app.worker_context, renderer=renderer)
    async with manager(
        running_app.settings, worker_context, running_app.handler_context, shares=PLACES.shares
    ) as pgq:
        running = asyncio.create_task(
            pgq.qm.run(
                dequeue_timeout=timedelta(seconds=1),
                batch_size=PLACES.batch,
                max_concurrent_tasks=PLACES.all,
            )
        )
        try:
            yield
        finally:
            renderer.go_on.set()
            pgq.qm.shutdown.set()
            await running


async def wait_for_jobs(running_app: RunningApp, sql: str, shop: str, count: int) -> None:
    """Wait until so many of the shop's jobs are so far."""
    async with asyncio.timeout(15):
        while len(await running_app.rows(sql, shop=shop)) < count:
            await asyncio.sleep(0.02)


async def test_every_entry_point_except_first_jobs_has_exactly_one_share(
    running_app: RunningApp,
) -> None:
    shared = [name for share in PLACES.shares for name in share.entrypoints]
    assert len(shared) == len(set(shared))
    firsts = {queue.RUN_JOB, queue.HANDLE_WEBHOOK, queue.PUBLISH, queue.UNPUBLISH}
    async with manager(
        running_app.settings, running_app.worker_context, running_app.handler_context
    ) as pgq:
        assert set(pgq.qm.entrypoint_registry) == {*shared, *firsts}
    for slots in (1, 2, 8):
        places = Capacity(slots)
        assert places.all >= 2 * places.batch, "PgQueuer asks for that"
        assert all(share.places >= places.batch for share in places.shares)
        assert places.kept >= places.backlog + MAX_FOREGROUND
