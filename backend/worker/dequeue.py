"""PgQueuer's loop, but it queries the queue only when the worker has free capacity.

PgQueuer itself also queries while the worker is full: ten times a second as long as entries wait,
with two statements each time, which costs more than the jobs themselves. We know what is in
progress without asking the database. So a claim counts nothing there, and a dead worker is counted
nowhere.
"""

import asyncio
import contextlib
import dataclasses
import functools
import sys
from collections import Counter
from collections.abc import AsyncGenerator, Sequence
from datetime import timedelta
from typing import Any

from pgqueuer import PgQueuer
from pgqueuer.core.buffers import JobStatusLogBuffer
from pgqueuer.models import Context, Job
from pgqueuer.ports.repository import EntrypointExecutionParameter
from pgqueuer.qm import QueueManager
from pgqueuer.types import JobId, QueueEntrypoint

GATHER_TIME = 0.005  # seconds to wait for a second free slot, to fill both in one statement
REMOVED_TOGETHER = 8  # ended entries in one statement, unless they wait for a tenth of a second
CAPACITY_POLL_INTERVAL = 1.0  # seconds between two queries for other entries while a share is full


@dataclasses.dataclass(frozen=True)
class CapacityShare:
    """Entry points of which a worker processes at most `places` entries at once."""

    places: int
    entrypoints: frozenset[str]


def dequeue_by_capacity(pgq: PgQueuer, shares: Sequence[CapacityShare]) -> "CapacityQueueManager":
    """Set how it works, before registering entry points. Entries without a share have no limit."""
    manager = CapacityQueueManager(
        pgq.qm.queries, pgq.channel, resources=pgq.resources, shares=shares
    )
    manager.shutdown = pgq.shutdown
    pgq.qm = manager
    return manager


@dataclasses.dataclass
class CapacityQueueManager(QueueManager):
    """`max_concurrent_tasks` of `run` is the capacity; shares limit parts of it.

    under_way: the shares of the entries that take a place of one. taken: how many places of each
    share are taken. ending: the entries that have given theirs back early. changed: there may be an
    entry to take, or capacity for one.
    nothing_else_until: until then, on the loop's clock, only entries of full shares are waiting.
    """

    shares: Sequence[CapacityShare] = ()
    under_way: dict[JobId, CapacityShare] = dataclasses.field(init=False, default_factory=dict)
    taken: Counter[CapacityShare] = dataclasses.field(init=False, default_factory=Counter)
    ending: set[JobId] = dataclasses.field(init=False, default_factory=set)
    changed: asyncio.Event = dataclasses.field(init=False, default_factory=asyncio.Event)
    nothing_else_until: float = dataclasses.field(init=False, default=0)

    async def run(self, *args: Any, **settings: Any) -> None:
        """As PgQueuer's; notifications of new entries arrive here as well.

        It would count its log by the second in a table that it never prunes. Nobody reads that.
        """
        await self.queries.driver.add_listener(self.channel, self._hear)
        await super().run(*args, **settings | {"log_aggregation_interval": timedelta(0)})

    async def fetch_jobs(
        self, batch_size: int, global_concurrency_limit: int | None, heartbeat_timeout: timedelta
    ) -> AsyncGenerator[Job, None]:
        """Fill the free capacity, again and again, until nothing is left to take."""
        places = global_concurrency_limit or sys.maxsize
        clock = asyncio.get_running_loop().time
        while not self.shutdown.is_set():
            if len(self.job_context) >= places:
                await self._wait_for_change()  # told to stop: its jobs end at their next stage
                continue
            await self._gather(places, batch_size)
            self.changed.clear()  # just before the query, so that only a change during it counts
            wanted = min(batch_size, self._free(places))
            closed = self._full_shares()
            found = await self.queries.dequeue(
                batch_size=wanted,
                entrypoints=self._entry_points(closed),
                queue_manager_id=self.queue_manager_id,
                global_concurrency_limit=None,
                heartbeat_timeout=heartbeat_timeout,
            )
            for entry in found:
                self._take(entry)
            for entry in found:
                yield entry
            if len(found) < wanted:
                if not closed:
                    break
                self.nothing_else_until = clock() + CAPACITY_POLL_INTERVAL
            if self._full_shares() and clock() < self.nothing_else_until:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self.changed.wait(), CAPACITY_POLL_INTERVAL)

    async def _dispatch(
        self, job: Job, jbuff: JobStatusLogBuffer, *buffers: Any, **settings: Any
    ) -> None:
        """As PgQueuer's, but more entries are removed in one statement than it takes in one.

        The last one in progress is removed at once, with those that wait.
        """
        jbuff.max_size = REMOVED_TOGETHER
        await super()._dispatch(job, jbuff, *buffers, **settings)
        if len(self.job_context) <= 1:
            jbuff.schedule_flush()

    def forget_job(self, job_id: JobId, context: Context, task: asyncio.Task[None]) -> None:
        """Free the entry's capacity."""
        super().forget_job(job_id, context, task)
        if job_id not in self.job_context:
            self.ending.discard(job_id)
            self._give_back(job_id)
        self.changed.set()

    def free_place(self, job_id: JobId) -> None:
        """Let another entry begin: what this one still has to do takes hardly any capacity.

        At most as many as the share has places: their last statements may have to wait.
        """
        share = self.under_way.get(job_id)
        if share is not None and len(self.ending) < share.places:
            self.ending.add(job_id)
            self._give_back(job_id)

    def _give_back(self, job_id: JobId) -> None:
        """Give the entry's place back, if it still has one."""
        if share := self.under_way.pop(job_id, None):
            self.taken[share] -= 1
        self.changed.set()

    def _take(self, entry: Job) -> None:
        """Count the entry, unless it is one that was taken again, late, while it is in progress."""
        share = self._share_of.get(entry.entrypoint)
        if share is not None and entry.id not in self.under_way:
            self.under_way[entry.id] = share
            self.taken[share] += 1

    def _hear(self, _news: object) -> None:
        self.nothing_else_until = 0
        self.changed.set()

    def _entry_points(
        self, closed: Sequence[CapacityShare]
    ) -> dict[QueueEntrypoint, EntrypointExecutionParameter]:
        """All entry points except those of full shares."""
        return {
            name: EntrypointExecutionParameter(executor.parameters.concurrency_limit)
            for name, executor in self.entrypoint_registry.items()
            if not any(name in share.entrypoints for share in closed)
        }

    async def _gather(self, places: int, batch_size: int) -> None:
        """Wait a moment, so that entries that end together are replaced together."""
        if self._free(places) >= batch_size:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(GATHER_TIME):
                while self._free(places) < batch_size:
                    await self._wait_for_change()

    async def _wait_for_change(self) -> None:
        """Wait until an entry comes or ends from now on."""
        self.changed.clear()
        await self.changed.wait()

    def _free(self, places: int) -> int:
        """How many entries can be taken; full shares are already excluded."""
        left = [self._left(share) for share in self.shares]
        return min([places - len(self.job_context), *(count for count in left if count > 0)])

    def _full_shares(self) -> list[CapacityShare]:
        return [share for share in self.shares if self._left(share) <= 0]

    def _left(self, share: CapacityShare) -> int:
        return share.places - self.taken[share]

    @functools.cached_property
    def _share_of(self) -> dict[str, CapacityShare]:
        """The share of each entry point that has one."""
        return {name: share for share in self.shares for name in share.entrypoints}
