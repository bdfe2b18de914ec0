"""Stores customers' data requests, lists the data they are about, and deletes them."""

from datetime import datetime, timedelta
from typing import Any

import msgspec
from sqlalchemy import delete
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.engine import RowMapping
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.errors import PrivacyRequestNotFound
from backend.jobs.detail import without_keys
from backend.jobs.ids import lookup_id, new_public_id
from backend.jobs.paging import PageRequest, read_page
from backend.privacy import queries
from backend.privacy.models import PrivacyRequest
from backend.privacy.schemas import (
    HeldJob,
    HeldPicture,
    PrivacyRequestListResponse,
    PrivacyRequestResponse,
    PrivacyRequestSummary,
)

HAND_OVER = timedelta(days=30)  # the deadline of Shopify and the law
JOB_COLUMN_PREFIX = "job_"  # of the job's columns in `queries.held`


async def keep_request(
    connection: AsyncConnection,
    shop_id: int,
    *,
    shopify_id: int,
    customer_id: str,
    requested_at: datetime,
) -> None:
    """Store the request for the merchant; duplicates are ignored."""
    kept = insert(PrivacyRequest).values(
        shop_id=shop_id,
        public_id=new_public_id(),
        shopify_id=shopify_id,
        customer_id=customer_id,
        requested_at=requested_at,
    )
    await connection.execute(kept.on_conflict_do_nothing(index_elements=["shop_id", "shopify_id"]))


async def forget_requests(connection: AsyncConnection, shop_id: int, customer_id: str) -> None:
    """Delete the requests of an erased customer."""
    await connection.execute(
        delete(PrivacyRequest).where(
            PrivacyRequest.shop_id == shop_id, PrivacyRequest.customer_id == customer_id
        )
    )


async def request_list(
    connection: AsyncConnection, *, shop_domain: str, wanted: PageRequest
) -> tuple[str | None, PrivacyRequestListResponse]:
    """The page, and the query string of the next one if there are more.

    Raises `ShopNotInstalled`.
    """
    statement = queries.privacy_request_page(
        shop_domain, before=wanted.cursor, limit=wanted.limit + 1
    )
    page = await read_page(connection, statement, wanted)
    requests = [PrivacyRequestSummary(**facts(row)) for row in page.rows]
    return page.following, PrivacyRequestListResponse(
        requests=requests, limit=wanted.limit, count=len(requests)
    )


async def request_document(
    connection: AsyncConnection, *, shop_domain: str, public_id: str, wanted: PageRequest
) -> tuple[str | None, PrivacyRequestResponse]:
    """The same for the customer's data, as currently stored, so without erased data.

    Also raises `PrivacyRequestNotFound`.
    """
    statement = queries.held(
        shop_domain, lookup_id(public_id), before=wanted.cursor, limit=wanted.limit + 1
    )
    page = await read_page(connection, statement, wanted, key=f"{JOB_COLUMN_PREFIX}public_id")
    if page.owner["public_id"] is None:
        raise PrivacyRequestNotFound
    jobs = [held_job(row) for row in page.rows]
    return page.following, PrivacyRequestResponse(
        **facts(page.owner), jobs=jobs, limit=wanted.limit, count=len(jobs)
    )


def facts(row: RowMapping) -> dict[str, Any]:
    """The fields of a request that all responses have."""
    return {
        "public_id": row["public_id"],
        "customer_id": row["customer_id"],
        "requested_at": row["requested_at"],
        "hand_over_by": row["requested_at"] + HAND_OVER,
    }


def held_job(row: RowMapping) -> HeldJob:
    """One of the customer's jobs."""
    pictures = msgspec.json.decode(
        row[f"{JOB_COLUMN_PREFIX}pictures"] or "[]", type=list[HeldPicture]
    )
    told = {
        name.removeprefix(JOB_COLUMN_PREFIX): value
        for name, value in row.items()
        if name.startswith(JOB_COLUMN_PREFIX)
    }
    return HeldJob(**{**told, "request": without_keys(told["request"]), "pictures": pictures})
