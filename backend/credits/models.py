"""The tables of the ledger: a shop's account, its lots, what each job holds, and the entries.

What moves credits is in triggers on `jobs` (migration `0022_credits`): a job that is inserted as
`held` takes its price from the lots, and whoever ends it captures or releases it, in the same
transaction. `grants` and `lots` add lots and close them. All of them lock the account first.
"""

from datetime import datetime

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    DateTime,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    LargeBinary,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from backend.db import Base


class CreditAccount(Base):
    """A shop's balance, in credits: the sum of its entries. The row is the lock of the ledger.

    `available` includes lots that have expired and are not closed yet (`balances`).
    """

    __tablename__ = "credit_accounts"
    __table_args__ = (
        CheckConstraint("available >= 0", name="available"),
        CheckConstraint("held >= 0", name="held"),
    )

    shop_id: Mapped[int] = mapped_column(
        BigInteger, ForeignKey("shops.id", ondelete="CASCADE"), primary_key=True
    )
    available: Mapped[int] = mapped_column(BigInteger, server_default="0")
    held: Mapped[int] = mapped_column(BigInteger, server_default="0")
    last_seq: Mapped[int] = mapped_column(BigInteger, server_default="0")


class CreditGrant(Base):
    """A lot: credits that came together. `ref` names what they came from, once for each source.

    `reason` is why somebody granted it by hand; the merchant reads it. `remaining` is neither held
    nor spent. A lot that has expired or was voided is closed. What jobs give back to an expired one
    makes a new lot of the same source, which nobody granted.
    """

    __tablename__ = "credit_grants"
    __table_args__ = (
        CheckConstraint("source IN ('plan', 'pack', 'trial', 'manual')", name="source"),
        CheckConstraint("amount > 0", name="amount"),
        CheckConstraint("remaining BETWEEN 0 AND amount", name="remaining"),
        CheckConstraint("closed_at IS NULL OR remaining = 0", name="closed_at"),
        UniqueConstraint("shop_id", "source", "ref"),
        Index("ix_credit_grants_open", "expires_at", postgresql_where=text("closed_at IS NULL")),
    )

    shop_id: Mapped[int] = mapped_column(
        BigInteger, ForeignKey("credit_accounts.shop_id", ondelete="CASCADE"), primary_key=True
    )
    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    source: Mapped[str] = mapped_column(Text)
    ref: Mapped[str] = mapped_column(Text)
    reason: Mapped[str | None] = mapped_column(Text)
    amount: Mapped[int] = mapped_column(Integer)
    remaining: Mapped[int] = mapped_column(Integer)
    expires_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    closed_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())


class CreditHoldLot(Base):
    """How much of a lot a job took. It stays after the job's end."""

    __tablename__ = "credit_hold_lots"
    __table_args__ = (
        ForeignKeyConstraint(
            ["shop_id", "grant_id"],
            ["credit_grants.shop_id", "credit_grants.id"],
            ondelete="CASCADE",
        ),
        CheckConstraint("amount > 0", name="amount"),
    )

    shop_id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    job_id: Mapped[str] = mapped_column(Text, primary_key=True)
    grant_id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    amount: Mapped[int] = mapped_column(Integer)


class CreditEntry(Base):
    """One change of a shop's balance; `seq` has no gaps and commits in order.

    Nobody may change an entry. Workers delete those of a shop that is being erased.
    """

    __tablename__ = "credit_entries"
    __table_args__ = (
        CheckConstraint(
            "kind IN ('grant', 'hold', 'capture', 'release', 'expire', 'void')", name="kind"
        ),
        Index(
            "uq_credit_entries_hold",
            "shop_id",
            "job_id",
            unique=True,
            postgresql_where=text("kind = 'hold'"),
        ),
        Index(
            "uq_credit_entries_end",
            "shop_id",
            "job_id",
            unique=True,
            postgresql_where=text("kind IN ('capture', 'release')"),
        ),
        Index(
            "ix_credit_entries_of_lots",
            "shop_id",
            "seq",
            postgresql_where=text("grant_id IS NOT NULL"),
        ),
    )

    shop_id: Mapped[int] = mapped_column(
        BigInteger, ForeignKey("shops.id", ondelete="CASCADE"), primary_key=True
    )
    seq: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    kind: Mapped[str] = mapped_column(Text)
    d_available: Mapped[int] = mapped_column(Integer)
    d_held: Mapped[int] = mapped_column(Integer)
    job_id: Mapped[str | None] = mapped_column(Text)
    grant_id: Mapped[int | None] = mapped_column(BigInteger)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())


class TrialKey(Base):
    """The one key of the marks, made with the table: a key of the settings would be changed."""

    __tablename__ = "trial_key"

    key: Mapped[str] = mapped_column(Text, primary_key=True)


class TrialMark(Base):
    """That a shop has had its trial, by the keyed hash of its id. It outlives the shop's data."""

    __tablename__ = "trial_marks"

    shop_hash: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
