"""What every answer has: a request id, the security headers, one envelope, one line in the log."""

import asyncio
import json
import logging
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import structlog
from litestar import Litestar, get

from backend.errors import AtelierError
from backend.web import EXCEPTION_HANDLERS, SECURITY_HEADERS, RequestContext
from tests.running_app import RunningApp
from tests.scenarios import deliver, header, open_shared_app, refusal, waiting_job, without_database
from tests.wait import wait_until

shared_app = pytest.fixture(open_shared_app, scope="module")

SECRET_DETAIL = "the password is hunter2"


@get("/breaks")
async def breaks() -> None:
    """A bug."""
    raise RuntimeError(SECRET_DETAIL)


@get("/fails")
async def fails() -> None:
    """An error of ours that has no status of its own."""
    raise AtelierError


@pytest.fixture
async def failing_app() -> Any:
    """A client of an app with bugs in it, put together as the product's own."""
    app = Litestar(
        [breaks, fails],
        exception_handlers=EXCEPTION_HANDLERS,
        response_headers=SECURITY_HEADERS,
        openapi_config=None,
        logging_config=None,
    )
    transport = httpx.ASGITransport(RequestContext(app))  # type: ignore[arg-type]
    async with httpx.AsyncClient(transport=transport, base_url="http://app") as client:
        yield client


async def answers_of_every_kind(shared_app: RunningApp) -> dict[str, httpx.Response]:
    """One of each status that the app gives."""
    ref = await waiting_job(shared_app)
    async with without_database(shared_app) as client:
        unavailable = await client.get("/health/ready")
    return {
        "200": await shared_app.detail(ref.public_id),
        "200 without a guard": await shared_app.http.get("/health/live"),
        "200 without a body": await deliver(shared_app, b'{"id":1}'),
        "400": await deliver(shared_app, b"[]"),
        "401": await shared_app.http.get("/v1/jobs/x"),
        "404": await shared_app.detail("x"),
        "404 of no route": await shared_app.http.get("/nowhere"),
        "405": await shared_app.http.put("/webhooks"),
        "413": await deliver(shared_app, b"x" * 5_000_001),
        "503": unavailable,
    }


async def test_every_response_has_a_fresh_request_id(shared_app: RunningApp) -> None:
    answers = await answers_of_every_kind(shared_app)
    ids = [answer.headers.get_list("x-request-id") for answer in answers.values()]
    assert all(len(each) == 1 and len(each[0]) == 24 for each in ids)
    assert len({each[0] for each in ids}) == len(answers)


def test_responses_may_not_be_framed_sniffed_or_stored() -> None:
    assert SECURITY_HEADERS == {
        "cache-control": "private, no-store",
        "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
        "x-content-type-options": "nosniff",
    }


async def test_every_response_has_the_security_headers(shared_app: RunningApp) -> None:
    answers = await answers_of_every_kind(shared_app)
    lacking = {
        kind: name
        for kind, answer in answers.items()
        for name, value in SECURITY_HEADERS.items()
        # A job may be kept by the browser that asked, if it asks again before it shows it.
        if answer.headers.get(name) not in {value, value.replace("no-store", "no-cache")}
        or (answer.is_error and answer.headers.get(name) != value)
    }
    assert lacking == {}


HARMLESS = ["a1b2c3d4", "0123-4567_89ab", "x" * 64]
HARMFUL = ["short", "x" * 65, "has space", "quo'te12", "a=b&c=d;e", "<script>", "\xff" * 12, ""]


@pytest.mark.parametrize("request_id", HARMLESS)
async def test_a_harmless_request_id_is_kept(shared_app: RunningApp, request_id: str) -> None:
    answer = await shared_app.http.get("/v1/jobs/x", headers={"X-Request-Id": request_id})
    assert answer.headers.get_list("x-request-id") == [request_id]
    assert answer.json()["error"]["request_id"] == request_id


@pytest.mark.parametrize("request_id", HARMFUL)
async def test_any_other_request_id_is_replaced(shared_app: RunningApp, request_id: str) -> None:
    answer = await shared_app.http.get("/v1/jobs/x", headers=[header("X-Request-Id", request_id)])
    assert len(answer.headers["x-request-id"]) == 24
    refusal(answer)


