"""The inbox: every delivery that verified, kept so that none is lost and none acts twice.

It leads with the shop's domain rather than `shop_id`, for a delivery can name a shop that has
never been here. The body is kept until it has been acted on, then dropped.
"""

from datetime import datetime

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    DateTime,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    Text,
    func,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from backend.db import Base


class WebhookDelivery(Base):
    """One delivery: `received` → `processed` | `ignored` | `failed`; `note` says why.

    One that is never given up counts its `tries` that have failed in a row, and waits until
    `next_try_at`. `done` counts what earlier turns have done of it, such as jobs erased. `crashes`
    counts the runs in a row that nobody came back from.
    """

    __tablename__ = "webhook_deliveries"
    __table_args__ = (
        CheckConstraint("status IN ('received', 'processed', 'ignored', 'failed')", name="status"),
        Index(
            "ix_webhook_deliveries_unsettled",
            "received_at",
            postgresql_where=text("status = 'received'"),
        ),
        Index(
            "ix_webhook_deliveries_line",
            "shop_domain",
            "topic",
            postgresql_where=text("status = 'received'"),
        ),
    )

    shop_domain: Mapped[str] = mapped_column(Text, primary_key=True)
    topic: Mapped[str] = mapped_column(Text, primary_key=True)
    webhook_id: Mapped[str] = mapped_column(Text, primary_key=True)
    event_id: Mapped[str | None] = mapped_column(Text)
    api_version: Mapped[str | None] = mapped_column(Text)
    body: Mapped[bytes | None] = mapped_column(LargeBinary)
    status: Mapped[str] = mapped_column(Text, server_default="received")
    note: Mapped[str | None] = mapped_column(Text)
    received_at: Mapped[datetime] = mapped_column(
        DateTime(timezone=True), server_default=func.now()
    )
    settled_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    tries: Mapped[int] = mapped_column(Integer, server_default="0")
    next_try_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    done: Mapped[int] = mapped_column(BigInteger, server_default="0")
    crashes: Mapped[int] = mapped_column(SmallInteger, server_default="0")
