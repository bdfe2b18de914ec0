"""Retention: what expires, what stays, and what a job shows after its files expired."""

import hashlib
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from backend.errors import StorageUnavailable
from backend.jobs.service import JobRef
from backend.leased_task import Done
from backend.worker import retention
from backend.worker.batch_counts import settle_batches
from backend.worker.execute import run_job
from backend.worker.reconciliation_report import FindingTally, Kind
from backend.worker.retention import RetentionPeriods, expire
from backend.worker.run import manager
from tests.backend.batches.scenarios import (
    end_jobs,
    expanded_batch,
    get_batch,
    post_batch_action,
    product_gids,
)
from tests.backend.jobs.contract import JOB_DETAIL
from tests.backend.publications.scenarios import (
    publication_request,
    publish,
    publishable_job,
    run_publication_to_end,
    withdraw_publication,
)
from tests.backend.rules.settings_api import put_settings
from tests.backend.uploads.multipart_forms import row_of, shop_id_of, upload_picture, uploads_of
from tests.backend.worker.lost_objects import NOTHING_FOUND, delete_objects, files_of
from tests.backend.worker.sweep import run_sweep
from tests.running_app import RunningApp
from tests.scenarios import (
    UPDATE,
    claimed_job,
    finished_job,
    is_stored,
    make_stage,
    missing_objects,
    new_shop,
    open_shared_app,
    process_webhook,
    refusal,
    waiting_job,
)

shared_app = pytest.fixture(open_shared_app, scope="module")
shop = pytest.fixture(new_shop)

MONTH, QUARTER = timedelta(days=30), timedelta(days=90)
FILES = RetentionPeriods(files=MONTH, jobs=None)
BOTH = RetentionPeriods(files=MONTH, jobs=QUARTER)


async def age_job(running_app: RunningApp, ref: JobRef, days: int) -> None:
    """Let the job have ended so long ago."""
    await running_app.execute(
        "UPDATE jobs SET finished_at = now() - make_interval(days => :days) WHERE public_id = :id",
        days=days,
        id=ref.public_id,
    )


async def run_retention(
    running_app: RunningApp, terms: RetentionPeriods = FILES
) -> dict[Kind, int]:
    """A pass; what it found, kind by kind."""
    tallies: dict[Kind, FindingTally] = await expire(running_app.worker_context, terms)
    return {kind: tally.found for kind, tally in tallies.items() if tally.found}


async def detail(running_app: RunningApp, ref: JobRef, shop: str) -> dict[str, Any]:
    """The job over HTTP, as the contract has it."""
    answer = await running_app.detail(ref.public_id, shop=shop)
    assert answer.status_code == 200
    found: dict[str, Any] = answer.json()
    JOB_DETAIL.validate(found)
    return found


async def events(running_app: RunningApp, ref: JobRef, shop: str) -> list[dict[str, Any]]:
    """The job's events over HTTP."""
    path = f"/v1/jobs/{ref.public_id}/events"
    found: list[dict[str, Any]] = (
        await running_app.http.get(path, headers=running_app.bearer(shop))
    ).json()["events"]
    return found


# Files


async def test_intermediate_files_expire_and_final_images_stay(
    shared_app: RunningApp, shop: str
) -> None:
    ref, (between, *finals) = await finished_job(shared_app, shop=shop)
    await age_job(shared_app, ref, 29)
    assert await run_retention(shared_app) == {}
    await age_job(shared_app, ref, 31)
    before = await shared_app.detail(ref.public_id, shop=shop)
    assert await run_retention(shared_app) == {"expired_intermediate": 1}
    assert await missing_objects(shared_app, [between, *finals]) == [between]
    found = await detail(shared_app, ref, shop)
    assert found["result"] == before.json()["result"]
    for picture in found["result"]:
        assert (await shared_app.http.get(picture["image_url"])).status_code == 200
    assert await run_retention(shared_app) == {}


async def test_thumbnails_stay_as_long_as_their_job(shared_app: RunningApp, shop: str) -> None:
    ref, (small, *finals) = await finished_job(shared_app, shop=shop)
    await shared_app.execute(
        "UPDATE artifacts SET kind = 'thumbnail' WHERE job_id = :id AND role = 'intermediate'",
        id=ref.public_id,
    )
    await age_job(shared_app, ref, 31)
    assert await run_retention(shared_app) == {}
    assert await missing_objects(shared_app, [small, *finals]) == []
    answer = await shared_app.http.get("/v1/review", headers=shared_app.bearer(shop))
    [card] = answer.json()["cards"]
    assert (await shared_app.http.get(card["preview"]["image_url"])).status_code == 200
    await age_job(shared_app, ref, 91)
    assert await run_retention(shared_app, BOTH) == {"expired_job": 1}
    assert await missing_objects(shared_app, [small, *finals]) == [small, *finals]


