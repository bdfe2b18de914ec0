"""Rows whose object is lost: rendered again if possible, otherwise reported."""

import hashlib
from typing import Any

import msgspec
import pytest
from structlog.testing import capture_logs

from backend.errors import InvalidRequest
from backend.failures.codes import RENDER_CRASHED
from backend.jobs.erasure import erase_jobs
from backend.jobs.lifecycle import Checkpoint, advance
from backend.jobs.service import JobRef
from backend.leased_task import Done, Fenced, Retry
from backend.renderers.base import Rendered, Renderer, RenderFailed, RenderRequest
from backend.uploads.service import use_uploads
from backend.worker.execute import run_job
from tests.backend.uploads.multipart_forms import row_of, shop_id_of, upload_picture, uploads_of
from tests.backend.worker.lost_objects import (
    NOTHING_FOUND,
    delete_objects,
    files_of,
)
from tests.backend.worker.sweep import run_sweep
from tests.caching_renderer import CachingRenderer
from tests.running_app import RunningApp
from tests.scenarios import claimed_job, finished_job, is_stored, make_stage, missing_objects


class Meddling:
    """The real renderer, with something done to what it is asked or answers."""

    name = "meddling"

    def __init__(self, renderer: Renderer, meddle: Any) -> None:
        self.renderer = renderer
        self.meddle = meddle

    async def render(self, request: RenderRequest) -> Rendered:
        """Render, then meddle."""
        answer: Rendered = await self.meddle(request, await self.renderer.render(request))
        return answer

    async def close(self) -> None:
        """Nothing is ours to close."""


def with_changed_files(running_app: RunningApp, meddle: Any) -> RunningApp:
    """The app with a renderer whose files pass through `meddle`."""
    renderer = Meddling(running_app.worker_context.renderer, meddle)
    worker_context = msgspec.structs.replace(running_app.worker_context, renderer=renderer)
    return RunningApp(**{**vars(running_app), "worker_context": worker_context})


async def ref_of(running_app: RunningApp, public_id: str) -> JobRef:
    """The job's reference."""
    return JobRef(shop_id=await shop_id_of(running_app), public_id=public_id)


# Unfinished jobs


async def test_losing_a_stages_file_repeats_that_stage_and_the_later_ones(
    fast_app: RunningApp,
) -> None:
    public_id = await fast_app.request_job()
    ref = await ref_of(fast_app, public_id)

    async def stuck(request: RenderRequest, rendered: Rendered) -> Rendered:
        if request.stage == "encode":
            raise RenderFailed(RENDER_CRASHED)
        return rendered

    assert isinstance(await run_job(ref, with_changed_files(fast_app, stuck).worker_context), Retry)
    files = await files_of(fast_app, public_id)
    await delete_objects(fast_app, files["segment", "cutout"])
    assert await run_sweep(fast_app) == ((0, 0), (1, 1))
    assert {stage for stage, _ in await files_of(fast_app, public_id)} <= {"fetch", "validate"}
    assert await run_job(ref, fast_app.worker_context) == Done()
    detail = (await fast_app.detail(public_id)).json()
    assert detail["status"] == "SUCCESS"
    made = await files_of(fast_app, public_id)
    assert made.items() >= files.items(), "the same bytes under the same keys"
    assert await missing_objects(fast_app, list(made.values())) == []
    events = await fast_app.rows("SELECT seq FROM job_events WHERE job_id = :id", id=public_id)
    assert sorted(row["seq"] for row in events) == list(range(1, len(events) + 1))


async def test_the_sweep_fences_the_worker_without_counting_an_attempt(
    isolated_app: RunningApp,
) -> None:
    job = await claimed_job(isolated_app)
    await make_stage(isolated_app, job, "fetch")
    [key] = await make_stage(isolated_app, job, "segment")
    await delete_objects(isolated_app, key)
    assert await run_sweep(isolated_app) == ((0, 0), (1, 1))
    with pytest.raises(Fenced):
        async with isolated_app.database.transaction() as connection:
            await advance(
                connection,
                job,
                stage="compose",
                message="",
                progress={},
                checkpoint=Checkpoint(files={}, facts={}),
                artifacts=[],
            )
    [row] = await isolated_app.rows("SELECT status, strikes, last_seq FROM jobs")
    assert (row["status"], row["strikes"], row["last_seq"]) == ("IN_PROGRESS", 0, 3)
    stages = await isolated_app.rows(
        "SELECT stage FROM job_stages UNION ALL SELECT stage FROM artifacts"
    )
    assert [stage["stage"] for stage in stages] == ["fetch", "fetch"]


# Finished jobs


async def test_a_finished_jobs_lost_images_are_rendered_again_identically(
    isolated_app: RunningApp, renderer: CachingRenderer
) -> None:
    public_id = await isolated_app.finished_job()
    files = await files_of(isolated_app, public_id)
    before = {key: await digest(isolated_app, key) for key in files.values()}
    lost = [key for (stage, _), key in files.items() if stage != "fetch"]
    assert len(lost) >= 4, "finals and what was between them"
    timeline = await isolated_app.rows("SELECT * FROM job_events ORDER BY seq")
    await delete_objects(isolated_app, *lost)
    renderer.forget()
    assert await run_sweep(isolated_app) == ((0, 0), (len(lost), len(lost)))
    assert {key: await digest(isolated_app, key) for key in files.values()} == before
    assert await isolated_app.rows("SELECT * FROM job_events ORDER BY seq") == timeline
    assert await run_sweep(isolated_app) == NOTHING_FOUND


