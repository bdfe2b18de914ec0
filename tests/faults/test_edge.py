"""Attacks on the reference deployment: slow clients, smuggled requests, large bodies."""

import asyncio
import contextlib
import json
import re
import ssl
import sys
from collections.abc import AsyncIterator

import httpx
import pytest

from tests.faults.edge import INSTANCES, NAME, Edge, running_edge
from tests.faults.latency import measure_latencies, percentile
from tests.running_app import RunningApp
from tests.scenarios import finished_job, open_shared_app, refusal, waiting_job, webhook_headers

shared_app = pytest.fixture(open_shared_app, scope="module")
pytestmark = pytest.mark.timeout(300)

SLOW = 300  # clients at once
PATIENCE = 14  # seconds after which none of them is left
P99 = 0.100  # seconds, for everybody else meanwhile


@pytest.fixture(scope="module")
async def edge(shared_app: RunningApp) -> AsyncIterator[Edge]:
    async with running_edge(shared_app) as running:
        yield running


@pytest.fixture(scope="module")
async def job(shared_app: RunningApp) -> str:
    """The path of a job's detail."""
    ref, _ = await finished_job(shared_app)
    return f"/v1/jobs/{ref.public_id}"


# Slow clients


@pytest.mark.parametrize(
    ("how", "pause"),
    [
        ("handshake", 1),
        ("header", 1),
        ("header", 6),
        ("body", 6),  # slower than client_body_timeout
        ("answer", 11),  # slower than send_timeout
    ],
)
async def test_slow_clients_are_dropped_and_do_not_slow_others(
    edge: Edge, shared_app: RunningApp, job: str, capsys, how: str, pause: float
) -> None:
    left, times = await measure_attack(edge, shared_app, job, how, pause)
    report(capsys, how, pause, left, times)
    assert left == 0
    assert percentile(times, 0.99) < P99


@pytest.mark.parametrize(("how", "pause"), [("body", 1), ("answer", 1)])
async def test_clients_just_fast_enough_do_not_slow_others(
    edge: Edge, shared_app: RunningApp, job: str, capsys, how: str, pause: float
) -> None:
    """nginx limits the time between two pieces, not that of the whole: they may stay."""
    left, times = await measure_attack(edge, shared_app, job, how, pause)
    report(capsys, how, pause, left, times)
    assert percentile(times, 0.99) < P99


async def test_one_address_holds_a_limited_number_of_connections(
    edge: Edge, shared_app: RunningApp, job: str, capsys
) -> None:
    left, times = await measure_attack(edge, shared_app, job, "body-alone", 1)
    report(capsys, "body-alone", 1, left, times)
    assert left == 64
    assert percentile(times, 0.99) < P99


async def measure_attack(
    edge: Edge, shared_app: RunningApp, job: str, how: str, pause: float
) -> tuple[int, list[float]]:
    """How many slow ones are left, and how long everybody else waited for an answer."""
    async with edge.client() as client:
        await measure_latencies(client, shared_app, job, 1)  # warm
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.faults.slow_clients"),
            *(how, str(edge.port), str(SLOW), str(PATIENCE), str(pause)),
            stdout=asyncio.subprocess.PIPE,
        )
        assert process.stdout is not None
        opened = json.loads(await process.stdout.readline())["open"]
        assert how.endswith("-alone") or opened > SLOW * 0.95, f"only {opened} came to be slow"
        times = await measure_latencies(client, shared_app, job, PATIENCE - 1)
        told, _ = await process.communicate()
    return json.loads(told)["open"], times


def report(capsys, how: str, pause: float, left: int, times: list[float]) -> None:
    """A line for docs/operations.md."""
    told = {
        "how": how,
        "pause": pause,
        "left": left,
        "requests": len(times),
        "p50_ms": round(percentile(times, 0.5) * 1000, 1),
        "p99_ms": round(percentile(times, 0.99) * 1000, 1),
        "max_ms": round(times[-1] * 1000, 1),
    }
    with capsys.disabled():
        print("\n" + json.dumps(told))


# Smuggled requests

