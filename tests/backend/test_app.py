"""What the web process does beside its first requests."""

import os
import subprocess
import sys

import pytest

from backend import app
from tests.benchmarks.running import settings

FIRST_REQUESTS = """
import sys
from backend.app import prepare_first_requests
from backend.auth.session_token import verify_session_token
from backend.queue import queries
from backend.settings import Settings
from backend.shops.admin_api import AdminApi
prepare_first_requests()
before = set(sys.modules)
verify_session_token("e30.e30." + 43 * "A", api_key="key", secrets=[b"secret"])
admin = AdminApi(Settings.from_env(), None)
admin.http, admin.files
queries(object())
print(sorted(set(sys.modules) - before))
"""


def test_the_first_requests_import_nothing_more() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", FIRST_REQUESTS],
        env={**os.environ, **settings("postgresql://127.0.0.1:9/none")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert ended.stdout == "[]\n"


def test_requests_wait_only_briefly_for_what_is_imported_beside_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    intervals: list[float] = []
    monkeypatch.setattr(sys, "setswitchinterval", intervals.append)
    # As while another app of this process, of another test, does the same.
    monkeypatch.setattr(sys, "getswitchinterval", lambda: app.IMPORT_SLICE)
    app.prepare_first_requests()
    assert intervals == [app.IMPORT_SLICE, app.USUAL_SLICE]
    assert app.USUAL_SLICE > app.IMPORT_SLICE
