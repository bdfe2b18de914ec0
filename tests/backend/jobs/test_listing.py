"""A shop's jobs, page by page."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from tests.doors import begun_job, finished_job, refusal, shared_world, waiting_job
from tests.world import World

house = pytest.fixture(shared_world, scope="module")


@pytest.fixture
async def shop(house: World) -> str:
    """A shop of the test's own."""
    domain = f"list-{id(object())}-{datetime.now(UTC).microsecond}.myshopify.com"
    await house.install(domain)
    return domain


async def listed(house: World, shop: str, **query: Any) -> httpx.Response:
    """A page."""
    return await house.http.get("/v1/jobs", params=query, headers=house.bearer(shop))


def ids(response: httpx.Response) -> list[str]:
    """The ids on the page."""
    assert response.status_code == 200, response.text
    return [job["public_id"] for job in response.json()["jobs"]]


async def some_jobs(house: World, shop: str, count: int) -> list[str]:
    """Jobs of different milliseconds, newest first."""
    made = []
    for _ in range(count):
        made.append((await waiting_job(house, shop=shop)).public_id)
        await asyncio.sleep(0.002)  # ids begin with the millisecond
    return made[::-1]


async def test_newest_first_with_the_few_fields_of_a_list(house: World, shop: str) -> None:
    made = await some_jobs(house, shop, 3)
    answer = await listed(house, shop)
    assert ids(answer) == made
    body = answer.json()
    assert (body["limit"], body["offset"], body["count"]) == (50, 0, 3)
    assert set(body["jobs"][0]) == {"public_id", "job_type", "status", "created_at"}
    assert "link" not in answer.headers


async def test_the_links_lead_through_every_job_once_while_new_ones_come(
    house: World, shop: str
) -> None:
    made = await some_jobs(house, shop, 5)
    seen: list[str] = []
    answer = await listed(house, shop, limit=2, job_type="CATALOG_IMAGE")
    while True:
        seen += ids(answer)
        if "link" not in answer.headers:
            break
        await waiting_job(house, shop=shop)
        path, _, relation = answer.headers["link"].partition("; ")
        assert relation == 'rel="next"'
        answer = await house.http.get(path.strip("<>"), headers=house.bearer(shop))
    assert seen == made


async def test_offset_and_filters(house: World, shop: str) -> None:
    made = await some_jobs(house, shop, 3)
    assert ids(await listed(house, shop, offset=1, limit=1)) == [made[1]]
    running = (await begun_job(house, shop=shop)).ref.public_id
    done = (await finished_job(house, shop=shop))[0].public_id
    assert ids(await listed(house, shop, status="IN_PROGRESS")) == [running]
    assert ids(await listed(house, shop, status="SUCCESS")) == [done]
    assert ids(await listed(house, shop, job_type="OTHER")) == []
    soon = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    assert ids(await listed(house, shop, created_after=soon)) == []
    assert len(ids(await listed(house, shop, created_after="2026-01-01T00:00:00"))) == 5


async def test_an_empty_shop_has_an_empty_list_and_a_strange_one_is_refused(
    house: World, shop: str
) -> None:
    assert ids(await listed(house, shop)) == []
    house.shopify.create_shop("nobody-knows.myshopify.com")
    stranger = await listed(house, "nobody-knows.myshopify.com")
    assert refusal(stranger) == (401, "SHOP_NOT_INSTALLED")


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ({"limit": 0}, "limit"),
        ({"limit": 201}, "limit"),
        ({"offset": -1}, "offset"),
        ({"status": "DONE"}, "status"),
        ({"job_type": "x'; --"}, "job_type"),
        ({"created_after": "yesterday"}, "created_after"),
        ({"created_after": "0.5"}, "created_after"),
        ({"created_after": "0001-01-01T00:00:00+23:00"}, "created_after"),
        ({"created_after": "null"}, "created_after"),
        ({"status": "null"}, "status"),
        ({"cursor": "x"}, "cursor"),
        ({"cursor": "0" * 26, "offset": 1}, "offset"),
    ],
)
async def test_a_wrong_parameter_is_named(
    house: World, shop: str, query: dict[str, Any], named: str
) -> None:
    answer = await listed(house, shop, **query)
    assert refusal(answer) == (422, "INVALID_REQUEST")
    assert [item["loc"] for item in answer.json()["detail"]] == [["query", named]]
