"""The tables of batches: the request and the state of its expansion, and a row per product.

`shop_id` is first in every key. Rows are deleted with their shop, and an item when its job is
erased.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    DateTime,
    ForeignKey,
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


class Batch(Base):
    """One batch of a shop.

    `parameters` are the parameters of each of its jobs, without the product. For a collection,
    `cursor` is after the last page whose items are stored, and `is_read` means that there are no
    more pages; a list of products is read from the start. `round` counts the retries. `attempt`
    counts claims, retries and cancels, and fences the worker's writes. `tries` counts the claims
    without progress, except those cut short by an outage: these are `outages` (`backend.retries`).
    `error` is why the expansion failed, `ended_at` when it ended for whatever reason. `changed_at`
    is the time of the last progress. While the expansion waits, off the queue, for the shop to have
    the credits of its next job, `waiting_credits` is how many, and `waiting_since` when it began.
    `asked_by` is who created the batch (`jobs.asked_by`).

    `counts` are the `BatchCounts` as of `counted_at`. They are final once `finished_at` is set to
    the end of the last job.
    """

    __tablename__ = "batches"
    __table_args__ = (
        CheckConstraint(
            "expansion IN ('EXPANDING', 'EXPANDED', 'FAILED', 'CANCELLED')", name="expansion"
        ),
        CheckConstraint("collection_id IS NOT NULL OR is_read", name="is_read"),
        CheckConstraint("(expansion = 'FAILED') = (error IS NOT NULL)", name="error"),
        CheckConstraint("(expansion = 'EXPANDING') = (ended_at IS NULL)", name="ended_at"),
        Index(
            "ix_batches_unfinished",
            "shop_id",
            "changed_at",
            postgresql_where=text("expansion = 'EXPANDING'"),
        ),
        Index(
            "ix_batches_unsettled",
            "shop_id",
            "public_id",
            postgresql_where=text("finished_at IS NULL"),
        ),
    )

    shop_id: Mapped[int] = mapped_column(
        BigInteger, ForeignKey("shops.id", ondelete="CASCADE"), primary_key=True
    )
    public_id: Mapped[str] = mapped_column(Text, primary_key=True)
    job_type: Mapped[str] = mapped_column(Text)
    parameters: Mapped[dict[str, Any]] = mapped_column(JSONB)
    collection_id: Mapped[str | None] = mapped_column(Text)
    asked_by: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    cursor: Mapped[str | None] = mapped_column(Text)
    is_read: Mapped[bool] = mapped_column(Boolean)
    expansion: Mapped[str] = mapped_column(Text, server_default="EXPANDING")
    round: Mapped[int] = mapped_column(Integer, server_default="0")
    attempt: Mapped[int] = mapped_column(Integer, server_default="0")
    tries: Mapped[int] = mapped_column(SmallInteger, server_default="0")
    outages: Mapped[int] = mapped_column(SmallInteger, server_default="0")
    error: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    changed_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    ended_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    waiting_credits: Mapped[int | None] = mapped_column(Integer)
    waiting_since: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    counts: Mapped[dict[str, int] | None] = mapped_column(JSONB(none_as_null=True))
    counted_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    finished_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


class BatchItem(Base):
    """One product of a batch; `ordinal` counts them from 1.

    `job_id` is its newest job. `error` is why the product has no job and will not get one. If both
    are null, the job has yet to be created.
    """

    __tablename__ = "batch_items"
    __table_args__ = (
        ForeignKeyConstraint(
            ["shop_id", "batch_id"], ["batches.shop_id", "batches.public_id"], ondelete="CASCADE"
        ),
        ForeignKeyConstraint(
            ["shop_id", "job_id"], ["jobs.shop_id", "jobs.public_id"], ondelete="CASCADE"
        ),
        CheckConstraint("ordinal > 0", name="ordinal"),
        CheckConstraint("job_id IS NULL OR error IS NULL", name="error"),
        UniqueConstraint("shop_id", "batch_id", "product_id"),
        UniqueConstraint("shop_id", "job_id"),
        Index(
            "ix_batch_items_pending",
            "shop_id",
            "batch_id",
            "ordinal",
            postgresql_where=text("job_id IS NULL AND error IS NULL"),
        ),
    )

    shop_id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    batch_id: Mapped[str] = mapped_column(Text, primary_key=True)
    ordinal: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    product_id: Mapped[str] = mapped_column(Text)
    job_id: Mapped[str | None] = mapped_column(Text)
    error: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
