"""Compare the bucket with the database: delete objects that no row names, restore lost objects.

One pass reads both in key order and remembers only the differences, up to a limit. Differences
beyond the limit are counted and left for the next pass. Nothing is changed before both have been
read completely, so a failure on either side changes nothing.

Why no object is deleted that is still needed:

- The rows are read before the objects are listed, and only objects that were `SETTLED_AGE` by the
  store's own clock when the pass began can go. So a row that is missing here has to be committed
  by somebody who put the object a day ago, or who came upon it and let it do: `ObjectStore.put`
  lets an object do for half a day only.
- Rows of an upload are there before its object (`uploads.service`).
- A job that is being erased loses its objects before its rows. What its worker puts in between is
  named by no row, for the worker is fenced, and goes a day later.

If the two sides hardly match, nothing is changed at all: then the cause is not a few crashes, but a
database with the wrong bucket, or one restored from an old backup.
"""

from collections.abc import AsyncIterator, Callable
from datetime import datetime, timedelta
from typing import TypeVar

import msgspec
import structlog

from backend.db import Database
from backend.errors import ConfigurationError
from backend.settings import Settings
from backend.storage.listing import LIST_PAGE_SIZE, StoredObject, stored_objects
from backend.storage.objects import DELETE_BATCH, SETTLED_AGE
from backend.tenancy import WORKER
from backend.worker.context import WorkerContext
from backend.worker.lost_objects import repair_lost
from backend.worker.named_keys import NamedKey, named_keys
from backend.worker.reconciliation_report import FindingTallies, FindingTally, record
from backend.worker.stored_bytes import store_sizes

log = structlog.get_logger(__name__)

SORT_TIMEOUT = 900.0  # seconds that Postgres may take to sort all keys
REPORT_EVERY = 10_000  # objects

Report = Callable[[int], None]
Keyed = TypeVar("Keyed", StoredObject, NamedKey)


class SweepLimits(msgspec.Struct, frozen=True, kw_only=True):
    """How careful a pass is.

    Each side may differ in `spared` keys, or in that `share` of its own keys; more is implausible.
    """

    settled: timedelta = SETTLED_AGE
    share: float = 0.2
    spared: int = 100
    remembered: int = 50_000  # keys of each side; some megabytes
    page: int = LIST_PAGE_SIZE


class Comparison(msgspec.Struct, kw_only=True):
    """How the bucket and the database differ; the lists are cut at `SweepLimits.remembered`.

    The sizes of objects that both have are added up per shop.
    """

    objects: int = 0
    rows: int = 0
    unnamed: int = 0
    lost: int = 0
    stored_bytes: dict[int, int] = {}  # by shop
    unnamed_keys: list[str] = []
    lost_keys: list[NamedKey] = []

    def is_plausible(self, terms: SweepLimits) -> bool:
        """Whether crashes can explain the differences."""
        return self.unnamed <= max(terms.spared, self.objects * terms.share) and (
            self.lost <= max(terms.spared, self.rows * terms.share)
        )


async def sweep_bucket(
    settings: Settings,
    context: WorkerContext,
    *,
    terms: SweepLimits | None = None,
    report: Report | None = None,
) -> FindingTallies:
    """One pass; what it found. `report` hears now and then how many objects were looked at.

    Raises `DatabaseUnavailable`, `StorageUnavailable` and, if the bucket's listing is unordered,
    `ConfigurationError`.
    """
    terms = terms or SweepLimits()
    found = await compare_bucket(settings, context, terms, report)
    if found is None:
        return {}
    if not found.is_plausible(terms):
        return await left_alone(found, context.database)
    await store_sizes(context.database, found.stored_bytes)
    return {
        "object_without_row": await delete_unnamed(found, context),
        "row_without_object": await repair_lost(found.lost_keys, found.lost, context),
    }


