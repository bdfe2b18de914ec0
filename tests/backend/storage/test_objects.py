"""Objects against a real S3 server."""

import pytest

from backend.errors import StorageUnavailable
from backend.storage.keys import artifact_key
from backend.storage.objects import ObjectStore
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
    }
    assert len(keys) == 7
    assert all(len(key) == len("artifacts/") + 32 for key in keys)
