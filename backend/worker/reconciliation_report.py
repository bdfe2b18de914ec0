"""The findings of every reconciliation, and how many of them were repaired.

One row per day and kind, and one log line. `atelier reconcile --report` prints the rows, and an
alarm can watch for log lines `reconciled` with `repaired` less than `found`. The counts are over
all shops and hold no shop's data.
"""

from collections.abc import Mapping
from datetime import date
from typing import Literal

import msgspec
import structlog
from sqlalchemy import BigInteger, CheckConstraint, Date, Text, cast, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.orm import Mapped, mapped_column

from backend.db import Base

log = structlog.get_logger(__name__)

DAYS = 30  # how far back the report goes
TODAY = cast(func.timezone("UTC", func.now()), Date)

Kind = Literal[
    "job_without_queue_entry",
    "delivery_without_queue_entry",
    "publication_without_queue_entry",
    "batch_without_queue_entry",
    "product_without_webhook",
    "unused_upload",
    "object_without_row",
    "row_without_object",
    "expired_intermediate",
    "expired_upload",
    "expired_job",
    "credit_difference",
]


class Finding(Base):
    """How many of a kind were found on a day (UTC), and how many of them were repaired."""

    __tablename__ = "findings"
    __table_args__ = (CheckConstraint("repaired BETWEEN 0 AND found", name="repaired"),)

    day: Mapped[date] = mapped_column(Date, primary_key=True)
    kind: Mapped[str] = mapped_column(Text, primary_key=True)
    found: Mapped[int] = mapped_column(BigInteger)
    repaired: Mapped[int] = mapped_column(BigInteger)


class FindingTally(msgspec.Struct, kw_only=True):
    """Findings of one kind; the difference could not be repaired."""

    found: int = 0
    repaired: int = 0

    def add(self, *, found: int, repaired: int) -> None:
        """Add to the counts."""
        self.found += found
        self.repaired += repaired


FindingTallies = Mapping[Kind, FindingTally]


async def record(connection: AsyncConnection, kind: Kind, *, found: int, repaired: int) -> None:
    """Add to the day's count in the caller's transaction, to count exactly what was done."""
    if found == 0:
        return
    row = insert(Finding).values(day=TODAY, kind=kind, found=found, repaired=repaired)
    await connection.execute(
        row.on_conflict_do_update(
            index_elements=[Finding.day, Finding.kind],
            set_={
                "found": Finding.found + row.excluded.found,
                "repaired": Finding.repaired + row.excluded.repaired,
            },
        )
    )
    level = log.info if found == repaired else log.error
    level("reconciled", kind=kind, found=found, repaired=repaired)


async def recent_findings(connection: AsyncConnection) -> list[tuple[date, str, int, int]]:
    """Day, kind, found and repaired of the last 30 days, newest first."""
    rows = await connection.execute(
        select(Finding.day, Finding.kind, Finding.found, Finding.repaired)
        .where(Finding.day > TODAY - DAYS)
        .order_by(Finding.day.desc(), Finding.kind)
    )
    return [(row.day, row.kind, row.found, row.repaired) for row in rows]
