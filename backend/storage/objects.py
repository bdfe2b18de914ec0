"""Objects in S3: put once, get, delete. boto3 blocks, so every call runs in a thread.

The store has its own thread pool, one thread per connection. In asyncio's default pool, an S3 that
does not respond would block DNS look-ups, and with them every call to Shopify.

`presign` signs URLs without network access; `listing` lists objects for the sweep.

The sweep (`worker.bucket_sweep`) deletes objects that no row names once they are `SETTLED_AGE` old.
So an existing object is reused only while it is much younger than that: a row is about to name it,
and the sweep may have looked just before. Both ages are measured by the store's own clock.
"""

import asyncio
import base64
import contextlib
import hashlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import partial
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from backend.errors import StorageUnavailable
from backend.metrics import STORAGE_CALLS, count_call, start_at_zero
from backend.settings import Settings
from backend.storage.aws_session import s3_client
from backend.tracing import span

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

P = ParamSpec("P")
T = TypeVar("T")

start_at_zero(STORAGE_CALLS, ("delete", "get", "put"), ("ok", StorageUnavailable.__name__))
DELETE_BATCH = 1000  # S3's own limit for DeleteObjects
SETTLED_AGE = timedelta(hours=24)  # by then the row of an object is committed, or never will be
MAX_REUSABLE_AGE = SETTLED_AGE / 2  # the other half is for a worker to commit the row
# Stores other than AWS's refuse the checksums that botocore adds since 1.36 (Backblaze B2), or the
# trailer that has them over TLS. TLS and the signed SHA-256 of each body remain.
OUTSIDE_AWS: Any = {
    "s3": {"addressing_style": "path"},
    "request_checksum_calculation": "when_required",
    "response_checksum_validation": "when_required",
}


class Leftover(Exception):
    """The key has an old object, which the sweep may be about to delete: use another key."""


class ObjectMissing(StorageUnavailable):
    """S3 has no such object; it may have been lost, or may be made again."""


class ObjectStore:
    """One bucket. Thread-safe; one per process, because the client has a connection pool."""

    def __init__(self, settings: Settings) -> None:
        self.bucket = settings.s3_bucket
        self.threads = ThreadPoolExecutor(settings.s3_connections, thread_name_prefix="s3")
        self.client: S3Client = s3_client(
            endpoint_url=settings.s3_endpoint_url,
            config=Config(
                signature_version="s3v4",  # a custom endpoint would get SigV2 otherwise
                max_pool_connections=settings.s3_connections,
                connect_timeout=2,
                read_timeout=10,
                retries={"total_max_attempts": 3, "mode": "standard"},
                **(OUTSIDE_AWS if settings.s3_endpoint_url else {}),
            ),
        )
        if settings.s3_endpoint_url:
            self.client.meta.events.register("before-call.s3.DeleteObjects", use_content_md5)

    async def put(self, key: str, data: bytes, *, content_type: str) -> None:
        """Store `data` under a content-addressed `key`; an existing young object is reused.

        Raises `StorageUnavailable`, and `Leftover` if the existing object is too old.
        """
        await self.threaded(self._put, key, data, content_type)

    async def get(self, key: str) -> bytes:
        """The object's bytes. Raises `StorageUnavailable`; `ObjectMissing` if there is none."""
        return await self.threaded(self._get, key)

    async def delete(self, keys: Iterable[str]) -> None:
        """Delete objects; missing ones are ignored. Raises `StorageUnavailable`."""
        await self.threaded(self._delete, list(keys))

    async def age(self, key: str) -> timedelta | None:
        """The object's age; None if there is none. Raises `StorageUnavailable`."""
        return await self.threaded(self._age, key)

    async def clock(self) -> datetime:
        """The store's own time. Raises `StorageUnavailable`, also if the bucket is missing."""
        return await self.threaded(self._clock)

    async def threaded(self, call: Callable[P, T], *given: P.args, **named: P.kwargs) -> T:
        """The result of a blocking call, run in the store's thread pool."""
        loop = asyncio.get_running_loop()
        operation = getattr(call, "__name__", "other").strip("_")
        with count_call(STORAGE_CALLS, operation), span(f"s3 {operation}", is_call=True):
            return await loop.run_in_executor(self.threads, partial(call, *given, **named))

    def _put(self, key: str, data: bytes, content_type: str) -> None:
        with storage_errors():
            try:
                self.client.put_object(
                    Bucket=self.bucket,
                    Key=key,
                    Body=data,
                    ContentType=content_type,
                    IfNoneMatch="*",
                )
            except ClientError as error:
                if error.response["Error"]["Code"] != "PreconditionFailed":
                    raise
                age = self._age(key)
                if age is None or age > MAX_REUSABLE_AGE:
                    raise Leftover(key) from error

    def _get(self, key: str) -> bytes:
        with storage_errors():
            try:
                return self.client.get_object(Bucket=self.bucket, Key=key)["Body"].read()
            except self.client.exceptions.NoSuchKey as error:
                raise ObjectMissing from error

    def _delete(self, keys: list[str]) -> None:
        with storage_errors():
            for start in range(0, len(keys), DELETE_BATCH):
                batch = keys[start : start + DELETE_BATCH]
                answer = self.client.delete_objects(
                    Bucket=self.bucket, Delete={"Objects": [{"Key": key} for key in batch]}
                )
                if answer.get("Errors"):
                    raise StorageUnavailable(f"{len(answer['Errors'])} objects were not deleted")

    def _age(self, key: str) -> timedelta | None:
        with storage_errors():
            try:
                head = self.client.head_object(Bucket=self.bucket, Key=key)
            except ClientError as error:
                if error.response["Error"]["Code"] in {"404", "NoSuchKey"}:
                    return None
                raise
            return answered_at(head) - head["LastModified"]

    def _clock(self) -> datetime:
        with storage_errors():
            return answered_at(self.client.head_bucket(Bucket=self.bucket))


def use_content_md5(params: dict[str, Any], **_: object) -> None:
    """Send the digest that DeleteObjects needs as Content-MD5: older MinIO knows no other."""
    digest = hashlib.md5(params["body"], usedforsecurity=False).digest()
    params["headers"]["Content-MD5"] = base64.b64encode(digest).decode()
    params["context"].get("checksum", {}).pop("request_algorithm", None)


def answered_at(answer: Any) -> datetime:
    """The time of the response, by S3's clock."""
    return parsedate_to_datetime(answer["ResponseMetadata"]["HTTPHeaders"]["date"])


@contextlib.contextmanager
def storage_errors() -> Iterator[None]:
    """Turn every error of S3 or the connection into `StorageUnavailable`."""
    try:
        yield
    except (BotoCoreError, ClientError, OSError) as error:
        raise StorageUnavailable from error
