"""A shop's jobs, page by page. The cursor is the last ID on the page, so new jobs shift nothing."""

from collections.abc import Container
from datetime import UTC, datetime
from urllib.parse import urlencode

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.errors import InvalidRequest, ShopNotInstalled
from backend.jobs import queries
from backend.jobs.ids import is_public_id
from backend.jobs.schemas import JobListResponse, JobSummary
from backend.jobs.states import JobStatus


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """The query parameters."""

    job_type: str | None
    status: JobStatus | None
    created_after: datetime | None
    limit: int
    offset: int
    cursor: str | None


async def job_list(
    connection: AsyncConnection, *, shop_domain: str, wanted: Wanted
) -> tuple[str | None, JobListResponse]:
    """The page, and the query string of the next one if there are more.

    Raises `ShopNotInstalled`, and `InvalidRequest` for an invalid cursor.
    """
    require_cursor(wanted)
    statement = queries.page(
        shop_domain,
        filters=queries.filters(
            job_type=wanted.job_type,
            status=wanted.status,
            created_after=wanted.created_after,
            before=wanted.cursor,
        ),
        limit=wanted.limit + 1,  # one more, to know whether there is a next page
        offset=wanted.offset,
    )
    rows = (await connection.execute(statement)).mappings().all()
    if not rows:
        raise ShopNotInstalled
    found = [JobSummary(**row) for row in rows if row["public_id"] is not None]
    jobs = found[: wanted.limit]
    following = next_query(wanted, jobs[-1].public_id) if len(found) > wanted.limit else None
    return following, JobListResponse(
        jobs=jobs, limit=wanted.limit, offset=wanted.offset, count=len(jobs)
    )


def moment(name: str, text: str | None) -> datetime | None:
    """Parse a time parameter. Litestar would also accept a bare number."""
    try:
        found = None if text is None else msgspec.convert(text, datetime)
        return found and found.replace(tzinfo=found.tzinfo or UTC).astimezone(UTC)
    except (msgspec.ValidationError, OverflowError) as error:
        raise InvalidRequest([problem(name, "Send a date and time (RFC 3339).")]) from error


def require_given(sent: Container[str], wanted: msgspec.Struct) -> None:
    """Refuse the word null: Litestar treats it as no value, which would silently drop a filter."""
    nulls = [
        name for name in wanted.__struct_fields__ if name in sent and getattr(wanted, name) is None
    ]
    if nulls:
        raise InvalidRequest(
            [problem(name, "Omit this parameter or give it a value.") for name in nulls]
        )


def require_cursor(wanted: Wanted) -> None:
    """Check that the cursor is one of our IDs and that there is no offset beside it."""
    if wanted.cursor is None:
        return
    if not is_public_id(wanted.cursor):
        raise InvalidRequest([problem("cursor", "Use the cursor from the Link header.")])
    if wanted.offset:
        raise InvalidRequest([problem("offset", "Send either a cursor or an offset, not both.")])


def problem(name: str, message: str) -> dict[str, object]:
    """The error for a query parameter."""
    return {"loc": ["query", name], "msg": message, "type": "value_error"}


def next_query(wanted: msgspec.Struct, cursor: object) -> str:
    """The same query with the cursor, which replaces the offset."""
    asked = {**msgspec.to_builtins(wanted), "cursor": cursor, "offset": None}
    return urlencode({name: value for name, value in asked.items() if value is not None})


def link(path: str, following: str | None) -> dict[str, str]:
    """The `Link` header to the next page, if there is one."""
    return {"Link": f'<{path}?{following}>; rel="next"'} if following else {}
