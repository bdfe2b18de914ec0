"""One app with `BILLING=manual` for each module; each test has a shop of its own."""

from collections.abc import AsyncIterator

import pytest
from msgspec.structs import replace

from tests.conftest import settings_for
from tests.running_app import RunningApp, cloned_database, open_running_app
from tests.scenarios import NoRenderer, new_shop


@pytest.fixture(scope="module")
async def shared_app(services, template) -> AsyncIterator[RunningApp]:
    """A running app that charges for jobs, and renders nothing."""
    async with cloned_database(services.postgres.url(), template) as url:
        settings = replace(settings_for(services, url), billing="manual")
        async with open_running_app(settings, NoRenderer()) as running_app:
            yield running_app


shop = pytest.fixture(new_shop)
