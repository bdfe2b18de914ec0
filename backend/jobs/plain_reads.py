"""The reads of one job that pages poll, for the fast path."""

import re
from functools import partial

from backend.jobs.conditional_get import read_detail, read_events
from backend.jobs.fast_path import PlainRead

JOBS_PREFIX, EVENTS_SEGMENT = "/v1/jobs/", "events"
DETAIL_ROUTE, EVENTS_ROUTE = "/v1/jobs/{public_id}", "/v1/jobs/{public_id}/events"
SINCE_QUERY = re.compile(rb"since=([0-9]{1,9})")


def plain_job_read(path: str, query: bytes) -> PlainRead | None:
    """The job's detail, or its events, with or without `since`."""
    if not path.startswith(JOBS_PREFIX):
        return None
    public_id, slash, rest = path[len(JOBS_PREFIX) :].partition("/")
    if not public_id:
        return None
    if not slash:
        return None if query else PlainRead(DETAIL_ROUTE, partial(read_detail, public_id=public_id))
    since = SINCE_QUERY.fullmatch(query or b"since=0")
    if rest != EVENTS_SEGMENT or since is None:
        return None
    return PlainRead(EVENTS_ROUTE, partial(read_events, public_id=public_id, since=int(since[1])))
