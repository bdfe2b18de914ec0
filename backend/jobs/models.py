"""The tables of a job: its row, its public timeline, its artifacts and its stage checkpoints.

`shop_id` is in every key, and first in all but one, so that a query that names its shop is an index
lookup and the tables can be distributed by tenant. Rows are deleted with their shop: the foreign
keys cascade.
"""

from datetime import date, datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Date,
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
from backend.workflows import UPLOAD_FIELDS

EMPTY_OBJECT = text("'{}'::jsonb")
# Whether the request of a job names an upload in any of the fields.
NAMES_UPLOADS = text(f"request ?| '{{{','.join(UPLOAD_FIELDS)}}}'::text[]")


def created_at() -> Mapped[datetime]:
    """A column that is set by the database's clock."""
    return mapped_column(DateTime(timezone=True), server_default=func.now())


class Job(Base):
    """One job of one shop.

    `origin` says where the job came from: `api`, `webhook` or `storefront`. It decides who may see
    the job. The `origin` of the gallery in the API is another thing: the class of the workflow,
    `op_class`.

    `attempt` counts claims and fences writes: a worker writes only while the row still has the
    attempt it claimed. `stage_attempts` (in the database: `strikes`) counts the attempts at the
    current stage that nobody came back from; after three the job counts as poison. `outages` counts
    those that S3 or Shopify has cut short, which are waited out (`backend.retries`).
    `waiting_since` says since when the job has waited for its shop's merchant without getting any
    further. `last_seq` is the newest public event's number. `natural_key` says what the job is
    *about*, so that asking twice makes one job. `publish` says how to publish it once it has
    succeeded; null leaves that to the merchant. `credits_cost` is its price when it was made; null
    is a job from before the column (`prices`). `credit_state` says what has become of the price: a
    job that is inserted as `held` takes it from its shop's credits, and triggers capture or release
    it with the job's end (`backend.credits`); `none` costs nothing. `batch_id` is the batch that
    counts it. `files` says whether its intermediates and originals are there: they expire some time
    after its end (`worker.retention`). `product_title` is the product's title when a worker read
    it. `category` is the garment's, once a stage is recorded: the request's, or the one that the
    product's words name. `review` is where the job is in the merchant's review (`review.queries`);
    a trigger on `publications` keeps PUBLISHED, for writers of every version. `rerun_of` is the job
    that this one repeats, which may be gone. `asked_by` says who asked; null is a job from before
    the column.
    """

    __tablename__ = "jobs"
    __table_args__ = (
        # The values of these columns, by the function of migration `0031_job_writes`.
        CheckConstraint(
            "job_values_fit(status, origin, files, review, credit_state)", name="values"
        ),
        # The shop is not first: migration `0033_job_indexes` says why.
        UniqueConstraint("natural_key", "shop_id"),
        Index(
            "ix_jobs_unfinished",
            "shop_id",
            "created_at",
            postgresql_where=text("status IN ('NOT_STARTED', 'IN_PROGRESS')"),
        ),
        Index(
            "ix_jobs_failed", "shop_id", "public_id", postgresql_where=text("status = 'FAILURE'")
        ),
        Index(
            "ix_jobs_ended",
            "files",
            "finished_at",
            "shop_id",
            "public_id",
            postgresql_where=text("finished_at IS NOT NULL"),
        ),
        Index(
            "ix_jobs_review",
            "shop_id",
            "review",
            "public_id",
            postgresql_where=text("status = 'SUCCESS' AND origin <> 'storefront'"),
        ),
        Index(
            "ix_jobs_gallery",
            "shop_id",
            "job_type",
            "public_id",
            "category",
            postgresql_where=text("status = 'SUCCESS' AND origin <> 'storefront'"),
        ),
        Index(
            "ix_jobs_rerun_of",
            "shop_id",
            "rerun_of",
            "public_id",
            postgresql_where=text("rerun_of IS NOT NULL"),
        ),
        Index("ix_jobs_uploads", "shop_id", postgresql_where=NAMES_UPLOADS),
        Index(
            "ix_jobs_of_batch",
            "shop_id",
            "batch_id",
            postgresql_where=text("batch_id IS NOT NULL"),
        ),
        Index(
            "ix_jobs_customer",
            "shop_id",
            "customer_id",
            "public_id",
            postgresql_where=text("customer_id IS NOT NULL"),
        ),
    )

    shop_id: Mapped[int] = mapped_column(
        BigInteger, ForeignKey("shops.id", ondelete="CASCADE"), primary_key=True
    )
    public_id: Mapped[str] = mapped_column(Text, primary_key=True)
    job_type: Mapped[str] = mapped_column(Text)
    status: Mapped[str] = mapped_column(Text, server_default="NOT_STARTED")
    origin: Mapped[str] = mapped_column(Text)
    customer_id: Mapped[str | None] = mapped_column(Text)
    batch_id: Mapped[str | None] = mapped_column(Text)
    natural_key: Mapped[str | None] = mapped_column(Text)
    rerun_of: Mapped[str | None] = mapped_column(Text)
    asked_by: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    request: Mapped[dict[str, Any]] = mapped_column(JSONB)
    publish: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    credits_cost: Mapped[int | None] = mapped_column(SmallInteger)
    credit_state: Mapped[str] = mapped_column(Text, server_default="none")
    last_seq: Mapped[int] = mapped_column(Integer, server_default="0")
    attempt: Mapped[int] = mapped_column(Integer, server_default="0")
    stage_attempts: Mapped[int] = mapped_column("strikes", SmallInteger, server_default="0")
    outages: Mapped[int] = mapped_column(SmallInteger, server_default="0")
    files: Mapped[str] = mapped_column(Text, server_default="KEPT")
    product_title: Mapped[str | None] = mapped_column(Text)
    category: Mapped[str | None] = mapped_column(Text)
    review: Mapped[str] = mapped_column(Text, server_default="WAITING")
    dismissed_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    created_at: Mapped[datetime] = created_at()
    waiting_since: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    started_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    finished_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