async def test_an_event_counts_its_expired_images(shared_app: RunningApp, shop: str) -> None:
    job = await claimed_job(shared_app, shop=shop)
    await make_stage(shared_app, job, "validate", pictures=0)
    await make_stage(shared_app, job, "segment", pictures=2)
    await age_job(shared_app, job.ref, 31)  # as if it had failed at the next stage
    await shared_app.execute(
        "UPDATE jobs SET status = 'FAILURE' WHERE public_id = :i", i=job.ref.public_id
    )
    tag = (await shared_app.detail(job.ref.public_id, shop=shop)).headers["etag"]
    assert await run_retention(shared_app) == {"expired_intermediate": 2}
    told = [
        (len(each["artifacts"]), each["extra"]) for each in await events(shared_app, job.ref, shop)
    ]
    done = {"progress": {"done": 1, "total": 5}}
    assert told[1:] == [(0, done), (0, done | {"expired_artifacts": 2})]
    held = shared_app.bearer(shop) | {"If-None-Match": tag}
    answer = await shared_app.http.get(f"/v1/jobs/{job.ref.public_id}", headers=held)
    assert answer.status_code == 200, "a 304 would have the caller show what has gone"


async def test_an_unfinished_job_keeps_its_files(shared_app: RunningApp, shop: str) -> None:
    job = await claimed_job(shared_app, shop=shop)
    [key] = await make_stage(shared_app, job, "segment")
    await shared_app.execute(
        "UPDATE jobs SET created_at = now() - interval '1 year' WHERE public_id = :id",
        id=job.ref.public_id,
    )
    assert await run_retention(shared_app) == {}
    assert await is_stored(shared_app, key)


async def test_every_slice_is_expired_and_counted(
    shared_app: RunningApp, shop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "JOBS_PER_PASS", 2)
    jobs = [await finished_job(shared_app, shop=shop) for _ in range(5)]
    for ref, _ in jobs:
        await age_job(shared_app, ref, 31)
    before = await counted(shared_app)
    assert await run_retention(shared_app) == {"expired_intermediate": 5}
    assert await counted(shared_app) - before == 5
    assert await missing_objects(shared_app, [key for _, keys in jobs for key in keys]) == [
        keys[0] for _, keys in jobs
    ]


async def counted(running_app: RunningApp) -> int:
    """How many intermediates the findings have as expired."""
    rows = await running_app.rows(
        "SELECT coalesce(sum(found), 0) AS n FROM findings WHERE kind = 'expired_intermediate'"
    )
    return int(rows[0]["n"])


async def test_a_locked_row_is_left_to_the_next_pass(shared_app: RunningApp, shop: str) -> None:
    ref, _ = await finished_job(shared_app, shop=shop)
    await age_job(shared_app, ref, 31)
    async with shared_app.database.transaction() as connection:
        held = f"SELECT 1 FROM jobs WHERE public_id = '{ref.public_id}' FOR KEY SHARE"
        await connection.exec_driver_sql(held)
        assert await run_retention(shared_app) == {}
    assert await run_retention(shared_app) == {"expired_intermediate": 1}


