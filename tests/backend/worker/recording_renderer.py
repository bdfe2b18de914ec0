"""A renderer that records its calls, and jobs to run with it."""

from typing import Any

import msgspec

from backend.jobs.lifecycle import JobLease, lease_job
from backend.jobs.service import JobRef
from backend.renderers.base import Rendered, Renderer, RenderRequest
from backend.worker.context import WorkerContext
from tests.running_app import RunningApp


class RecordingRenderer:
    """The real renderer, with a list of what it was asked, and something to do before it."""

    name = "recording"

    def __init__(self, renderer: Renderer, before: Any = None) -> None:
        self.renderer = renderer
        self.before = before
        self.stages: list[str] = []

    async def render(self, request: RenderRequest) -> Rendered:
        """Note the stage, do what the test wants, then render."""
        self.stages.append(request.stage)
        if self.before is not None:
            await self.before(request)
        return await self.renderer.render(request)

    async def close(self) -> None:
        """Nothing is ours to close."""


def context_with(running_app: RunningApp, renderer: RecordingRenderer) -> WorkerContext:
    """The app's worker context with that renderer."""
    return msgspec.structs.replace(running_app.worker_context, renderer=renderer)


async def new_job(running_app: RunningApp) -> JobRef:
    """A job that waits."""
    await running_app.install()
    public_id = await running_app.request_job()
    rows = await running_app.rows("SELECT shop_id FROM jobs WHERE public_id = :id", id=public_id)
    return JobRef(shop_id=rows[0]["shop_id"], public_id=public_id)


async def claim_job(running_app: RunningApp, ref: JobRef) -> JobLease:
    """The claim of another worker."""
    async with running_app.database.transaction() as connection:
        taken = await lease_job(connection, ref)
    assert taken is not None
    return taken


async def job_status(running_app: RunningApp, ref: JobRef) -> str:
    """As the row says."""
    rows = await running_app.rows("SELECT status FROM jobs WHERE public_id = :id", id=ref.public_id)
    return str(rows[0]["status"])
