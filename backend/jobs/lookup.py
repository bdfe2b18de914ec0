"""Run a query for one job of a shop, and turn what is missing into the right error.

The queries start from the shop: no row means that the shop is not installed, a row whose
`public_id` is null that it has no such job. A malformed id is looked up like any other, so that it
answers the same and takes as long.
"""

from typing import Any

from asyncpg import Record
from sqlalchemy.engine import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.db import Database, Query
from backend.errors import JobNotFound, RequestError, ShopNotInstalled
from backend.jobs.ids import lookup_id


async def job_row(
    database: Database, query: Query, shop_domain: str, public_id: str, **more: Any
) -> Record:
    """The row of a query that `queries.of_shop` wrote, in one round trip.

    Raises `ShopNotInstalled` or `JobNotFound`.
    """
    row = await database.row(query, shop_domain=shop_domain, public_id=lookup_id(public_id), **more)
    if row is None:
        raise ShopNotInstalled
    if row["public_id"] is None:
        raise JobNotFound
    return row


async def shop_row(
    connection: AsyncConnection, statement: Any, *, missing: type[RequestError] = JobNotFound
) -> Row[Any]:
    """The row of a statement that starts from the shop, in the caller's transaction.

    Raises `ShopNotInstalled`, or `missing` when the row has no `public_id`.
    """
    row = (await connection.execute(statement)).one_or_none()
    if row is None:
        raise ShopNotInstalled
    if row.public_id is None:
        raise missing
    return row
