"""The fast path answers plain requests only, with exactly the same bytes as the route."""

import time
from typing import Any

import httpx
import pytest
import structlog

from backend.auth.rate_limits import RateLimits
from backend.jobs import plain_reads
from backend.jobs.fast_path import FastPath
from backend.jobs.ids import new_public_id
from backend.storage.presign import SIGNING_WINDOW, Presigner
from tests.running_app import OTHER_SHOP, SHOP, RunningApp
from tests.scenarios import finished_job, open_shared_app, refusal, waiting_job, without_database

shared_app = pytest.fixture(open_shared_app, scope="module")


@pytest.fixture(autouse=True)
def same_signing_window(monkeypatch: pytest.MonkeyPatch) -> None:
    """No window ends between two responses that are compared: the ETag names it."""
    window = int(time.time()) // SIGNING_WINDOW * SIGNING_WINDOW
    monkeypatch.setattr(Presigner, "current_window", lambda _self: window)


@pytest.fixture
def fast_path_urls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The addresses that were answered the short way."""
    paths: list[str] = []
    answer = FastPath.answer

    async def spy(self: FastPath, scope: Any, *how: Any) -> None:
        paths.append(scope["path"])
        await answer(self, scope, *how)

    monkeypatch.setattr(FastPath, "answer", spy)
    return paths


async def known_token(shared_app: RunningApp, shop: str = SHOP) -> dict[str, str]:
    """A token that has been verified once, as a page's is after its first request."""
    bearer = shared_app.bearer(shop)
    await shared_app.http.get("/v1/jobs/x", headers=bearer)
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


async def ids(shared_app: RunningApp) -> dict[str, str]:
    """A job of each kind, as the usual shop sees them."""
    await shared_app.install(OTHER_SHOP)
    finished, _ = await finished_job(shared_app)
    foreign, _ = await finished_job(shared_app, shop=OTHER_SHOP)
    waiting = await waiting_job(
        shared_app, request={"source_key": "uploads/a.png", "n": [{"b": 1}]}
    )
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
async def test_the_fast_path_answers_exactly_like_the_route(
    shared_app: RunningApp, fast_path_urls: list[str], path: tuple[str, str], tag: str | None
) -> None:
    bearer = await known_token(shared_app)
    fast_path_urls.clear()
    for kind, public_id in (await ids(shared_app)).items():
        url = f"/v1/jobs/{public_id}{path[0]}"
        headers = dict(bearer)
        if tag is not None:
            etag = (await shared_app.http.get(url, headers=bearer)).headers.get("etag", "")
            headers["If-None-Match"] = etag if tag == "current" else tag
        fast_path_urls.clear()
        short = await shared_app.http.get(url, headers=headers)
        assert len(fast_path_urls) == 1, kind
        route = await shared_app.http.get(url + path[1], headers=headers)
        assert len(fast_path_urls) == 1, kind
        assert comparable(short) == comparable(route), kind


# The same page of the review for the fast path and for the route.
REVIEWS = [
    ("", "?state=waiting"),
    ("?state=waiting&limit=1", "?limit=1&state=waiting"),
    ("?state=waiting&limit=100", "?limit=100&state=waiting"),
    ("?state=published&limit=24", "?limit=24&state=published"),
]


