"""The shops table: one row per tenant, with its tokens and scopes; and the Partner API's state."""

from datetime import datetime

from sqlalchemy import BigInteger, CheckConstraint, DateTime, Identity, SmallInteger, Text, func
from sqlalchemy.orm import Mapped, mapped_column

from backend.db import Base


class Shop(Base):
    """A shop that has, or had, the app installed. Every tenant table leads its keys with `id`.

    The tokens are encrypted (`backend.shops.token_encryption`). `reauth_needed_at` is since when no
    token is valid: the shop is parked until a merchant opens the app. `joined_at` is the first
    installation, and `products_swept_until` the time up to which `worker.product_sweep` has read
    the shop's changes. `stored_bytes` is the size of its objects at the last `worker.bucket_sweep`,
    plus its uploads since. `setup_dismissed_at` is when a merchant closed the page's setup guide.
    An account that is being erased has another text as its `domain` (`service.set_aside`).
    """

    __tablename__ = "shops"
    __table_args__ = (CheckConstraint("status IN ('installed', 'uninstalled')", name="status"),)

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    domain: Mapped[str] = mapped_column(Text, unique=True)
    shopify_gid: Mapped[str | None] = mapped_column(Text)
    status: Mapped[str] = mapped_column(Text)
    scopes: Mapped[str] = mapped_column(Text, server_default="")
    access_token: Mapped[str | None] = mapped_column(Text)
    access_token_expires_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    refresh_token: Mapped[str | None] = mapped_column(Text)
    installed_at: Mapped[datetime] = mapped_column(
        DateTime(timezone=True), server_default=func.now()
    )
    joined_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    products_swept_until: Mapped[datetime] = mapped_column(
        DateTime(timezone=True), server_default=func.now()
    )
    reauth_needed_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    uninstalled_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    stored_bytes: Mapped[int] = mapped_column(BigInteger, server_default="0")
    setup_dismissed_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


class PartnerState(Base):
    """One row for all processes: when the Partner API may be asked next, and what was read of it.

    The app's history was read up to `events_read_until`.
    """

    __tablename__ = "partner_state"
    __table_args__ = (CheckConstraint("id = 1", name="id"),)

    id: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False)
    next_call_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    events_read_until: Mapped[datetime] = mapped_column(DateTime(timezone=True))
