"""The short way answers what the route answers, to the byte, and takes plain requests only."""

from typing import Any

import httpx
import pytest
import structlog

from backend.auth.rate_limits import RateLimits
from backend.jobs import short_way
from backend.jobs.ids import new_public_id
from backend.jobs.short_way import ShortWay
from tests.doors import finished_job, refusal, shared_world, waiting_job, without_database
from tests.world import OTHER_SHOP, SHOP, World

house = pytest.fixture(shared_world, scope="module")


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The addresses that were answered the short way."""
    paths: list[str] = []
    answer = ShortWay.answer

    async def spy(self: ShortWay, scope: Any, *how: Any) -> None:
        paths.append(scope["path"])
        await answer(self, scope, *how)

    monkeypatch.setattr(ShortWay, "answer", spy)
    return paths


async def known_token(house: World, shop: str = SHOP) -> dict[str, str]:
    """A token that has been verified once, as a page's is after its first request."""
    bearer = house.bearer(shop)
    await house.http.get("/v1/jobs/x", headers=bearer)
    return bearer


def comparable(answer: httpx.Response) -> tuple[int, bytes, list[tuple[str, str]]]:
    """All of it but the request's id and the date; headers in no order."""
    request_id = answer.headers["x-request-id"]
    headers = httpx.Headers(answer.headers)
    del headers["x-request-id"], headers["date"]
    body = answer.content.replace(request_id.encode(), b"")
    return answer.status_code, body, sorted(headers.multi_items())


# The query of each is one that the short way leaves to the route; it changes no answer.
PATHS = [("", "?x=1"), ("/events", "?x=1"), ("/events?since=1", "&x=1"), ("/events?since=99", "&x")]
TAGS = [None, "current", 'W/"1.2.3", *', "*", '"1.2.3"', "", "garbage"]


async def ids(house: World) -> dict[str, str]:
    """A job of each kind, as the usual shop sees them."""
    await house.install(OTHER_SHOP)
    finished, _ = await finished_job(house)
    foreign, _ = await finished_job(house, shop=OTHER_SHOP)
    waiting = await waiting_job(house, request={"source_key": "uploads/a.png", "n": [{"b": 1}]})
    return {
        "finished": finished.public_id,
        "waiting": waiting.public_id,
        "foreign": foreign.public_id,
        "missing": new_public_id(),
        "malformed": "x' OR 1=1 --",
        "of no characters of ours": "é\u2028",
    }


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("tag", TAGS)
async def test_it_answers_what_the_route_answers(
    house: World, taken: list[str], path: tuple[str, str], tag: str | None
) -> None:
    bearer = await known_token(house)
    taken.clear()
    for kind, public_id in (await ids(house)).items():
        url = f"/v1/jobs/{public_id}{path[0]}"
        headers = dict(bearer)
        if tag is not None:
            etag = (await house.http.get(url, headers=bearer)).headers.get("etag", "")
            headers["If-None-Match"] = etag if tag == "current" else tag
        taken.clear()
        short = await house.http.get(url, headers=headers)
        assert len(taken) == 1, kind
        route = await house.http.get(url + path[1], headers=headers)
        assert len(taken) == 1, kind
        assert comparable(short) == comparable(route), kind


async def test_a_shop_that_has_left_is_refused_at_once(house: World, taken: list[str]) -> None:
    shop = "leaving.myshopify.com"
    await house.install(shop)
    ref = await waiting_job(house, shop=shop)
    bearer = await known_token(house, shop)
    assert (await house.http.get(f"/v1/jobs/{ref.public_id}", headers=bearer)).status_code == 200
    await house.execute("UPDATE shops SET status = 'uninstalled' WHERE domain = :d", d=shop)
    taken.clear()
    answer = await house.http.get(f"/v1/jobs/{ref.public_id}", headers=bearer)
    assert refusal(answer) == (401, "SHOP_NOT_INSTALLED")
    assert len(taken) == 1


