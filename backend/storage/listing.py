"""Lists the bucket's objects in the order of their keys, page by page.

Only under our own prefixes: other objects in the bucket are not touched.
"""

from collections.abc import AsyncIterator
from datetime import datetime
from typing import TYPE_CHECKING

import msgspec

from backend.storage.keys import ARTIFACT_PREFIX, UPLOAD_PREFIX
from backend.storage.objects import ObjectStore, storage_errors

if TYPE_CHECKING:
    from types_boto3_s3.type_defs import ListObjectsV2OutputTypeDef

LIST_PAGE_SIZE = 1000  # S3's own limit for ListObjectsV2
OWN_PREFIXES = sorted((ARTIFACT_PREFIX, UPLOAD_PREFIX))


class StoredObject(msgspec.Struct, frozen=True):
    """One object; `modified_at` is by the store's clock, and `size` in bytes."""

    key: str
    modified_at: datetime
    size: int = 0


async def stored_objects(
    store: ObjectStore, *, page: int = LIST_PAGE_SIZE
) -> AsyncIterator[StoredObject]:
    """All our objects by key, with one `page` in memory. Raises `StorageUnavailable`."""
    for prefix in OWN_PREFIXES:
        token: str | None = None
        while True:
            answer = await store.threaded(list_page, store, prefix, token, page)
            for entry in answer.get("Contents", ()):
                yield StoredObject(entry["Key"], entry["LastModified"], entry["Size"])
            if not answer["IsTruncated"]:
                break
            token = answer["NextContinuationToken"]


def list_page(
    store: ObjectStore, prefix: str, token: str | None, page: int
) -> "ListObjectsV2OutputTypeDef":
    """One page of the listing; blocking."""
    more = {"ContinuationToken": token} if token else {}
    with storage_errors():
        return store.client.list_objects_v2(
            Bucket=store.bucket,
            Prefix=prefix,
            MaxKeys=page,
            **more,  # type: ignore[arg-type]
        )
