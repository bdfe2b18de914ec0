"""The types of events, and how an event is caused by hand."""

from typing import Any, Literal

from sqlalchemy import Text, cast, func, literal, select
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection

# Those of the triggers (migration `0027_webhook_endpoints`), and the one that a person asks for.
WebhookEventType = Literal[
    "job.succeeded",
    "job.failed",
    "publication.published",
    "publication.failed",
    "publication.restored",
    "batch.finished",
    "batch.failed",
    "credits.low",
    "endpoint.test",
]


async def append_events(
    connection: AsyncConnection,
    shop_id: int,
    event_type: WebhookEventType,
    data: dict[str, Any],
    *,
    only_endpoint: str | None = None,
) -> str | None:
    """Append the event for each endpoint that wants it, or for that one alone; return its ID.

    Deliveries and queue entries commit with the caller's transaction. `data` gets the shop's
    domain. It holds IDs, statuses and paths: no titles, no texts, no URLs.
    """
    appended = func.append_webhook_event(
        shop_id, event_type, literal(data, JSONB), cast(only_endpoint, Text)
    )
    event_id: str | None = await connection.scalar(select(appended))
    return event_id