async def compare_bucket(
    settings: Settings, context: WorkerContext, terms: SweepLimits, report: Report | None
) -> Comparison | None:
    """Read both sides completely; None if the process is to stop."""
    found = Comparison()
    database = Database(
        settings.database_url, role=WORKER, pool_size=1, statement_timeout=SORT_TIMEOUT
    )
    try:
        deadline = await context.store.clock() - terms.settled
        async with database.reading() as connection:
            rows = ascending(named_keys(connection))
            objects = ascending(stored_objects(context.store, page=terms.page))
            async for stored, named in side_by_side(objects, rows):
                count_key(found, stored, named, deadline, terms)
                if stored and found.objects % REPORT_EVERY == 0:
                    if context.stopping.is_set():
                        return None
                    if report:
                        report(found.objects)
    finally:
        await database.close()
    return found


def count_key(
    found: Comparison,
    stored: StoredObject | None,
    named: NamedKey | None,
    deadline: datetime,
    terms: SweepLimits,
) -> None:
    """Count a key, and remember it if only one side has it."""
    found.objects += stored is not None
    found.rows += named is not None
    if stored and named:
        sizes = found.stored_bytes
        sizes[named.shop_id] = sizes.get(named.shop_id, 0) + stored.size
    if stored and not named and stored.modified_at < deadline:
        found.unnamed += 1
        if found.unnamed <= terms.remembered:
            found.unnamed_keys.append(stored.key)
    if named and not stored and named.is_stored:
        found.lost += 1
        if found.lost <= terms.remembered:
            found.lost_keys.append(named)


async def left_alone(found: Comparison, database: Database) -> FindingTallies:
    """Log what is wrong, and count it."""
    log.error(
        "bucket_sweep_refused",
        objects=found.objects,
        objects_without_row=found.unnamed,
        rows=found.rows,
        rows_without_object=found.lost,
        check="Do DATABASE_URL and S3_BUCKET belong together? Was one restored from a backup?",
    )
    tallies: FindingTallies = {
        "object_without_row": FindingTally(found=found.unnamed),
        "row_without_object": FindingTally(found=found.lost),
    }
    async with database.transaction() as connection:
        for kind, tally in tallies.items():
            await record(connection, kind, found=tally.found, repaired=0)
    return tallies


async def delete_unnamed(found: Comparison, context: WorkerContext) -> FindingTally:
    """Delete the remembered objects that no row names."""
    tally = FindingTally(found=found.unnamed)
    for start in range(0, len(found.unnamed_keys), DELETE_BATCH):
        batch = found.unnamed_keys[start : start + DELETE_BATCH]
        await context.store.delete(batch)
        tally.repaired += len(batch)
    async with context.database.transaction() as connection:
        await record(connection, "object_without_row", found=tally.found, repaired=tally.repaired)
    return tally


async def side_by_side(
    objects: AsyncIterator[StoredObject], rows: AsyncIterator[NamedKey]
) -> AsyncIterator[tuple[StoredObject | None, NamedKey | None]]:
    """Yield each key once, with what each side has of it."""
    named = await anext(
        rows, None
    )  # the rows first: objects put from now on are too young to be deleted
    stored = await anext(objects, None)
    while stored or named:
        order = key_order(stored, named)
        yield (stored if order <= 0 else None), (named if order >= 0 else None)
        if order <= 0:
            stored = await anext(objects, None)
        if order >= 0:
            named = await anext(rows, None)


def key_order(stored: StoredObject | None, named: NamedKey | None) -> int:
    """Which of the two comes first, as -1, 0 or 1; None comes last."""
    if stored is None or named is None:
        return -1 if named is None else 1
    return (stored.key > named.key) - (stored.key < named.key)


async def ascending(items: AsyncIterator[Keyed]) -> AsyncIterator[Keyed]:
    """The same items. Raises if they are not in order: the comparison would report them missing."""
    last = ""
    async for item in items:
        if item.key <= last:
            raise ConfigurationError(
                "S3_BUCKET does not list its objects in order, as directory buckets do not. "
                "Use a general-purpose bucket."
            )
        last = item.key
        yield item
