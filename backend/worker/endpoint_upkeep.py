"""Outbound webhooks by the clock: wake endpoints, end deliveries that nobody gets, prune the log.

An endpoint with something due is woken each minute, whether that is a retry or its queue entry is
lost: the deliveries are the truth.
"""

from datetime import timedelta
from typing import Any

import structlog
from sqlalchemy import ColumnElement, and_, exists, func, or_, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.db import Database
from backend.queue import DELIVER_EVENTS, enqueue
from backend.shops.models import Shop
from backend.slices import delete_all
from backend.webhook_endpoints.models import (
    ENDED,
    AppWebhookEndpoint,
    EndpointDelivery,
    WebhookEndpoint,
)
from backend.webhook_endpoints.queue_entries import EndpointRef, wake_endpoint
from backend.worker.maintenance import is_queued

log = structlog.get_logger(__name__)

KEEP_DELIVERIES = timedelta(days=30)
ENDPOINTS_PER_RUN = 500
DELIVERIES_PER_RUN = 5000

Endpoints = type[WebhookEndpoint] | type[AppWebhookEndpoint]


async def wake_endpoints(database: Database) -> int:
    """Wake the endpoints with something due; end what nobody gets. Return how many were woken."""
    async with database.transaction() as connection:
        await end_orphans(connection)
        refs = [
            *(await due_endpoints(connection, WebhookEndpoint)),
            *(await due_endpoints(connection, AppWebhookEndpoint)),
        ]
        await enqueue(connection, *(wake_endpoint(ref) for ref in refs))
    if refs:
        log.info("endpoints_woken", endpoints=len(refs))
    return len(refs)


async def due_endpoints(connection: AsyncConnection, model: Endpoints) -> list[EndpointRef]:
    """Those that nobody delivers to or is to be woken for, though something is due."""
    is_due = (
        EndpointDelivery.status == "pending",
        EndpointDelivery.next_attempt_at <= func.now(),
    )
    is_free = func.coalesce(model.drained_until, func.now()) <= func.now()
    is_woken = is_queued(func.concat_ws(":", DELIVER_EVENTS, model.id))
    found = (
        select(*key_columns(model))
        .where(is_live(model), is_free, ~is_woken, exists().where(deliveries_of(model), *is_due))
        .limit(ENDPOINTS_PER_RUN)
    )
    rows = (await connection.execute(found)).mappings()
    return [EndpointRef(shop_id=row.get("shop_id"), endpoint_id=row["id"]) for row in rows]


async def end_orphans(connection: AsyncConnection) -> None:
    """Cancel what is pending for endpoints that are switched off or removed, or whose shop is."""
    has_endpoint = or_(
        exists().where(deliveries_of(WebhookEndpoint), is_live(WebhookEndpoint)),
        exists().where(deliveries_of(AppWebhookEndpoint), is_live(AppWebhookEndpoint)),
    )
    key = (EndpointDelivery.shop_id, EndpointDelivery.id)
    orphans = select(*key).where(EndpointDelivery.status == "pending", ~has_endpoint)
    await connection.execute(
        update(EndpointDelivery)
        .where(tuple_(*key).in_(orphans.limit(DELIVERIES_PER_RUN).with_for_update()))
        .values(ENDED)
    )


async def prune_deliveries(database: Database) -> None:
    """Delete deliveries that are too old, and removed endpoints with theirs, slice by slice."""
    is_old = EndpointDelivery.created_at < func.now() - KEEP_DELIVERIES
    await delete_all(database, None, EndpointDelivery, is_old, EndpointDelivery.status != "pending")
    models: tuple[Endpoints, ...] = (WebhookEndpoint, AppWebhookEndpoint)
    for model in models:
        is_removed = model.deleted_at.is_not(None)
        of_removed = exists().where(deliveries_of(model), is_removed)
        await delete_all(database, None, EndpointDelivery, of_removed)
        await delete_all(database, None, model, is_removed)


def is_live(model: Endpoints) -> ColumnElement[bool]:
    """Whether something may be sent to the endpoint."""
    live: list[Any] = [model.disabled_at.is_(None), model.deleted_at.is_(None)]
    if model is WebhookEndpoint:
        is_installed = exists().where(
            Shop.id == WebhookEndpoint.shop_id, Shop.status == "installed"
        )
        live.append(is_installed)
    return and_(*live)


def deliveries_of(model: Endpoints) -> ColumnElement[bool]:
    """The join of an endpoint's deliveries."""
    if model is WebhookEndpoint:
        return and_(
            EndpointDelivery.shop_id == WebhookEndpoint.shop_id,
            EndpointDelivery.endpoint_id == WebhookEndpoint.id,
        )
    return EndpointDelivery.app_endpoint_id == AppWebhookEndpoint.id


def key_columns(model: Endpoints) -> tuple[Any, ...]:
    """The columns of the endpoint's key."""
    return (model.shop_id, model.id) if issubclass(model, WebhookEndpoint) else (model.id,)
