"""The catalog is filled when a generator job succeeds, and what it names is kept."""

from datetime import timedelta
from typing import Any

import pytest

from backend.catalog.models import CatalogKind
from backend.failures.codes import ERASED
from backend.jobs.erasure import erase_jobs
from backend.jobs.lifecycle import fail, lease_job
from backend.leased_task import Fenced
from backend.worker.catalog import default_name, fill_catalog
from backend.worker.retention import RetentionPeriods, expire
from tests.backend.worker.sweep import run_sweep
from tests.catalog_entries import (
    archive_row,
    claimed_generator_job,
    end_generator_job,
    entry_rows,
    generated_entry,
)
from tests.running_app import RunningApp
from tests.scenarios import is_stored, new_shop, open_shared_app

shared_app = pytest.fixture(open_shared_app, scope="module")
shop = pytest.fixture(new_shop)


class Crash(Exception):
    """The worker dies."""


async def test_the_first_final_image_of_a_generator_becomes_an_entry(
    shared_app: RunningApp, shop: str
) -> None:
    request = {
        "gender": "female",
        "prompt": "p" * 300,
        "seed": 7,
        "outputs": [{"size": 1024, "format": "jpeg"}],
        "model_id": "01JZZZZZZZZZZZZZZZZZZZZZZZ",
        "upload_key": "uploads/x.jpg",
    }
    claimed, keys = await claimed_generator_job(shared_app, shop=shop, request=request)
    assert await entry_rows(shared_app, claimed.ref) == []
    await end_generator_job(shared_app, claimed)
    assert await entry_rows(shared_app, claimed.ref) == [
        {
            "kind": "models",
            "name": f"Female, {'p' * 92}",
            "attributes": {"gender": "female", "prompt": "p" * 200, "seed": 7},
            "key": keys[0],
            "width": 1,
            "height": 1,
        }
    ]


async def test_an_entry_has_the_name_that_was_asked_for(shared_app: RunningApp, shop: str) -> None:
    request = {"name": "Ada", "gender": "female"}
    claimed, _ = await claimed_generator_job(shared_app, shop=shop, request=request)
    await end_generator_job(shared_app, claimed)
    [entry] = await entry_rows(shared_app, claimed.ref)
    assert (entry["name"], entry["attributes"]) == ("Ada", {"gender": "female"})


def test_an_entry_without_texts_is_named_after_its_kind() -> None:
    assert default_name(CatalogKind.COMPLEMENTARY_GARMENTS, {"seed": 7}) == "Complementary garments"


async def test_a_crash_before_the_commit_leaves_neither_success_nor_entry(
    shared_app: RunningApp, shop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fill_then_crash(*given: Any) -> None:
        await fill_catalog(*given)
        raise Crash

    claimed, _ = await claimed_generator_job(shared_app, shop=shop)
    with monkeypatch.context() as patch:
        patch.setattr("backend.worker.stage_records.fill_catalog", fill_then_crash)
        with pytest.raises(Crash):
            await end_generator_job(shared_app, claimed)
    assert await entry_rows(shared_app, claimed.ref) == []
    again = await lease_job(shared_app.worker_context.database, claimed.ref)
    assert again is not None, "the job has not ended"
    with pytest.raises(Fenced):
        await end_generator_job(shared_app, claimed)
    assert await entry_rows(shared_app, claimed.ref) == []
    await end_generator_job(shared_app, again)
    assert len(await entry_rows(shared_app, claimed.ref)) == 1


async def test_a_failed_generator_makes_no_entry(shared_app: RunningApp, shop: str) -> None:
    claimed, _ = await claimed_generator_job(shared_app, shop=shop)
    await fail(shared_app.worker_context.database, claimed, ERASED)
    assert await entry_rows(shared_app, claimed.ref) == []


async def test_retention_keeps_the_job_of_an_entry_until_it_is_archived(
    shared_app: RunningApp, shop: str
) -> None:
    ref, key = await generated_entry(shared_app, shop=shop)
    await shared_app.execute(
        "UPDATE jobs SET finished_at = now() - interval '100 days' WHERE public_id = :id",
        id=ref.public_id,
    )
    terms = RetentionPeriods(files=timedelta(days=30), jobs=timedelta(days=90))
    await expire(shared_app.worker_context, terms)
    assert len(await entry_rows(shared_app, ref)) == 1
    assert await is_stored(shared_app, key)
    await archive_row(shared_app, ref.public_id)
    await expire(shared_app.worker_context, terms)
    assert await entry_rows(shared_app, ref) == []
    assert not await is_stored(shared_app, key)


async def test_the_bucket_sweep_knows_the_objects_of_entries(
    shared_app: RunningApp, shop: str
) -> None:
    _, key = await generated_entry(shared_app, shop=shop)
    await run_sweep(shared_app)
    assert await is_stored(shared_app, key)


async def test_erasing_a_shops_jobs_erases_its_catalog(shared_app: RunningApp, shop: str) -> None:
    ref, key = await generated_entry(shared_app, shop=shop)
    context = shared_app.worker_context
    await erase_jobs(context.database, context.store, ref.shop_id)
    assert await entry_rows(shared_app, ref) == []
    assert not await is_stored(shared_app, key)
