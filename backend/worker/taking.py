"""PgQueuer's loop, which takes entries as there are places for them, and looks for none without.

By itself it also looks while every place is taken: as long as anything waits ten times a second,
with two statements each time, which comes to more than what the jobs themselves cost. What it is at
we know without asking the database; so the claim does not count it there, and a worker that died is
counted nowhere.
"""

import asyncio
import contextlib
import dataclasses
import sys
from collections.abc import AsyncGenerator
from datetime import timedelta
from typing import Any

from pgqueuer import PgQueuer
from pgqueuer.models import Context, Job
from pgqueuer.ports.repository import EntrypointExecutionParameter
from pgqueuer.qm import QueueManager
from pgqueuer.types import JobId, QueueEntrypoint

from backend.queue import RUN_BACKLOG

GATHER = 0.005  # seconds that a free place waits for a second one, to be filled in one statement
LOOK_AGAIN = 1.0  # seconds between two looks for others while backlogs wait for their places


def take_by_places(pgq: PgQueuer, backlog: int) -> None:
    """Have it work like this, with so many places for backlogs; before entry points are named."""
    pgq.qm = Taking(pgq.qm.queries, pgq.channel, resources=pgq.resources, most=backlog)
    pgq.qm.shutdown = pgq.shutdown


@dataclasses.dataclass
class Taking(QueueManager):
    """As many places as `run` is told of with `max_concurrent_tasks`, `most` of them for backlogs.

    backlog: the entries of backlogs among those that are worked on.
    changed: there may be something to take, or a place for it.
    """

    most: int = sys.maxsize
    backlog: set[JobId] = dataclasses.field(init=False, default_factory=set)
    changed: asyncio.Event = dataclasses.field(init=False, default_factory=asyncio.Event)

    async def run(self, *args: Any, **settings: Any) -> None:
        """As PgQueuer's; new entries are heard of here as well."""
        await self.queries.driver.add_listener(self.channel, lambda _news: self.changed.set())
        await super().run(*args, **settings)

    async def fetch_jobs(
        self, batch_size: int, global_concurrency_limit: int | None, heartbeat_timeout: timedelta
    ) -> AsyncGenerator[Job, None]:
        """Fill the free places, and each that becomes free, until nothing is left to take."""
        places = global_concurrency_limit or sys.maxsize
        while not self.shutdown.is_set():
            self.changed.clear()  # before looking: whatever changes meanwhile is not missed
            if len(self.job_context) >= places:
                await self.changed.wait()  # told to stop, its jobs end at their next stage
                continue
            await self._gather(places, batch_size)
            left = self.most - len(self.backlog)
            wanted = min(batch_size, places - len(self.job_context), left or batch_size)
            found = await self.queries.dequeue(
                batch_size=wanted,
                entrypoints=self._entry_points(with_backlog=left > 0),
                queue_manager_id=self.queue_manager_id,
                global_concurrency_limit=None,
                heartbeat_timeout=heartbeat_timeout,
            )
            backlog = {entry.id for entry in found if entry.entrypoint == RUN_BACKLOG}
            self.backlog |= backlog
            for entry in found:
                yield entry
            if left > 0 and len(found) < wanted:
                break
            # Backlogs come last: where one was taken, or less was found, there are no others.
            if len(self.backlog) >= self.most and (backlog or len(found) < wanted):
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self.changed.wait(), LOOK_AGAIN)

    def forget_job(self, job_id: JobId, context: Context, task: asyncio.Task[None]) -> None:
        """Its place is free."""
        super().forget_job(job_id, context, task)
        if job_id not in self.job_context:
            self.backlog.discard(job_id)
        self.changed.set()

    def _entry_points(
        self, *, with_backlog: bool
    ) -> dict[QueueEntrypoint, EntrypointExecutionParameter]:
        return {
            name: EntrypointExecutionParameter(executor.parameters.concurrency_limit)
            for name, executor in self.entrypoint_registry.items()
            if with_backlog or name != RUN_BACKLOG
        }

    async def _gather(self, places: int, batch_size: int) -> None:
        """Where a backlog has a place or two again: those that end together are filled together."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(GATHER):
                while 0 < self._free(places) < batch_size:
                    self.changed.clear()
                    await self.changed.wait()

    def _free(self, places: int) -> int:
        return min(places - len(self.job_context), self.most - len(self.backlog))
