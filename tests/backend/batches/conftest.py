"""One running app for each module; each test has a shop of its own."""

import pytest

from backend.batches import execution, leases
from tests.scenarios import new_shop, open_shared_app

shared_app = pytest.fixture(open_shared_app, scope="module")
shop = pytest.fixture(new_shop)


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two products a page, so that a few make several."""
    monkeypatch.setattr(leases, "PAGE", 2)
    monkeypatch.setattr(execution, "PAGE", 2)
