"""Store a delivery and its queue entry in one transaction; settle it once it was acted on."""

from typing import Any

import msgspec
from sqlalchemy import bindparam, func, literal, select, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from backend import queue
from backend.shops.models import Shop
from webhooks.models import WebhookDelivery
from webhooks.outcome import Outcome
from webhooks.payloads import Delivery
from webhooks.topics import HANDLERS

# Written once: in a storm of deliveries, writing them anew costs more than running them.
KNOWN = select(Shop.id).where(Shop.domain == bindparam("shop_domain"))
STORE = upsert(WebhookDelivery).on_conflict_do_nothing().returning(literal(value=True))


class DeliveryRef(msgspec.Struct, frozen=True, kw_only=True):
    """A delivery's key, as the queue carries it."""

    shop_domain: str
    topic: str
    webhook_id: str


async def receive(connection: AsyncConnection, delivery: Delivery) -> None:
    """Take the delivery in, unless it is here already.

    What nobody will act on, an unknown topic or a shop that was never here, is recorded as
    ignored, without its body.
    """
    ref = DeliveryRef(
        shop_domain=delivery.shop_domain, topic=delivery.topic, webhook_id=delivery.webhook_id
    )
    reason = await reason_to_ignore(connection, delivery)
    stored = await connection.scalar(
        STORE,
        {
            **msgspec.structs.asdict(ref),
            "event_id": delivery.event_id,
            "api_version": delivery.api_version,
            "body": None if reason else delivery.body,
            "status": "ignored" if reason else "received",
            "note": reason,
        },
    )
    if stored and not reason:
        await enqueue_delivery(connection, ref)


async def reason_to_ignore(connection: AsyncConnection, delivery: Delivery) -> str | None:
    """Why nobody will act on this delivery, or None."""
    if delivery.topic not in HANDLERS:
        return "UNKNOWN_TOPIC"
    known = await connection.scalar(KNOWN, {"shop_domain": delivery.shop_domain})
    return None if known else "UNKNOWN_SHOP"


async def enqueue_delivery(connection: AsyncConnection, ref: DeliveryRef) -> None:
    """Put the delivery on the queue, once."""
    await queue.enqueue(
        connection,
        queue.HANDLE_WEBHOOK,
        msgspec.json.encode(ref),
        dedupe_key=f"{queue.HANDLE_WEBHOOK}:{ref.shop_domain}:{ref.topic}:{ref.webhook_id}",
    )


async def unsettled(connection: AsyncConnection, ref: DeliveryRef) -> Delivery | None:
    """The delivery, while nobody has settled it."""
    row = (
        await connection.execute(
            select(
                WebhookDelivery.event_id, WebhookDelivery.api_version, WebhookDelivery.body
            ).where(*is_delivery(ref), WebhookDelivery.status == "received")
        )
    ).one_or_none()
    if row is None:
        return None
    return Delivery(
        **msgspec.structs.asdict(ref),
        event_id=row.event_id,
        api_version=row.api_version,
        body=row.body,
    )


async def settle(connection: AsyncConnection, ref: DeliveryRef, outcome: Outcome) -> None:
    """Record the outcome and drop the body, which may hold personal data; a failed one stays."""
    kept = {} if outcome.status == "failed" else {"body": None}
    await connection.execute(
        update(WebhookDelivery)
        .where(*is_delivery(ref), WebhookDelivery.status == "received")
        .values(status=outcome.status, note=outcome.note, settled_at=func.now(), **kept)
    )


def is_delivery(ref: DeliveryRef) -> tuple[Any, ...]:
    """The row of that delivery."""
    return (
        WebhookDelivery.shop_domain == ref.shop_domain,
        WebhookDelivery.topic == ref.topic,
        WebhookDelivery.webhook_id == ref.webhook_id,
    )
