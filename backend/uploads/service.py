"""Uploads: stored, used by jobs, and erased with their shop.

`backend.worker.maintenance` deletes those that no job uses.
"""

import asyncio
import secrets
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import ARRAY, Text, any_, cast, delete, func, insert, literal, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.db import Database
from backend.errors import InvalidRequest, ShopNotInstalled, StorageUnavailable
from backend.renderers.base import RenderedFile
from backend.settings import UNLIMITED, Quotas
from backend.shops.models import Shop
from backend.shops.service import installed_account
from backend.slices import ITEMS_PER_SLICE, TimeSlice
from backend.storage.keys import upload_object_key
from backend.storage.objects import ObjectStore
from backend.uploads.models import Upload

# Seconds for the object. A bucket that does not answer takes boto3's attempts half a minute, and a
# client has given up by then.
STORE_TIMEOUT = 15.0
NO_SUCH_UPLOAD = (
    "No such upload. POST /v1/uploads first. Uploads that no job uses are deleted after 24 hours."
)


class StoredUpload(msgspec.Struct, frozen=True, kw_only=True):
    """An upload's public name and its object key."""

    upload_key: str
    key: str


async def receiving_shop(database: Database, shop_domain: str, quotas: Quotas = UNLIMITED) -> int:
    """The shop's id, checked before the body is read.

    Raises `ShopNotInstalled` or `StorageQuotaReached`.
    """
    async with database.reading(shop_domain) as connection:
        account = await installed_account(connection, shop_domain)
    account.require_room(quotas)
    return account.id


async def store_upload(
    database: Database, store: ObjectStore, *, shop: str, shop_id: int, picture: RenderedFile
) -> StoredUpload:
    """Store an image: first its row, then its object, then the mark that makes it usable.

    A crash in between leaves a row that no job can use and that the sweep deletes, with its object
    if there is one. Raises `StorageUnavailable`, and `ShopNotInstalled` if the shop was erased
    meanwhile, before this object was stored.
    """
    upload = StoredUpload(
        upload_key=f"upl_{secrets.token_hex(16)}", key=upload_object_key(picture.content_type)
    )
    async with database.transaction(shop) as connection:
        await insert_row(connection, shop_id, upload)
    await put_in_time(store, upload, picture)
    async with database.transaction(shop) as connection:
        stored = await mark_stored(connection, shop_id, upload)
        if stored:
            await count_bytes(connection, shop_id, len(picture.data))
    if not stored:
        await store.delete([upload.key])
        raise ShopNotInstalled
    return upload


async def put_in_time(store: ObjectStore, upload: StoredUpload, picture: RenderedFile) -> None:
    """Store the object. Raises `StorageUnavailable`, also if it takes longer than `STORE_TIMEOUT`.

    The thread goes on then. If it succeeds, the object is that of a row that the sweep deletes.
    """
    try:
        async with asyncio.timeout(STORE_TIMEOUT):
            await store.put(upload.key, picture.data, content_type=picture.content_type)
    except TimeoutError as error:
        raise StorageUnavailable from error


async def insert_row(connection: AsyncConnection, shop_id: int, upload: StoredUpload) -> None:
    """Insert the row. Raises `ShopNotInstalled` if the shop was uninstalled meanwhile."""
    shop = select(Shop.id, *(literal(value) for value in (upload.upload_key, upload.key))).where(
        Shop.id == shop_id, Shop.status == "installed"
    )
    row = insert(Upload).from_select(["shop_id", "upload_key", "key"], shop)
    if (await connection.execute(row)).rowcount == 0:
        raise ShopNotInstalled


async def mark_stored(connection: AsyncConnection, shop_id: int, upload: StoredUpload) -> bool:
    """Make the upload usable; False if it was erased meanwhile."""
    marked = await connection.execute(
        update(Upload)
        .where(
            Upload.shop_id == shop_id,
            Upload.upload_key == upload.upload_key,
            Upload.expired_at.is_(None),
        )
        .values(stored_at=func.now())
    )
    return marked.rowcount == 1


async def count_bytes(connection: AsyncConnection, shop_id: int, size: int) -> None:
    """Add to the shop's stored bytes, which the next bucket sweep counts exactly."""
    await connection.execute(
        update(Shop).where(Shop.id == shop_id).values(stored_bytes=Shop.stored_bytes + size)
    )


async def use_uploads(
    connection: AsyncConnection, *, shop_id: int, wanted: Mapping[str, str]
) -> dict[str, str]:
    """The object key of each field's upload, which is marked as used.

    Raises `InvalidRequest` naming each field whose upload is unknown, expired, not stored or
    another shop's; the response does not reveal which of these it is.
    """
    if not wanted:
        return {}
    found = await connection.execute(
        update(Upload)
        .where(
            Upload.shop_id == shop_id,
            Upload.upload_key.in_(set(wanted.values())),
            Upload.stored_at.is_not(None),
            Upload.expired_at.is_(None),
        )
        .values(used_at=func.now())
        .returning(Upload.upload_key, Upload.key)
    )
    keys = {row.upload_key: row.key for row in found}
    if missing := [field for field, upload_key in wanted.items() if upload_key not in keys]:
        raise InvalidRequest([no_such_upload(field) for field in missing])
    return {field: keys[upload_key] for field, upload_key in wanted.items()}


async def keep_uploads(connection: AsyncConnection, *, shop_id: int, keys: Collection[str]) -> bool:
    """Mark the uploads with these object keys as used; whether all of them are still stored."""
    if not keys:
        return True
    found = await connection.execute(
        update(Upload)
        .where(
            Upload.shop_id == shop_id,
            Upload.key == any_(cast(list(keys), ARRAY(Text))),
            Upload.stored_at.is_not(None),
            Upload.expired_at.is_(None),
        )
        .values(used_at=func.now())
        .returning(Upload.key)
    )
    return {row.key for row in found} == set(keys)


def no_such_upload(field: str) -> dict[str, Any]:
    """The item of `detail` for a field that names no upload of the shop."""
    return {"loc": ["body", field], "msg": NO_SUCH_UPLOAD, "type": "value_error"}


async def erase_uploads(
    database: Database,
    store: ObjectStore,
    shop_id: int,
    *,
    before: datetime | None = None,
    time_slice: TimeSlice | None = None,
) -> None:
    """Erase the shop's uploads slice by slice: all, or those created until `before`.

    After a crash the next attempt continues. Raises `TimeSliceOver`.
    """
    while doomed := await expired_slice(database, shop_id, before):
        await store.delete(doomed.values())
        async with database.transaction(shop_id) as connection:
            await connection.execute(
                delete(Upload).where(
                    Upload.shop_id == shop_id,
                    Upload.upload_key == any_(cast(list(doomed), ARRAY(Text))),
                )
            )
        if time_slice:
            time_slice.did()


async def expired_slice(
    database: Database, shop_id: int, before: datetime | None
) -> dict[str, str]:
    """A slice of the uploads: object keys by public name.

    They are marked as expired first, so that no job uses one, and none becomes usable.
    """
    until = () if before is None else (Upload.created_at <= before,)
    chosen = (
        select(Upload.upload_key).where(Upload.shop_id == shop_id, *until).limit(ITEMS_PER_SLICE)
    )
    mark = (
        update(Upload)
        .where(Upload.shop_id == shop_id, Upload.upload_key.in_(chosen))
        .values(expired_at=func.now())
        .returning(Upload.upload_key, Upload.key)
    )
    async with database.transaction(shop_id) as connection:
        return {row.upload_key: row.key for row in await connection.execute(mark)}
