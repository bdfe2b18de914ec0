"""PgQueuer's loop, which looks for work only when it has a place for it.

By itself it also looks while every place is taken: as long as anything waits ten times a second,
with two statements each time, which comes to more than what the jobs themselves cost. How many it
is at we know without asking the database.
"""

import asyncio
import contextlib
import dataclasses
import sys
from collections.abc import AsyncGenerator
from datetime import timedelta

from pgqueuer import PgQueuer
from pgqueuer.models import Context, Job
from pgqueuer.ports.repository import EntrypointExecutionParameter
from pgqueuer.qm import QueueManager
from pgqueuer.types import JobId

GATHER = 0.005  # seconds that a free place waits for a second one, to be filled in one statement


def seat(pgq: PgQueuer) -> None:
    """Have it work like this; before its entry points are registered."""
    pgq.qm = Places(pgq.qm.queries, pgq.channel, resources=pgq.resources)
    pgq.qm.shutdown = pgq.shutdown


@dataclasses.dataclass
class Places(QueueManager):
    """As many places as `run` is told of with `max_concurrent_tasks`."""

    left: asyncio.Event = dataclasses.field(init=False, default_factory=asyncio.Event)

    async def fetch_jobs(
        self, batch_size: int, global_concurrency_limit: int | None, heartbeat_timeout: timedelta
    ) -> AsyncGenerator[Job, None]:
        """Fill the free places, and each that becomes free, until there is less than asked for."""
        places = global_concurrency_limit or sys.maxsize
        entrypoints = {
            name: EntrypointExecutionParameter(executor.parameters.concurrency_limit)
            for name, executor in self.entrypoint_registry.items()
        }
        while free := await self._free(places, batch_size):
            wanted = min(batch_size, free)
            found = await self.queries.dequeue(
                batch_size=wanted,
                entrypoints=entrypoints,
                queue_manager_id=self.queue_manager_id,
                global_concurrency_limit=None,  # counted here: see above
                heartbeat_timeout=heartbeat_timeout,
            )
            for job in found:
                yield job
            if len(found) < wanted:
                break

    def forget_job(self, job_id: JobId, context: Context, task: asyncio.Task[None]) -> None:
        """Its place is free."""
        super().forget_job(job_id, context, task)
        self.left.set()

    async def _free(self, places: int, batch_size: int) -> int:
        """How many places there are to fill, as soon as there is one; 0 when told to stop.

        The jobs of a worker that was told to stop end at their next stage, and so does the waiting.
        """
        await self._until_free(places, 1)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(GATHER):
                await self._until_free(places, batch_size)
        return 0 if self.shutdown.is_set() else places - len(self.job_context)

    async def _until_free(self, places: int, wanted: int) -> None:
        while places - len(self.job_context) < wanted:
            self.left.clear()
            await self.left.wait()