GET_LIVE = (
    b"GET /health/live HTTP/1.1\r\nHost: atelier.example.com\r\nX-Request-Id: smuggled\r\n\r\n"
)
HEAD = b"POST /webhooks HTTP/1.1\r\nHost: atelier.example.com\r\n"
REFUSED = {
    "content length and chunks": HEAD
    + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    + GET_LIVE,
    "chunks and content length": HEAD
    + b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n"
    + GET_LIVE,
    "two lengths": HEAD + b"Content-Length: 0\r\nContent-Length: 5\r\n\r\n" + GET_LIVE,
    "two equal lengths": HEAD + b"Content-Length: 0\r\nContent-Length: 0\r\n\r\n" + GET_LIVE,
    "a list of lengths": HEAD + b"Content-Length: 0, 0\r\n\r\n" + GET_LIVE,
    "a signed length": HEAD + b"Content-Length: +5\r\n\r\n" + GET_LIVE,
    "a folded encoding": HEAD + b"Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n" + GET_LIVE,
    "a folded header": HEAD + b"X-A: b\r\n c: d\r\nContent-Length: 0\r\n\r\n" + GET_LIVE,
    "a space before the colon": HEAD + b"Content-Length : 5\r\n\r\n" + GET_LIVE,
    "chunks twice": HEAD
    + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    + GET_LIVE,
    "a NUL in a name": HEAD + b"X-\x00A: b\r\nContent-Length: 0\r\n\r\n" + GET_LIVE,
    "a length of chunk that is none": HEAD
    + b"Transfer-Encoding: chunked\r\n\r\nxyz\r\n"
    + GET_LIVE,
}


@pytest.mark.parametrize("what", REFUSED)
async def test_an_ambiguous_request_is_refused_and_its_connection_closed(
    edge: Edge, what: str
) -> None:
    answers = await send_raw(edge, REFUSED[what])
    assert statuses(answers) == [400], answers
    assert b"smuggled" not in answers


