"""A log of erasures in the bucket, for after the database is restored from a dump.

A restored dump contains data that was erased since; `atelier erasures repeat` erases it again. An
entry names a shop and perhaps a customer, so it is kept only as long as dumps (`MAX_DUMP_AGE`).
"""

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Literal

import msgspec

from backend.storage.listing import LIST_PAGE_SIZE, StoredObject, list_page
from backend.storage.objects import Leftover, ObjectStore

ERASURES = "erasures/"
MAX_DUMP_AGE = timedelta(days=90)  # dumps must not be kept longer


class ErasureNote(msgspec.Struct, frozen=True, kw_only=True):
    """An erased shop or customer; `requested_at` is the time of Shopify's request."""

    topic: Literal["customers/redact", "shop/redact"]
    webhook_id: str
    shop_domain: str
    shop_id: int
    customer_id: str | None = None
    requested_at: datetime

    @property
    def key(self) -> str:
        """The object key: sorts by request time, and is the same for each retry."""
        named = f"{self.topic}\0{self.shop_domain}\0{self.webhook_id}".encode()
        day = self.requested_at.strftime("%Y-%m-%dT%H:%M:%SZ")
        return f"{ERASURES}{day}-{hashlib.sha256(named).hexdigest()[:16]}.json"


async def note_erasure(store: ObjectStore, note: ErasureNote) -> None:
    """Store the note; repeating it does no harm. Raises `StorageUnavailable`."""
    with contextlib.suppress(Leftover):  # of an attempt half a day ago, with the same content
        await store.put(note.key, msgspec.json.encode(note), content_type="application/json")


async def noted_erasures(store: ObjectStore) -> AsyncIterator[ErasureNote]:
    """All notes, the oldest request first. Raises `StorageUnavailable`."""
    async for stored in stored_notes(store):
        yield msgspec.json.decode(await store.get(stored.key), type=ErasureNote)


async def forget_old_notes(store: ObjectStore) -> int:
    """Delete the notes older than any dump; returns how many."""
    too_old = await store.clock() - MAX_DUMP_AGE
    old = [note.key async for note in stored_notes(store) if note.modified_at < too_old]
    await store.delete(old)
    return len(old)


async def stored_notes(store: ObjectStore) -> AsyncIterator[StoredObject]:
    """The objects of all notes."""
    token: str | None = None
    while True:
        answer = await asyncio.to_thread(list_page, store, ERASURES, token, LIST_PAGE_SIZE)
        for entry in answer.get("Contents", ()):
            yield StoredObject(entry["Key"], entry["LastModified"])
        if not answer["IsTruncated"]:
            return
        token = answer["NextContinuationToken"]
