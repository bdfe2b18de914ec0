"""A shop's jobs, page by page."""

import re
from datetime import UTC, datetime
from typing import Protocol

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.errors import InvalidRequest
from backend.jobs import queries
from backend.jobs.ids import is_public_id
from backend.jobs.paging import query_problem, read_page
from backend.jobs.schemas import JobListResponse, JobSummary
from backend.jobs.states import JobStatus

BLANK_BEFORE_OFFSET = re.compile(r"(:[0-9]{2}(?:\.[0-9]+)?) ([0-9]{2}:[0-9]{2})\Z")


class JobListRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The query parameters."""

    job_type: str | None
    status: JobStatus | None
    created_after: datetime | None
    limit: int
    offset: int
    cursor: str | None


async def job_list(
    connection: AsyncConnection, *, shop_domain: str, wanted: JobListRequest
) -> tuple[str | None, JobListResponse]:
    """The page, and the query string of the next one if there are more.

    Raises `ShopNotInstalled`, and `InvalidRequest` for an invalid cursor.
    """
    require_cursor(wanted)
    statement = queries.jobs_page(
        shop_domain,
        filters=queries.filters(
            job_type=wanted.job_type,
            status=wanted.status,
            created_after=wanted.created_after,
            before=wanted.cursor,
        ),
        limit=wanted.limit + 1,
        offset=wanted.offset,
    )
    page = await read_page(connection, statement, wanted)
    jobs = [JobSummary(**row) for row in page.rows]
    return page.following, JobListResponse(
        jobs=jobs, limit=wanted.limit, offset=wanted.offset, count=len(jobs)
    )


def moment(name: str, text: str | None) -> datetime | None:
    """Parse a time parameter. Litestar would also accept a bare number.

    A `+` that was not percent-encoded arrives as a blank: it can only be that of the offset.
    """
    try:
        plain = text and BLANK_BEFORE_OFFSET.sub(r"\1+\2", text)
        found = None if plain is None else msgspec.convert(plain, datetime)
        return found and found.replace(tzinfo=found.tzinfo or UTC).astimezone(UTC)
    except (msgspec.ValidationError, OverflowError) as error:
        raise InvalidRequest([query_problem(name, "Send a date and time (RFC 3339).")]) from error


class Positioned(Protocol):
    """A page that was asked for by a cursor or an offset; a msgspec struct."""

    @property
    def cursor(self) -> str | None: ...

    @property
    def offset(self) -> int: ...


def require_cursor(wanted: Positioned) -> None:
    """Check that the cursor is one of our IDs and that there is no offset beside it."""
    if wanted.cursor is None:
        return
    if not is_public_id(wanted.cursor):
        raise InvalidRequest([query_problem("cursor", "Use the cursor from the Link header.")])
    if wanted.offset:
        raise InvalidRequest(
            [query_problem("offset", "Send either a cursor or an offset, not both.")]
        )
