"""Large deletions in slices: each is a transaction of its own, so that no statement takes long.

What is cut off between two slices goes on where it was: what has been done is gone already.
"""

import math
import time

from sqlalchemy import ColumnElement, any_, delete, func, literal_column, select
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.expression import TableClause

from backend.db import Base, Database

JOBS_PER_SLICE = 1000  # rows of what the work counts, such as jobs
ROWS_PER_DELETE = 5000  # of a table that only has to be emptied
CTID: ColumnElement[str] = literal_column("ctid")  # where a row lies: the quickest way back to it

Table = type[Base] | TableClause


class TimeSliceOver(Exception):
    """More is left than fits into one turn; `done` of it are done, and stay so."""

    def __init__(self, done: int) -> None:
        super().__init__(f"{done} done, more is left")
        self.done = done


class TimeSlice:
    """How long somebody goes on before others have their turn; for ever unless told.

    `done` counts what the work counts, such as jobs.
    """

    def __init__(self, seconds: float = math.inf) -> None:
        self.ends_at = time.monotonic() + seconds
        self.done = 0

    def did(self, done: int = 0) -> None:
        """Count a slice that is committed. Raises `TimeSliceOver` once the time is up.

        Not to be called where nothing was left to do: each turn is to get further.
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
    """Delete the rows that meet the conditions, slice by slice; how many there were.

    `shop` is whose rows they are (`Database.transaction`). Raises `TimeSliceOver`.
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
    """Delete some of the rows that meet the conditions; how many.

    A row that somebody changes just then is left for the next slice, if it still meets them.
    """
    chosen = (
        select(CTID).select_from(table).where(*conditions).limit(ROWS_PER_DELETE).correlate(None)
    )
    places = func.array(chosen.scalar_subquery())
    return (await connection.execute(delete(table).where(any_(places) == CTID))).rowcount
