"""The uploads table: images that a shop has uploaded for its jobs."""

from datetime import datetime

from sqlalchemy import BigInteger, DateTime, ForeignKey, Index, Text, func, text
from sqlalchemy.orm import Mapped, mapped_column

from backend.db import Base


class Upload(Base):
    """One uploaded image: `upload_key` is its public name, `key` its object's key.

    The row is inserted before the object is stored, so that every object has a row. `stored_at`
    says that the object exists. `used_at` is when a job or a rule last used it. `expired_at` says
    that the object is being deleted and that no job may use it. The key's extension is the image
    type.
    """

    __tablename__ = "uploads"
    __table_args__ = (
        Index(
            "ix_uploads_unused",
            "created_at",
            postgresql_where=text("used_at IS NULL"),
        ),
        Index("ix_uploads_used", "used_at", postgresql_where=text("used_at IS NOT NULL")),
        Index("ix_uploads_key", "shop_id", "key"),
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
