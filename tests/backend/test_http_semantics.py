"""Blanks around header values, HEAD, and headers that were sent twice, over real sockets."""

import asyncio
import time
import uuid
from types import SimpleNamespace
from typing import Any

import httpx
import msgspec
import pytest
import structlog

from backend.auth.signed_request import signed_request
from tests.backend.openapi import credentials
from tests.backend.openapi.conformance import operations
from tests.conftest import SECRET
from tests.running_app import SHOP, RunningApp
from tests.scenarios import (
    finished_job,
    header,
    open_shared_app,
    refusal,
    waiting_job,
    webhook_headers,
)

shared_app = pytest.fixture(open_shared_app, scope="module")

PRODUCT = b'{"product_id":"gid://shopify/Product/1"}'
AROUND = ["{} ", "{}\t", "{} \t ", "\t {}", "   {}"]
HEADERS_OF_NOW = {"date", "x-request-id"}


async def exchange(running_app: RunningApp, *requests: bytes) -> list[tuple[int, bytes]]:
    """The status and body of each request, sent byte for byte over one connection."""
    url = running_app.http.base_url
    reader, writer = await asyncio.open_connection(url.host, url.port)
    answers = []
    for request in requests:
        writer.write(request)
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
        lines = head.lower().split(b"\r\n")
        sizes = [int(line.split(b":")[1]) for line in lines if line.startswith(b"content-length:")]
        body = await asyncio.wait_for(reader.readexactly(sizes[0] if sizes else 0), 10)
        answers.append((int(head[9:12]), body))
    writer.close()
    return answers