@pytest.mark.parametrize("broken", ["unannounced_keys", "forget_files"])
async def test_a_crash_while_expiring_files_is_completed_by_the_next_pass(
    fast_app: RunningApp, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    public_id = await fast_app.finished_job()
    ref = JobRef(shop_id=await shop_id_of(fast_app), public_id=public_id)
    files = await files_of(fast_app, public_id)
    between = [key for (stage, _), key in files.items() if stage != "encode"]
    await age_job(fast_app, ref, 31)

    async def crash(*_: Any) -> None:
        raise StorageUnavailable

    monkeypatch.setattr(retention, broken, crash)
    with pytest.raises(StorageUnavailable):
        await expire(fast_app.worker_context, FILES)
    monkeypatch.undo()
    shown = [
        item
        for each in await events(fast_app, ref, "north.myshopify.com")
        for item in each["artifacts"]
    ]
    for item in shown:
        assert (await fast_app.http.get(item["image_url"])).status_code == 200
    assert await run_sweep(fast_app) == NOTHING_FOUND, "the sweep of the bucket makes nothing again"
    assert await run_retention(fast_app) == {"expired_intermediate": len(between)}
    assert sorted(await missing_objects(fast_app, list(files.values()))) == sorted(between)
    assert await run_sweep(fast_app) == NOTHING_FOUND


async def test_a_lost_image_is_rendered_again_from_the_shops_photo(fast_app: RunningApp) -> None:
    public_id = await fast_app.finished_job()
    ref = JobRef(shop_id=await shop_id_of(fast_app), public_id=public_id)
    picture = (await files_of(fast_app, public_id))["encode", "large"]
    digest = hashlib.sha256(await fast_app.worker_context.store.get(picture)).hexdigest()
    await age_job(fast_app, ref, 31)
    await expire(fast_app.worker_context, FILES)
    await delete_objects(fast_app, picture)
    assert await run_sweep(fast_app) == ((0, 0), (1, 1))
    assert hashlib.sha256(await fast_app.worker_context.store.get(picture)).hexdigest() == digest
    assert await run_sweep(fast_app) == NOTHING_FOUND, "and nothing else is stored with it"
    await delete_objects(fast_app, picture)
    await fast_app.execute(
        'UPDATE jobs SET request = request || \'{"source_url": "https://cdn.shopify.com/gone.jpg"}\''
    )
    assert await run_sweep(fast_app) == ((0, 0), (1, 0)), "a photo that is gone is told of"


# Uploads


async def upload_job(shared_app: RunningApp, shop: str) -> tuple[JobRef, str, str]:
    """A job that ended and its upload's two keys; both used 40 days ago."""
    upload_key = await upload_picture(shared_app, shop=shop)
    key = (await row_of(shared_app, upload_key))["key"]
    ref, _ = await finished_job(shared_app, shop=shop, request={"upload_key": key})
    await shared_app.execute(
        "UPDATE uploads SET used_at = now() - interval '40 days' WHERE upload_key = :k",
        k=upload_key,
    )
    return ref, upload_key, key


async def test_an_upload_expires_with_the_last_job_that_uses_it(
    shared_app: RunningApp, shop: str
) -> None:
    ref, upload_key, key = await upload_job(shared_app, shop)
    other, _ = await finished_job(shared_app, shop=shop, request={"person_upload_key": key})
    await age_job(shared_app, ref, 31)
    assert (await detail(shared_app, ref, shop))["request"]["upload_image_url"]
    assert await run_retention(shared_app) == {"expired_intermediate": 1}
    assert (await detail(shared_app, ref, shop))["request"] == {"upload_image_url": None}
    assert await is_stored(shared_app, key), "the other job still shows it"
    await age_job(shared_app, other, 31)
    assert await run_retention(shared_app) == {"expired_intermediate": 1, "expired_upload": 1}
    assert not await is_stored(shared_app, key)
    assert upload_key not in [row["upload_key"] for row in await uploads_of(shared_app)]


async def test_an_upload_used_by_a_rule_or_recently_is_kept(
    shared_app: RunningApp, shop: str
) -> None:
    ref, upload_key, key = await upload_job(shared_app, shop)
    await age_job(shared_app, ref, 31)
    swap = {
        "workflow": "background-swap-with-image",
        "parameters": {"background_upload_key": upload_key},
    }
    await put_settings(shared_app, shop, swap)
    assert await run_retention(shared_app) == {"expired_intermediate": 1}, "asked for just now"
    await shared_app.execute("UPDATE uploads SET used_at = now() - interval '40 days'")
    assert await run_retention(shared_app) == {}
    assert await is_stored(shared_app, key)
    await put_settings(shared_app, shop)
    assert await run_retention(shared_app) == {"expired_upload": 1}


async def test_a_job_with_an_expired_upload_reports_it(shared_app: RunningApp, shop: str) -> None:
    ref = await waiting_job(
        shared_app, shop=shop, request={"upload_key": f"uploads/{'0' * 32}.jpg"}
    )
    assert await run_job(ref, shared_app.worker_context) == Done()
    error = (await detail(shared_app, ref, shop))["latest_event"]["extra"]["error"]
    assert (error["code"], error["retryable"]) == ("UPLOAD_EXPIRED", False)


# Jobs


async def test_an_expired_job_is_deleted_with_all_its_data(
    shared_app: RunningApp, shop: str
) -> None:
    ref, keys = await finished_job(shared_app, shop=shop)
    younger, _ = await finished_job(shared_app, shop=shop)
    await age_job(shared_app, ref, 91)
    await age_job(shared_app, younger, 89)
    assert await run_retention(shared_app, BOTH) == {"expired_intermediate": 2, "expired_job": 1}
    assert refusal(await shared_app.detail(ref.public_id, shop=shop)) == (404, "JOB_NOT_FOUND")
    assert await missing_objects(shared_app, keys) == keys
    for table in ("job_events", "artifacts", "job_stages"):
        rows = await shared_app.rows(f"SELECT 1 FROM {table} WHERE job_id = :id", id=ref.public_id)
        assert rows == []
    assert len((await detail(shared_app, younger, shop))["result"]) == 2


async def test_a_published_job_is_kept_until_its_publication_is_gone(
    shared_app: RunningApp, shop: str
) -> None:
    product = shared_app.product(b"x", shop=shop)
    ref, digests = await publishable_job(shared_app, shop, product, pictures=1)
    await publish(shared_app, shop, ref, publication_request(digests))
    await age_job(shared_app, ref, 400)
    assert (await run_retention(shared_app, BOTH)).get("expired_job") is None
    assert (await shared_app.detail(ref.public_id, shop=shop)).json()["result"]
    assert (await withdraw_publication(shared_app, shop, ref)).status_code == 202
    assert (await run_retention(shared_app, BOTH)).get("expired_job") is None, (
        "it is being taken back"
    )
    await run_publication_to_end(shared_app, ref)
    assert (await run_retention(shared_app, BOTH))["expired_job"] == 1


async def test_an_expired_rule_job_is_not_created_again(shared_app: RunningApp, shop: str) -> None:
    shared_app.product(b"x", shop=shop)
    _, note = await process_webhook(shared_app, UPDATE, shop=shop)
    ref = JobRef(shop_id=await shop_id_of(shared_app, shop), public_id=str(note).split()[1])
    await run_job(ref, shared_app.worker_context)
    await age_job(shared_app, ref, 91)
    await expire(shared_app.worker_context, BOTH)
    assert refusal(await shared_app.detail(ref.public_id, shop=shop)) == (404, "JOB_NOT_FOUND")
    assert await process_webhook(shared_app, UPDATE, shop=shop) == ("ignored", "ALREADY_MADE")


async def test_a_batch_expires_with_its_last_job(shared_app: RunningApp, shop: str) -> None:
    ref = await expanded_batch(shared_app, shop, {"product_ids": product_gids(2)})
    await end_jobs(shared_app, shop, ref, good=1, bad=1)
    await shared_app.execute(
        "UPDATE jobs SET finished_at = now() - interval '91 days' WHERE shop_id = :s", s=ref.shop_id
    )
    assert (await post_batch_action(shared_app, shop, ref, "retry")).status_code == 202
    assert (await run_retention(shared_app, BOTH)).get("expired_job", 0) == 1, (
        "the one that was retried"
    )
    assert (await get_batch(shared_app, shop, ref))["counts"]["succeeded"] == 1
    assert (await post_batch_action(shared_app, shop, ref, "cancel")).status_code == 202
    assert (await run_retention(shared_app, BOTH)).get("expired_job") is None, (
        "its counts are not stored yet"
    )
    await settle_batches(shared_app.database)
    await shared_app.execute(
        "UPDATE batches SET ended_at = now() - interval '91 days' WHERE public_id = :id",
        id=ref.public_id,
    )
    assert (await run_retention(shared_app, BOTH))["expired_job"] == 1
    answer = await shared_app.http.get(
        f"/v1/batches/{ref.public_id}", headers=shared_app.bearer(shop)
    )
    assert refusal(answer) == (404, "BATCH_NOT_FOUND")


async def test_a_crash_while_expiring_a_job_is_completed_by_the_next_pass(
    shared_app: RunningApp, shop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ref, keys = await finished_job(shared_app, shop=shop)
    await age_job(shared_app, ref, 91)

    async def crash(*_: Any) -> None:
        raise StorageUnavailable

    monkeypatch.setattr(retention, "forget_jobs", crash)
    with pytest.raises(StorageUnavailable):
        await expire(shared_app.worker_context, BOTH)
    monkeypatch.undo()
    shown = (await shared_app.detail(ref.public_id, shop=shop)).json()
    assert shown["result"] == [], "no URL of what is gone"
    assert (await run_retention(shared_app, BOTH))["expired_job"] == 1
    assert await missing_objects(shared_app, keys) == keys


# The terms


@pytest.mark.parametrize(
    ("files", "jobs", "terms"),
    [
        (30, 0, RetentionPeriods(files=MONTH, jobs=None)),
        (0, 0, RetentionPeriods(files=None, jobs=None)),
        (0, 90, RetentionPeriods(files=QUARTER, jobs=QUARTER)),
        (90, 30, RetentionPeriods(files=MONTH, jobs=MONTH)),
        (30, 90, BOTH),
    ],
)
def test_files_never_outlive_their_job(
    files: int, jobs: int, terms: RetentionPeriods, settings: Any
) -> None:
    days = {"retention_intermediates_days": files, "retention_jobs_days": jobs}
    assert RetentionPeriods.of(msgspec.structs.replace(settings, **days)) == terms


async def test_retention_runs_every_night(shared_app: RunningApp) -> None:
    async with manager(
        shared_app.settings, shared_app.worker_context, shared_app.handler_context
    ) as pgq:
        [chore] = [each for key, each in pgq.sm.registry.items() if key.entrypoint == "expire"]
        assert chore.parameters.expression == "7 4 * * *"
        await chore.parameters.func(None)  # type: ignore[arg-type, call-arg]
