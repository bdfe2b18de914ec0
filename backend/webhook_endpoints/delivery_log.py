"""The deliveries to a shop's endpoints: listed, sent again, and ended when the shop leaves."""

from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import Select, and_, func, select, true, update
from sqlalchemy.engine import RowMapping
from sqlalchemy.ext.asyncio import AsyncConnection

from backend import queue
from backend.errors import (
    EndpointDeliveryNotFound,
    WebhookEndpointDisabled,
    WebhookEndpointNotFound,
)
from backend.jobs.ids import lookup_id
from backend.jobs.paging import PageRequest, read_page
from backend.jobs.queries import installed
from backend.shops.models import Shop
from backend.shops.service import installed_id
from backend.slices import ITEMS_PER_SLICE
from backend.webhook_endpoints.models import ENDED, EndpointDelivery, WebhookEndpoint
from backend.webhook_endpoints.queue_entries import EndpointRef, wake_endpoint
from backend.webhook_endpoints.schemas import DeliveryListResponse, DeliveryResponse
from backend.webhook_endpoints.service import end_endpoint_pause, endpoint_row

DELIVERY_FIELDS = DeliveryResponse.__struct_fields__


def deliveries_page(
    shop_domain: str, endpoint_id: str, *, before: str | None, limit: int
) -> Select[Any]:
    """The endpoint's deliveries, newest first; one row of nulls if there are none.

    `endpoint` is null without such an endpoint, and there is no row if the shop is not installed.
    """
    this = and_(
        WebhookEndpoint.shop_id == Shop.id,
        WebhookEndpoint.id == lookup_id(endpoint_id),
        WebhookEndpoint.deleted_at.is_(None),
    )
    mine = select(*(getattr(EndpointDelivery, name) for name in DELIVERY_FIELDS)).where(
        EndpointDelivery.shop_id == WebhookEndpoint.shop_id,
        EndpointDelivery.endpoint_id == WebhookEndpoint.id,
    )
    if before is not None:
        mine = mine.where(EndpointDelivery.id < before)
    page = mine.order_by(EndpointDelivery.id.desc()).limit(limit).lateral("page")
    statement: Select[Any] = (
        select(WebhookEndpoint.id.label("endpoint"), page)
        .select_from(Shop)
        .outerjoin(WebhookEndpoint, this)
        .outerjoin(page, true())
        .where(*installed(shop_domain))
        .order_by(page.c.id.desc())
    )
    return statement


async def read_deliveries(
    connection: AsyncConnection, *, shop_domain: str, endpoint_id: str, wanted: PageRequest
) -> tuple[str | None, DeliveryListResponse]:
    """The page, and the query string of the next one if there are more.

    Raises `ShopNotInstalled` or `WebhookEndpointNotFound`.
    """
    statement = deliveries_page(
        shop_domain, endpoint_id, before=wanted.cursor, limit=wanted.limit + 1
    )
    page = await read_page(connection, statement, wanted, key="id")
    if page.owner["endpoint"] is None:
        raise WebhookEndpointNotFound
    deliveries = [delivery_response(row) for row in page.rows]
    return page.following, DeliveryListResponse(
        deliveries=deliveries, limit=wanted.limit, count=len(deliveries)
    )


async def redeliver(
    connection: AsyncConnection, *, shop_domain: str, endpoint_id: str, delivery_id: str
) -> DeliveryResponse:
    """Send it again now, with the same `webhook-id`, as if it had not been tried yet.

    Raises `ShopNotInstalled`, `WebhookEndpointNotFound`, `WebhookEndpointDisabled` or
    `EndpointDeliveryNotFound`.
    """
    shop_id = await installed_id(connection, shop_domain)
    endpoint = await endpoint_row(connection, shop_id, endpoint_id)
    if endpoint["disabled_at"] is not None:
        raise WebhookEndpointDisabled
    again = (
        update(EndpointDelivery)
        .where(
            EndpointDelivery.shop_id == shop_id,
            EndpointDelivery.endpoint_id == endpoint["id"],
            EndpointDelivery.id == lookup_id(delivery_id),
        )
        .values(
            status="pending",
            attempts=0,
            claims=EndpointDelivery.claims + 1,  # fences an attempt that is under way
            next_attempt_at=func.now(),
        )
        .returning(*(getattr(EndpointDelivery, name) for name in DELIVERY_FIELDS))
    )
    row = (await connection.execute(again)).mappings().one_or_none()
    if row is None:
        raise EndpointDeliveryNotFound
    ref = EndpointRef(shop_id=shop_id, endpoint_id=endpoint["id"])
    await end_endpoint_pause(connection, shop_id, endpoint["id"])
    await queue.enqueue(connection, wake_endpoint(ref, row["id"]))
    return delivery_response(row)


def delivery_response(row: RowMapping) -> DeliveryResponse:
    """The delivery as the API shows it; only a pending one is tried again."""
    facts = {name: row[name] for name in DELIVERY_FIELDS}
    if facts["status"] != "pending":
        facts["next_attempt_at"] = None
    return msgspec.convert(facts, DeliveryResponse)


async def cancel_deliveries(connection: AsyncConnection, shop_id: int, before: datetime) -> int:
    """End some of what was pending for the shop's own endpoints when it left; how many."""
    pending = select(EndpointDelivery.id).where(
        EndpointDelivery.shop_id == shop_id,
        EndpointDelivery.endpoint_id.is_not(None),
        EndpointDelivery.status == "pending",
        EndpointDelivery.created_at <= before,
    )
    ended = await connection.execute(
        update(EndpointDelivery)
        .where(
            EndpointDelivery.shop_id == shop_id,
            EndpointDelivery.id.in_(pending.limit(ITEMS_PER_SLICE)),
        )
        .values(ENDED)
    )
    return ended.rowcount