@pytest.mark.parametrize("queries", REVIEWS)
@pytest.mark.parametrize("tag", [None, "current", '"0123456789abcdef.300"', "garbage"])
async def test_the_fast_path_answers_a_review_exactly_like_the_route(
    shared_app: RunningApp, fast_path_urls: list[str], queries: tuple[str, str], tag: str | None
) -> None:
    for _ in range(2):
        await finished_job(shared_app)
    short_url, route_url = (f"/v1/review{query}" for query in queries)
    headers = await known_token(shared_app)
    first = await shared_app.http.get(route_url, headers=headers)
    if tag is not None:
        headers["If-None-Match"] = first.headers["etag"] if tag == "current" else tag
    fast_path_urls.clear()
    short = await shared_app.http.get(short_url, headers=headers)
    assert fast_path_urls == ["/v1/review"]
    route = await shared_app.http.get(route_url, headers=headers)
    assert fast_path_urls == ["/v1/review"]
    assert short.status_code == (304 if tag == "current" else 200)
    assert comparable(short) == comparable(route)


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("?state=waiting&limit=0", 422),
        ("?state=waiting&limit=101", 422),
        ("?state=WAITING&limit=24", 422),
        ("?state=waiting&limit=24&x=1", 422),
        ("?state=waiting&limit=24&limit=24", 400),
        (f"?state=waiting&limit=24&cursor={26 * '0'}", 200),
    ],
)
async def test_another_query_of_the_review_takes_the_normal_route(
    shared_app: RunningApp, fast_path_urls: list[str], query: str, status: int
) -> None:
    bearer = await known_token(shared_app)
    fast_path_urls.clear()
    answer = await shared_app.http.get(f"/v1/review{query}", headers=bearer)
    assert (answer.status_code, fast_path_urls) == (status, [])


async def test_the_fast_path_refuses_an_uninstalled_shop_at_once(
    shared_app: RunningApp, fast_path_urls: list[str]
) -> None:
    shop = "leaving.myshopify.com"
    await shared_app.install(shop)
    ref = await waiting_job(shared_app, shop=shop)
    bearer = await known_token(shared_app, shop)
    assert (
        await shared_app.http.get(f"/v1/jobs/{ref.public_id}", headers=bearer)
    ).status_code == 200
    await shared_app.execute("UPDATE shops SET status = 'uninstalled' WHERE domain = :d", d=shop)
    fast_path_urls.clear()
    for url in (f"/v1/jobs/{ref.public_id}", "/v1/review"):
        answer = await shared_app.http.get(url, headers=bearer)
        assert refusal(answer) == (401, "SHOP_NOT_INSTALLED")
    assert len(fast_path_urls) == 2


UNSIGNED = "eyJhbGciOiJub25lIn0.e30."


async def test_an_unseen_token_is_verified_in_the_fast_path(
    shared_app: RunningApp, fast_path_urls: list[str]
) -> None:
    ref = await waiting_job(shared_app)
    url = f"/v1/jobs/{ref.public_id}"
    bearer = shared_app.bearer()
    for times in (1, 2):
        assert (await shared_app.http.get(url, headers=bearer)).status_code == 200
        assert len(fast_path_urls) == times


@pytest.mark.parametrize("kind", ["altered", "unsigned", "another scheme", "none"])
async def test_a_refused_token_gets_the_same_answer_from_both_paths(
    shared_app: RunningApp, fast_path_urls: list[str], kind: str
) -> None:
    ref = await waiting_job(shared_app)
    url = f"/v1/jobs/{ref.public_id}"
    value = shared_app.bearer()["Authorization"]
    sent = {
        "altered": value[:-2] + "xx",
        "unsigned": f"Bearer {UNSIGNED}",
        "another scheme": value.replace("Bearer", "Basic"),
        "none": "Bearer",
    }[kind]
    fast = await shared_app.http.get(url, headers={"Authorization": sent})
    route = await shared_app.http.get(f"{url}?x=1", headers={"Authorization": sent})
    assert len(fast_path_urls) == 1
    assert refusal(fast)[0] == 401
    assert comparable(fast) == comparable(route)


UNPLAIN: dict[str, tuple[int, list[tuple[str, str]]]] = {
    "a token twice": (400, [("Authorization", "same")]),
    "another token besides": (400, [("Authorization", "Bearer x")]),
    "a signature besides": (400, [("X-Shopify-Hmac-Sha256", "A" * 44)]),
    "an If-None-Match twice": (200, [("If-None-Match", '"a"'), ("If-None-Match", '"b"')]),
    "a content type twice": (400, [("Content-Type", "a/b"), ("Content-Type", "a/b")]),
    "a host that is none": (400, [("Host", "a b")]),
}