async def digest(running_app: RunningApp, key: str) -> str:
    """The SHA-256 of an object."""
    return hashlib.sha256(await running_app.worker_context.store.get(key)).hexdigest()


async def test_a_lost_source_image_is_fetched_again_from_the_shop(fast_app: RunningApp) -> None:
    public_id = await fast_app.finished_job()
    files = await files_of(fast_app, public_id)
    await delete_objects(fast_app, *files.values())
    assert await run_sweep(fast_app) == ((0, 0), (len(set(files.values())),) * 2)
    assert await missing_objects(fast_app, list(files.values())) == []


async def test_lost_thumbnails_are_made_again(isolated_app: RunningApp) -> None:
    public_id = await isolated_app.finished_job()
    rows = await isolated_app.rows(
        "SELECT key FROM artifacts WHERE job_id = :id AND kind LIKE '%thumbnail'", id=public_id
    )
    keys = [row["key"] for row in rows]
    assert len(keys) == 2
    await delete_objects(isolated_app, *keys)
    assert await run_sweep(isolated_app) == ((0, 0), (2, 2))
    assert await missing_objects(isolated_app, keys) == []


async def test_a_different_rendering_does_not_replace_a_lost_image(
    fast_app: RunningApp,
) -> None:
    public_id = await fast_app.finished_job()
    key = (await files_of(fast_app, public_id))["encode", "large"]
    await delete_objects(fast_app, key)

    async def other(_request: RenderRequest, rendered: Rendered) -> Rendered:
        files = [msgspec.structs.replace(each, data=each.data + b"!") for each in rendered.files]
        return msgspec.structs.replace(rendered, files=files)

    with capture_logs() as logs:
        assert await run_sweep(with_changed_files(fast_app, other)) == ((0, 0), (1, 0))
    assert not await is_stored(fast_app, key)
    [line] = [each for each in logs if each["event"] == "object_lost"]
    assert (line["job_id"], line["stage"], line["name"]) == (
        public_id,
        "encode",
        "large",
    )
    assert line["log_level"] == "error"
    assert key not in str(logs)
    assert await run_sweep(with_changed_files(fast_app, other)) == ((0, 0), (1, 0)), (
        "its shop still asks for it"
    )


async def test_an_unrecoverable_source_image_is_reported_once(fast_app: RunningApp) -> None:
    public_id = await fast_app.finished_job()
    await delete_objects(fast_app, (await files_of(fast_app, public_id))["fetch", "source"])
    await fast_app.execute(
        "UPDATE jobs SET request = request || jsonb_build_object('source_url', "
        "request->>'source_url' || '.gone')"
    )
    assert await run_sweep(fast_app) == ((0, 0), (1, 0))
    assert await run_sweep(fast_app) == NOTHING_FOUND
    assert (await fast_app.detail(public_id)).json()["status"] == "SUCCESS"


async def test_a_job_erased_during_its_repair_leaves_no_objects(
    fast_app: RunningApp,
) -> None:
    public_id = await fast_app.finished_job()
    key = (await files_of(fast_app, public_id))["encode", "large"]
    shop_id = await shop_id_of(fast_app)
    await delete_objects(fast_app, key)

    async def erased(_request: RenderRequest, rendered: Rendered) -> Rendered:
        await erase_jobs(fast_app.database, fast_app.worker_context.store, shop_id)
        return rendered

    await run_sweep(with_changed_files(fast_app, erased))
    assert not await is_stored(fast_app, key)


async def test_lost_objects_of_an_uninstalled_shop_are_ignored(fast_app: RunningApp) -> None:
    _, keys = await finished_job(fast_app)
    await delete_objects(fast_app, *keys)
    await fast_app.execute("UPDATE shops SET status = 'uninstalled'")
    assert await run_sweep(fast_app) == NOTHING_FOUND


# Uploads


async def test_a_lost_unused_upload_is_forgotten(isolated_app: RunningApp) -> None:
    upload_key = await upload_picture(isolated_app)
    await delete_objects(isolated_app, (await row_of(isolated_app, upload_key))["key"])
    assert await run_sweep(isolated_app) == ((0, 0), (1, 1))
    assert await uploads_of(isolated_app) == []


async def test_a_lost_used_upload_is_reported_once_and_not_used_again(
    isolated_app: RunningApp,
) -> None:
    upload_key = await upload_picture(isolated_app)
    shop_id = await shop_id_of(isolated_app)

    async def take() -> None:
        async with isolated_app.database.transaction() as connection:
            await use_uploads(connection, shop_id=shop_id, wanted={"upload_key": upload_key})

    await take()
    await delete_objects(isolated_app, (await row_of(isolated_app, upload_key))["key"])
    assert await run_sweep(isolated_app) == ((0, 0), (1, 0))
    with pytest.raises(InvalidRequest):
        await take()
    assert await run_sweep(isolated_app) == NOTHING_FOUND
