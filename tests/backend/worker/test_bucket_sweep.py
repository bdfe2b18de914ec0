"""The bucket sweep deletes unreferenced objects after a day, and nothing else."""

import asyncio
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from backend.errors import ConfigurationError, DatabaseUnavailable, StorageUnavailable
from backend.jobs.erasure import erase_jobs
from backend.jobs.lifecycle import Checkpoint, advance
from backend.renderers.base import RenderedFile
from backend.storage import objects
from backend.storage.listing import stored_objects
from backend.storage.objects import ObjectStore
from backend.worker import bucket_sweep, named_keys
from backend.worker.bucket_sweep import SweepLimits, sweep_bucket
from backend.worker.run import manager
from backend.worker.stages import JobRun, raw_file
from tests.backend.uploads.multipart_forms import row_of, upload_picture
from tests.backend.worker.sweep import during_listing, put_unreferenced_object, run_sweep
from tests.running_app import RunningApp
from tests.scenarios import claimed_job, finished_job, is_stored, missing_objects, stored_picture

NOTHING = ((0, 0), (0, 0))


async def test_unreferenced_objects_are_deleted_after_a_day(isolated_app: RunningApp) -> None:
    key = await put_unreferenced_object(isolated_app)
    tallies = await sweep_bucket(isolated_app.settings, isolated_app.worker_context)
    assert tallies["object_without_row"].found == 0, "its row may be about to be committed"
    assert await is_stored(isolated_app, key)
    assert await run_sweep(isolated_app) == ((1, 1), (0, 0))
    assert not await is_stored(isolated_app, key)


async def test_referenced_objects_are_kept(isolated_app: RunningApp) -> None:
    _, keys = await finished_job(isolated_app)
    job = await claimed_job(isolated_app)
    between = await stored_picture(isolated_app, job.ref, "fetch", "source")
    async with isolated_app.database.transaction() as connection:
        await advance(
            connection,
            job,
            stage="fetch",
            message="Fetched",
            progress={},
            checkpoint=Checkpoint(files={"source": between}, facts={}),
            artifacts=[],
        )
    usable = (await row_of(isolated_app, await upload_picture(isolated_app)))["key"]
    coming = await upload_picture(isolated_app)
    await isolated_app.execute(
        "UPDATE uploads SET stored_at = NULL WHERE upload_key = :k", k=coming
    )
    keys += [between, usable, (await row_of(isolated_app, coming))["key"]]
    await put_unreferenced_object(isolated_app)
    assert await run_sweep(isolated_app) == ((1, 1), (0, 0))
    assert await missing_objects(isolated_app, keys) == []


async def test_foreign_objects_in_the_bucket_are_ignored(isolated_app: RunningApp) -> None:
    for key in ("backups/atelier.dump", "artifacts.txt", "uploads-of-somebody/1.jpg"):
        await put_unreferenced_object(isolated_app, key)
    assert await run_sweep(isolated_app) == NOTHING


async def test_an_object_stored_while_its_job_was_erased_is_deleted(
    isolated_app: RunningApp,
) -> None:
    job = await claimed_job(isolated_app)
    await erase_jobs(isolated_app.database, isolated_app.worker_context.store, job.ref.shop_id)
    key = await stored_picture(isolated_app, job.ref, "segment", "late")
    assert await run_sweep(isolated_app) == ((1, 1), (0, 0))
    assert not await is_stored(isolated_app, key)


