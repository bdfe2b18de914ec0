"""The inbox: every verified delivery, stored so that none is lost and none is processed twice.

Its key starts with the shop's domain rather than `shop_id`, because a delivery can name an unknown
shop. The body is kept until the delivery is processed, and then deleted.
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

    A compliance delivery counts its consecutive failed `tries` and waits until `next_try_at`. Any
    other counts only those that waiting does not cure.
    `done` counts what earlier runs have done, such as erased jobs. `crashes` counts consecutive
    runs that did not return.
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
