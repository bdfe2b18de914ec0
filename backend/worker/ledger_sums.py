"""Compare each shop's account with its ledger, every night. Nothing is repaired.

The same balance is stored several times: in the account, in the lots, in the entries and in the
unfinished jobs. Triggers change them in one transaction, so a difference is a bug, or somebody
changed rows by hand. A person has to decide which side is right: docs/operations.md says how.
"""

from collections.abc import AsyncIterator

import msgspec
import structlog
from sqlalchemy import text

from backend.db import Database
from backend.metrics import CREDIT_DIFFERENCES, increment
from backend.settings import Settings
from backend.tenancy import WORKER
from backend.worker.reconciliation_report import FindingTally, record

log = structlog.get_logger(__name__)

SHOPS_PER_STATEMENT = 200
SUM_TIMEOUT = 900.0  # seconds that Postgres may take to add up the entries of so many shops

# One statement, so one snapshot: work that goes on meanwhile makes no difference.
SUMS = text(
    """
    SELECT account.*, lots.*, entries.*, jobs.*
    FROM (
        SELECT shop_id, available, held, last_seq FROM credit_accounts
        WHERE shop_id > :after ORDER BY shop_id LIMIT :shops
    ) AS account
    CROSS JOIN LATERAL (
        SELECT coalesce(sum(remaining), 0) AS remaining FROM credit_grants g
        WHERE g.shop_id = account.shop_id
    ) AS lots
    CROSS JOIN LATERAL (
        SELECT coalesce(sum(d_available), 0) AS d_available,
               coalesce(sum(d_held), 0) AS d_held,
               coalesce(sum(d_available) FILTER (WHERE kind = 'grant'), 0) AS granted,
               coalesce(-sum(d_held) FILTER (WHERE kind = 'capture'), 0) AS captured,
               count(*) AS entries
        FROM credit_entries e WHERE e.shop_id = account.shop_id
    ) AS entries
    CROSS JOIN LATERAL (
        SELECT coalesce(sum(credits_cost), 0) AS of_jobs, coalesce(sum(parts.amount), 0) AS of_lots
        FROM jobs j
        LEFT JOIN LATERAL (
            SELECT sum(amount) AS amount FROM credit_hold_lots l
            WHERE l.shop_id = j.shop_id AND l.job_id = j.public_id
        ) AS parts ON true
        WHERE j.shop_id = account.shop_id AND j.status IN ('NOT_STARTED', 'IN_PROGRESS')
        AND j.credit_state = 'held'
    ) AS jobs
    ORDER BY shop_id
    """
)


class LedgerSums(msgspec.Struct, frozen=True, kw_only=True):
    """A shop's account, and what the other tables add up to, in credits."""

    shop_id: int
    available: int
    held: int
    last_seq: int
    remaining: int  # of its lots
    d_available: int  # of its entries, as the next three
    d_held: int
    granted: int
    captured: int
    entries: int  # how many
    of_jobs: int  # the prices of the unfinished jobs that hold theirs
    of_lots: int  # what these took from lots

    def differences(self) -> dict[str, tuple[int, int]]:
        """What should be equal and is not, with both values; empty if all adds up."""
        pairs = {
            "available_and_lots": (self.available, self.remaining),
            "available_and_entries": (self.available, self.d_available),
            "held_and_jobs": (self.held, self.of_jobs),
            "held_and_entries": (self.held, self.d_held),
            "held_and_lots": (self.held, self.of_lots),
            "last_seq_and_entries": (self.last_seq, self.entries),
        }
        found = {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}
        if self.captured > self.granted:
            found["captured_and_granted"] = (self.captured, self.granted)
        return found


async def compare_ledgers(settings: Settings, database: Database) -> FindingTally:
    """Compare all shops' accounts; log, count and record those that differ."""
    differing = 0
    async for sums in all_sums(settings.database_url):
        if found := sums.differences():
            differing += 1
            log.error("credits_differ", shop_id=sums.shop_id, **found)
    if differing:
        increment(CREDIT_DIFFERENCES, by=differing)
    async with database.transaction() as connection:
        await record(connection, "credit_difference", found=differing, repaired=0)
    return FindingTally(found=differing)


async def all_sums(database_url: str) -> AsyncIterator[LedgerSums]:
    """The sums of every shop that has an account, ordered by shop."""
    patient = Database(database_url, role=WORKER, pool_size=1, statement_timeout=SUM_TIMEOUT)
    last = 0
    try:
        while found := await some_sums(patient, after=last):
            for sums in found:
                yield sums
            last = found[-1].shop_id
    finally:
        await patient.close()


async def some_sums(database: Database, *, after: int) -> list[LedgerSums]:
    """The sums of the next shops."""
    async with database.reading() as connection:
        rows = await connection.execute(SUMS, {"after": after, "shops": SHOPS_PER_STATEMENT})
        # Postgres's sums are decimals
        return [
            LedgerSums(**{name: int(value) for name, value in row.items()})
            for row in rows.mappings()
        ]