def request_bytes(
    method: str, path: str, headers: list[tuple[str, str]], body: bytes = b""
) -> bytes:
    """A request with these headers, and Host and Content-Length beside them."""
    lines = [f"{method} {path} HTTP/1.1", "Host: app", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


@pytest.mark.parametrize("blanks", AROUND)
async def test_blanks_around_a_session_token_change_nothing(
    shared_app: RunningApp, blanks: str
) -> None:
    ref = await waiting_job(shared_app)
    bearer = shared_app.bearer()["Authorization"]
    for value in (bearer, blanks.format(bearer), bearer.replace(" ", "  ")):
        request = request_bytes("GET", f"/v1/jobs/{ref.public_id}", [("Authorization", value)])
        assert [status for status, _ in await exchange(shared_app, request, request)] == [200, 200]


async def test_a_token_after_anything_but_blanks_is_refused(shared_app: RunningApp) -> None:
    bearer = shared_app.bearer()["Authorization"]
    for separator in ("\t", "", " , "):
        value = bearer.replace(" ", separator)
        request = request_bytes("GET", "/v1/jobs", [("Authorization", value)])
        assert (await exchange(shared_app, request))[0][0] == 401


async def test_blanks_around_an_idempotency_key_make_no_second_job(shared_app: RunningApp) -> None:
    key = uuid.uuid4().hex
    requests = [
        request_bytes(
            "POST",
            "/v1/catalog-image",
            [
                ("Authorization", shared_app.bearer()["Authorization"]),
                ("Content-Type", blanks.format("application/json")),
                ("Idempotency-Key", blanks.format(key)),
            ],
            PRODUCT,
        )
        for blanks in ("{}", *AROUND)
    ]
    answers = await exchange(shared_app, *requests)
    assert {status for status, _ in answers} == {202}
    assert len({msgspec.json.decode(body)["job_id"] for _, body in answers}) == 1


async def test_blanks_around_host_and_etag_change_nothing(shared_app: RunningApp) -> None:
    ref = await waiting_job(shared_app)
    etag = (await shared_app.detail(ref.public_id)).headers["etag"]
    bearer = shared_app.bearer()["Authorization"]
    request = (
        f"GET /v1/jobs/{ref.public_id} HTTP/1.1\r\nHost: app \t\r\nAuthorization: {bearer}\r\n"
        f"If-None-Match: {etag} \r\n\r\n"
    ).encode()
    assert await exchange(shared_app, request, request) == [(304, b""), (304, b"")]


async def test_blanks_around_a_webhooks_headers_change_nothing(shared_app: RunningApp) -> None:
    webhook_id = str(uuid.uuid4())
    plain = webhook_headers(b'{"id":7}', webhook_id=webhook_id)
    for blanks in AROUND:
        headers = [(name.decode(), blanks.format(value.decode())) for name, value in plain]
        request = request_bytes("POST", "/webhooks", headers, b'{"id":7}')
        assert (await exchange(shared_app, request))[0][0] == 200
    stored = "SELECT shop_domain, topic FROM webhook_deliveries WHERE webhook_id = :id"
    rows = await shared_app.rows(stored, id=webhook_id)
    assert rows == [{"shop_domain": SHOP, "topic": "products/update"}]


async def test_other_white_space_belongs_to_the_value(shared_app: RunningApp) -> None:
    headers = [
        (name, value + b"\xa0" if name == b"X-Shopify-Topic" else value)
        for name, value in webhook_headers(b"{}")
    ]
    answer = await shared_app.http.post("/webhooks", content=b"{}", headers=headers)
    assert refusal(answer) == (400, "BAD_REQUEST")


async def readable_paths(shared_app: RunningApp) -> dict[str, dict[str, Any]]:
    """Each path that has GET, with an id where it needs one, and the headers to send."""
    document = (await shared_app.http.get("/schema/openapi.json")).json()
    finished, _ = await finished_job(shared_app)
    storefront, _ = await finished_job(shared_app)
    await shared_app.execute(
        "UPDATE jobs SET origin = 'storefront' WHERE public_id = :id", id=storefront.public_id
    )
    found: dict[str, dict[str, Any]] = {"/schema": {}, "/schema/openapi.json": {}, "/nowhere": {}}
    for method, template, _ in operations(document):
        is_storefront = template.startswith("/proxy/")
        job = storefront if is_storefront else finished
        path = template.format(public_id=job.public_id, kind="models", delivery_id=job.public_id)
        if method == "GET" and is_storefront:
            signed = credentials.app_proxy(shared_app)(SimpleNamespace(url=path))
            found[signed.url] = {}
        elif method == "GET":
            found[path] = shared_app.bearer() if path.startswith("/v1/") else {}
    return found


async def test_head_answers_as_get_without_the_body(shared_app: RunningApp) -> None:
    paths = await readable_paths(shared_app)
    assert len(paths) > 15
    assert {answer.status_code for answer in await asks(shared_app, "GET", paths)} == {
        200,
        404,
        409,
    }
    for asked in paths.items():
        get, head = [(await asks(shared_app, how, dict([asked])))[0] for how in ("GET", "HEAD")]
        assert head.content == b""
        assert int(head.headers["content-length"]) == len(get.content) > 0
        assert (head.status_code, of_response(head)) == (get.status_code, of_response(get)), asked


async def asks(
    shared_app: RunningApp, method: str, paths: dict[str, dict[str, Any]]
) -> list[httpx.Response]:
    """The answer of each path to the method."""
    return [
        await shared_app.http.request(method, path, headers=headers)
        for path, headers in paths.items()
    ]


def of_response(answer: httpx.Response) -> list[tuple[str, str]]:
    """The headers that do not differ between two equal requests."""
    return sorted(
        (name, value)
        for name, value in answer.headers.items()
        if name not in HEADERS_OF_NOW | {"retry-after"}
    )


async def test_head_does_not_wait_for_events(shared_app: RunningApp) -> None:
    ref = await waiting_job(shared_app)
    bearer = shared_app.bearer()
    path = f"/v1/jobs/{ref.public_id}/events?since=9&wait=25"
    head = await shared_app.http.head(path, headers=bearer, timeout=5)
    assert head.status_code == 200
    later = {**bearer, "If-None-Match": head.headers["etag"]}
    assert (await shared_app.http.head(path, headers=later, timeout=5)).status_code == 304


async def test_a_signed_head_is_signed_as_head(shared_app: RunningApp) -> None:
    statuses = {}
    for signed in ("HEAD", "GET"):
        url, signature = signed_request(
            SECRET.encode(),
            method=signed,
            url="/v1/jobs",
            shop=SHOP,
            body=b"",
            now=int(time.time()),
        )
        headers = {"X-Shopify-Hmac-Sha256": signature}
        statuses[signed] = (await shared_app.http.head(url, headers=headers)).status_code
    assert statuses == {"HEAD": 200, "GET": 401}


async def test_head_of_a_route_without_get_is_refused(shared_app: RunningApp) -> None:
    answer = await shared_app.http.head("/webhooks")
    assert answer.status_code == 405
    assert answer.headers["allow"] == "OPTIONS, POST"


async def test_the_log_and_the_metrics_name_the_method_that_was_sent(
    shared_app: RunningApp,
) -> None:
    with structlog.testing.capture_logs() as lines:
        await shared_app.http.head("/health/live")
    assert [(line["method"], line["status"]) for line in lines] == [("HEAD", 200)]


@pytest.mark.parametrize("name", ["Idempotency-Key", "Content-Type", "Host"])
async def test_a_header_with_one_value_may_not_be_sent_twice(
    shared_app: RunningApp, name: str
) -> None:
    once = {
        "Authorization": shared_app.bearer()["Authorization"],
        "Content-Type": "application/json",
        "Idempotency-Key": "a",
    }
    headers = [*once.items(), (name, once.get(name, "app"))]  # `request_bytes` adds a Host
    ((status, body),) = await exchange(
        shared_app, request_bytes("POST", "/v1/catalog-image", headers, PRODUCT)
    )
    assert status == 400
    assert name in msgspec.json.decode(body)["error"]["message"]


@pytest.mark.parametrize("coding", ["", "identity", "Identity"])
async def test_a_body_without_a_real_encoding_is_accepted(
    shared_app: RunningApp, coding: str
) -> None:
    json_body = {"Content-Type": "application/json", "Content-Encoding": coding}
    bearer = {**shared_app.bearer(), **json_body}
    answer = await shared_app.http.post("/v1/catalog-image", content=PRODUCT, headers=bearer)
    assert answer.status_code == 202


async def test_several_lines_of_if_none_match_are_one_list(shared_app: RunningApp) -> None:
    job = f"/v1/jobs/{(await waiting_job(shared_app)).public_id}"
    for path in (job, f"{job}/events", "/v1/review", "/v1/overview"):
        etag = (await shared_app.http.get(path, headers=shared_app.bearer())).headers["etag"]
        lines = [header("If-None-Match", value) for value in ('"other"', f"W/{etag}", '"third"')]
        headers = [header(*each) for each in shared_app.bearer().items()] + lines
        assert (await shared_app.http.get(path, headers=headers)).status_code == 304, path


async def test_several_lines_of_if_match_are_one_list(shared_app: RunningApp) -> None:
    read = await shared_app.http.get("/v1/settings", headers=shared_app.bearer())
    lines = [("If-Match", '"other"'), ("If-Match", read.headers["etag"])]
    answer = await shared_app.http.put(
        "/v1/settings",
        json={"rules": []},
        headers=[*shared_app.bearer().items(), *lines],
    )
    assert answer.status_code == 200
