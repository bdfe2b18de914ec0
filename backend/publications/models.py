"""The tables of publications: the request and its progress, and each of its images.

`shop_id` is first in every key. Rows are deleted with their job: the foreign keys cascade.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    DateTime,
    ForeignKeyConstraint,
    Index,
    Integer,
    SmallInteger,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from backend.db import Base


class Publication(Base):
    """One publication of a job; `round` counts them, because a job can be published again later.

    `attempt` counts claims and undos, and fences the worker's writes. `tries` counts the claims
    without progress, except those cut short by an outage: these are `outages` (`backend.retries`).
    `snapshot` is the product's media before any change. `error` is set as soon as the publication
    is known to fail. `changed_at` is the time of the last progress. `shopify_busy_since` is set
    while it waits for Shopify, and `shopify_job` is Shopify's job, if it has one.
    """

    __tablename__ = "publications"
    __table_args__ = (
        ForeignKeyConstraint(
            ["shop_id", "job_id"], ["jobs.shop_id", "jobs.public_id"], ondelete="CASCADE"
        ),
        CheckConstraint("round > 0", name="round"),
        CheckConstraint(
            "status IN ('PENDING', 'PUBLISHING', 'PUBLISHED', 'FAILED', 'RESTORING', 'RESTORED')",
            name="status",
        ),
        Index(
            "uq_publications_live",
            "shop_id",
            "job_id",
            unique=True,
            postgresql_where=text("status NOT IN ('FAILED', 'RESTORED')"),
        ),
        Index(
            "ix_publications_unfinished",
            "shop_id",
            "changed_at",
            postgresql_where=text("status IN ('PENDING', 'PUBLISHING', 'RESTORING')"),
        ),
    )

    shop_id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    job_id: Mapped[str] = mapped_column(Text, primary_key=True)
    round: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False)
    product_id: Mapped[str] = mapped_column(Text)
    status: Mapped[str] = mapped_column(Text, server_default="PENDING")
    attempt: Mapped[int] = mapped_column(Integer, server_default="0")
    tries: Mapped[int] = mapped_column(SmallInteger, server_default="0")
    outages: Mapped[int] = mapped_column(SmallInteger, server_default="0")
    snapshot: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    error: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    changed_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    shopify_busy_since: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    shopify_job: Mapped[str | None] = mapped_column(Text)
    published_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    restored_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


class PublishedMedia(Base):
    """One image of a publication. `number` counts a job's images over all its publications.

    `filename` is unique in the shop and identifies the file if Shopify's response was lost.
    `media_id` stays when the image is removed: it records that the media was ours.
    """

    __tablename__ = "published_media"
    __table_args__ = (
        ForeignKeyConstraint(
            ["shop_id", "job_id", "round"],
            ["publications.shop_id", "publications.job_id", "publications.round"],
            ondelete="CASCADE",
        ),
        ForeignKeyConstraint(
            ["shop_id", "job_id", "stage", "name"],
            ["artifacts.shop_id", "artifacts.job_id", "artifacts.stage", "artifacts.name"],
            ondelete="CASCADE",
        ),
        UniqueConstraint("shop_id", "job_id", "round", "sha256"),
        UniqueConstraint("shop_id", "job_id", "round", "position"),
        UniqueConstraint("shop_id", "filename"),
        Index("ix_published_media_media", "shop_id", "media_id"),
        CheckConstraint("number > 0", name="number"),
        CheckConstraint("position > 0", name="position"),
        CheckConstraint("char_length(alt) <= 512", name="alt"),
        CheckConstraint(
            "status IN ('PENDING', 'CREATING', 'PROCESSING', 'READY', 'ATTACHING', 'ATTACHED', "
            "'REMOVED')",
            name="status",
        ),
        CheckConstraint(
            "media_id IS NOT NULL OR status IN ('PENDING', 'CREATING', 'REMOVED')", name="media_id"
        ),
    )

    shop_id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    job_id: Mapped[str] = mapped_column(Text, primary_key=True)
    number: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    round: Mapped[int] = mapped_column(SmallInteger)
    stage: Mapped[str] = mapped_column(Text)
    name: Mapped[str] = mapped_column(Text)
    sha256: Mapped[str] = mapped_column(Text)
    alt: Mapped[str | None] = mapped_column(Text)
    position: Mapped[int | None] = mapped_column(SmallInteger)
    filename: Mapped[str] = mapped_column(Text)
    status: Mapped[str] = mapped_column(Text, server_default="PENDING")
    media_id: Mapped[str | None] = mapped_column(Text)