class JobEvent(Base):
    """An event of the public timeline; `seq` has no gaps and commits in order."""

    __tablename__ = "job_events"
    __table_args__ = (
        ForeignKeyConstraint(
            ["shop_id", "job_id"], ["jobs.shop_id", "jobs.public_id"], ondelete="CASCADE"
        ),
        CheckConstraint("seq > 0", name="seq"),
        CheckConstraint(
            "event_type IN ('queued', 'stage', 'succeeded', 'failed')", name="event_type"
        ),
        Index(
            "uq_job_events_terminal",
            "shop_id",
            "job_id",
            unique=True,
            postgresql_where=text("event_type IN ('succeeded', 'failed')"),
        ),
    )

    shop_id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    job_id: Mapped[str] = mapped_column(Text, primary_key=True)
    seq: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    event_type: Mapped[str] = mapped_column(Text)
    stage: Mapped[str | None] = mapped_column(Text)
    message: Mapped[str] = mapped_column(Text)
    extra: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default=EMPTY_OBJECT)
    created_at: Mapped[datetime] = created_at()


class Artifact(Base):
    """An image that a stage made; `seq` is the event that has it, `key` its object."""

    __tablename__ = "artifacts"
    __table_args__ = (
        ForeignKeyConstraint(
            ["shop_id", "job_id"], ["jobs.shop_id", "jobs.public_id"], ondelete="CASCADE"
        ),
        CheckConstraint("role IN ('intermediate', 'final')", name="role"),
    )

    shop_id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    job_id: Mapped[str] = mapped_column(Text, primary_key=True)
    stage: Mapped[str] = mapped_column(Text, primary_key=True)
    name: Mapped[str] = mapped_column(Text, primary_key=True)
    ordinal: Mapped[int] = mapped_column(SmallInteger)
    seq: Mapped[int] = mapped_column(Integer)
    role: Mapped[str] = mapped_column(Text)
    kind: Mapped[str] = mapped_column(Text)
    label: Mapped[str | None] = mapped_column(Text)
    key: Mapped[str] = mapped_column(Text)
    meta: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default=EMPTY_OBJECT)
    created_at: Mapped[datetime] = created_at()


class JobStage(Base):
    """The checkpoint of a finished stage: the objects it stored and the facts it found."""

    __tablename__ = "job_stages"
    __table_args__ = (
        ForeignKeyConstraint(
            ["shop_id", "job_id"], ["jobs.shop_id", "jobs.public_id"], ondelete="CASCADE"
        ),
    )

    shop_id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    job_id: Mapped[str] = mapped_column(Text, primary_key=True)
    stage: Mapped[str] = mapped_column(Text, primary_key=True)
    attempt: Mapped[int] = mapped_column(Integer)
    files: Mapped[dict[str, str]] = mapped_column(JSONB, server_default=EMPTY_OBJECT)
    facts: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default=EMPTY_OBJECT)
    created_at: Mapped[datetime] = created_at()


class IdempotencyKey(Base):
    """The response to a repeatable request; `fingerprint` is the digest of its body."""

    __tablename__ = "idempotency_keys"

    shop_id: Mapped[int] = mapped_column(
        BigInteger, ForeignKey("shops.id", ondelete="CASCADE"), primary_key=True
    )
    route: Mapped[str] = mapped_column(Text, primary_key=True)
    key: Mapped[str] = mapped_column(Text, primary_key=True)
    fingerprint: Mapped[str] = mapped_column(Text)
    answer: Mapped[dict[str, Any]] = mapped_column(JSONB)
    created_at: Mapped[datetime] = created_at()


class DailyCount(Base):
    """How much of something a shop has used on a day (UTC)."""

    __tablename__ = "daily_counts"

    shop_id: Mapped[int] = mapped_column(
        BigInteger, ForeignKey("shops.id", ondelete="CASCADE"), primary_key=True
    )
    day: Mapped[date] = mapped_column(Date, primary_key=True)
    what: Mapped[str] = mapped_column(Text, primary_key=True)
    amount: Mapped[int] = mapped_column(Integer)
