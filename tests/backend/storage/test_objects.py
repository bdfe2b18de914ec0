"""Objects against a real S3 server."""

import asyncio
import os
import threading
import time
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from backend.errors import StorageUnavailable
from backend.settings import Settings
from backend.storage import objects
from backend.storage.keys import artifact_key
from backend.storage.objects import Leftover, ObjectStore
from tests.running_app import RunningApp
from tests.scenarios import open_shared_app
from tests.wait import wait_until

shared_app = pytest.fixture(open_shared_app, scope="module")


def key_of(data: bytes, **changes: object) -> str:
    """The key of a file."""
    parts: dict[str, object] = {"shop_id": 1, "job_id": "A", "stage": "s", "name": "n"}
    return artifact_key(**{**parts, **changes}, data=data)  # type: ignore[arg-type]


async def test_an_object_is_stored_once_and_read_back(shared_app: RunningApp) -> None:
    store: ObjectStore = shared_app.worker_context.store
    key = key_of(b"once")
    await store.put(key, b"once", content_type="image/png")
    await store.put(key, b"twice", content_type="image/png")
    assert await store.get(key) == b"once"


async def test_an_old_object_is_not_reused(
    shared_app: RunningApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sweep may be about to delete it."""
    store = shared_app.worker_context.store
    key = key_of(b"left behind")
    assert await store.age(key) is None
    await store.put(key, b"left behind", content_type="image/png")
    age = await store.age(key)
    assert age is not None
    assert timedelta(0) <= age < timedelta(minutes=1), "by the store's own clock"
    monkeypatch.setattr(objects, "MAX_REUSABLE_AGE", age - timedelta(seconds=1))
    with pytest.raises(Leftover):
        await store.put(key, b"left behind", content_type="image/png")


async def test_deleting_objects_twice_is_no_error(
    shared_app: RunningApp,
) -> None:
    store = shared_app.worker_context.store
    keys = [key_of(bytes([number])) for number in range(3)]
    for key in keys:
        await store.put(key, b"x", content_type="image/png")
    await store.delete(keys)
    await store.delete(keys)
    for key in keys:
        with pytest.raises(StorageUnavailable):
            await store.get(key)


async def test_stores_other_than_aws_get_no_checksums_that_they_may_not_know(
    shared_app: RunningApp,
) -> None:
    """The headers as sent to the real server, which accepts each request."""
    store = ObjectStore(shared_app.settings)
    assert shared_app.settings.s3_endpoint_url
    sent: dict[str, set[str]] = {}

    def keep(request: Any, event_name: str, **_: object) -> None:
        sent[event_name.rpartition(".")[2]] = {name.lower() for name in request.headers}

    store.client.meta.events.register("before-send.s3", keep)
    key = key_of(b"plain")
    await store.put(key, b"plain", content_type="image/png")
    assert await store.get(key) == b"plain"
    await store.age(key)
    await store.clock()
    await store.delete([key])
    assert await store.age(key) is None
    assert set(sent) == {"PutObject", "GetObject", "HeadObject", "HeadBucket", "DeleteObjects"}
    for operation, names in sent.items():
        assert not [name for name in names if "checksum" in name or "trailer" in name], operation
        assert ("content-md5" in names) == (operation == "DeleteObjects")
        assert "x-amz-content-sha256" in names


async def test_aws_gets_the_checksums_of_its_own_client(
    shared_app: RunningApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    settings = msgspec.structs.replace(shared_app.settings, s3_endpoint_url=None)
    config = ObjectStore(settings).client.meta.config
    assert config.request_checksum_calculation == "when_supported"  # type: ignore[attr-defined]


def test_keys_are_opaque_and_depend_on_every_part() -> None:
    keys = {
        key_of(b"data"),
        key_of(b"other"),
        key_of(b"data", shop_id=2),
        key_of(b"data", job_id="B"),
        key_of(b"data", stage="t"),
        key_of(b"data", name="m"),
        key_of(b"data", stage="sn", name=""),
        key_of(b"data", attempt=2),
    }
    assert len(keys) == 8
    assert all(len(key) == len("artifacts/") + 32 for key in keys)


async def test_a_silent_s3_does_not_block_calls_to_shopify(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Names are looked up in threads too, before a call can even begin."""
    store = ObjectStore(settings)
    answer = threading.Event()
    begun: list[str] = []

    def get(key: str) -> bool:
        begun.append(key)
        return answer.wait(30)

    monkeypatch.setattr(store, "_get", get)
    many = 2 * ((os.cpu_count() or 1) + 4)  # twice the threads that asyncio has by default
    gets = [asyncio.create_task(store.get(key_of(b"slow"))) for _ in range(many)]
    try:
        await wait_until(lambda: len(begun) == settings.s3_connections)
        async with asyncio.timeout(5):
            assert await asyncio.get_running_loop().getaddrinfo("localhost", 443)
        assert not any(get.done() for get in gets)
    finally:
        answer.set()
        await asyncio.gather(*gets)


async def test_concurrent_calls_do_not_exceed_the_connections(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """boto3 would open one more for each, and throw it away again."""
    store = ObjectStore(msgspec.structs.replace(settings, s3_connections=3))
    assert store.client.meta.config.max_pool_connections == 3  # type: ignore[attr-defined]
    running: list[int] = []
    most = 0

    def get(_key: str) -> bytes:
        nonlocal most
        running.append(1)
        most = max(most, len(running))
        time.sleep(0.02)
        running.pop()
        return b""

    monkeypatch.setattr(store, "_get", get)
    await asyncio.gather(*(store.get(key_of(b"x")) for _ in range(20)))
    assert most == 3