@pytest.mark.parametrize("kind", UNPLAIN)
async def test_an_unusual_request_takes_the_normal_route(
    shared_app: RunningApp, fast_path_urls: list[str], kind: str
) -> None:
    ref = await waiting_job(shared_app)
    bearer = await known_token(shared_app)
    fast_path_urls.clear()
    status, more = UNPLAIN[kind]
    token = bearer["Authorization"]
    headers = [*bearer.items(), *((n, token if v == "same" else v) for n, v in more)]
    answer = await shared_app.http.get(f"/v1/jobs/{ref.public_id}", headers=headers)
    assert (answer.status_code, fast_path_urls) == (status, [])


@pytest.mark.parametrize(
    "path", ["", "/", "/x", "/x/", "/x//events", "/x/events/", "/x/publication"]
)
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "OPTIONS"])
async def test_other_paths_and_methods_take_the_normal_route(
    shared_app: RunningApp, fast_path_urls: list[str], method: str, path: str
) -> None:
    bearer = await known_token(shared_app)
    fast_path_urls.clear()
    await shared_app.http.request(method, f"/v1/jobs{path}", headers=bearer)
    is_read = method in {"GET", "HEAD"} and path == "/x"
    assert fast_path_urls == (["/v1/jobs/x"] if is_read else [])


async def test_a_signed_request_takes_the_normal_route(
    shared_app: RunningApp, fast_path_urls: list[str]
) -> None:
    await shared_app.http.get("/v1/jobs/x", headers={"X-Shopify-Hmac-Sha256": "A" * 44})
    assert fast_path_urls == []


async def test_both_paths_count_against_one_rate_limit(
    shared_app: RunningApp, fast_path_urls: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    bearer = await known_token(shared_app)
    counted: list[tuple[RateLimits, str]] = []
    monkeypatch.setattr(RateLimits, "count", lambda self, shop, _: counted.append((self, shop)))
    fast_path_urls.clear()
    await shared_app.http.get("/v1/jobs/x", headers=bearer)
    await shared_app.http.get("/v1/jobs/x?y", headers=bearer)
    assert (len(counted), len(set(counted)), len(fast_path_urls)) == (2, 1, 1)


async def test_the_fast_path_answers_503_without_the_database(
    shared_app: RunningApp, fast_path_urls: list[str]
) -> None:
    bearer = shared_app.bearer()
    async with without_database(shared_app) as client:
        answers = [await client.get(f"/v1/jobs/x{how}", headers=bearer) for how in ("", "?x")]
    assert len(fast_path_urls) == 1
    assert [refusal(answer) for answer in answers] == [(503, "DATABASE_UNAVAILABLE")] * 2
    assert answers[1].headers["retry-after"] == "2"
    assert comparable(answers[0]) == comparable(answers[1])


async def test_a_bug_in_the_fast_path_is_logged_and_reveals_nothing(
    shared_app: RunningApp, fast_path_urls: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    bearer = await known_token(shared_app)

    async def broken(*_args: Any, **_how: Any) -> None:
        raise RuntimeError("the password is hunter2")

    monkeypatch.setattr(plain_reads, "read_detail", broken)
    fast_path_urls.clear()
    with structlog.testing.capture_logs([structlog.contextvars.merge_contextvars]) as lines:
        answer = await shared_app.http.get(
            "/v1/jobs/x", headers={**bearer, "X-Request-Id": "mine-12345"}
        )
    assert len(fast_path_urls) == 1
    assert refusal(answer) == (500, "INTERNAL_ERROR")
    assert "hunter2" not in answer.text
    assert answer.headers["x-request-id"] == "mine-12345"
    assert [(line["event"], line["request_id"]) for line in lines] == [
        ("unexpected_error", "mine-12345"),
        ("request", "mine-12345"),
    ]
