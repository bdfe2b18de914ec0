"""The tables of billing: what a shop asked for, what Shopify says of it, and the paid months."""

from datetime import datetime
from decimal import Decimal

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    DateTime,
    ForeignKey,
    Integer,
    Numeric,
    Text,
    UniqueConstraint,
    func,
)
from sqlalchemy.orm import Mapped, mapped_column

from backend.db import Base


class Purchase(Base):
    """A pack or a subscription as it was asked for: a snapshot, whatever the plans file says later.

    The row is stored before Shopify is asked to create the charge, with the status `INTENT` and a
    `name` that no other charge has. Later statuses are Shopify's; `FAILED` is a charge that Shopify
    refused to create. `currency` and `price` are Shopify's own as soon as it has told them.
    """

    __tablename__ = "purchases"
    __table_args__ = (
        CheckConstraint("kind IN ('pack', 'subscription')", name="kind"),
        CheckConstraint("credits > 0", name="credits"),
        CheckConstraint("price > 0", name="price"),
        UniqueConstraint("shop_id", "name"),
        UniqueConstraint("shop_id", "charge_gid"),
    )

    shop_id: Mapped[int] = mapped_column(
        BigInteger, ForeignKey("shops.id", ondelete="CASCADE"), primary_key=True
    )
    id: Mapped[str] = mapped_column(Text, primary_key=True)
    kind: Mapped[str] = mapped_column(Text)
    handle: Mapped[str] = mapped_column(Text)
    label: Mapped[str] = mapped_column(Text)
    name: Mapped[str] = mapped_column(Text)
    credits: Mapped[int] = mapped_column(Integer)
    price: Mapped[Decimal] = mapped_column(Numeric(12, 2))
    currency: Mapped[str] = mapped_column(Text)
    interval: Mapped[str | None] = mapped_column(Text)
    trial_days: Mapped[int] = mapped_column(Integer, server_default="0")
    trial_credits: Mapped[int] = mapped_column(Integer, server_default="0")
    test: Mapped[bool] = mapped_column(Boolean, server_default="false")
    status: Mapped[str] = mapped_column(Text, server_default="INTENT")
    charge_gid: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())


class Subscription(Base):
    """What Shopify said last about the shop's subscription; without a plan, nulls.

    One row a shop, which is locked while credits are granted. `asked_at` is when somebody last
    began to read Shopify, and `read_at` when what is stored here was read. Until `expected_until`,
    the merchant may choose another plan on Shopify's own page (App Pricing).
    """

    __tablename__ = "subscriptions"

    shop_id: Mapped[int] = mapped_column(
        BigInteger, ForeignKey("shops.id", ondelete="CASCADE"), primary_key=True
    )
    charge_gid: Mapped[str | None] = mapped_column(Text)
    handle: Mapped[str | None] = mapped_column(Text)
    name: Mapped[str | None] = mapped_column(Text)
    status: Mapped[str | None] = mapped_column(Text)
    credits: Mapped[int | None] = mapped_column(Integer)
    period_end: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    asked_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    read_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    expected_until: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


class PlanPeriod(Base):
    """How many credits a plan has granted for the month that ends at `ends_at`."""

    __tablename__ = "plan_periods"
    __table_args__ = (CheckConstraint("granted > 0", name="granted"),)

    shop_id: Mapped[int] = mapped_column(
        BigInteger, ForeignKey("shops.id", ondelete="CASCADE"), primary_key=True
    )
    ends_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), primary_key=True)
    granted: Mapped[int] = mapped_column(Integer)
