"""Follow a job by long poll: its events as soon as they commit."""

import time

from backend.db import POOL_TIMEOUT
from backend.jobs.detail import job_events
from backend.jobs.etags import Version
from backend.jobs.read_services import ReadServices
from backend.jobs.schemas import JobEventsResponse
from backend.jobs.states import JobStatus


async def wait_for_events(
    reads: ReadServices,
    *,
    shop_domain: str,
    public_id: str,
    since: int,
    wait: int,
) -> tuple[Version, JobEventsResponse]:
    """The events after `since`, waiting up to `wait` seconds for the first of them.

    No connection is held while waiting, and waiting requests take turns at reading. A failed job is
    answered at once, because nothing can follow; a successful one may still be published. The wait
    starts before the rows are read, so that no commit in between is missed.
    """
    deadline = time.monotonic() + wait
    with reads.wakeups.watching(public_id) as woken:
        while True:
            timeout = max(deadline - time.monotonic(), 0) + POOL_TIMEOUT
            async with reads.wakeups.turn(timeout):
                version, page = await job_events(
                    reads.database,
                    reads.presigner,
                    shop_domain=shop_domain,
                    public_id=public_id,
                    since=since,
                )
            left = deadline - time.monotonic()
            is_over = left <= 0 or version.status == JobStatus.FAILURE or reads.wakeups.is_closing
            if page.events or is_over:
                return version, page
            await reads.wakeups.wait(woken, left)
