"""A world with a bucket of its own: to a sweep, other tests' objects would be nobody's."""

from collections.abc import AsyncIterator

import msgspec
import pytest

from backend.dev.services import LocalServices
from backend.renderers.base import Renderer
from backend.settings import Settings
from backend.storage.objects import ObjectStore
from tests.running_app import RunningApp, open_running_app

BUCKET = "atelier-test-sweeps"


@pytest.fixture(scope="session")
def own_bucket(services: LocalServices) -> str:
    """The name of a bucket that only the tests of sweeps use, one at a time."""
    services.s3.create_bucket(BUCKET)
    return BUCKET


@pytest.fixture
async def isolated_app(
    settings: Settings, own_bucket: str, renderer: Renderer
) -> AsyncIterator[RunningApp]:
    """A world whose database and bucket are empty but for one shop, and nobody else's."""
    settings = msgspec.structs.replace(settings, s3_bucket=own_bucket)
    empty(ObjectStore(settings))
    async with open_running_app(settings, renderer) as running_app:
        await running_app.install()
        yield running_app


def empty(store: ObjectStore) -> None:
    """Delete all that is in the bucket."""
    while found := store.client.list_objects_v2(Bucket=store.bucket).get("Contents"):
        keys = [{"Key": each["Key"]} for each in found]
        store.client.delete_objects(Bucket=store.bucket, Delete={"Objects": keys})  # type: ignore[typeddict-item]
