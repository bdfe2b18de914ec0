"""Stores customers' data requests, lists the data they are about, and deletes them."""

from datetime import datetime, timedelta
from typing import Any

import msgspec
from sqlalchemy import delete
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.engine import RowMapping
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.errors import PrivacyRequestNotFound, ShopNotInstalled
from backend.jobs.detail import KEY_SUFFIX
from backend.jobs.etags import known
from backend.jobs.ids import new_public_id
from backend.jobs.listing import next_query
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


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """The page that was asked for; `cursor` is an id."""

    limit: int
    cursor: str | None


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
    connection: AsyncConnection, *, shop_domain: str, wanted: Wanted
) -> tuple[str | None, PrivacyRequestListResponse]:
    """The page, and the query string of the next one if there are more.

    Raises `ShopNotInstalled`.
    """
    # One more than wanted, to know whether there is a next page.
    statement = queries.page(shop_domain, before=wanted.cursor, limit=wanted.limit + 1)
    rows = (await connection.execute(statement)).mappings().all()
    if not rows:
        raise ShopNotInstalled
    found = [row for row in rows if row["public_id"] is not None]
    requests = [PrivacyRequestSummary(**facts(row)) for row in found[: wanted.limit]]
    following = next_query(wanted, requests[-1].public_id) if len(found) > wanted.limit else None
    return following, PrivacyRequestListResponse(
        requests=requests, limit=wanted.limit, count=len(requests)
    )


async def request_document(
    connection: AsyncConnection, *, shop_domain: str, public_id: str, wanted: Wanted
) -> tuple[str | None, PrivacyRequestResponse]:
    """The same for the customer's data, as currently stored, so without erased data.

    Also raises `PrivacyRequestNotFound`.
    """
    statement = queries.held(
        shop_domain, known(public_id), before=wanted.cursor, limit=wanted.limit + 1
    )
    rows = (await connection.execute(statement)).mappings().all()
    if not rows:
        raise ShopNotInstalled
    if rows[0]["public_id"] is None:
        raise PrivacyRequestNotFound
    found = [held_job(row) for row in rows if row[f"{JOB_COLUMN_PREFIX}public_id"] is not None]
    jobs = found[: wanted.limit]
    following = next_query(wanted, jobs[-1].public_id) if len(found) > wanted.limit else None
    return following, PrivacyRequestResponse(
        **facts(rows[0]), jobs=jobs, limit=wanted.limit, count=len(jobs)
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


def without_keys(request: dict[str, Any]) -> dict[str, Any]:
    """The job's request without object keys, which are not the customer's data."""
    return {name: value for name, value in request.items() if not name.endswith(KEY_SUFFIX)}
