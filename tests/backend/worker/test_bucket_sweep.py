"""The pass over the bucket: what no row names goes in the end, and never anything else."""

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
from backend.worker.bucket_sweep import Terms, sweep_bucket
from backend.worker.run import manager
from backend.worker.stages import JobRun, raw_file
from tests.backend.uploads.multipart_forms import row_of, uploaded
from tests.backend.worker.sweeping import meanwhile, stray, swept
from tests.running_app import RunningApp
from tests.scenarios import begun_job, finished_job, is_stored, missing_objects, stored_picture

NOTHING = ((0, 0), (0, 0))


async def test_what_no_row_names_goes_after_a_day(isolated_app: RunningApp) -> None:
    key = await stray(isolated_app)
    tallies = await sweep_bucket(isolated_app.settings, isolated_app.worker_context)
    assert tallies["object_without_row"].found == 0, "its row may be about to be committed"
    assert await is_stored(isolated_app, key)
    assert await swept(isolated_app) == ((1, 1), (0, 0))
    assert not await is_stored(isolated_app, key)


async def test_what_any_row_names_stays(isolated_app: RunningApp) -> None:
    _, keys = await finished_job(isolated_app)
    job = await begun_job(isolated_app)
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
    usable = (await row_of(isolated_app, await uploaded(isolated_app)))["key"]
    coming = await uploaded(isolated_app)
    await isolated_app.execute(
        "UPDATE uploads SET stored_at = NULL WHERE upload_key = :k", k=coming
    )
    keys += [between, usable, (await row_of(isolated_app, coming))["key"]]
    await stray(isolated_app)
    assert await swept(isolated_app) == ((1, 1), (0, 0))
    assert await missing_objects(isolated_app, keys) == []


async def test_what_is_not_ours_in_the_bucket_is_not_looked_at(isolated_app: RunningApp) -> None:
    for key in ("backups/atelier.dump", "artifacts.txt", "uploads-of-somebody/1.jpg"):
        await stray(isolated_app, key)
    assert await swept(isolated_app) == NOTHING


async def test_what_a_worker_put_while_its_job_was_erased_goes(isolated_app: RunningApp) -> None:
    job = await begun_job(isolated_app)
    await erase_jobs(isolated_app.database, isolated_app.worker_context.store, job.ref.shop_id)
    key = await stored_picture(isolated_app, job.ref, "segment", "late")
    assert await swept(isolated_app) == ((1, 1), (0, 0))
    assert not await is_stored(isolated_app, key)


