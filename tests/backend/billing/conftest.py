"""A running app that sells the plans of `deploy/plans.toml`, and a shop for each test."""

from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from backend.dev.services import LocalServices
from backend.renderers.base import Renderer
from tests.conftest import settings_for
from tests.running_app import RunningApp, cloned_database, open_running_app
from tests.scenarios import new_shop

PLANS_FILE = Path(__file__).parents[3] / "deploy/plans.toml"


@pytest.fixture(scope="module")
async def shared_app(
    services: LocalServices, template: str, renderer: Renderer
) -> AsyncIterator[RunningApp]:
    async with cloned_database(services.postgres.url(), template) as url:
        settings = msgspec.structs.replace(
            settings_for(services, url), billing="manual", plans_file=str(PLANS_FILE)
        )
        async with open_running_app(settings, renderer) as running_app:
            await running_app.install()
            yield running_app


shop = pytest.fixture(new_shop)
