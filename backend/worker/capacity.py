"""A worker's capacity: no shop's backlog takes all of it, however long its work takes.

A shop's first few entries of a kind have one entry point, the others another one (`backend.queue`).
Backlogs, of one shop or of many, have fixed shares of the capacity: one for jobs, large enough to
keep the render processes busy, and others for other tasks, for batches' pages, and for sweeps,
which have the lowest priority. Within a share, priorities decide which entry is next. The remaining
capacity is for shops with few entries, whose work starts at once.

A job in progress costs an image in memory, until all that is left is its last record in the
database: then its place is free. The render processes are the scarce resource, and none
of them is kept free: a backlog's stages only let those of other shops go first. So a shop that is
alone loses nothing.
"""

from dataclasses import dataclass

import msgspec

from backend import queue
from backend.renderers.base import Rendered, Renderer, RenderRequest
from backend.worker.dequeue import CapacityShare

DELIVERING_PLACES = 16  # endpoints that events are delivered to at once: it is waiting, not work
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
        """The most entries that one statement takes; no share is smaller."""
        return self.slots

    @property
    def backlog(self) -> int:
        """The most backlog entries: this many of jobs, and as many of other tasks."""
        return self.slots * JOBS_A_SLOT

    @property
    def shares(self) -> tuple[CapacityShare, ...]:
        """The shares of backlogs, and of entries that always take long."""
        return (
            CapacityShare(self.backlog, frozenset({queue.RUN_BACKLOG})),
            CapacityShare(self.backlog, TASK_BACKLOGS),
            CapacityShare(self.batch, frozenset({queue.EXPAND_BATCH})),
            CapacityShare(self.batch, frozenset({queue.SWEEP_PRODUCTS})),
            CapacityShare(max(DELIVERING_PLACES, self.batch), frozenset({queue.DELIVER_EVENTS})),
        )

    @property
    def kept(self) -> int:
        """For shops with few entries, beside the first jobs and tasks of shops with backlogs."""
        return self.backlog + 2 * queue.MAX_FOREGROUND

    @property
    def all(self) -> int:
        """The capacity for entries of every kind."""
        return self.kept + sum(share.places for share in self.shares)


class LowPriorityRenderer:
    """The renderer for a backlog's jobs: their stages let other shops' stages go first."""

    def __init__(self, renderer: Renderer) -> None:
        self.renderer = renderer
        self.name = renderer.name

    async def render(self, request: RenderRequest) -> Rendered:
        """Render one stage when it is its turn."""
        return await self.renderer.render(msgspec.structs.replace(request, is_low_priority=True))

    async def close(self) -> None:
        """Do nothing: the owner closes the renderer."""
