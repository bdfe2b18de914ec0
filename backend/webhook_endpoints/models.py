"""The tables of outbound webhooks: a shop's endpoints, the operator's, and the deliveries to both.

A delivery is the outbox row: the triggers of migration `0027_webhook_endpoints` insert it, with the
queue entry that wakes a worker, in the transaction that causes the event. So whoever ends a job, of
whatever version, causes the event, and nothing is sent of what was rolled back.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import (
    ARRAY,
    BigInteger,
    CheckConstraint,
    DateTime,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    SmallInteger,
    Text,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from backend.db import Base

# The columns of an endpoint whose failures are over, or forgotten.
NOT_FAILING: dict[str, Any] = {"failures": 0, "failing_since": None, "last_failed_at": None}
# The columns of a delivery that nobody gets any more.
ENDED: dict[str, Any] = {"status": "canceled", "error": "ENDPOINT_ENDED", "next_attempt_at": None}


class EndpointColumns:
    """What every endpoint has, whoever it belongs to.

    `event_types` are those that it gets; null is all. `secret` and `previous_secret` are encrypted
    (`secrets`); the previous one is valid until `previous_secret_until`. It fails since
    `failing_since`, last at `last_failed_at`. `failures` counts its failures in a row for the pause
    after them: those side by side are one, and a merchant's test begins anew. An endpoint with
    `disabled_at` gets nothing, and one with `deleted_at` is shown to nobody and pruned at night.
    Until `drained_until` one worker delivers to it, and no other.
    """

    url: Mapped[str] = mapped_column(Text)
    description: Mapped[str] = mapped_column(Text, server_default="")
    event_types: Mapped[list[str] | None] = mapped_column(ARRAY(Text))
    credits_low_below: Mapped[int] = mapped_column(Integer, server_default="50")
    secret: Mapped[str] = mapped_column(Text)
    previous_secret: Mapped[str | None] = mapped_column(Text)
    previous_secret_until: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    disabled_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    disabled_reason: Mapped[str | None] = mapped_column(Text)
    failures: Mapped[int] = mapped_column(Integer, server_default="0")
    failing_since: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    last_failed_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    drained_until: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    deleted_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())


class WebhookEndpoint(EndpointColumns, Base):
    """An endpoint that a shop has registered: it gets the events of that shop."""

    __tablename__ = "webhook_endpoints"

    shop_id: Mapped[int] = mapped_column(
        BigInteger, ForeignKey("shops.id", ondelete="CASCADE"), primary_key=True
    )
    id: Mapped[str] = mapped_column(Text, primary_key=True)


class AppWebhookEndpoint(EndpointColumns, Base):
    """An endpoint of the app's operator: it gets the events of every shop.

    The web processes see its id and what it wants, and no more: their triggers need that.
    """

    __tablename__ = "app_webhook_endpoints"

    id: Mapped[str] = mapped_column(Text, primary_key=True)


class EndpointDelivery(Base):
    """One event for one endpoint: `pending` → `succeeded` | `failed` | `canceled`.

    It goes to an endpoint of the shop or to one of the operator's. `event_id` is the `webhook-id`
    of each attempt, and the same for all endpoints. `claims` counts the claims and fences the
    result of one that was overtaken; `attempts` counts those with a result. A pending one is due at
    `next_attempt_at`; a claim moves that to where the attempt is certainly over, so a crash repeats
    it. The `response_…` columns and `error` are those of the last attempt, and `latest_attempts`
    has the newest attempts, newest first, as `schemas.AttemptResponse`.
    """

    __tablename__ = "endpoint_deliveries"
    __table_args__ = (
        CheckConstraint("status IN ('pending', 'succeeded', 'failed', 'canceled')", name="status"),
        CheckConstraint("num_nonnulls(endpoint_id, app_endpoint_id) = 1", name="endpoint"),
        CheckConstraint("status <> 'pending' OR next_attempt_at IS NOT NULL", name="pending"),
        ForeignKeyConstraint(
            ["shop_id", "endpoint_id"],
            ["webhook_endpoints.shop_id", "webhook_endpoints.id"],
            ondelete="CASCADE",
        ),
        Index("ix_endpoint_deliveries_log", "shop_id", "endpoint_id", "id"),
        Index(
            "ix_endpoint_deliveries_due",
            "shop_id",
            "endpoint_id",
            "next_attempt_at",
            postgresql_where=text("status = 'pending'"),
        ),
        Index(
            "ix_endpoint_deliveries_app",
            "app_endpoint_id",
            "next_attempt_at",
            postgresql_where=text("status = 'pending' AND app_endpoint_id IS NOT NULL"),
        ),
        Index("ix_endpoint_deliveries_created_at", "created_at"),
    )

    shop_id: Mapped[int] = mapped_column(
        BigInteger, ForeignKey("shops.id", ondelete="CASCADE"), primary_key=True
    )
    id: Mapped[str] = mapped_column(Text, primary_key=True)
    endpoint_id: Mapped[str | None] = mapped_column(Text)
    app_endpoint_id: Mapped[str | None] = mapped_column(
        Text, ForeignKey("app_webhook_endpoints.id", ondelete="CASCADE")
    )
    event_id: Mapped[str] = mapped_column(Text)
    event_type: Mapped[str] = mapped_column(Text)
    body: Mapped[str] = mapped_column(Text)
    status: Mapped[str] = mapped_column(Text, server_default="pending")
    attempts: Mapped[int] = mapped_column(SmallInteger, server_default="0")
    claims: Mapped[int] = mapped_column(Integer, server_default="0")
    next_attempt_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    last_attempt_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    response_status: Mapped[int | None] = mapped_column(SmallInteger)
    response_ms: Mapped[int | None] = mapped_column(Integer)
    response_body: Mapped[str | None] = mapped_column(Text)
    error: Mapped[str | None] = mapped_column(Text)
    latest_attempts: Mapped[list[dict[str, Any]]] = mapped_column(
        JSONB, server_default=text("'[]'::jsonb")
    )
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
