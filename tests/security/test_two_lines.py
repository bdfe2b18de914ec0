"""Two barriers keep shops apart: a condition in each statement, and row-level security.

The checks are those of `tenant_isolation`. Each barrier is removed in turn and the other must hold
alone; without both, shops must meet, or else the checks could not fail.
"""

from collections.abc import AsyncIterator

import pytest

from backend.dev.services import LocalServices
from tests.running_app import OTHER_SHOP, SHOP, RunningApp
from tests.scenarios import finished_job, waiting_job
from tests.security import tenant_isolation
from tests.security.tenant_checks.callers import ANYBODY, Check, RouteCase, by_token
from tests.security.unscoped_statements import remove_shop_conditions

# Each check once: those that serve several routes ask all of them.
CHECKS = {
    check: pytest.param(check, callers[0], id=" ".join(route))
    for route, (check, callers) in tenant_isolation.CHECKS.items()
    if callers is not ANYBODY
}
WITHOUT_SECURITY = """
DO $$
DECLARE secured regclass;
BEGIN
    FOR secured IN SELECT oid FROM pg_class WHERE relrowsecurity LOOP
        EXECUTE format('ALTER TABLE %s DISABLE ROW LEVEL SECURITY', secured);
    END LOOP;
END
$$
"""


@pytest.fixture(scope="module", params=["postgres", "statements"])
async def shared_app(
    request: pytest.FixtureRequest, services: LocalServices, template: str
) -> AsyncIterator[RunningApp]:
    """A running app in which only one barrier keeps shops apart."""
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "postgres":
            remove_shop_conditions(patch)
        async for running_app in tenant_isolation.open_two_shops(services, template):
            if request.param == "statements":
                await running_app.execute(WITHOUT_SECURITY)
            yield running_app


@pytest.fixture
async def unprotected_app(
    services: LocalServices, template: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[RunningApp]:
    """A running app without either barrier."""
    remove_shop_conditions(monkeypatch)
    async for running_app in tenant_isolation.open_two_shops(services, template):
        await running_app.execute(WITHOUT_SECURITY)
        yield running_app


@pytest.mark.parametrize(("check", "case"), CHECKS.values())
async def test_each_barrier_alone_isolates_two_shops(
    shared_app: RunningApp, check: Check, case: RouteCase
) -> None:
    await tenant_isolation.assert_isolated(shared_app, check, case)


async def test_an_idempotency_key_is_scoped_to_one_shop(shared_app: RunningApp) -> None:
    body = {"product_id": "gid://shopify/Product/1"}
    key = {"Idempotency-Key": "the same"}
    answers = [
        await shared_app.http.post(
            "/v1/catalog-image", json=body, headers={**shared_app.bearer(shop), **key}
        )
        for shop in (SHOP, OTHER_SHOP)
    ]
    assert [answer.status_code for answer in answers] == [202, 202]
    assert len({answer.json()["job_id"] for answer in answers}) == 2


async def test_without_both_barriers_shops_would_mix(unprotected_app: RunningApp) -> None:
    finished, _ = await finished_job(unprotected_app, shop=OTHER_SHOP)
    for end in ("", "/events"):
        answer = await by_token(unprotected_app, "GET", f"/v1/jobs/{finished.public_id}{end}")
        assert answer.status_code == 200, "an outsider reads it"
    # The rest does not say which shop it means at all: leave it one.
    await unprotected_app.execute(
        "UPDATE shops SET status = 'uninstalled' WHERE domain = :d", d=SHOP
    )
    waiting = await waiting_job(unprotected_app, shop=OTHER_SHOP)
    answer = await by_token(unprotected_app, "POST", f"/v1/jobs/{waiting.public_id}/cancel")
    assert answer.status_code == 202, "an outsider ends it"
    answer = await by_token(unprotected_app, "GET", "/v1/jobs")
    assert len(answer.json()["jobs"]) == 2, "an outsider lists them"
