"""Apps for tests of workers: with a hosted provider, and with a bucket of its own.

A sweep would delete the objects of other tests.
"""

from collections.abc import AsyncIterator

import msgspec
import pytest

from backend.dev.services import LocalServices
from backend.renderers.base import Renderer
from backend.storage.objects import ObjectStore
from tests.backend.worker.hosted import FakeProvider, hosted_app
from tests.backend.worker.lost_objects import FakeFileRenderer
from tests.conftest import settings_for
from tests.running_app import RunningApp, cloned_database, open_running_app
from tests.scenarios import emptied_app

BUCKET = "atelier-test-sweeps"


@pytest.fixture(scope="session")
def own_bucket(services: LocalServices) -> str:
    """The name of a bucket that only the tests of sweeps use, one at a time."""
    services.s3.create_bucket(BUCKET)
    return BUCKET


@pytest.fixture(scope="module")
async def sweep_app(
    services: LocalServices, template: str, own_bucket: str, renderer: Renderer
) -> AsyncIterator[RunningApp]:
    """The app of `isolated_app`, which the tests of a module have one after another."""
    async with cloned_database(services.postgres.url(), template) as url:
        settings = msgspec.structs.replace(settings_for(services, url), s3_bucket=own_bucket)
        async with open_running_app(settings, renderer) as running_app:
            yield running_app


@pytest.fixture
async def isolated_app(sweep_app: RunningApp) -> RunningApp:
    """An app with one shop; its database and bucket are empty but for that."""
    empty(sweep_app.worker_context.store)
    await emptied_app(sweep_app)
    await sweep_app.install()
    return sweep_app


@pytest.fixture
def fast_app(isolated_app: RunningApp) -> RunningApp:
    """`isolated_app` with a renderer that takes no time."""
    worker_context = msgspec.structs.replace(
        isolated_app.worker_context, renderer=FakeFileRenderer()
    )
    return RunningApp(**{**vars(isolated_app), "worker_context": worker_context})


@pytest.fixture
def provider() -> FakeProvider:
    """A hosted provider that accepts every request."""
    return FakeProvider()


@pytest.fixture
def app(running_app: RunningApp, provider: FakeProvider) -> RunningApp:
    """`running_app`, whose worker has that provider."""
    return hosted_app(running_app, provider)


def empty(store: ObjectStore) -> None:
    """Delete all that is in the bucket."""
    while found := store.client.list_objects_v2(Bucket=store.bucket).get("Contents"):
        keys = [{"Key": each["Key"]} for each in found]
        store.client.delete_objects(Bucket=store.bucket, Delete={"Objects": keys})  # type: ignore[typeddict-item]
