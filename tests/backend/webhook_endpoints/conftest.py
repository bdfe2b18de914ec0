"""One app whose jobs cost credits for each module; no endpoint outlives its test."""

from collections.abc import AsyncIterator

import pytest

from tests.backend.webhook_endpoints.receiver import Receiver, open_receiver
from tests.prepaid_apps import open_prepaid_app
from tests.running_app import SHOP, RunningApp

prepaid_app = pytest.fixture(open_prepaid_app, scope="module")


@pytest.fixture
async def shop_app(prepaid_app: RunningApp) -> AsyncIterator[RunningApp]:
    """The app, installed in the shop; afterwards without the test's endpoints."""
    if SHOP not in prepaid_app.shopify.platform.shops:
        await prepaid_app.install()
    yield prepaid_app
    for table in ("endpoint_deliveries", "webhook_endpoints", "app_webhook_endpoints"):
        await prepaid_app.execute(f"DELETE FROM {table}")
    await prepaid_app.execute("DELETE FROM queue.pgqueuer WHERE entrypoint = 'deliver_events'")


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    """A receiver on loopback."""
    async with open_receiver() as opened:
        yield opened
