"""An app that charges for jobs for each module, and one that does not; a shop for each test."""

from collections.abc import AsyncIterator

import pytest
from msgspec.structs import replace

from backend.dev.services import LocalServices
from tests.conftest import settings_for
from tests.running_app import RunningApp, cloned_database, open_running_app
from tests.scenarios import NoRenderer, new_shop, open_shared_app

free_app = pytest.fixture(open_shared_app, scope="module")
shop = pytest.fixture(new_shop)


@pytest.fixture(scope="module")
async def shared_app(services: LocalServices, template: str) -> AsyncIterator[RunningApp]:
    """A running app with `BILLING=manual`, which renders nothing."""
    async with cloned_database(services.postgres.url(), template) as url:
        settings = replace(settings_for(services, url), billing="manual")
        async with open_running_app(settings, NoRenderer()) as running_app:
            yield running_app