async def test_both_sides_are_compared_across_pages_and_batches(
    isolated_app: RunningApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(named_keys, "BATCH", 2)
    kept = [key for _ in range(3) for key in (await finished_job(isolated_app))[1]]
    strays = [await stray(isolated_app) for _ in range(6)]
    strays += [await stray(isolated_app, f"uploads/{number}.jpg") for number in range(3)]
    assert await swept(isolated_app, page=2) == ((9, 9), (0, 0))
    assert await missing_objects(isolated_app, kept + strays) == strays


async def test_what_a_pass_cannot_remember_is_counted_and_left_for_the_next(
    isolated_app: RunningApp,
) -> None:
    strays = [await stray(isolated_app) for _ in range(5)]
    assert await swept(isolated_app, remembered=3) == ((5, 3), (0, 0))
    assert await swept(isolated_app, remembered=3) == ((2, 2), (0, 0))
    assert await missing_objects(isolated_app, strays) == strays


# Races


async def test_a_row_that_comes_to_name_an_old_leftover_while_the_sweep_is_at_it_names_another(
    isolated_app: RunningApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A day is two seconds here: the leftover is old, and the stage is made again."""
    monkeypatch.setattr(objects, "REUSABLE", timedelta(seconds=1))
    job = await begun_job(isolated_app)
    cutout = raw_file("cutout", b"the same bytes each time")
    leftover = await JobRun(job, isolated_app.worker_context).put("segment", cutout)
    await asyncio.sleep(3)

    async def made_again(listed: int) -> None:
        if listed == 0:  # the rows are read, and the objects are not yet listed
            await record(isolated_app, JobRun(job, isolated_app.worker_context), cutout)

    meanwhile(monkeypatch, made_again)
    assert await swept(isolated_app, settled=timedelta(seconds=2)) == ((1, 1), (0, 0))
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


async def test_a_young_leftover_is_used_again(isolated_app: RunningApp) -> None:
    job = await begun_job(isolated_app)
    cutout = raw_file("cutout", b"the same bytes each time")
    first = await JobRun(job, isolated_app.worker_context).put("segment", cutout)
    assert await JobRun(job, isolated_app.worker_context).put("segment", cutout) == first


async def test_a_job_that_comes_and_goes_while_the_sweep_reads_is_no_finding(
    isolated_app: RunningApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone, _ = await finished_job(isolated_app)

    async def come_and_go(listed: int) -> None:
        if listed == 0:
            await finished_job(isolated_app)
            await erase_jobs(isolated_app.database, isolated_app.worker_context.store, gone.shop_id)

    meanwhile(monkeypatch, come_and_go)
    tallies = await sweep_bucket(isolated_app.settings, isolated_app.worker_context)
    assert [tally.found for tally in tallies.values()] == [0, 0]


# When not to


async def test_where_too_much_differs_nothing_is_touched_until_somebody_says_so(
    isolated_app: RunningApp,
) -> None:
    strays = [await stray(isolated_app) for _ in range(4)]
    with capture_logs() as logs:
        assert await swept(isolated_app, spared=3) == ((4, 0), (0, 0))
    [line] = [each for each in logs if each["event"] == "bucket_sweep_refused"]
    assert (line["objects"], line["objects_without_row"]) == (4, 4)
    assert (line["log_level"], "S3_BUCKET" in line["check"]) == ("error", True)
    assert await missing_objects(isolated_app, strays) == []
    assert await swept(isolated_app, spared=3, share=1.0) == ((4, 4), (0, 0))


async def test_a_small_share_of_a_large_bucket_is_no_reason_to_hesitate(
    isolated_app: RunningApp,
) -> None:
    _, kept = await finished_job(isolated_app)
    strays = [await stray(isolated_app)]
    assert await swept(isolated_app, spared=0, share=0.25) == ((1, 1), (0, 0))
    assert await missing_objects(isolated_app, kept + strays) == strays


async def test_beside_an_empty_bucket_no_row_is_touched(isolated_app: RunningApp) -> None:
    upload_key = await uploaded(isolated_app)
    await isolated_app.worker_context.store.delete(
        [(await row_of(isolated_app, upload_key))["key"]]
    )
    assert await swept(isolated_app, spared=0) == ((0, 0), (1, 0))
    assert await row_of(isolated_app, upload_key)


async def test_a_database_that_goes_away_half_way_costs_no_object(
    isolated_app: RunningApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(named_keys, "BATCH", 1)
    _, kept = await finished_job(isolated_app)
    strays = [await stray(isolated_app) for _ in range(3)]

    async def kill(listed: int) -> None:
        if listed == 1:
            killed = await isolated_app.rows(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND query LIKE 'FETCH%'"
            )
            assert len(killed) == 1

    meanwhile(monkeypatch, kill)
    with pytest.raises(DatabaseUnavailable):
        await swept(isolated_app)
    assert await missing_objects(isolated_app, kept + strays) == []


async def test_a_store_that_goes_away_half_way_costs_no_row(
    isolated_app: RunningApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload_key = await uploaded(isolated_app)
    await isolated_app.worker_context.store.delete(
        [(await row_of(isolated_app, upload_key))["key"]]
    )
    await stray(isolated_app)

    async def away(listed: int) -> None:
        if listed == 1:
            raise StorageUnavailable

    meanwhile(monkeypatch, away)
    with pytest.raises(StorageUnavailable):
        await swept(isolated_app)
    assert await row_of(isolated_app, upload_key)


async def test_a_bucket_without_order_is_refused(
    isolated_app: RunningApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    strays = [await stray(isolated_app) for _ in range(3)]

    async def backwards(store: ObjectStore, **how: int):
        for each in reversed([each async for each in stored_objects(store, **how)]):
            yield each

    monkeypatch.setattr(bucket_sweep, "stored_objects", backwards)
    with pytest.raises(ConfigurationError, match="in order"):
        await swept(isolated_app)
    assert await missing_objects(isolated_app, strays) == []


async def test_one_worker_sweeps_every_night(isolated_app: RunningApp) -> None:
    async with manager(
        isolated_app.settings, isolated_app.worker_context, isolated_app.handler_context
    ) as pgq:
        [sweep] = [
            each for key, each in pgq.sm.registry.items() if key.entrypoint == "sweep_bucket"
        ]
        assert sweep.parameters.expression == "37 2 * * *"
        await sweep.parameters.func(None)  # type: ignore[arg-type, call-arg]


def test_the_sweep_leaves_a_worker_half_a_day_between_its_object_and_its_row() -> None:
    assert Terms().settled - objects.REUSABLE >= timedelta(hours=12)