async def test_an_unknown_transfer_encoding_is_refused(edge: Edge) -> None:
    answers = await send_raw(edge, HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n")
    assert statuses(answers) == [501]


@pytest.mark.parametrize(
    ("what", "request_bytes"),
    [
        ("a bare LF after each line", HEAD.replace(b"\r\n", b"\n") + b"Content-Length: 0\n\n"),
        ("a bare LF within chunks", HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\nxx\n0\n\n"),
        (
            "a bare LF in a chunk's extension",
            HEAD + b"Transfer-Encoding: chunked\r\n\r\n2;\nxx\r\n0\r\n\r\n",
        ),
    ],
)
async def test_a_bare_lf_reaches_the_app_as_one_request(
    edge: Edge, what: str, request_bytes: bytes
) -> None:
    """nginx takes it for a line's end, as RFC 9112 allows, and writes the request anew.

    So both sides see the same one: it is the app that says 401, and the next request stands alone.
    """
    last = b"GET /health/live HTTP/1.1\r\nHost: atelier.example.com\r\nConnection: close\r\n\r\n"
    answers = await send_raw(edge, request_bytes + last)
    assert statuses(answers)[0] in {400, 401}, what
    assert statuses(answers)[1:] in ([200], []), what


async def send_raw(edge: Edge, data: bytes, *, within: float = 4) -> bytes:
    """All that comes back for these bytes until the other side closes, and it has to."""
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", edge.port, ssl=edge.trust(), server_hostname=NAME
    )
    writer.write(data)
    try:
        async with asyncio.timeout(within):
            return await reader.read()
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


def statuses(answers: bytes) -> list[int]:
    return [int(found) for found in re.findall(rb"HTTP/1\.1 (\d{3})", answers)]


# Sizes


@pytest.mark.parametrize(
    ("path", "limit"),
    [("/v1/batches", 256_000), ("/webhooks", 5_000_000), ("/v1/uploads", 25_016_384)],
)
async def test_a_body_of_exactly_the_limit_is_accepted_and_one_more_byte_refused(
    edge: Edge, path: str, limit: int
) -> None:
    async with edge.client() as client:
        at_limit = await client.post(path, content=bytes(limit))
        chunked = await client.post(path, content=chunks(limit))
        above = await client.post(path, content=bytes(limit + 1))
        above_chunked = await client.post(path, content=chunks(limit + 1))
    assert [at_limit.status_code, chunked.status_code] == [401, 401], "the app's own answer"
    for answer in (above, above_chunked):
        assert refusal(answer) == (413, "BODY_TOO_LARGE")


async def chunks(size: int) -> AsyncIterator[bytes]:
    """A body whose length nobody has told."""
    for start in range(0, size, 65_536):
        yield bytes(min(65_536, size - start))


@pytest.mark.parametrize(("length", "status"), [(16_382, 404), (16_383, 400)])
async def test_header_lines_may_have_16_kb(edge: Edge, length: int, status: int) -> None:
    line = b"X-Long: " + b"a" * (length - len(b"X-Long: \r\n")) + b"\r\n"
    request = b"GET /nothing HTTP/1.1\r\nHost: atelier.example.com\r\nConnection: close\r\n"
    assert statuses(await send_raw(edge, request + line + b"\r\n")) == [status]


# What else the proxy promises


async def test_a_client_may_send_only_a_harmless_request_id(edge: Edge) -> None:
    """And its own request id only where it is harmless."""
    async with edge.client() as client:
        kept = await client.get("/v1/jobs", headers={"X-Request-Id": "a-good-request-id"})
        replaced = await client.get("/v1/jobs", headers={"X-Request-Id": 'bad" id'})
    assert kept.headers["x-request-id"] == "a-good-request-id"
    assert re.fullmatch("[0-9a-f]{32}", replaced.headers["x-request-id"])
    assert "server" not in kept.headers or kept.headers["server"] == "nginx"


@pytest.mark.parametrize(
    "path",
    ["/metrics", "/jobs/a/b", "/make/x", "/health/ready", "/health/live", "/.git/config"],
)
async def test_only_the_apps_own_paths_are_served(edge: Edge, path: str) -> None:
    async with edge.client() as client:
        answer = await client.get(path)
    local = path.startswith("/health/")  # this test is on the machine itself
    assert answer.status_code == (200 if local else 404)
    assert local or refusal(answer) == (404, "NOT_FOUND")


async def test_the_page_is_served_with_its_own_headers(edge: Edge) -> None:
    async with edge.client() as client:
        for path in ("/", "/make", "/jobs", "/jobs/x", "/batches", "/batches/x", "/settings"):
            shell = await client.get(path)
            assert shell.status_code == 200, path
            assert "frame-ancestors" in shell.headers["content-security-policy"]
            assert shell.headers["strict-transport-security"]
        [script] = re.findall('type="module" src="([^"]+)"', shell.text)
        file = await client.get(script)
        assert file.headers["cache-control"].endswith("immutable")
        assert file.headers["content-encoding"] == "gzip"
        assert refusal(await client.get("/page/0000/main.js")) == (404, "NOT_FOUND")


async def test_queries_are_never_logged(edge: Edge) -> None:
    async with edge.client() as client:
        await client.get("/v1/jobs?canary=of-a-query")
        await client.get("/nothing?canary=of-a-query")
        await client.get("/?id_token=canary=of-a-query")
    lines = [json.loads(line) for line in edge.access_log.splitlines()]
    assert any(line["path"] == "/nothing" for line in lines)
    assert "canary" not in edge.access_log
    assert "canary" not in (edge.home / "atelier-error.log").read_text()


async def test_another_host_name_gets_no_certificate(edge: Edge) -> None:
    with pytest.raises(ssl.SSLError):
        await asyncio.open_connection(
            "127.0.0.1", edge.port, ssl=edge.trust(), server_hostname="elsewhere.example.com"
        )


async def test_plain_http_redirects_to_https_without_the_query(edge: Edge) -> None:
    async with httpx.AsyncClient() as client:
        answer = await client.get(f"http://127.0.0.1:{edge.plain_port}/v1/jobs?secret=1")
    assert answer.status_code == 308
    assert answer.headers["location"] == f"https://{NAME}/v1/jobs"


async def test_a_rolling_restart_fails_no_read(
    edge: Edge, shared_app: RunningApp, job: str
) -> None:
    """The upgrade of docs/operations.md, under load and with somebody who waits for an event."""
    ref = await waiting_job(shared_app)
    waits = f"/v1/jobs/{ref.public_id}/events?since=1&wait=25"
    async with edge.client() as client:
        waiting = asyncio.create_task(client.get(waits, headers=shared_app.bearer()))
        reading = asyncio.create_task(measure_latencies(client, shared_app, job, 12))
        for instance in INSTANCES:
            await edge.stop(instance)
            await edge.start(instance)
            await edge.ready(instance)
        assert len(await reading) > 100
        assert (await waiting).status_code == 200


async def test_a_webhook_is_stored_while_a_process_restarts(
    edge: Edge, shared_app: RunningApp
) -> None:
    body = b'{"id": 1}'
    await edge.stop(1)
    async with edge.client() as client:
        sending = [
            asyncio.create_task(
                client.post("/webhooks", content=body, headers=webhook_headers(body))
            )
            for _ in range(20)
        ]
        await edge.start(1)
        assert {(await answer).status_code for answer in sending} == {200}
