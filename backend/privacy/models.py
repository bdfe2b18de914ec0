"""The table of customers' data requests."""

from datetime import datetime

from sqlalchemy import BigInteger, DateTime, ForeignKey, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from backend.db import Base


class PrivacyRequest(Base):
    """One customer's data request, from the webhook `customers/data_request`.

    `shopify_id` is Shopify's number of the request, which identifies duplicates. The row is deleted
    with the customer or the shop. The customer's data are not copied here.
    """

    __tablename__ = "privacy_requests"
    __table_args__ = (UniqueConstraint("shop_id", "shopify_id"),)

    shop_id: Mapped[int] = mapped_column(
        BigInteger, ForeignKey("shops.id", ondelete="CASCADE"), primary_key=True
    )
    public_id: Mapped[str] = mapped_column(Text, primary_key=True)
    shopify_id: Mapped[int] = mapped_column(BigInteger)
    customer_id: Mapped[str] = mapped_column(Text)
    requested_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
