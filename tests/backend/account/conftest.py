"""An app that charges for jobs for each module, and one that does not; a shop for each test."""

import pytest

from tests.prepaid_apps import open_prepaid_app
from tests.scenarios import new_shop, open_shared_app

free_app = pytest.fixture(open_shared_app, scope="module")
shared_app = pytest.fixture(open_prepaid_app, scope="module")
shop = pytest.fixture(new_shop)
