"""One world for a module; each test has a shop of its own."""

import pytest

from backend.batches import ledger, running
from tests.doors import new_shop, shared_world

house = pytest.fixture(shared_world, scope="module")
shop = pytest.fixture(new_shop)


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two products a page, so that a few make several."""
    monkeypatch.setattr(ledger, "PAGE", 2)
    monkeypatch.setattr(running, "PAGE", 2)
