"""An upload between its row and its end: used by jobs, cut off half-way, erased with its shop."""

from typing import Any

import pytest

from backend.errors import InvalidRequest, ShopNotInstalled, StorageUnavailable
from backend.jobs.erasure import erase_jobs
from backend.renderers.base import RenderedFile
from backend.storage.objects import ObjectStore
from backend.uploads.service import NO_SUCH_UPLOAD, receiving_shop, store_upload, use_uploads
from tests.backend.uploads.multipart_forms import row_of, shop_id_of, upload_picture, uploads_of
from tests.running_app import RunningApp
from tests.scenarios import is_stored, missing_objects, new_shop

UNKNOWN = "upl_" + "0" * 32
PICTURE = RenderedFile(
    name="upload",
    kind="upload",
    role="intermediate",
    label=None,
    content_type="image/png",
    data=b"a picture",
    meta={},
)


async def use_uploads_in_job(shared_app: RunningApp, shop: str, **wanted: str) -> dict[str, str]:
    """The object keys that a job of the shop gets for these upload keys."""
    shop_id = await shop_id_of(shared_app, shop)
    async with shared_app.database.transaction() as connection:
        return await use_uploads(connection, shop_id=shop_id, wanted=wanted)


async def refusal_of(shared_app: RunningApp, shop: str, **wanted: str) -> list[dict[str, Any]]:
    """The detail of the refusal."""
    with pytest.raises(InvalidRequest) as refused:
        await use_uploads_in_job(shared_app, shop, **wanted)
    return refused.value.detail


async def test_a_job_gets_the_objects_of_its_upload_keys(shared_app: RunningApp, shop: str) -> None:
    photo, background = (
        await upload_picture(shared_app, shop=shop),
        await upload_picture(shared_app, shop=shop),
    )
    keys = {row["upload_key"]: row["key"] for row in await uploads_of(shared_app, shop)}
    assert await use_uploads_in_job(
        shared_app, shop, upload_key=photo, background_upload_key=background, third=photo
    ) == {
        "upload_key": keys[photo],
        "background_upload_key": keys[background],
        "third": keys[photo],
    }
    assert await use_uploads_in_job(shared_app, shop) == {}
    first = (await row_of(shared_app, photo))["used_at"]
    await use_uploads_in_job(shared_app, shop, upload_key=photo)
    latest = (await row_of(shared_app, photo))["used_at"]
    assert latest > first, "it is kept for as long from its last use on"


async def test_another_shops_upload_is_refused_like_an_unknown_one(
    shared_app: RunningApp, shop: str
) -> None:
    own, foreign = (
        await upload_picture(shared_app, shop=shop),
        await upload_picture(shared_app, shop=await new_shop(shared_app)),
    )
    refused = await refusal_of(shared_app, shop, upload_key=foreign, own=own)
    assert refused == await refusal_of(shared_app, shop, upload_key=UNKNOWN, own=own)
    assert refused == [
        {"loc": ["body", "upload_key"], "msg": NO_SUCH_UPLOAD, "type": "value_error"}
    ]
    assert [(await row_of(shared_app, key))["used_at"] for key in (own, foreign)] == [None, None]


async def test_every_field_without_an_upload_is_named(shared_app: RunningApp, shop: str) -> None:
    refused = await refusal_of(shared_app, shop, upload_key=UNKNOWN, background_upload_key=UNKNOWN)
    assert [item["loc"][1] for item in refused] == ["upload_key", "background_upload_key"]


@pytest.mark.parametrize("column", ["stored_at = NULL", "expired_at = now()"])
async def test_an_unstored_or_expired_upload_is_refused(
    shared_app: RunningApp, shop: str, column: str
) -> None:
    upload_key = await upload_picture(shared_app, shop=shop)
    await shared_app.execute(f"UPDATE uploads SET {column} WHERE upload_key = :k", k=upload_key)
    assert await refusal_of(shared_app, shop, upload_key=upload_key)


class Interrupted(ObjectStore):
    """A store in front of which something happens at the first put."""

    def __init__(self, shared_app: RunningApp, what: Any) -> None:
        super().__init__(shared_app.settings)
        self.what = what

    async def put(self, key: str, data: bytes, *, content_type: str) -> None:
        """Let it happen, then store."""
        await self.what()
        await super().put(key, data, content_type=content_type)


