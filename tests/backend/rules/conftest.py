"""One house for each module here, and a shop of its own for each test."""

import pytest

from tests.doors import new_shop, shared_world

house = pytest.fixture(shared_world, scope="module")
shop = pytest.fixture(new_shop)
