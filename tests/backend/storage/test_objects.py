"""Objects against a real S3 server."""

from datetime import timedelta

import pytest

from backend.errors import StorageUnavailable
from backend.storage import objects
from backend.storage.keys import artifact_key
from backend.storage.objects import Leftover, ObjectStore
from tests.world import World


def key_of(data: bytes, **changes: object) -> str:
    """The key of a file."""
    parts: dict[str, object] = {"shop_id": 1, "job_id": "A", "stage": "s", "name": "n"}
    return artifact_key(**{**parts, **changes}, data=data)  # type: ignore[arg-type]


async def test_what_was_put_is_got_and_put_once(world: World) -> None:
    store: ObjectStore = world.workshop.store
    key = key_of(b"once")
    await store.put(key, b"once", content_type="image/png")
    await store.put(key, b"twice", content_type="image/png")
    assert await store.get(key) == b"once"


async def test_an_object_that_has_lain_there_for_long_will_not_do(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sweep may be about to delete it."""
    store = world.workshop.store
    key = key_of(b"left behind")
    assert await store.age(key) is None
    await store.put(key, b"left behind", content_type="image/png")
    age = await store.age(key)
    assert age is not None
    assert timedelta(0) <= age < timedelta(minutes=1), "by the store's own clock"
    monkeypatch.setattr(objects, "REUSABLE", age - timedelta(seconds=1))
    with pytest.raises(Leftover):
        await store.put(key, b"left behind", content_type="image/png")


async def test_deleted_objects_are_gone_and_deleting_them_again_is_no_error(world: World) -> None:
    store = world.workshop.store
    keys = [key_of(bytes([number])) for number in range(3)]
    for key in keys:
        await store.put(key, b"x", content_type="image/png")
    await store.delete(keys)
    await store.delete(keys)
    for key in keys:
        with pytest.raises(StorageUnavailable):
            await store.get(key)


def test_keys_are_opaque_and_differ_in_every_part() -> None:
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
