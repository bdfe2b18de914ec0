"""The apps that charge, each of which the modules of a session have one after another."""

import pytest

from tests.prepaid_apps import run_prepaid_app, run_selling_app

session_prepaid_app = pytest.fixture(run_prepaid_app, scope="session")
session_selling_app = pytest.fixture(run_selling_app, scope="session")
