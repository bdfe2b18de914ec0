"""One app with `BILLING=manual` for each module; each test has a shop of its own."""

import pytest

from tests.prepaid_apps import open_prepaid_app
from tests.scenarios import new_shop

shared_app = pytest.fixture(open_prepaid_app, scope="module")
shop = pytest.fixture(new_shop)
