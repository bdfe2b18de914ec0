"""The table of uploads: pictures that a shop sent us to work on."""

from datetime import datetime

from sqlalchemy import BigInteger, DateTime, ForeignKey, Index, Text, func, text
from sqlalchemy.orm import Mapped, mapped_column

from backend.db import Base


class Upload(Base):
    """One picture of one shop: `upload_key` is its public name, `key` its object.

    The row is there before the object, so that no object is ever without a row that knows it:
    `stored_at` says that the object exists. `used_at` says when a job or a rule last asked for it.
    `expired_at` says that the object is being deleted and that no job may have it any more. What
    kind of picture it is can be read from its key's suffix.
    """

    __tablename__ = "uploads"
    __table_args__ = (
        Index(
            "ix_uploads_unused",
            "created_at",
            postgresql_where=text("used_at IS NULL"),
        ),
        Index("ix_uploads_used", "used_at", postgresql_where=text("used_at IS NOT NULL")),
    )

    shop_id: Mapped[int] = mapped_column(
        BigInteger, ForeignKey("shops.id", ondelete="CASCADE"), primary_key=True
    )
    upload_key: Mapped[str] = mapped_column(Text, primary_key=True)
    key: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    stored_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    used_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    expired_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
