"""The tables of requests to hosted providers, which are paid by the call.

A submission outlives its job's row: an erased job's request may still run at the provider, which
the poller then asks to stop. A settled one is deleted with its job (`jobs.erasure`).
"""

from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    DateTime,
    Double,
    ForeignKey,
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

SUBMISSION_STATES = (
    "status = 'WAITING' AND submitted_at IS NULL AND settled_at IS NULL "
    "OR status = 'INTENDED' AND intended_at IS NOT NULL AND submitted_at IS NULL "
    "AND settled_at IS NULL AND wake_at IS NOT NULL "
    "OR status IN ('SUBMITTED', 'READY') AND submitted_at IS NOT NULL AND settled_at IS NULL "
    "AND wake_at IS NOT NULL "
    "OR status = 'COLLECTED' AND submitted_at IS NOT NULL AND settled_at IS NOT NULL "
    "OR status = 'FAILED' AND failure IS NOT NULL AND settled_at IS NOT NULL "
    "OR status = 'LOST' AND intended_at IS NOT NULL AND settled_at IS NOT NULL "
    "OR status = 'CANCELLED' AND settled_at IS NOT NULL"
)


class Submission(Base):
    """One request for one stage of a job; `number` 2 is the one repetition that there may be.

    `reference` is what the provider is told to find it by. `inputs` has the SHA-256 of each picture
    that was sent. `model` is what the request is sent to, and with the result the one that the
    provider names. `key_fingerprint` tells the key that it is sent with from another one.
    `provider_job_id` and `handles` are the provider's answer; `hinted_id` is an id that a callback
    has named before the answer was stored. `wake_at` is when the poller looks at it next, or, while
    it is WAITING, until when its job has been called to take a place. `deadline_at` is when its job
    stops waiting for the result; a `failure` before `settled_at` is what the job has ended with
    then. `outages` counts the failed questions in a row. `amount_micros` is in millionths of USD.
    `possible_double_cost`: the provider may have been paid for this request beside another one.
    """

    __tablename__ = "submissions"
    __table_args__ = (
        CheckConstraint(SUBMISSION_STATES, name="states"),
        CheckConstraint("number > 0", name="number"),
        CheckConstraint("cost_source IN ('answer', 'price_list', 'unknown')", name="cost_source"),
        Index(
            "ix_submissions_open",
            "provider",
            "status",
            "created_at",
            postgresql_where=text("status IN ('WAITING', 'INTENDED', 'SUBMITTED', 'READY')"),
        ),
        Index(
            "ix_submissions_due",
            "wake_at",
            postgresql_where=text("status IN ('INTENDED', 'SUBMITTED', 'READY')"),
        ),
        Index("ix_submissions_intended", "provider", "intended_at"),
        Index(
            "ix_submissions_provider_job",
            "provider",
            "provider_job_id",
            postgresql_where=text("provider_job_id IS NOT NULL"),
        ),
    )

    shop_id: Mapped[int] = mapped_column(
        BigInteger, ForeignKey("shops.id", ondelete="CASCADE"), primary_key=True
    )
    job_id: Mapped[str] = mapped_column(Text, primary_key=True)
    stage: Mapped[str] = mapped_column(Text, primary_key=True)
    number: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False)
    provider: Mapped[str] = mapped_column(Text)
    reference: Mapped[str] = mapped_column(Text)
    status: Mapped[str] = mapped_column(Text)
    seed: Mapped[int] = mapped_column(BigInteger)
    inputs: Mapped[dict[str, str]] = mapped_column(JSONB, server_default=text("'{}'::jsonb"))
    has_callback: Mapped[bool] = mapped_column(Boolean, server_default="false")
    provider_job_id: Mapped[str | None] = mapped_column(Text)
    handles: Mapped[dict[str, str]] = mapped_column(JSONB, server_default=text("'{}'::jsonb"))
    hinted_id: Mapped[str | None] = mapped_column(Text)
    model: Mapped[str | None] = mapped_column(Text)
    key_fingerprint: Mapped[str | None] = mapped_column(Text)
    units: Mapped[float | None] = mapped_column(Double)
    unit: Mapped[str | None] = mapped_column(Text)
    amount_micros: Mapped[int | None] = mapped_column(BigInteger)
    cost_source: Mapped[str] = mapped_column(Text, server_default="unknown")
    polls: Mapped[int] = mapped_column(Integer, server_default="0")
    outages: Mapped[int] = mapped_column(SmallInteger, server_default="0")
    possible_double_cost: Mapped[bool] = mapped_column(Boolean, server_default="false")
    failure: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    intended_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    submitted_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    wake_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    deadline_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    settled_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


class ProviderPause(Base):
    """A provider that takes nothing at the moment, for all processes; gone once it takes again.

    `since` is when it first refused, `outages` how often it has since.
    """

    __tablename__ = "provider_pauses"

    provider: Mapped[str] = mapped_column(Text, primary_key=True)
    until: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    since: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    outages: Mapped[int] = mapped_column(Integer, server_default="1")
