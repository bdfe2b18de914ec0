"""The processes that are compared: `python -m tests.benchmarks.jobs.worker ours|pgqueuer`.

Ours is `atelier worker` as it is, but that it knows the workflows of `noop` and has their engine.
PgQueuer alone has one entry point that does nothing, no schedules and no other work, and the same
settings and event loop as ours.
"""

import logging
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

import asyncpg
import pgqueuer
import uvloop
from pgqueuer import PgQueuer
from pgqueuer.db import AsyncpgDriver
from pgqueuer.models import Job

from backend import queue
from backend.cli import main as atelier
from backend.worker import run
from backend.worker.capacity import Capacity
from backend.workflows import WORKFLOWS
from tests.benchmarks.jobs.noop import BY_JOB_TYPE, Idler

ENTRY_POINT = "nothing"


def ours(slots: int) -> None:
    """`atelier worker`."""
    cast("dict[str, object]", WORKFLOWS).update(BY_JOB_TYPE)
    setattr(run, "LocalRenderer", lambda *_model, **_slots: Idler())  # noqa: B010
    atelier(["worker", "--slots", str(slots)])


def alone(slots: int) -> None:
    """PgQueuer's own loop around a handler that does nothing."""
    logging.basicConfig(level=logging.WARNING)
    concurrency = Capacity(slots).backlog  # as many as ours has for this queue
    uvloop.run(
        pgqueuer.run(
            manager,
            dequeue_timeout=run.POLL,
            batch_size=concurrency // 2,
            max_concurrent_tasks=concurrency,
            heartbeat_timeout=run.HEARTBEAT_TIMEOUT,
        )
    )


@asynccontextmanager
async def manager() -> AsyncIterator[PgQueuer]:
    """PgQueuer over one connection, as its documentation has it."""
    connection = await asyncpg.connect(os.environ["DATABASE_URL"])
    try:
        driver = AsyncpgDriver(connection)
        pgq = PgQueuer(driver, queries=queue.queries(driver))

        @pgq.entrypoint(ENTRY_POINT)
        async def nothing(_entry: Job) -> None:
            pass

        yield pgq
    finally:
        await connection.close()


if __name__ == "__main__":
    {"ours": ours, "pgqueuer": alone}[sys.argv[1]](int(sys.argv[2]))
