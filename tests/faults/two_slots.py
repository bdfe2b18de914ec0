"""A worker with two slots and a renderer that takes its time: what the tests of fairness share."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import msgspec

from backend.renderers.base import Rendered, Renderer, RenderRequest
from backend.worker.capacity import Capacity
from backend.worker.run import manager
from tests.running_app import GARMENTS, RunningApp
from tests.scenarios import NoRenderer
from webhooks.outcome import HandlerContext

STAGE = 0.05  # seconds that a stage takes
SOON = 1.0  # seconds
SMALL = 50  # shops with one entry each
TWO_SLOTS = Capacity(slots=2)
BIGS_PICTURE = GARMENTS / "tee_white.jpg"


class SlowRenderer(NoRenderer):
    """Renders nothing, in `STAGE` seconds, or `long` seconds for a job with that picture."""

    def __init__(self, long: float = 0) -> None:
        self.long = long
        self.picture = BIGS_PICTURE.read_bytes()

    async def render(self, request: RenderRequest) -> Rendered:
        """No file, after the delay."""
        is_long = self.long > 0 and self.picture in request.inputs.values()
        await asyncio.sleep(self.long if is_long else STAGE)
        return await super().render(request)


@asynccontextmanager
async def running_worker(
    running_app: RunningApp, renderer: Renderer, *, handler_context: HandlerContext | None = None
) -> AsyncIterator[None]:
    """A worker with two slots."""
    worker_context = msgspec.structs.replace(running_app.worker_context, renderer=renderer)
    async with manager(
        running_app.settings,
        worker_context,
        handler_context or running_app.handler_context,
        shares=TWO_SLOTS.shares,
    ) as pgq:
        running = asyncio.create_task(
            pgq.qm.run(
                dequeue_timeout=timedelta(seconds=1),
                batch_size=TWO_SLOTS.batch,
                max_concurrent_tasks=TWO_SLOTS.all,
            )
        )
        yield
        pgq.qm.shutdown.set()
        await running
