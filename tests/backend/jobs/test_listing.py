"""A shop's jobs, page by page."""

import asyncio
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import httpx
import pytest

from tests.running_app import RunningApp
from tests.scenarios import claimed_job, finished_job, open_shared_app, refusal, waiting_job

shared_app = pytest.fixture(open_shared_app, scope="module")


@pytest.fixture
async def shop(shared_app: RunningApp) -> str:
    """A shop of the test's own."""
    domain = f"list-{id(object())}-{datetime.now(UTC).microsecond}.myshopify.com"
    await shared_app.install(domain)
    return domain


async def list_jobs(shared_app: RunningApp, shop: str, **query: Any) -> httpx.Response:
    """A page."""
    return await shared_app.http.get("/v1/jobs", params=query, headers=shared_app.bearer(shop))


def ids(response: httpx.Response) -> list[str]:
    """The ids on the page."""
    assert response.status_code == 200, response.text
    return [job["public_id"] for job in response.json()["jobs"]]


async def create_jobs(shared_app: RunningApp, shop: str, count: int) -> list[str]:
    """Jobs of different milliseconds, newest first."""
    made = []
    for _ in range(count):
        made.append((await waiting_job(shared_app, shop=shop)).public_id)
        await asyncio.sleep(0.002)  # ids begin with the millisecond
    return made[::-1]


async def test_the_list_is_newest_first_with_summary_fields(
    shared_app: RunningApp, shop: str
) -> None:
    made = await create_jobs(shared_app, shop, 3)
    answer = await list_jobs(shared_app, shop)
    assert ids(answer) == made
    body = answer.json()
    assert (body["limit"], body["offset"], body["count"]) == (50, 0, 3)
    fields = {"public_id", "job_type", "status", "created_at", "product_title"}
    assert set(body["jobs"][0]) == fields
    assert "link" not in answer.headers


async def test_the_list_has_the_title_of_each_jobs_product_once_it_was_read(
    shared_app: RunningApp, shop: str
) -> None:
    unread, read = await create_jobs(shared_app, shop, 2)
    await shared_app.execute(
        "UPDATE jobs SET product_title = :title WHERE public_id = :id", title="Größe „M“", id=read
    )
    jobs = (await list_jobs(shared_app, shop)).json()["jobs"]
    titles = {job["public_id"]: job["product_title"] for job in jobs}
    assert titles == {unread: None, read: "Größe „M“"}


async def test_pages_cover_every_job_once_while_new_jobs_arrive(
    shared_app: RunningApp, shop: str
) -> None:
    made = await create_jobs(shared_app, shop, 5)
    seen: list[str] = []
    answer = await list_jobs(shared_app, shop, limit=2, job_type="CATALOG_IMAGE")
    while True:
        seen += ids(answer)
        if "link" not in answer.headers:
            break
        await waiting_job(shared_app, shop=shop)
        path, _, relation = answer.headers["link"].partition("; ")
        assert relation == 'rel="next"'
        answer = await shared_app.http.get(path.strip("<>"), headers=shared_app.bearer(shop))
    assert seen == made


async def test_the_list_supports_offset_and_filters(shared_app: RunningApp, shop: str) -> None:
    made = await create_jobs(shared_app, shop, 3)
    assert ids(await list_jobs(shared_app, shop, offset=1, limit=1)) == [made[1]]
    running = (await claimed_job(shared_app, shop=shop)).ref.public_id
    done = (await finished_job(shared_app, shop=shop))[0].public_id
    assert ids(await list_jobs(shared_app, shop, status="IN_PROGRESS")) == [running]
    assert ids(await list_jobs(shared_app, shop, status="SUCCESS")) == [done]
    assert ids(await list_jobs(shared_app, shop, job_type="OTHER")) == []
    soon = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    assert ids(await list_jobs(shared_app, shop, created_after=soon)) == []
    assert len(ids(await list_jobs(shared_app, shop, created_after="2026-01-01T00:00:00"))) == 5


async def test_a_new_shop_has_an_empty_list_and_an_unknown_shop_gets_401(
    shared_app: RunningApp, shop: str
) -> None:
    assert ids(await list_jobs(shared_app, shop)) == []
    shared_app.shopify.create_shop("nobody-knows.myshopify.com")
    stranger = await list_jobs(shared_app, "nobody-knows.myshopify.com")
    assert refusal(stranger) == (401, "SHOP_NOT_INSTALLED")


@pytest.mark.parametrize("seconds", ["00", "00.123456"])
async def test_a_plus_in_a_time_need_not_be_percent_encoded(
    shared_app: RunningApp, shop: str, seconds: str
) -> None:
    made = await create_jobs(shared_app, shop, 1)
    zone = timezone(timedelta(hours=2))
    for hours, expected in ((-1, made), (1, [])):
        then = datetime.now(zone) + timedelta(hours=hours)
        query = then.strftime(f"created_after=%Y-%m-%dT%H:%M:{seconds}+02:00")
        answer = await shared_app.http.get(f"/v1/jobs?{query}", headers=shared_app.bearer(shop))
        assert ids(answer) == expected


@pytest.mark.parametrize("twice", ["status=SUCCESS&status=FAILURE", "limit=1&limit=1", "x&x"])
async def test_a_query_parameter_may_not_be_sent_twice(
    shared_app: RunningApp, shop: str, twice: str
) -> None:
    ref = await waiting_job(shared_app, shop=shop)
    for path in ("/v1/jobs", "/v1/batches", f"/v1/jobs/{ref.public_id}/events"):
        answer = await shared_app.http.get(f"{path}?{twice}", headers=shared_app.bearer(shop))
        assert refusal(answer) == (400, "BAD_REQUEST")
        assert twice[: len(twice) // 2].split("=")[0] in answer.json()["error"]["message"]


async def test_every_list_refuses_an_unknown_filter(shared_app: RunningApp, shop: str) -> None:
    for path in ("/v1/jobs", "/v1/batches", "/v1/privacy/requests"):
        answer = await shared_app.http.get(f"{path}?x=1", headers=shared_app.bearer(shop))
        assert refusal(answer) == (422, "INVALID_REQUEST")
        assert "limit" in answer.json()["detail"][0]["msg"]


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
        ({"stauts": "SUCCESS"}, "stauts"),
        ({"x" * 100: 1}, "x" * 64),
        ({"created_after": "2026-01-01T00:00:00 junk"}, "created_after"),
        ({"cursor": "x"}, "cursor"),
        ({"cursor": "0" * 26, "offset": 1}, "offset"),
    ],
)
async def test_an_invalid_query_parameter_is_reported_by_name(
    shared_app: RunningApp, shop: str, query: dict[str, Any], named: str
) -> None:
    answer = await list_jobs(shared_app, shop, **query)
    assert refusal(answer) == (422, "INVALID_REQUEST")
    assert [item["loc"] for item in answer.json()["detail"]] == [["query", named]]
