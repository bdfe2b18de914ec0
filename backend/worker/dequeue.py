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
from collections.abc import AsyncGenerator, Sequence
from datetime import timedelta
from typing import Any

from pgqueuer import PgQueuer
from pgqueuer.models import Context, Job
from pgqueuer.ports.repository import EntrypointExecutionParameter
from pgqueuer.qm import QueueManager
from pgqueuer.types import JobId, QueueEntrypoint

GATHER_TIME = (
    0.005  # seconds that a free place waits for a second one, to be filled in one statement
)
CAPACITY_POLL_INTERVAL = (
    1.0  # seconds between two looks for others while a share has all its places
)


@dataclasses.dataclass(frozen=True)
class CapacityShare:
    """Entry points of which a worker works on at most `places` entries at once."""

    places: int
    entrypoints: frozenset[str]


def dequeue_by_capacity(pgq: PgQueuer, shares: Sequence[CapacityShare]) -> None:
    """Have it work like this; before entry points are named. Those in no share take any place."""
    pgq.qm = CapacityQueueManager(
        pgq.qm.queries, pgq.channel, resources=pgq.resources, shares=shares
    )
    pgq.qm.shutdown = pgq.shutdown


@dataclasses.dataclass
class CapacityQueueManager(QueueManager):
    """As many places as `run` is told of with `max_concurrent_tasks`, of which shares have some.

    under_way: the entry points of the entries that are worked on.
    changed: there may be something to take, or a place for it.
    nothing_else_until: so long, on the loop's clock, nothing but what full shares have is waiting.
    """

    shares: Sequence[CapacityShare] = ()
    under_way: dict[JobId, str] = dataclasses.field(init=False, default_factory=dict)
    changed: asyncio.Event = dataclasses.field(init=False, default_factory=asyncio.Event)
    nothing_else_until: float = dataclasses.field(init=False, default=0)

    async def run(self, *args: Any, **settings: Any) -> None:
        """As PgQueuer's; new entries are heard of here as well."""
        await self.queries.driver.add_listener(self.channel, self._hear)
        await super().run(*args, **settings)

    async def fetch_jobs(
        self, batch_size: int, global_concurrency_limit: int | None, heartbeat_timeout: timedelta
    ) -> AsyncGenerator[Job, None]:
        """Fill the free places, and each that becomes free, until nothing is left to take."""
        places = global_concurrency_limit or sys.maxsize
        clock = asyncio.get_running_loop().time
        while not self.shutdown.is_set():
            self.changed.clear()  # before looking: whatever changes meanwhile is not missed
            if len(self.job_context) >= places:
                await self.changed.wait()  # told to stop, its jobs end at their next stage
                continue
            await self._gather(places, batch_size)
            wanted = min(batch_size, self._free(places))
            closed = self._full_shares()
            found = await self.queries.dequeue(
                batch_size=wanted,
                entrypoints=self._entry_points(closed),
                queue_manager_id=self.queue_manager_id,
                global_concurrency_limit=None,
                heartbeat_timeout=heartbeat_timeout,
            )
            self.under_way |= {entry.id: entry.entrypoint for entry in found}
            for entry in found:
                yield entry
            if len(found) < wanted:
                if not closed:
                    break
                self.nothing_else_until = clock() + CAPACITY_POLL_INTERVAL
            if self._full_shares() and clock() < self.nothing_else_until:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self.changed.wait(), CAPACITY_POLL_INTERVAL)

    def forget_job(self, job_id: JobId, context: Context, task: asyncio.Task[None]) -> None:
        """Its place is free."""
        super().forget_job(job_id, context, task)
        if job_id not in self.job_context:
            self.under_way.pop(job_id, None)
        self.changed.set()

    def _hear(self, _news: object) -> None:
        self.nothing_else_until = 0
        self.changed.set()

    def _entry_points(
        self, closed: Sequence[CapacityShare]
    ) -> dict[QueueEntrypoint, EntrypointExecutionParameter]:
        """All but those of the shares that have all their places."""
        return {
            name: EntrypointExecutionParameter(executor.parameters.concurrency_limit)
            for name, executor in self.entrypoint_registry.items()
            if not any(name in share.entrypoints for share in closed)
        }

    async def _gather(self, places: int, batch_size: int) -> None:
        """Those that end together are filled together."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(GATHER_TIME):
                while self._free(places) < batch_size:
                    self.changed.clear()
                    await self.changed.wait()

    def _free(self, places: int) -> int:
        """So many can be taken, whichever they are: the full shares' are not among them."""
        left = [self._left(share) for share in self.shares]
        return min([places - len(self.job_context), *(count for count in left if count > 0)])

    def _full_shares(self) -> list[CapacityShare]:
        return [share for share in self.shares if self._left(share) <= 0]

    def _left(self, share: CapacityShare) -> int:
        taken = sum(name in share.entrypoints for name in self.under_way.values())
        return share.places - taken
