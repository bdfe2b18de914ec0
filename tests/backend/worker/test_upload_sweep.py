"""The upload sweep deletes old unused uploads, also after an interruption, and no others."""

import asyncio
from collections.abc import Iterable

import pytest

from backend.errors import InvalidRequest, StorageUnavailable
from backend.storage.objects import ObjectStore
from backend.uploads.service import use_uploads
from backend.worker import maintenance
from backend.worker.maintenance import expired_uploads, sweep_uploads
from backend.worker.run import manager
from tests.backend.uploads.multipart_forms import row_of, shop_id_of, upload_picture
from tests.running_app import RunningApp
from tests.scenarios import is_stored, missing_objects, open_shared_app, wait_for_lock

shared_app = pytest.fixture(open_shared_app, scope="module")


async def old_upload(shared_app: RunningApp, hours: int = 25) -> tuple[str, str]:
    """An upload that was made so many hours ago: its upload key and its object's."""
    upload_key = await upload_picture(shared_app)
    await shared_app.execute(
        f"UPDATE uploads SET created_at = now() - interval '{hours} hours' WHERE upload_key = :k",
        k=upload_key,
    )
    return upload_key, (await row_of(shared_app, upload_key))["key"]


async def has_row(shared_app: RunningApp, upload_key: str) -> bool:
    """Whether the row is there."""
    return bool(await shared_app.rows("SELECT 1 FROM uploads WHERE upload_key = :k", k=upload_key))


async def use_upload(shared_app: RunningApp, upload_key: str) -> None:
    """Have a job ask for it."""
    shop_id = await shop_id_of(shared_app)
    async with shared_app.database.transaction() as connection:
        await use_uploads(connection, shop_id=shop_id, wanted={"upload_key": upload_key})


async def test_only_old_unused_uploads_are_deleted(shared_app: RunningApp) -> None:
    old, young, used = (
        await old_upload(shared_app),
        await old_upload(shared_app, 23),
        await old_upload(shared_app),
    )
    never_stored = await old_upload(shared_app)
    await shared_app.execute(
        "UPDATE uploads SET stored_at = NULL WHERE upload_key = :k", k=never_stored[0]
    )
    await use_upload(shared_app, used[0])
    assert await sweep_uploads(shared_app.database, shared_app.worker_context.store) == 2
    assert [await has_row(shared_app, u[0]) for u in (old, never_stored, young, used)] == [
        False,
        False,
        True,
        True,
    ]
    gone = await missing_objects(shared_app, [old[1], never_stored[1], young[1], used[1]])
    assert gone == [old[1], never_stored[1]]
    assert await sweep_uploads(shared_app.database, shared_app.worker_context.store) == 0


async def test_one_sweep_deletes_more_than_one_batch(
    shared_app: RunningApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(maintenance, "ROWS_PER_SWEEP", 2)
    old = [await old_upload(shared_app) for _ in range(5)]
    assert len(await expired_uploads(shared_app.database)) == 2
    assert await sweep_uploads(shared_app.database, shared_app.worker_context.store) == 5
    assert await missing_objects(shared_app, [key for _, key in old]) == [key for _, key in old]


class Crash(Exception):
    """The sweeper's end."""


class Crashing(ObjectStore):
    """Ends the sweeper before or after the objects are deleted."""

    def __init__(self, shared_app: RunningApp, *, after: bool) -> None:
        super().__init__(shared_app.settings)
        self.after = after

    async def delete(self, keys: Iterable[str]) -> None:
        """Delete, or not, and end."""
        if self.after:
            await super().delete(keys)
        raise Crash


@pytest.mark.parametrize("after", [False, True], ids=["before the objects", "after them"])
async def test_an_interrupted_sweep_is_finished_by_the_next(
    shared_app: RunningApp, after: bool
) -> None:
    upload_key, key = await old_upload(shared_app)
    with pytest.raises(Crash):
        await sweep_uploads(shared_app.database, Crashing(shared_app, after=after))
    assert await has_row(shared_app, upload_key), "or the object would be without a row"
    assert await is_stored(shared_app, key) is not after
    with pytest.raises(InvalidRequest):
        await use_upload(shared_app, upload_key)
    assert await sweep_uploads(shared_app.database, shared_app.worker_context.store) == 1
    assert not await is_stored(shared_app, key)


async def test_an_upload_being_used_by_a_job_is_kept(shared_app: RunningApp) -> None:
    upload_key, key = await old_upload(shared_app)
    shop_id = await shop_id_of(shared_app)
    async with shared_app.database.transaction() as connection:
        wanted = {"upload_key": upload_key}
        assert await use_uploads(connection, shop_id=shop_id, wanted=wanted) == {"upload_key": key}
        async with asyncio.timeout(10):  # nor does the sweep wait for the job
            assert await sweep_uploads(shared_app.database, shared_app.worker_context.store) == 0
    assert await sweep_uploads(shared_app.database, shared_app.worker_context.store) == 0
    assert await is_stored(shared_app, key)


async def test_an_upload_being_expired_cannot_be_used(shared_app: RunningApp) -> None:
    upload_key, _ = await old_upload(shared_app)
    async with shared_app.database.transaction() as sweeping:
        await sweeping.exec_driver_sql(
            "UPDATE uploads SET expired_at = now() WHERE upload_key = $1", (upload_key,)
        )
        taking = asyncio.create_task(use_upload(shared_app, upload_key))
        await wait_for_lock(shared_app)
        assert not taking.done(), "it waits for the row"
    with pytest.raises(InvalidRequest):
        await taking
    await sweep_uploads(shared_app.database, shared_app.worker_context.store)


async def test_an_unreachable_store_keeps_the_upload_rows(
    shared_app: RunningApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload_key, key = await old_upload(shared_app)

    def away(_store: ObjectStore, _keys: list[str]) -> None:
        raise StorageUnavailable

    with monkeypatch.context() as broken:
        broken.setattr(ObjectStore, "_delete", away)
        with pytest.raises(StorageUnavailable):
            await sweep_uploads(shared_app.database, shared_app.worker_context.store)
    assert await has_row(shared_app, upload_key)
    assert await sweep_uploads(shared_app.database, shared_app.worker_context.store) == 1
    assert not await is_stored(shared_app, key)


async def test_the_upload_sweep_runs_every_hour(shared_app: RunningApp) -> None:
    upload_key, _ = await old_upload(shared_app)
    async with manager(
        shared_app.settings, shared_app.worker_context, shared_app.handler_context
    ) as pgq:
        [sweep] = [
            executor
            for key, executor in pgq.sm.registry.items()
            if key.entrypoint == "sweep_uploads"
        ]
        assert sweep.parameters.expression == "41 * * * *", "once an hour"
        await sweep.parameters.func(None)  # type: ignore[arg-type, call-arg]
    assert not await has_row(shared_app, upload_key)
