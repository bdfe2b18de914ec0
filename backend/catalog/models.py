"""The table of catalog entries, and the three kinds there are."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    DateTime,
    ForeignKeyConstraint,
    Index,
    Integer,
    Text,
    func,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from backend.db import Base


class CatalogKind(StrEnum):
    """What an entry shows. The values are stored, and stand in paths of the API."""

    MODELS = "models"
    BACKGROUNDS = "backgrounds"
    COMPLEMENTARY_GARMENTS = "complementary-garments"


class CatalogEntry(Base):
    """One generated image that later jobs may use.

    `id` is the public ID of the generator job; the entry is deleted with it. `key` is the object of
    the job's first final image, `width` and `height` are its size in pixels. `attributes` is what
    was asked for. An entry with `archived_at` is kept but cannot be used, and retention may delete
    its job.
    """

    __tablename__ = "catalog_entries"
    __table_args__ = (
        ForeignKeyConstraint(
            ["shop_id", "id"], ["jobs.shop_id", "jobs.public_id"], ondelete="CASCADE"
        ),
        CheckConstraint("kind IN ('models', 'backgrounds', 'complementary-garments')", name="kind"),
        Index("ix_catalog_entries_kind", "shop_id", "kind", "id"),
    )

    shop_id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    id: Mapped[str] = mapped_column(Text, primary_key=True)
    kind: Mapped[str] = mapped_column(Text)
    name: Mapped[str] = mapped_column(Text)
    attributes: Mapped[dict[str, Any]] = mapped_column(JSONB)
    key: Mapped[str] = mapped_column(Text)
    width: Mapped[int | None] = mapped_column(Integer)
    height: Mapped[int | None] = mapped_column(Integer)
    archived_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
