"""Findings of the sweeps are counted by day and kind, in the same transaction."""

import pytest
from structlog.testing import capture_logs

from backend.worker.maintenance import requeue_overdue, sweep_uploads
from backend.worker.reconciliation_report import recent_findings, record
from tests.backend.uploads.multipart_forms import upload_picture
from tests.backend.worker.sweep import put_unreferenced_object, run_sweep
from tests.running_app import RunningApp
from tests.scenarios import emptied_app, open_shared_app

shared_app = pytest.fixture(open_shared_app, scope="module")
running_app = pytest.fixture(emptied_app)


async def report(running_app: RunningApp) -> list[tuple[str, int, int]]:
    """Kind, found and repaired, of today."""
    async with running_app.database.reading() as connection:
        findings = await recent_findings(connection)
    assert len({day for day, *_ in findings}) <= 1
    return [(kind, found, repaired) for _, kind, found, repaired in findings]


async def test_findings_are_summed_by_day_and_rolled_back_with_their_transaction(
    running_app: RunningApp,
) -> None:
    async with running_app.database.transaction() as connection:
        await record(connection, "unused_upload", found=2, repaired=2)
        await record(connection, "row_without_object", found=0, repaired=0)
    with capture_logs() as logs:
        async with running_app.database.transaction() as connection:
            await record(connection, "unused_upload", found=3, repaired=1)
    assert await report(running_app) == [("unused_upload", 5, 3)]
    assert [(line["event"], line["log_level"]) for line in logs] == [("reconciled", "error")]
    with pytest.raises(ZeroDivisionError):
        async with running_app.database.transaction() as connection:
            await record(connection, "unused_upload", found=9, repaired=9)
            raise ZeroDivisionError
    assert await report(running_app) == [("unused_upload", 5, 3)]


async def test_the_report_covers_thirty_days(running_app: RunningApp) -> None:
    for age in (0, 29, 30):
        await running_app.execute(
            "INSERT INTO findings VALUES ((now() AT TIME ZONE 'UTC')::date - CAST(:age AS int), "
            "'unused_upload', 1, 1)",
            age=age,
        )
    async with running_app.database.reading() as connection:
        days = [day for day, *_ in await recent_findings(connection)]
    assert [(days[0] - day).days for day in days] == [0, 29]


async def test_every_sweep_records_its_findings(isolated_app: RunningApp) -> None:
    await isolated_app.request_job()
    isolated_app.product()
    await isolated_app.send("products/create")
    await isolated_app.execute("DELETE FROM queue.pgqueuer")
    await isolated_app.execute("UPDATE jobs SET created_at = now() - interval '2 minutes'")
    await isolated_app.execute(
        "UPDATE webhook_deliveries SET received_at = now() - interval '2 minutes' "
        "WHERE status = 'received'"
    )
    await upload_picture(isolated_app)
    await isolated_app.execute("UPDATE uploads SET created_at = now() - interval '25 hours'")
    await put_unreferenced_object(isolated_app)
    assert await requeue_overdue(isolated_app.database) == 2
    assert await sweep_uploads(isolated_app.database, isolated_app.worker_context.store) == 1
    await run_sweep(isolated_app)
    assert await report(isolated_app) == [
        ("delivery_without_queue_entry", 1, 1),
        ("job_without_queue_entry", 1, 1),
        ("object_without_row", 1, 1),
        ("unused_upload", 1, 1),
    ]
