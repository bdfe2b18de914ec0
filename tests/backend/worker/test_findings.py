"""What the sweeps find is counted: by day and kind, exactly if it was done."""

import pytest
from structlog.testing import capture_logs

from backend.worker.findings import recent_findings, record
from backend.worker.maintenance import requeue_overdue, sweep_uploads
from tests.backend.uploads.sending import uploaded
from tests.backend.worker.sweeping import stray, swept
from tests.world import World


async def report(world: World) -> list[tuple[str, int, int]]:
    """Kind, found and repaired, of today."""
    async with world.database.reading() as connection:
        findings = await recent_findings(connection)
    assert len({day for day, *_ in findings}) <= 1
    return [(kind, found, repaired) for _, kind, found, repaired in findings]


async def test_a_day_is_summed_up_and_what_was_undone_is_not_counted(world: World) -> None:
    async with world.database.transaction() as connection:
        await record(connection, "unused_upload", found=2, repaired=2)
        await record(connection, "row_without_object", found=0, repaired=0)
    with capture_logs() as logs:
        async with world.database.transaction() as connection:
            await record(connection, "unused_upload", found=3, repaired=1)
    assert await report(world) == [("unused_upload", 5, 3)]
    assert [(line["event"], line["log_level"]) for line in logs] == [("reconciled", "error")]
    with pytest.raises(ZeroDivisionError):
        async with world.database.transaction() as connection:
            await record(connection, "unused_upload", found=9, repaired=9)
            raise ZeroDivisionError
    assert await report(world) == [("unused_upload", 5, 3)]


async def test_the_report_goes_back_for_a_month(world: World) -> None:
    for age in (0, 29, 30):
        await world.execute(
            "INSERT INTO findings VALUES ((now() AT TIME ZONE 'UTC')::date - CAST(:age AS int), "
            "'unused_upload', 1, 1)",
            age=age,
        )
    async with world.database.reading() as connection:
        days = [day for day, *_ in await recent_findings(connection)]
    assert [(days[0] - day).days for day in days] == [0, 29]


async def test_every_sweep_counts(island: World) -> None:
    await island.request_job()
    island.product()
    await island.send("products/create")
    await island.execute("DELETE FROM queue.pgqueuer")
    await island.execute("UPDATE jobs SET created_at = now() - interval '2 minutes'")
    await island.execute(
        "UPDATE webhook_deliveries SET received_at = now() - interval '2 minutes' "
        "WHERE status = 'received'"
    )
    await uploaded(island)
    await island.execute("UPDATE uploads SET created_at = now() - interval '25 hours'")
    await stray(island)
    assert await requeue_overdue(island.database) == 2
    assert await sweep_uploads(island.database, island.workshop.store) == 1
    await swept(island)
    assert await report(island) == [
        ("delivery_without_queue_entry", 1, 1),
        ("job_without_queue_entry", 1, 1),
        ("object_without_row", 1, 1),
        ("unused_upload", 1, 1),
    ]