async def test_an_internal_error_reveals_no_details(failing_app: httpx.AsyncClient) -> None:
    for path in ("/breaks", "/fails"):
        answer = await failing_app.get(path)
        assert refusal(answer) == (500, "INTERNAL_ERROR")
        for detail in (SECRET_DETAIL, "RuntimeError", "Traceback", "test_web"):
            assert detail not in answer.text


async def test_an_internal_error_is_logged_with_its_request_id(
    failing_app: httpx.AsyncClient,
) -> None:
    with structlog.testing.capture_logs([structlog.contextvars.merge_contextvars]) as lines:
        answer = await failing_app.get("/breaks")
    bugs = [line for line in lines if line["event"] == "unexpected_error"]
    assert [str(line["exc_info"]) for line in bugs] == [SECRET_DETAIL]
    assert {line["request_id"] for line in lines} == {answer.headers["x-request-id"]}


async def test_an_internal_error_has_the_security_headers(failing_app: httpx.AsyncClient) -> None:
    answer = await failing_app.get("/breaks")
    assert {name: answer.headers.get(name) for name in SECURITY_HEADERS} == SECURITY_HEADERS


class Logged(logging.Handler):
    """Every line of the standard library's logging, but those of this test's own HTTP client."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the line as a formatter would write it."""
        if not record.name.startswith(("httpx", "httpcore")):
            self.lines.append(logging.Formatter().format(record))


@pytest.fixture
def logged() -> Iterator[Logged]:
    """What libraries log, down to their debugging."""
    root, handler = logging.getLogger(), Logged()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield handler
    root.removeHandler(handler)
    root.setLevel(level)


async def test_the_access_log_has_one_line_per_request_with_the_route(
    shared_app: RunningApp,
) -> None:
    ref = await waiting_job(shared_app)
    with structlog.testing.capture_logs() as lines:
        await shared_app.detail(ref.public_id)
        await shared_app.detail("x")
        await shared_app.http.get("/nowhere")
    kept = ("event", "method", "route", "status")
    assert [tuple(line[name] for name in kept) for line in lines] == [
        ("request", "GET", "/v1/jobs/{public_id}", 200),
        ("request", "GET", "/v1/jobs/{public_id}", 404),
        ("request", "GET", "unmatched", 404),
    ]


async def test_logs_contain_no_query_token_body_or_presigned_url(
    shared_app: RunningApp, logged: Logged
) -> None:
    ref = await waiting_job(shared_app)
    canary = "canary-7f3a"
    bearer = shared_app.bearer()
    token = bearer["Authorization"].removeprefix("Bearer ")
    with structlog.testing.capture_logs() as lines:
        await shared_app.http.get(f"/v1/jobs/{ref.public_id}?secret={canary}", headers=bearer)
        await shared_app.http.get(f"/{canary}?id_token={token}")
        await shared_app.http.get(f"/v1/jobs/{canary}", headers={"Authorization": canary})
        await shared_app.http.get("/v1/jobs/x", headers={"X-Request-Id": f"{canary} {canary}"})
        await shared_app.http.post("/v1/installation", headers=bearer)
        await deliver(shared_app, json.dumps({"id": 1, "email": canary}).encode())
        async with without_database(shared_app) as client:
            await client.get(f"/v1/jobs/{ref.public_id}?secret={canary}", headers=bearer)
    assert len([line for line in lines if line["event"] == "request"]) == 7
    text = repr(lines) + "\n".join(logged.lines)
    for secret in (canary, token, token.rpartition(".")[2], "shpat_", "shprt_", "X-Amz-Signature"):
        assert secret not in text, secret


@pytest.mark.parametrize("request_line", ["POST /v1/catalog-image", "PUT /v1/settings"])
async def test_a_client_that_hangs_up_within_its_body_is_not_logged_as_an_error(
    shared_app: RunningApp, request_line: str
) -> None:
    url = shared_app.http.base_url
    headers = {**shared_app.bearer(), "Host": "app", "Content-Length": "9"}
    headers["Content-Type"] = "application/json"
    head = [f"{request_line} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    with structlog.testing.capture_logs() as lines:
        _, writer = await asyncio.open_connection(url.host, url.port)
        writer.write("\r\n".join([*head, "", "{"]).encode())
        await writer.drain()
        writer.close()
        await wait_until(lambda: any(line["event"] == "request" for line in lines))
    assert [line for line in lines if line["log_level"] == "error"] == []
    assert [line["status"] for line in lines if line["event"] == "request"] == [400]
