"""Which version of a job a caller has: ETags, the poll hint, and 304 before any other work."""

import random
from typing import Any

import msgspec
from asyncpg import Record
from sqlalchemy.engine import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.db import Database, Query
from backend.errors import JobNotFound, RequestError, ShopNotInstalled
from backend.jobs import queries
from backend.jobs.ids import IMPOSSIBLE, is_public_id
from backend.jobs.states import UNFINISHED

SHORTEST_POLL, LONGEST_POLL = 1, 10  # seconds
JITTER = 0.25


class Version(msgspec.Struct, frozen=True, kw_only=True):
    """Where a job stands. Every change of its row raises `attempt` or `last_seq`."""

    attempt: int
    last_seq: int
    status: str
    seconds_a_stage: float | None

    def etag(self, window: int) -> str:
        """The tag of an answer whose URLs are signed at `window`: they are part of its bytes."""
        return f'"{self.attempt}.{self.last_seq}.{window}"'

    def headers(self, window: int) -> dict[str, str]:
        """What the answer says of itself."""
        return {
            "ETag": self.etag(window),
            "Cache-Control": "private, no-cache",
            **self.poll_hint(),
        }

    def poll_hint(self) -> dict[str, str]:
        """When to ask again, while the job runs."""
        if self.status not in UNFINISHED:
            return {}
        return {"Retry-After": str(jittered(self.seconds_to_wait()))}

    def seconds_to_wait(self) -> float:
        """As long as this job's stages have taken so far, within bounds."""
        return min(max(self.seconds_a_stage or 0, SHORTEST_POLL), LONGEST_POLL)


def jittered(seconds: float) -> int:
    """That time, a quarter more or less, so that pages that asked at once do not go on in step.

    In whole seconds, as HTTP wants them: of 1 and of 2 nothing is left to scatter.
    """
    return round(seconds * random.uniform(1 - JITTER, 1 + JITTER))  # noqa: S311 - spread, not secrecy


async def job_version(database: Database, *, shop_domain: str, public_id: str) -> Version:
    """The job's version, by a statement that reads little else."""
    return version_of(await one_job(database, queries.ONE_VERSION, shop_domain, public_id))


async def one_job(
    database: Database, query: Query, shop_domain: str, public_id: str, **more: Any
) -> Record:
    """The row of a query that `queries.of_shop` has written. Raises as `found` does."""
    row = await database.row(query, shop_domain=shop_domain, public_id=known(public_id), **more)
    if row is None:
        raise ShopNotInstalled
    if row["public_id"] is None:
        raise JobNotFound
    return row


async def found(
    connection: AsyncConnection, statement: Any, *, missing: type[RequestError] = JobNotFound
) -> Row[Any]:
    """The row of a statement that starts from the shop.

    Raises `ShopNotInstalled` when there is none, `missing` when it holds no job.
    """
    row = (await connection.execute(statement)).one_or_none()
    if row is None:
        raise ShopNotInstalled
    if row.public_id is None:
        raise missing
    return row


def known(public_id: str) -> str:
    """The id to look up: a malformed one is looked up too, as one that nobody has.

    So it answers like any other id that is not there, and takes as long.
    """
    return public_id if is_public_id(public_id) else IMPOSSIBLE


def version_of(row: Record) -> Version:
    """The version out of a row that has the columns of `queries.VERSION`."""
    pace = row["seconds_a_stage"]
    return Version(
        attempt=row["attempt"],
        last_seq=row["last_seq"],
        status=row["status"],
        seconds_a_stage=None if pace is None else float(pace),
    )


def matches(if_none_match: str, etag: str) -> bool:
    """Whether an If-None-Match header names this tag (RFC 9110, 13.1.2: weak comparison)."""
    if if_none_match == etag:  # as nearly always
        return True
    tags = {tag.strip().removeprefix("W/") for tag in if_none_match.split(",")}
    return etag in tags or tags == {"*"}
