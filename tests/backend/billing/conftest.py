"""A running app that sells the plans of `deploy/plans.toml`, and a shop for each test."""

import pytest

from tests.prepaid_apps import open_selling_app
from tests.scenarios import new_shop

shared_app = pytest.fixture(open_selling_app, scope="module")
shop = pytest.fixture(new_shop)
