"""How much waits in the queue, and for how long, for Prometheus: measured by one worker of all.

Its answer is the same for every process, and costs more the more there is. So it is asked every
`INTERVAL` seconds by whoever holds an advisory lock, and not at each scrape of each process. The
lock belongs to the connection that the worker's queue has anyway: with the worker, or with the
connection, it is gone, and the next worker takes over.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import structlog
from pgqueuer.ports.driver import Driver

from backend.metrics import (
    PROVIDER_PAUSED,
    QUEUE_ENTRIES,
    QUEUE_MEASURED,
    QUEUE_OLDEST,
    SUBMISSIONS_OPEN,
)

log = structlog.get_logger(__name__)

INTERVAL = 15.0  # seconds; as often as Prometheus usually scrapes
REST = 100  # times as long as it took: a huge queue is measured more rarely
LOCK = 7_205_759_301  # of `pg_try_advisory_lock`; any number that nobody else takes

# By two partial indexes: of what is queued, (entrypoint, execute_after), and of what is worked on.
WAITING = """
SELECT entrypoint AS kind,
       count(*) FILTER (WHERE execute_after <= now()) AS due,
       count(*) FILTER (WHERE execute_after > now()) AS delayed,
       greatest(extract(epoch FROM now() - min(execute_after)), 0)::float8 AS oldest
FROM queue.pgqueuer WHERE status = 'queued' GROUP BY entrypoint
"""
RUNNING_ENTRIES = """
SELECT entrypoint AS kind, count(*) AS running
FROM queue.pgqueuer WHERE status = 'picked' GROUP BY entrypoint
"""
# By a partial index of the open ones; and a row for each provider that takes nothing.
OPEN_SUBMISSIONS = """
SELECT provider, lower(status) AS state, count(*) AS count FROM submissions
WHERE status IN ('WAITING', 'INTENDED', 'SUBMITTED', 'READY') GROUP BY provider, status
"""
PAUSED_PROVIDERS = """
SELECT provider, greatest(extract(epoch FROM now() - since), 0)::float8 AS seconds
FROM provider_pauses
"""


@contextlib.asynccontextmanager
async def measured_queue(driver: Driver, listen: str) -> AsyncIterator[None]:
    """Measure the queue until the block ends, if this process serves metrics (`listen`)."""
    if not listen:
        yield
        return
    task = asyncio.create_task(keep_measuring(driver))
    try:
        yield
    finally:
        task.cancel()
        forget_queue()


async def keep_measuring(driver: Driver) -> None:
    """For as long as the connection lives. What goes wrong is logged, and tried again."""
    clock = asyncio.get_running_loop().time
    holds_lock = False
    while True:
        started = clock()
        try:
            holds_lock = holds_lock or await takes_lock(driver)
            if holds_lock:
                await measure_queue(driver)
        except Exception as error:
            log.warning("queue_not_measured", cause=repr(error)[:300])
        await asyncio.sleep(max(INTERVAL, (clock() - started) * REST))


async def takes_lock(driver: Driver) -> bool:
    """Whether this connection is now the one that measures; it never waits for that."""
    [row] = await driver.fetch("SELECT pg_try_advisory_lock($1) AS taken", LOCK)
    return bool(row["taken"])


async def measure_queue(driver: Driver) -> None:
    """Set the metrics to what the queue has now."""
    waiting: Sequence[Mapping[str, Any]] = await driver.fetch(WAITING)
    running: Sequence[Mapping[str, Any]] = await driver.fetch(RUNNING_ENTRIES)
    submissions: Sequence[Mapping[str, Any]] = await driver.fetch(OPEN_SUBMISSIONS)
    paused: Sequence[Mapping[str, Any]] = await driver.fetch(PAUSED_PROVIDERS)
    forget_queue()
    for row in waiting:
        set_gauges(row, "due", "delayed")
        QUEUE_OLDEST.labels(row["kind"]).set(row["oldest"])
    for row in running:
        set_gauges(row, "running")
    for row in submissions:
        SUBMISSIONS_OPEN.labels(row["provider"], row["state"]).set(row["count"])
    for row in paused:
        PROVIDER_PAUSED.labels(row["provider"]).set(row["seconds"])
    QUEUE_MEASURED.set_to_current_time()


def set_gauges(row: Mapping[str, Any], *states: str) -> None:
    """Set what a row says of its kind."""
    for state in states:
        QUEUE_ENTRIES.labels(row["kind"], state).set(row[state])


def forget_queue() -> None:
    """Show nothing: what was measured before, or what another worker measures from now on."""
    QUEUE_ENTRIES.clear()
    QUEUE_OLDEST.clear()
    SUBMISSIONS_OPEN.clear()
    PROVIDER_PAUSED.clear()
    QUEUE_MEASURED.set(0)
