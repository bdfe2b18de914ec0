"""Two lines keep shops apart: a condition in each statement, and Postgres. Each holds alone.

The doors and checks are those of `test_tenancy`; here one line is taken away, then the other, and
then both, for a check that could not fail would prove nothing.
"""

from collections.abc import AsyncIterator

import pytest

from backend.dev.services import LocalServices
from tests.conftest import settings_for
from tests.doors import NoRenderer, finished_job, waiting_job
from tests.security import test_tenancy as tenancy
from tests.security.forgetting import forget_the_shop
from tests.world import OTHER_SHOP, SHOP, World, cloned_database, open_world

# Each check once: those that serve several routes ask all of them.
CHECKS = {
    check: pytest.param(check, doors[0], id=" ".join(route))
    for route, (check, doors) in tenancy.CHECKS.items()
    if doors is not tenancy.ANYBODY
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
async def house(
    request: pytest.FixtureRequest, services: LocalServices, template: str
) -> AsyncIterator[World]:
    """A world in which only one of them keeps shops apart."""
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "postgres":
            forget_the_shop(patch)
        async for world in worlds(services, template):
            if request.param == "statements":
                await world.execute(WITHOUT_SECURITY)
            yield world


@pytest.fixture
async def lost(
    services: LocalServices, template: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[World]:
    """Neither line."""
    forget_the_shop(monkeypatch)
    async for world in worlds(services, template):
        await world.execute(WITHOUT_SECURITY)
        yield world


async def worlds(services: LocalServices, template: str) -> AsyncIterator[World]:
    """A world with both shops."""
    async with (
        cloned_database(services.postgres.url(), template) as url,
        open_world(settings_for(services, url), NoRenderer()) as world,
    ):
        await world.install()
        await world.install(OTHER_SHOP)
        yield world


@pytest.mark.parametrize(("check", "door"), CHECKS.values())
async def test_one_line_keeps_shops_apart_at(
    house: World, check: tenancy.Check, door: tenancy.Door
) -> None:
    await tenancy.keep_apart(house, check, door)


async def test_an_idempotency_key_is_one_shops(house: World) -> None:
    body = {"product_id": "gid://shopify/Product/1"}
    key = {"Idempotency-Key": "the same"}
    answers = [
        await house.http.post("/v1/catalog-image", json=body, headers={**house.bearer(shop), **key})
        for shop in (SHOP, OTHER_SHOP)
    ]
    assert [answer.status_code for answer in answers] == [202, 202]
    assert len({answer.json()["job_id"] for answer in answers}) == 2


async def test_without_both_shops_would_meet(lost: World) -> None:
    finished, _ = await finished_job(lost, shop=OTHER_SHOP)
    for end in ("", "/events"):
        answer = await tenancy.by_token(lost, "GET", f"/v1/jobs/{finished.public_id}{end}")
        assert answer.status_code == 200, "an outsider reads it"
    # The rest does not say which shop it means at all: leave it one.
    await lost.execute("UPDATE shops SET status = 'uninstalled' WHERE domain = :d", d=SHOP)
    waiting = await waiting_job(lost, shop=OTHER_SHOP)
    answer = await tenancy.by_token(lost, "POST", f"/v1/jobs/{waiting.public_id}/cancel")
    assert answer.status_code == 202, "an outsider ends it"
    answer = await tenancy.by_token(lost, "GET", "/v1/jobs")
    assert len(answer.json()["jobs"]) == 2, "an outsider lists them"
