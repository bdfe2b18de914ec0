"""A job's version: its ETag, the poll hint that goes with it, and If-None-Match."""

import msgspec
from asyncpg import Record

from backend.db import Database
from backend.jobs import queries
from backend.jobs.lookup import job_row
from backend.jobs.states import UNFINISHED
from backend.retries import jittered

SHORTEST_POLL, LONGEST_POLL = 1, 10  # seconds
TAG_HEADER = b"if-none-match"


class Version(msgspec.Struct, frozen=True, kw_only=True):
    """Where a job stands. Every change of its row raises `attempt` or `last_seq`."""

    attempt: int
    last_seq: int
    status: str
    seconds_a_stage: float | None

    def etag(self, window: int) -> str:
        """The tag of a response whose URLs are signed at `window`: they are part of its bytes."""
        return f'"{self.attempt}.{self.last_seq}.{window}"'

    def headers(self, window: int) -> dict[str, str]:
        """The response headers that depend on the version."""
        headers = {"ETag": self.etag(window), "Cache-Control": "private, no-cache"}
        return headers if self.status not in UNFINISHED else headers | self.poll_hint()

    def poll_hint(self) -> dict[str, str]:
        """When to ask again, while the job runs."""
        if self.status not in UNFINISHED:
            return {}
        return retry_after_header(self.seconds_to_wait())

    def seconds_to_wait(self) -> float:
        """As long as this job's stages have taken so far, within bounds."""
        return min(max(self.seconds_a_stage or 0, SHORTEST_POLL), LONGEST_POLL)


def retry_after_header(seconds: float) -> dict[str, str]:
    """The poll hint, jittered so that pages that asked at once do not go on in step.

    In whole seconds, as HTTP wants them: the jitter of 1 and of 2 seconds is rounded away.
    """
    return {"Retry-After": str(round(jittered(seconds)))}


async def job_version(database: Database, *, shop_domain: str, public_id: str) -> Version:
    """The job's version, by a statement that reads little else. Raises as `job_row` does."""
    return version_of(await job_row(database, queries.ONE_VERSION, shop_domain, public_id))


def version_of(row: Record) -> Version:
    """The version out of a row that has the columns of `queries.VERSION_FIELDS`."""
    return Version(
        attempt=row["attempt"],
        last_seq=row["last_seq"],
        status=row["status"],
        seconds_a_stage=row["seconds_a_stage"],
    )


def matches(if_none_match: str, etag: str) -> bool:
    """Whether an If-None-Match header names this tag (RFC 9110, 13.1.2: weak comparison)."""
    if if_none_match == etag:  # as nearly always
        return True
    tags = {tag.strip().removeprefix("W/") for tag in if_none_match.split(",")}
    return etag in tags or tags == {"*"}
