"""The nightly comparison finds a difference on each side of a balance, and repairs nothing."""

from typing import Any

import msgspec
import pytest
from sqlalchemy.ext.asyncio import AsyncConnection
from structlog.testing import capture_logs

from backend.failures.codes import CANCELLED
from backend.jobs.completion import fail_unfinished
from backend.jobs.lifecycle import lease_job, succeed
from backend.jobs.service import JobRef, request_jobs
from backend.metrics import CREDIT_DIFFERENCES
from backend.settings import UNLIMITED
from backend.worker import ledger_sums
from backend.worker.ledger_sums import compare_ledgers
from backend.worker.reconciliation_report import FindingTally, recent_findings
from backend.workflows.catalog_image import CATALOG_IMAGE
from tests.backend.credits.ledger import grant, id_of
from tests.running_app import OTHER_SHOP, SHOP, RunningApp
from tests.scenarios import emptied_app, fingerprint, open_shared_app

shared_app = pytest.fixture(open_shared_app, scope="module")
running_app = pytest.fixture(emptied_app)

PREPAID_JOBS = msgspec.structs.replace(UNLIMITED, prepaid=True)
CHANGES = {
    "available_and_lots": "UPDATE credit_grants SET remaining = remaining - 1",
    "available_and_entries": "UPDATE credit_entries SET d_available = 9 WHERE kind = 'grant'",
    "held_and_jobs": "UPDATE jobs SET credits_cost = 2 WHERE credit_state = 'held'",
    "held_and_entries": "UPDATE credit_entries SET d_held = 2 WHERE kind = 'hold' AND seq = 3",
    "held_and_lots": "UPDATE credit_hold_lots SET amount = 2",
    "last_seq_and_entries": "DELETE FROM credit_entries WHERE kind = 'grant'",
    "captured_and_granted": "UPDATE credit_entries SET d_held = -99 WHERE kind = 'capture'",
}


async def ledger_with_history(running_app: RunningApp, shop: str) -> None:
    """10 credits; of four jobs two were cancelled, one has succeeded and one is unfinished."""
    await running_app.install(shop)
    shop_id = await id_of(running_app, shop)
    await grant(running_app, shop, 10)
    async with running_app.database.transaction(shop) as connection:
        await two_jobs(connection, shop_id)
        await fail_unfinished(connection, shop_id, CANCELLED)
        await end_well(connection, (await two_jobs(connection, shop_id))[0])


async def two_jobs(connection: AsyncConnection, shop_id: int) -> list[JobRef]:
    """Two jobs that hold one credit each."""
    return await request_jobs(
        connection,
        CATALOG_IMAGE,
        shop_id=shop_id,
        requests=[{}] * 2,
        origin="api",
        quotas=PREPAID_JOBS,
    )


async def end_well(connection: AsyncConnection, ref: JobRef) -> None:
    """The job succeeds."""
    lease = await lease_job(connection, ref)
    assert lease is not None
    await succeed(connection, lease, {})


async def compared(running_app: RunningApp) -> tuple[FindingTally, list[Any]]:
    """What a pass finds, and the lines that it logs about shops."""
    with capture_logs() as logs:
        tally = await compare_ledgers(running_app.settings, running_app.database)
    return tally, [line for line in logs if line["event"] == "credits_differ"]


async def test_a_ledger_that_adds_up_is_no_finding(
    running_app: RunningApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_sums, "SHOPS_PER_STATEMENT", 1)
    for shop in (SHOP, OTHER_SHOP):
        await ledger_with_history(running_app, shop)
    assert await compared(running_app) == (FindingTally(), [])
    async with running_app.database.reading() as connection:
        assert await recent_findings(connection) == []


@pytest.mark.parametrize(("name", "change"), CHANGES.items(), ids=CHANGES)
async def test_a_difference_is_reported_and_not_repaired(
    running_app: RunningApp, name: str, change: str
) -> None:
    for shop in (SHOP, OTHER_SHOP):
        await ledger_with_history(running_app, shop)
    shop_id = await id_of(running_app, SHOP)
    joint = " AND" if "WHERE" in change else " WHERE"
    await running_app.execute(f"{change}{joint} shop_id = :id", id=shop_id)
    before = await fingerprint(running_app, SHOP), await fingerprint(running_app, OTHER_SHOP)
    counted = CREDIT_DIFFERENCES._value.get()
    tally, [line] = await compared(running_app)
    assert tally == FindingTally(found=1)
    assert (line["log_level"], line["shop_id"]) == ("error", shop_id)
    assert name in line
    assert CREDIT_DIFFERENCES._value.get() == counted + 1
    async with running_app.database.reading() as connection:
        assert [row[1:] for row in await recent_findings(connection)] == [
            ("credit_difference", 1, 0)
        ]
    after = await fingerprint(running_app, SHOP), await fingerprint(running_app, OTHER_SHOP)
    assert after == before
