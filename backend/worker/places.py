"""A worker's places: no shop's backlog takes them all, however long its renders are.

A shop's first few unfinished jobs wait at one entry point, what it has asked for beyond at another
(`jobs.service.enqueue_jobs`). The backlogs, of one shop or of many, have as many places as keep the
render processes busy, and priorities settle who of them is next. All other places are kept for
jobs of shops that have few, and for errands: these begin at once.

A place costs a picture in memory. The render processes are what is dear, and none of them is kept
free: a backlog's stages only let the others' go first. So a shop that is alone loses nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

import msgspec
from pgqueuer.models import Context, Job
from pgqueuer.ports.repository import EntrypointExecutionParameter
from pgqueuer.queries import Queries
from pgqueuer.types import JobId, QueueEntrypoint, QueueManagerId

from backend.jobs.service import FEW
from backend.queue import RUN_BACKLOG
from backend.renderers.base import Rendered, Renderer, RenderRequest

JOBS_A_SLOT = 2  # while one renders, another fetches or stores


@dataclass(frozen=True)
class Places:
    """How many entries a worker with that many render processes works on at once."""

    slots: int

    @property
    def backlog(self) -> int:
        """At most so many of the shops' backlogs."""
        return self.slots * JOBS_A_SLOT

    @property
    def all(self) -> int:
        """Of any kind: as many again, beside the few that a shop with a backlog may have there."""
        return 2 * self.backlog + FEW


@dataclass
class CappedQueries(Queries):
    """PgQueuer's statements, which take no more than `most` entries of backlogs for this worker.

    `running` are the entries that PgQueuer works on now. Nothing is counted in the database, so
    the claim costs what it did, and a worker that died is not counted anywhere.
    """

    most: int = 0
    running: Mapping[JobId, Context] = field(default_factory=dict)
    backlog: set[JobId] = field(default_factory=set)

    async def dequeue(
        self,
        batch_size: int,
        entrypoints: dict[QueueEntrypoint, EntrypointExecutionParameter],
        queue_manager_id: QueueManagerId,
        global_concurrency_limit: int | None,
        heartbeat_timeout: timedelta,
    ) -> list[Job]:
        """Take entries, but leave backlogs where they are while they have all of their places."""
        self.backlog &= self.running.keys()
        left = self.most - len(self.backlog)
        if left > 0:
            batch_size = min(batch_size, left)
        else:
            entrypoints = {name: how for name, how in entrypoints.items() if name != RUN_BACKLOG}
        entries = await super().dequeue(
            batch_size, entrypoints, queue_manager_id, global_concurrency_limit, heartbeat_timeout
        )
        self.backlog.update(entry.id for entry in entries if entry.entrypoint == RUN_BACKLOG)
        return entries


class Patient:
    """The renderer as a backlog's jobs have it: their stages let others' go first."""

    def __init__(self, renderer: Renderer) -> None:
        self.renderer = renderer
        self.name = renderer.name

    async def render(self, request: RenderRequest) -> Rendered:
        """Run one stage when it is its turn."""
        return await self.renderer.render(msgspec.structs.replace(request, patient=True))

    async def close(self) -> None:
        """It is closed by whoever opened it."""
