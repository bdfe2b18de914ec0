"""One world for each module: its web process keeps the child of the first upload."""

import pytest

from tests.doors import new_shop, shared_world

house = pytest.fixture(shared_world, scope="module")
shop = pytest.fixture(new_shop)
