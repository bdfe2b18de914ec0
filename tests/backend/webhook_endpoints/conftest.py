"""A shop with the app, and a receiver."""

from collections.abc import AsyncIterator

import pytest

from tests.backend.webhook_endpoints.receiver import Receiver, open_receiver
from tests.running_app import RunningApp


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    """A receiver on loopback."""
    async with open_receiver() as opened:
        yield opened


@pytest.fixture
async def shop_app(running_app: RunningApp) -> RunningApp:
    """The app, installed in the shop."""
    await running_app.install()
    return running_app
