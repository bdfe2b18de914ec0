"""A worker's places: no shop's backlog takes them all, however long its work takes.

A shop's first few entries of a kind wait at one entry point, what it has beyond at another
(`backend.queue`). Backlogs, of one shop or of many, have shares of the places: one for jobs, as
large as keeps the render processes busy, and others for errands, for batches' pages and for the
sweeps, which come last. In each, priorities settle who is next. All other places are kept for shops
that have little to do: theirs begins at once.

A job's place costs a picture in memory. The render processes are what is dear, and none of them is
kept free: a backlog's stages only let the others' go first. So a shop that is alone loses nothing.
"""

from dataclasses import dataclass

import msgspec

from backend import queue
from backend.renderers.base import Rendered, Renderer, RenderRequest
from backend.worker.dequeue import CapacityShare

JOBS_A_SLOT = 2  # while one renders, another fetches or stores
TASK_BACKLOGS = frozenset(
    {queue.HANDLE_BACKLOG, queue.PUBLISH_BACKLOG, queue.UNPUBLISH_BACKLOG, queue.RESUME_SHOP}
)


@dataclass(frozen=True)
class Capacity:
    """How many entries a worker with that many render processes works on at once."""

    slots: int

    @property
    def batch(self) -> int:
        """At most so many are taken in one statement; no share is smaller."""
        return self.slots

    @property
    def backlog(self) -> int:
        """At most so many of the shops' backlogs of jobs, and as many of those of errands."""
        return self.slots * JOBS_A_SLOT

    @property
    def shares(self) -> tuple[CapacityShare, ...]:
        """What backlogs, and what is long from its first entry on, have of the places."""
        return (
            CapacityShare(self.backlog, frozenset({queue.RUN_BACKLOG})),
            CapacityShare(self.backlog, TASK_BACKLOGS),
            CapacityShare(self.batch, frozenset({queue.EXPAND_BATCH})),
            CapacityShare(self.batch, frozenset({queue.SWEEP_PRODUCTS})),
        )

    @property
    def kept(self) -> int:
        """For whoever has little to do, beside the few jobs and errands of a shop with backlogs."""
        return self.backlog + 2 * queue.MAX_FOREGROUND

    @property
    def all(self) -> int:
        """Of any kind."""
        return self.kept + sum(share.places for share in self.shares)


class LowPriorityRenderer:
    """The renderer as a backlog's jobs have it: their stages let others' go first."""

    def __init__(self, renderer: Renderer) -> None:
        self.renderer = renderer
        self.name = renderer.name

    async def render(self, request: RenderRequest) -> Rendered:
        """Run one stage when it is its turn."""
        return await self.renderer.render(msgspec.structs.replace(request, is_low_priority=True))

    async def close(self) -> None:
        """It is closed by whoever opened it."""
