"""Large deletions in slices, each in its own transaction, so that no statement takes long.

An interrupted deletion continues where it stopped: the finished slices are committed.
"""

import math
import time

from sqlalchemy import ColumnElement, any_, delete, func, literal_column, select
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.expression import TableClause

from backend.db import Base, Database

ITEMS_PER_SLICE = 1000  # jobs or uploads
ROWS_PER_DELETE = 5000  # of a table without dependants
CTID: ColumnElement[str] = literal_column(
    "ctid"
)  # a row's physical location: the fastest access path

Table = type[Base] | TableClause


class TimeSliceOver(Exception):
    """The time slice is over with work left; `done` items are done and committed."""

    def __init__(self, done: int) -> None:
        super().__init__(f"{done} done, more is left")
        self.done = done


class TimeSlice:
    """How long a task may run before it lets others run; without a limit by default.

    `done` counts the finished items, such as jobs.
    """

    def __init__(self, seconds: float = math.inf) -> None:
        self.ends_at = time.monotonic() + seconds
        self.done = 0

    def did(self, done: int = 0) -> None:
        """Count a committed slice. Raises `TimeSliceOver` once the time is up.

        Do not call it when nothing was left to do: each run has to make progress.
        """
        self.done += done
        if time.monotonic() >= self.ends_at:
            raise TimeSliceOver(self.done)


async def delete_all(
    database: Database,
    shop: str | int | None,
    table: Table,
    *conditions: ColumnElement[bool],
    time_slice: TimeSlice | None = None,
) -> int:
    """Delete the rows that meet the conditions, slice by slice; returns how many.

    `shop` owns the rows (see `Database.transaction`). Raises `TimeSliceOver`.
    """
    deleted = 0
    while True:
        async with database.transaction(shop) as connection:
            found = await delete_slice(connection, table, *conditions)
        deleted += found
        if found < ROWS_PER_DELETE:
            return deleted
        if time_slice:
            time_slice.did()


async def delete_slice(
    connection: AsyncConnection, table: Table, *conditions: ColumnElement[bool]
) -> int:
    """Delete at most `ROWS_PER_DELETE` rows that meet the conditions; returns how many.

    A row that is changed concurrently is left for the next slice, if it still meets them.
    """
    chosen = (
        select(CTID).select_from(table).where(*conditions).limit(ROWS_PER_DELETE).correlate(None)
    )
    locations = func.array(chosen.scalar_subquery())
    return (await connection.execute(delete(table).where(any_(locations) == CTID))).rowcount
