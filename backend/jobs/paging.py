"""Lists, page by page: what those of jobs, batches and customers' requests have in common.

A page is read with one row more than it shows, to know whether there is a next one. The cursor is
the last key that was shown, so new rows shift nothing. The next page's address is in `Link`.
"""

from collections.abc import Collection
from typing import Any, NamedTuple, Protocol
from urllib.parse import urlencode

import msgspec
from sqlalchemy import Select
from sqlalchemy.engine import RowMapping
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.body import LONGEST_NAME
from backend.errors import InvalidRequest, ShopNotInstalled

OF_A_SIGNED_REQUEST = ("shop", "timestamp")  # query parameters that the guard reads


class PageRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A page that was asked for; `cursor` is an id."""

    limit: int
    cursor: str | None


class Limited(Protocol):
    """A `PageRequest`, or one with filters; a msgspec struct."""

    @property
    def limit(self) -> int: ...


class Page(NamedTuple):
    """The rows of a page, and the query string of the next one if there is one.

    `owner` is the first row that was read. It is there even if the page is empty, and has what the
    statement tells of the page's owner, such as a batch of its items.
    """

    rows: list[RowMapping]
    following: str | None
    owner: RowMapping


async def read_page(
    connection: AsyncConnection, statement: Select[Any], wanted: Limited, key: str = "public_id"
) -> Page:
    """Read a page with a statement that reads `wanted.limit + 1` rows, or one whose `key` is null.

    Raises `ShopNotInstalled` when there is not even that.
    """
    rows = (await connection.execute(statement)).mappings().all()
    if not rows:
        raise ShopNotInstalled
    found = [row for row in rows if row[key] is not None]
    page = found[: wanted.limit]
    following = next_query(wanted, page[-1][key]) if len(found) > wanted.limit else None
    return Page(page, following, rows[0])


def next_query(wanted: object, cursor: object) -> str:
    """The same query with the cursor, which replaces the offset."""
    asked = {**msgspec.to_builtins(wanted), "cursor": cursor, "offset": None}
    return urlencode({name: value for name, value in asked.items() if value is not None})


def link(path: str, following: str | None) -> dict[str, str]:
    """The `Link` header to the next page, if there is one."""
    return {"Link": f'<{path}?{following}>; rel="next"'} if following else {}


def require_given(sent: Collection[str], wanted: msgspec.Struct) -> None:
    """Refuse what would silently drop a filter: an unknown name, or the word null for a value.

    Litestar ignores the former and treats the latter as no value.
    """
    if unknown := set(sent) - {*wanted.__struct_fields__, *OF_A_SIGNED_REQUEST}:
        known = f"Unknown parameter. Known ones: {', '.join(wanted.__struct_fields__)}."
        raise InvalidRequest(
            [query_problem(name[:LONGEST_NAME], known) for name in sorted(unknown)]
        )
    nulls = [
        name for name in wanted.__struct_fields__ if name in sent and getattr(wanted, name) is None
    ]
    if nulls:
        raise InvalidRequest(
            [query_problem(name, "Leave it out or send a value.") for name in nulls]
        )


def query_problem(name: str, message: str) -> dict[str, object]:
    """The error for a query parameter."""
    return {"loc": ["query", name], "msg": message, "type": "value_error"}