async def test_an_interrupted_put_leaves_a_row_that_names_the_object(
    shared_app: RunningApp, shop: str
) -> None:
    async def crash() -> None:
        raise StorageUnavailable

    store, shop_id = Interrupted(shared_app, crash), await shop_id_of(shared_app, shop)
    with pytest.raises(StorageUnavailable):
        await store_upload(shared_app.database, store, shop=shop, shop_id=shop_id, picture=PICTURE)
    [row] = await uploads_of(shared_app, shop)
    assert row["stored_at"] is None and row["key"].endswith(".png")
    assert await refusal_of(shared_app, shop, upload_key=row["upload_key"])


async def test_erasing_a_shop_during_an_upload_leaves_no_object(
    shared_app: RunningApp, shop: str
) -> None:
    shop_id = await shop_id_of(shared_app, shop)
    announced: list[str] = []

    async def erase() -> None:
        announced.extend(row["key"] for row in await uploads_of(shared_app, shop))
        await erase_jobs(shared_app.database, shared_app.worker_context.store, shop_id)

    with pytest.raises(ShopNotInstalled):
        await store_upload(
            shared_app.database,
            Interrupted(shared_app, erase),
            shop=shop,
            shop_id=shop_id,
            picture=PICTURE,
        )
    assert len(announced) == 1
    assert not await is_stored(shared_app, announced[0])
    assert await uploads_of(shared_app, shop) == []


async def test_an_uninstalled_shop_cannot_upload(shared_app: RunningApp, shop: str) -> None:
    shop_id = await receiving_shop(shared_app.database, shop)
    await shared_app.execute("UPDATE shops SET status = 'uninstalled' WHERE domain = :d", d=shop)
    with pytest.raises(ShopNotInstalled):
        await receiving_shop(shared_app.database, shop)
    with pytest.raises(ShopNotInstalled):
        await store_upload(
            shared_app.database,
            shared_app.worker_context.store,
            shop=shop,
            shop_id=shop_id,
            picture=PICTURE,
        )
    assert await uploads_of(shared_app, shop) == []


async def test_erasing_a_shop_deletes_all_its_uploads_and_no_others(
    shared_app: RunningApp, shop: str
) -> None:
    other = await new_shop(shared_app)
    mine = [await upload_picture(shared_app, shop=shop) for _ in range(2)]
    await use_uploads_in_job(shared_app, shop, upload_key=mine[0])
    theirs = await upload_picture(shared_app, shop=other)
    gone = [row["key"] for row in await uploads_of(shared_app, shop)]
    kept = (await row_of(shared_app, theirs))["key"]
    shop_id = await shop_id_of(shared_app, shop)
    await erase_jobs(shared_app.database, shared_app.worker_context.store, shop_id, customer_id="1")
    assert await missing_objects(shared_app, gone) == [], "a customer has no uploads"
    await erase_jobs(shared_app.database, shared_app.worker_context.store, shop_id)
    assert await missing_objects(shared_app, [*gone, kept]) == gone
    assert await uploads_of(shared_app, shop) == []
    assert await use_uploads_in_job(shared_app, other, upload_key=theirs) == {"upload_key": kept}


async def test_an_interrupted_erasure_keeps_the_rows_for_the_next_try(
    shared_app: RunningApp, shop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload_key = await upload_picture(shared_app, shop=shop)
    shop_id = await shop_id_of(shared_app, shop)

    def away(_store: ObjectStore, _keys: list[str]) -> None:
        raise StorageUnavailable

    with monkeypatch.context() as broken:
        broken.setattr(ObjectStore, "_delete", away)
        with pytest.raises(StorageUnavailable):
            await erase_jobs(shared_app.database, shared_app.worker_context.store, shop_id)
    key = (await row_of(shared_app, upload_key))["key"]
    await erase_jobs(shared_app.database, shared_app.worker_context.store, shop_id)
    assert not await is_stored(shared_app, key)
    assert await uploads_of(shared_app, shop) == []
