"""Two shops, every route: what one of them asks for never touches or tells of the other.

A route that is not in `CHECKS` fails the first test, so that nobody adds one without saying how
it keeps two shops apart.
"""

import json
from collections.abc import Awaitable, Callable

import pytest
from litestar import Litestar

from backend.app import create_app
from backend.jobs.service import JobRef
from tests.doors import deliver, fingerprint, finished_job, refusal, shared_world, waiting_job
from tests.world import OTHER_SHOP, SHOP, World

house = pytest.fixture(shared_world, scope="module")

Route = tuple[str, str]
NAMES_OF_THE_OTHER = {"Host": OTHER_SHOP, "X-Shopify-Shop-Domain": OTHER_SHOP}


async def a_job_is_its_shops_alone(house: World, others: list[JobRef]) -> None:
    """Whatever state it is in, and whatever the request calls itself."""
    headers = {**house.bearer(SHOP), **NAMES_OF_THE_OTHER}
    for ref in others:
        path = f"/v1/jobs/{ref.public_id}?shop={OTHER_SHOP}"
        assert refusal(await house.http.get(path, headers=headers)) == (404, "JOB_NOT_FOUND")
        assert (await house.detail(ref.public_id, shop=OTHER_SHOP)).status_code == 200


async def a_timeline_is_its_shops_alone(house: World, others: list[JobRef]) -> None:
    """To read and to wait for."""
    headers = {**house.bearer(SHOP), **NAMES_OF_THE_OTHER}
    for ref in others:
        for query in ("", "?wait=20&since=1"):
            path = f"/v1/jobs/{ref.public_id}/events{query}"
            assert refusal(await house.http.get(path, headers=headers)) == (404, "JOB_NOT_FOUND")


async def a_cancel_is_its_shops_alone(house: World, others: list[JobRef]) -> None:
    """The other's jobs go on."""
    headers = {**house.bearer(SHOP), **NAMES_OF_THE_OTHER}
    for ref in others:
        path = f"/v1/jobs/{ref.public_id}/cancel?shop={OTHER_SHOP}"
        assert refusal(await house.http.post(path, headers=headers)) == (404, "JOB_NOT_FOUND")


async def a_list_is_its_shops_alone(house: World, others: list[JobRef]) -> None:
    """From its own start, and from a cursor that is the other's."""
    headers = {**house.bearer(SHOP), **NAMES_OF_THE_OTHER}
    foreign = {ref.public_id for ref in others}
    for query in ("?limit=200", f"?limit=200&cursor={max(foreign)}"):
        jobs = (await house.http.get(f"/v1/jobs{query}", headers=headers)).json()["jobs"]
        assert foreign.isdisjoint(job["public_id"] for job in jobs)


async def an_installation_is_its_shops_alone(house: World, _others: list[JobRef]) -> None:
    """The token's shop is the one that is installed."""
    headers = {**house.bearer(SHOP), **NAMES_OF_THE_OTHER}
    response = await house.http.post(f"/v1/installation?shop={OTHER_SHOP}", headers=headers)
    assert response.json()["shop"] == SHOP


async def a_delivery_is_its_shops_alone(house: World, _others: list[JobRef]) -> None:
    """Also when its body is about the other shop's product."""
    own = await fingerprint(house, SHOP)
    product = house.product(b"unread", shop=OTHER_SHOP)
    body = json.dumps({"id": product.id, "shop_domain": OTHER_SHOP}).encode()
    assert (await deliver(house, body, shop=SHOP)).status_code == 200
    await house.drain(only_webhooks=True)
    assert await fingerprint(house, SHOP) == own


async def health_knows_no_shops(house: World, _others: list[JobRef]) -> None:
    """The same few bytes for everybody."""
    for path in ("/health/live", "/health/ready"):
        keys: list[dict[str, str]] = [{}, house.bearer(SHOP), house.bearer(OTHER_SHOP)]
        answers = {(await house.http.get(path, headers=key)).content for key in keys}
        assert answers == {b'{"status":"ok"}'}


CHECKS: dict[Route, Callable[[World, list[JobRef]], Awaitable[None]]] = {
    ("GET", "/v1/jobs/{public_id}"): a_job_is_its_shops_alone,
    ("GET", "/v1/jobs/{public_id}/events"): a_timeline_is_its_shops_alone,
    ("POST", "/v1/jobs/{public_id}/cancel"): a_cancel_is_its_shops_alone,
    ("GET", "/v1/jobs"): a_list_is_its_shops_alone,
    ("POST", "/v1/installation"): an_installation_is_its_shops_alone,
    ("POST", "/webhooks"): a_delivery_is_its_shops_alone,
    ("GET", "/health/live"): health_knows_no_shops,
    ("GET", "/health/ready"): health_knows_no_shops,
}


def routes_of(world: World) -> set[Route]:
    """Every route of the app, but for the OPTIONS that Litestar adds to each."""
    app = create_app(world.settings).app  # type: ignore[attr-defined]
    assert isinstance(app, Litestar)
    return {
        (str(method), route.path_format)
        for route in app.routes
        for method in getattr(route, "methods", {"MOUNTED"})
        if method != "OPTIONS"
    }


async def test_every_route_says_how_it_keeps_shops_apart(house: World) -> None:
    assert routes_of(house) == set(CHECKS)


@pytest.mark.parametrize("route", CHECKS, ids=" ".join)
async def test_two_shops_never_meet_at(house: World, route: Route) -> None:
    await house.install(OTHER_SHOP)
    finished, _ = await finished_job(house, shop=OTHER_SHOP)
    others = [finished, await waiting_job(house, shop=OTHER_SHOP)]
    before = await fingerprint(house, OTHER_SHOP)
    await CHECKS[route](house, others)
    assert await fingerprint(house, OTHER_SHOP) == before


async def test_options_opens_no_route(house: World) -> None:
    ref = await waiting_job(house)
    for _, path in routes_of(house):
        answer = await house.http.options(path.format(public_id=ref.public_id))
        assert answer.status_code in {204, 401}, path
        assert ref.public_id not in answer.text
