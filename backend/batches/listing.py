"""A shop's batches and a batch's items, page by page. The cursor is the last one on the page."""

import msgspec
from sqlalchemy.engine import RowMapping
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.batches import queries
from backend.batches.schemas import BatchItemResponse, BatchItemsResponse, BatchListResponse
from backend.batches.service import shown
from backend.errors import BatchNotFound, ShopNotInstalled
from backend.jobs.etags import known
from backend.jobs.listing import next_query
from backend.jobs.states import JobStatus


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """The query parameters for a shop's batches; `cursor` is an ID."""

    limit: int
    cursor: str | None


class WantedItems(msgspec.Struct, frozen=True, kw_only=True):
    """The query parameters for a batch's items; `cursor` is an ordinal."""

    status: JobStatus | None
    limit: int
    cursor: int | None


async def batch_list(
    connection: AsyncConnection, *, shop_domain: str, wanted: Wanted
) -> tuple[str | None, BatchListResponse]:
    """The page, and the query string of the next one if there are more.

    Raises `ShopNotInstalled`.
    """
    # One more than wanted, to know whether there is a next page.
    statement = queries.page(shop_domain, before=wanted.cursor, limit=wanted.limit + 1)
    rows = (await connection.execute(statement)).mappings().all()
    if not rows:
        raise ShopNotInstalled
    found = [row for row in rows if row["public_id"] is not None]
    batches = [shown(row) for row in found[: wanted.limit]]
    following = next_query(wanted, batches[-1].public_id) if len(found) > wanted.limit else None
    return following, BatchListResponse(batches=batches, limit=wanted.limit, count=len(batches))


async def batch_items(
    connection: AsyncConnection, *, shop_domain: str, public_id: str, wanted: WantedItems
) -> tuple[str | None, BatchItemsResponse]:
    """The same for a batch's items. Also raises `BatchNotFound`."""
    statement = queries.items(
        shop_domain,
        known(public_id),
        status=wanted.status,
        after=wanted.cursor or 0,
        limit=wanted.limit + 1,
    )
    rows = (await connection.execute(statement)).mappings().all()
    if not rows:
        raise ShopNotInstalled
    if rows[0]["public_id"] is None:
        raise BatchNotFound
    found = [row for row in rows if row["ordinal"] is not None]
    page = found[: wanted.limit]
    following = next_query(wanted, page[-1]["ordinal"]) if len(found) > wanted.limit else None
    items = [item_shown(row) for row in page]
    return following, BatchItemsResponse(
        public_id=public_id, items=items, limit=wanted.limit, count=len(items)
    )


def item_shown(row: RowMapping) -> BatchItemResponse:
    """Convert a row of `queries.items` to its API form."""
    facts = {name: row[name] for name in BatchItemResponse.__struct_fields__}
    facts["error"] = msgspec.json.decode(row["error"] or "null")
    return msgspec.convert(facts, BatchItemResponse)
