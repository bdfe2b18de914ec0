"""`atelier_credit_entries` counts every entry of the ledgers by its kind."""

from datetime import UTC, datetime

from backend.credits.lots import expire_lots, void_lot
from backend.failures.codes import CANCELLED
from backend.jobs.completion import fail_unfinished
from backend.metrics import CREDIT_ENTRIES
from tests.backend.account.paid_jobs import failed, paid_job, succeeded
from tests.backend.credits.ledger import grant, id_of
from tests.running_app import RunningApp
from tests.scenarios import claimed_job, finished_job

KINDS = ("grant", "hold", "capture", "release", "expire", "void")


def counted() -> dict[str, int]:
    """The counts of this process."""
    return {kind: int(CREDIT_ENTRIES.labels(kind)._value.get()) for kind in KINDS}


async def test_each_kind_is_counted_as_often_as_it_is_posted(
    shared_app: RunningApp, shop: str
) -> None:
    before = counted()
    await grant(shared_app, shop, 9, source="pack", ref="charge")
    await grant(shared_app, shop, 9, source="pack", ref="charge")
    await grant(shared_app, shop, 9, source="plan", expires_at=datetime.now(UTC))
    await succeeded(shared_app, shop)
    await failed(shared_app, shop)
    await paid_job(shared_app, shop)
    await paid_job(shared_app, shop)
    shop_id = await id_of(shared_app, shop)
    async with shared_app.database.transaction(shop) as connection:
        await fail_unfinished(connection, shop_id, CANCELLED)
        await expire_lots(connection, shop_id)
        await void_lot(connection, shop_id, source="pack", ref="charge")
    posted = await shared_app.rows(
        "SELECT kind, count(*) AS n FROM credit_entries WHERE shop_id = :id GROUP BY kind",
        id=shop_id,
    )
    assert {row["kind"]: row["n"] for row in posted} == {
        kind: count - before[kind] for kind, count in counted().items()
    }
    assert len(posted) == len(KINDS)


async def test_jobs_that_hold_nothing_are_not_counted(shared_app: RunningApp, shop: str) -> None:
    before = counted()
    await finished_job(shared_app, shop=shop)
    await claimed_job(shared_app, shop=shop)
    async with shared_app.database.transaction(shop) as connection:
        await fail_unfinished(connection, await id_of(shared_app, shop), CANCELLED)
    assert counted() == before
