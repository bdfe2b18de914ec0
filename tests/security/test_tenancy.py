"""Two shops, every route and every credential: no request reads, changes or reveals the other shop.

A route that is not in `CHECKS` fails the first test, so that nobody adds one without saying how
it keeps two shops apart.
"""

import re

import pytest

from tests.running_app import RunningApp
from tests.scenarios import waiting_job
from tests.security.tenant_checks.callers import Check, RouteCase
from tests.security.tenant_isolation import (
    CHECKS,
    assert_isolated,
    open_two_shops,
    routes_of,
)

shared_app = pytest.fixture(open_two_shops, scope="module")
CASES = [
    pytest.param(check, case, id=f"{' '.join(route)} {case.__name__}")
    for route, (check, callers) in CHECKS.items()
    for case in callers
]


async def test_every_route_has_a_tenant_isolation_check(shared_app: RunningApp) -> None:
    assert routes_of(shared_app) == set(CHECKS)


@pytest.mark.parametrize(("check", "case"), CASES)
async def test_every_route_isolates_two_shops(
    shared_app: RunningApp, check: Check, case: RouteCase
) -> None:
    await assert_isolated(shared_app, check, case)


async def test_options_requests_reveal_nothing(shared_app: RunningApp) -> None:
    ref = await waiting_job(shared_app)
    for _, path in routes_of(shared_app):
        filled = re.sub(r"\{\w+\}", ref.public_id, path)
        answer = await shared_app.http.options(filled)
        assert answer.status_code in {204, 401, 404}, path  # 404: without a token of ours
        assert ref.public_id not in answer.text
