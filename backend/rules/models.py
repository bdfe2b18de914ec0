"""The tables of the rules: a shop's settings, and the images they were applied to."""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, DateTime, ForeignKey, Integer, Text, func
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from backend.db import Base


class ShopSettings(Base):
    """A shop's settings; a shop without a row has `schemas.DEFAULTS`.

    `version` counts the changes, from 1; it is the settings' ETag.
    """

    __tablename__ = "shop_settings"
    __table_args__ = (CheckConstraint("daily_credit_cap >= 0", name="daily_credit_cap"),)

    shop_id: Mapped[int] = mapped_column(
        BigInteger, ForeignKey("shops.id", ondelete="CASCADE"), primary_key=True
    )
    rules: Mapped[list[dict[str, Any]]] = mapped_column(JSONB)
    daily_credit_cap: Mapped[int] = mapped_column(Integer)
    changed_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    version: Mapped[int] = mapped_column(Integer, server_default="1")


class SeenPicture(Base):
    """The image of a product that the rules last saw, and its trigger.

    `source` is a digest of the image's id and URL, so that repeated and reordered webhooks see the
    same image.
    """

    __tablename__ = "seen_pictures"
    __table_args__ = (
        CheckConstraint("trigger IN ('product_created', 'image_changed')", name="trigger"),
    )

    shop_id: Mapped[int] = mapped_column(
        BigInteger, ForeignKey("shops.id", ondelete="CASCADE"), primary_key=True
    )
    product_id: Mapped[str] = mapped_column(Text, primary_key=True)
    source: Mapped[str] = mapped_column(Text)
    trigger: Mapped[str] = mapped_column(Text)


class PastJob(Base):
    """The natural key of a job of a rule that is not to be created, or not again.

    It was deleted, or its image turned out to be one that we published.
    """

    __tablename__ = "past_jobs"

    shop_id: Mapped[int] = mapped_column(
        BigInteger, ForeignKey("shops.id", ondelete="CASCADE"), primary_key=True
    )
    natural_key: Mapped[str] = mapped_column(Text, primary_key=True)
