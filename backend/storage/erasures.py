"""The list of erasures, in the bucket: it outlives the database, which may be restored from a dump.

What was erased since that dump was made would be back; `atelier erasures repeat` erases it again.
A note names a shop and perhaps a customer, so it is kept no longer than dumps are (`MAX_DUMP_AGE`).
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
MAX_DUMP_AGE = timedelta(days=90)  # keep no dump for longer


class ErasureNote(msgspec.Struct, frozen=True, kw_only=True):
    """What was erased: a shop, or one of its customers; `requested_at` is when Shopify asked."""

    topic: Literal["customers/redact", "shop/redact"]
    webhook_id: str
    shop_domain: str
    shop_id: int
    customer_id: str | None = None
    requested_at: datetime

    @property
    def key(self) -> str:
        """In the order of the requests, and the same however often the erasure is tried."""
        named = f"{self.topic}\0{self.shop_domain}\0{self.webhook_id}".encode()
        day = self.requested_at.strftime("%Y-%m-%dT%H:%M:%SZ")
        return f"{ERASURES}{day}-{hashlib.sha256(named).hexdigest()[:16]}.json"


async def note_erasure(store: ObjectStore, note: ErasureNote) -> None:
    """Put the note in the bucket, once. Raises `StorageUnavailable`."""
    with contextlib.suppress(Leftover):  # of a try of half a day ago: it is the same
        await store.put(note.key, msgspec.json.encode(note), content_type="application/json")


async def noted_erasures(store: ObjectStore) -> AsyncIterator[ErasureNote]:
    """Every erasure on the list, the oldest request first. Raises `StorageUnavailable`."""
    async for stored in stored_notes(store):
        yield msgspec.json.decode(await store.get(stored.key), type=ErasureNote)


async def forget_old_notes(store: ObjectStore) -> int:
    """Delete the notes that no dump can need any more; how many."""
    too_old = await store.clock() - MAX_DUMP_AGE
    old = [note.key async for note in stored_notes(store) if note.modified_at < too_old]
    await store.delete(old)
    return len(old)


async def stored_notes(store: ObjectStore) -> AsyncIterator[StoredObject]:
    """The objects of the list."""
    token: str | None = None
    while True:
        answer = await asyncio.to_thread(list_page, store, ERASURES, token, LIST_PAGE_SIZE)
        for entry in answer.get("Contents", ()):
            yield StoredObject(entry["Key"], entry["LastModified"])
        if not answer["IsTruncated"]:
            return
        token = answer["NextContinuationToken"]
