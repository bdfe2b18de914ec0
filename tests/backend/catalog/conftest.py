"""One running app for each module; each test has a shop of its own."""

import pytest

from tests.scenarios import new_shop, open_shared_app

shared_app = pytest.fixture(open_shared_app, scope="module")
shop = pytest.fixture(new_shop)
