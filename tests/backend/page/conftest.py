"""The web application without its services: the page's routes need none."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import time_machine

from backend.app import create_app
from backend.shops.token_encryption import generate_key
from tests.backend.auth.signing import NOW
from tests.backend.page.launches import page_settings

ORIGIN = "https://atelier.example.com"


@pytest.fixture(scope="package")
def application() -> Any:
    """The whole ASGI application, never started."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("AWS_ACCESS_KEY_ID", "unused")
        environment.setenv("AWS_SECRET_ACCESS_KEY", "unused")
        return create_app(page_settings(token_keys=generate_key()))


@pytest.fixture
async def page(application: Any) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the application, at `NOW`."""
    transport = httpx.ASGITransport(application)
    with time_machine.travel(NOW, tick=False):
        async with httpx.AsyncClient(transport=transport, base_url=ORIGIN) as client:
            yield client