async def test_the_sweep_compares_both_sides_across_pages_and_batches(
    isolated_app: RunningApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(named_keys, "KEYS_PER_FETCH", 2)
    kept = [key for _ in range(3) for key in (await finished_job(isolated_app))[1]]
    strays = [await put_unreferenced_object(isolated_app) for _ in range(6)]
    strays += [
        await put_unreferenced_object(isolated_app, f"uploads/{number}.jpg") for number in range(3)
    ]
    assert await run_sweep(isolated_app, page=2) == ((9, 9), (0, 0))
    assert await missing_objects(isolated_app, kept + strays) == strays


async def test_findings_beyond_the_memory_limit_wait_for_the_next_pass(
    isolated_app: RunningApp,
) -> None:
    strays = [await put_unreferenced_object(isolated_app) for _ in range(5)]
    assert await run_sweep(isolated_app, remembered=3) == ((5, 3), (0, 0))
    assert await run_sweep(isolated_app, remembered=3) == ((2, 2), (0, 0))
    assert await missing_objects(isolated_app, strays) == strays


# Races


async def test_an_old_object_is_not_reused_while_the_sweep_may_delete_it(
    isolated_app: RunningApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A day is two seconds here: the leftover is old, and the stage is made again."""
    monkeypatch.setattr(objects, "MAX_REUSABLE_AGE", timedelta(seconds=1))
    job = await claimed_job(isolated_app)
    cutout = raw_file("cutout", b"the same bytes each time")
    leftover = await JobRun(job, isolated_app.worker_context).put("segment", cutout)
    await asyncio.sleep(3)

    async def made_again(listed: int) -> None:
        if listed == 0:  # the rows are read, and the objects are not yet listed
            await record(isolated_app, JobRun(job, isolated_app.worker_context), cutout)

    during_listing(monkeypatch, made_again)
    assert await run_sweep(isolated_app, settled=timedelta(seconds=2)) == ((1, 1), (0, 0))
    rows = await isolated_app.rows("SELECT files->>'cutout' AS key FROM job_stages")
    assert not await is_stored(isolated_app, leftover)
    assert [await is_stored(isolated_app, row["key"]) for row in rows] == [True]
    assert await isolated_app.worker_context.store.get(rows[0]["key"]) == cutout.data


async def record(running_app: RunningApp, bench: JobRun, file: RenderedFile) -> None:
    """Put the file and record its stage, as a worker does."""
    key = await bench.put("segment", file)
    async with running_app.database.transaction() as connection:
        await advance(
            connection,
            bench.claimed,
            stage="segment",
            message="Cut out the product",
            progress={},
            checkpoint=Checkpoint(files={file.name: key}, facts={}),
            artifacts=[],
        )


async def test_a_recent_unreferenced_object_is_reused(isolated_app: RunningApp) -> None:
    job = await claimed_job(isolated_app)
    cutout = raw_file("cutout", b"the same bytes each time")
    first = await JobRun(job, isolated_app.worker_context).put("segment", cutout)
    assert await JobRun(job, isolated_app.worker_context).put("segment", cutout) == first


async def test_a_job_created_and_erased_during_the_sweep_is_no_finding(
    isolated_app: RunningApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone, _ = await finished_job(isolated_app)

    async def come_and_go(listed: int) -> None:
        if listed == 0:
            await finished_job(isolated_app)
            await erase_jobs(isolated_app.database, isolated_app.worker_context.store, gone.shop_id)

    during_listing(monkeypatch, come_and_go)
    tallies = await sweep_bucket(isolated_app.settings, isolated_app.worker_context)
    assert [tally.found for tally in tallies.values()] == [0, 0]


# When not to


async def test_too_many_findings_stop_the_sweep_until_forced(
    isolated_app: RunningApp,
) -> None:
    strays = [await put_unreferenced_object(isolated_app) for _ in range(4)]
    with capture_logs() as logs:
        assert await run_sweep(isolated_app, spared=3) == ((4, 0), (0, 0))
    [line] = [each for each in logs if each["event"] == "bucket_sweep_refused"]
    assert (line["objects"], line["objects_without_row"]) == (4, 4)
    assert (line["log_level"], "S3_BUCKET" in line["check"]) == ("error", True)
    assert await missing_objects(isolated_app, strays) == []
    assert await run_sweep(isolated_app, spared=3, share=1.0) == ((4, 4), (0, 0))


async def test_a_small_share_of_findings_does_not_stop_the_sweep(
    isolated_app: RunningApp,
) -> None:
    _, kept = await finished_job(isolated_app)
    strays = [await put_unreferenced_object(isolated_app)]
    assert await run_sweep(isolated_app, spared=0, share=0.25) == ((1, 1), (0, 0))
    assert await missing_objects(isolated_app, kept + strays) == strays


async def test_an_empty_bucket_changes_no_rows(isolated_app: RunningApp) -> None:
    upload_key = await upload_picture(isolated_app)
    await isolated_app.worker_context.store.delete(
        [(await row_of(isolated_app, upload_key))["key"]]
    )
    assert await run_sweep(isolated_app, spared=0) == ((0, 0), (1, 0))
    assert await row_of(isolated_app, upload_key)


async def test_losing_the_database_during_the_sweep_deletes_nothing(
    isolated_app: RunningApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(named_keys, "KEYS_PER_FETCH", 1)
    _, kept = await finished_job(isolated_app)
    strays = [await put_unreferenced_object(isolated_app) for _ in range(3)]

    async def kill(listed: int) -> None:
        if listed == 1:
            killed = await isolated_app.rows(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND query LIKE 'FETCH%'"
            )
            assert len(killed) == 1

    during_listing(monkeypatch, kill)
    with pytest.raises(DatabaseUnavailable):
        await run_sweep(isolated_app)
    assert await missing_objects(isolated_app, kept + strays) == []


async def test_losing_the_store_during_the_sweep_changes_no_rows(
    isolated_app: RunningApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload_key = await upload_picture(isolated_app)
    await isolated_app.worker_context.store.delete(
        [(await row_of(isolated_app, upload_key))["key"]]
    )
    await put_unreferenced_object(isolated_app)

    async def away(listed: int) -> None:
        if listed == 1:
            raise StorageUnavailable

    during_listing(monkeypatch, away)
    with pytest.raises(StorageUnavailable):
        await run_sweep(isolated_app)
    assert await row_of(isolated_app, upload_key)


async def test_an_unordered_bucket_listing_is_refused(
    isolated_app: RunningApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    strays = [await put_unreferenced_object(isolated_app) for _ in range(3)]

    async def backwards(store: ObjectStore, **how: int):
        for each in reversed([each async for each in stored_objects(store, **how)]):
            yield each

    monkeypatch.setattr(bucket_sweep, "stored_objects", backwards)
    with pytest.raises(ConfigurationError, match="in order"):
        await run_sweep(isolated_app)
    assert await missing_objects(isolated_app, strays) == []


async def test_the_bucket_sweep_runs_every_night(isolated_app: RunningApp) -> None:
    async with manager(
        isolated_app.settings, isolated_app.worker_context, isolated_app.handler_context
    ) as pgq:
        [sweep] = [
            each for key, each in pgq.sm.registry.items() if key.entrypoint == "sweep_bucket"
        ]
        assert sweep.parameters.expression == "37 2 * * *"
        await sweep.parameters.func(None)  # type: ignore[arg-type, call-arg]


def test_the_sweep_leaves_half_a_day_between_an_object_and_its_row() -> None:
    assert SweepLimits().settled - objects.MAX_REUSABLE_AGE >= timedelta(hours=12)