async def test_a_token_that_was_not_seen_yet_goes_the_routes_way(
    house: World, taken: list[str]
) -> None:
    ref = await waiting_job(house)
    bearer = house.bearer()
    for times in (0, 1):
        answer = await house.http.get(f"/v1/jobs/{ref.public_id}", headers=bearer)
        assert answer.status_code == 200
        assert len(taken) == times
    forged = {"Authorization": bearer["Authorization"][:-2] + "xx"}
    for _ in range(2):
        answer = await house.http.get(f"/v1/jobs/{ref.public_id}", headers=forged)
        assert refusal(answer)[0] == 401
    assert len(taken) == 1


UNPLAIN: dict[str, tuple[int, list[tuple[str, str]]]] = {
    "a token twice": (400, [("Authorization", "same")]),
    "another token besides": (400, [("Authorization", "Bearer x")]),
    "a signature besides": (400, [("X-Shopify-Hmac-Sha256", "A" * 44)]),
    "an If-None-Match twice": (200, [("If-None-Match", '"a"'), ("If-None-Match", '"b"')]),
    "a host that is none": (400, [("Host", "a b")]),
}


@pytest.mark.parametrize("kind", UNPLAIN)
async def test_whatever_is_not_plain_goes_the_routes_way(
    house: World, taken: list[str], kind: str
) -> None:
    ref = await waiting_job(house)
    bearer = await known_token(house)
    taken.clear()
    status, more = UNPLAIN[kind]
    token = bearer["Authorization"]
    headers = [*bearer.items(), *((n, token if v == "same" else v) for n, v in more)]
    answer = await house.http.get(f"/v1/jobs/{ref.public_id}", headers=headers)
    assert (answer.status_code, taken) == (status, [])


@pytest.mark.parametrize(
    "path", ["", "/", "/x", "/x/", "/x//events", "/x/events/", "/x/publication"]
)
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "OPTIONS"])
async def test_other_addresses_and_methods_go_the_routes_way(
    house: World, taken: list[str], method: str, path: str
) -> None:
    bearer = await known_token(house)
    taken.clear()
    await house.http.request(method, f"/v1/jobs{path}", headers=bearer)
    assert taken == ([f"/v1/jobs{path}"] if (method, path) == ("GET", "/x") else [])


async def test_a_signed_request_goes_the_routes_way(house: World, taken: list[str]) -> None:
    await house.http.get("/v1/jobs/x", headers={"X-Shopify-Hmac-Sha256": "A" * 44})
    assert taken == []


async def test_both_ways_count_against_one_budget(
    house: World, taken: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    bearer = await known_token(house)
    counted: list[tuple[RateLimits, str]] = []
    monkeypatch.setattr(RateLimits, "count", lambda self, shop, _: counted.append((self, shop)))
    taken.clear()
    await house.http.get("/v1/jobs/x", headers=bearer)
    await house.http.get("/v1/jobs/x?y", headers=bearer)
    assert (len(counted), len(set(counted)), len(taken)) == (2, 1, 1)


async def test_without_a_database_it_is_an_honest_503(house: World, taken: list[str]) -> None:
    bearer = house.bearer()
    async with without_database(house) as client:
        answers = [await client.get("/v1/jobs/x", headers=bearer) for _ in range(2)]
    assert len(taken) == 1
    assert [refusal(answer) for answer in answers] == [(503, "DATABASE_UNAVAILABLE")] * 2
    assert answers[1].headers["retry-after"] == "2"
    assert comparable(answers[0]) == comparable(answers[1])


async def test_a_bug_tells_nothing_and_is_in_the_log_with_its_request_id(
    house: World, taken: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    bearer = await known_token(house)

    async def broken(*_args: Any, **_how: Any) -> None:
        raise RuntimeError("the password is hunter2")

    monkeypatch.setattr(short_way, "read_detail", broken)
    taken.clear()
    with structlog.testing.capture_logs([structlog.contextvars.merge_contextvars]) as lines:
        answer = await house.http.get(
            "/v1/jobs/x", headers={**bearer, "X-Request-Id": "mine-12345"}
        )
    assert len(taken) == 1
    assert refusal(answer) == (500, "INTERNAL_ERROR")
    assert "hunter2" not in answer.text
    assert answer.headers["x-request-id"] == "mine-12345"
    assert [(line["event"], line["request_id"]) for line in lines] == [
        ("unexpected_error", "mine-12345"),
        ("request", "mine-12345"),
    ]
