"""A shop's batches and a batch's items, page by page."""

import msgspec
from sqlalchemy.engine import RowMapping
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.batches import queries
from backend.batches.schemas import BatchItemResponse, BatchItemsResponse, BatchListResponse
from backend.batches.service import batch_response
from backend.errors import BatchNotFound
from backend.jobs.ids import lookup_id
from backend.jobs.paging import PageRequest, read_page
from backend.jobs.states import JobStatus


class ItemListRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A page of a batch's items that was asked for; `cursor` is an ordinal."""

    status: JobStatus | None
    limit: int
    cursor: int | None


async def batch_list(
    connection: AsyncConnection, *, shop_domain: str, wanted: PageRequest
) -> tuple[str | None, BatchListResponse]:
    """The page, and the query string of the next one if there are more.

    Raises `ShopNotInstalled`.
    """
    statement = queries.batch_page(shop_domain, before=wanted.cursor, limit=wanted.limit + 1)
    page = await read_page(connection, statement, wanted)
    batches = [batch_response(row) for row in page.rows]
    return page.following, BatchListResponse(
        batches=batches, limit=wanted.limit, count=len(batches)
    )


async def batch_items(
    connection: AsyncConnection, *, shop_domain: str, public_id: str, wanted: ItemListRequest
) -> tuple[str | None, BatchItemsResponse]:
    """The same for a batch's items. Also raises `BatchNotFound`."""
    statement = queries.items(
        shop_domain,
        lookup_id(public_id),
        status=wanted.status,
        after=wanted.cursor or 0,
        limit=wanted.limit + 1,
    )
    page = await read_page(connection, statement, wanted, key="ordinal")
    if page.owner["public_id"] is None:
        raise BatchNotFound
    items = [item_shown(row) for row in page.rows]
    return page.following, BatchItemsResponse(
        public_id=public_id, items=items, limit=wanted.limit, count=len(items)
    )


def item_shown(row: RowMapping) -> BatchItemResponse:
    """Convert a row of `queries.items` to its API form."""
    facts = {name: row[name] for name in BatchItemResponse.__struct_fields__}
    facts["error"] = msgspec.json.decode(row["error"] or "null")
    return msgspec.convert(facts, BatchItemResponse)
