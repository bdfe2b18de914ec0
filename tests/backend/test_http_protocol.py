"""The limit of a request's line, headers and trailers, which does not apply to bodies."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from backend.http_protocol import MAX_HEADER_BYTES, LimitedProtocol

LINE = b"POST / HTTP/1.1\r\nHost: a\r\n"
HEADER = b"x-" + b"a" * 1000 + b": b\r\n"


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Answers how many bytes the body has; `/headers` the names; `/fails…` only start to answer."""
    size, more = 0, True
    while more:
        message = await receive()
        size += len(message.get("body", b""))
        more = message.get("more_body", False)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    if scope["path"] == "/fails-late":
        await send({"type": "http.response.body", "body": b"part", "more_body": True})
    if scope["path"] in {"/fails", "/fails-late"}:
        raise RuntimeError("on purpose")
    names = b" ".join(name for name, _ in scope["headers"])
    told = names if scope["path"] == "/headers" else str(size).encode()
    await send({"type": "http.response.body", "body": told})


@pytest.fixture(scope="module")
async def port() -> AsyncIterator[int]:
    # `ws`: as if a library for WebSockets was installed.
    config = uvicorn.Config(
        app, log_config=None, lifespan="off", http=LimitedProtocol, ws=asyncio.Protocol
    )
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        config.load()
        server.lifespan = config.lifespan_class(config)
        await server.startup([listening])
        yield listening.getsockname()[1]
        await server.shutdown([listening])


async def answer(port: int, *parts: bytes) -> bytes:
    """What comes back, until the connection ends or nothing comes any more."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(0)
        return await asyncio.wait_for(reader.read(65_536), 10)
    finally:
        writer.close()


@pytest.mark.parametrize(
    "endless",
    [
        pytest.param([LINE, *[HEADER] * 66], id="many headers"),
        pytest.param([LINE, b"x: ", *[b"a" * 6_600] * 10], id="one long value"),
        pytest.param([LINE, *[b"a" * 6_600] * 10], id="one long name"),
        pytest.param([b"GET /", *[b"a" * 6_600] * 10], id="a long line"),
        pytest.param(
            [LINE, b"Transfer-Encoding: chunked\r\n\r\n0\r\n", *[HEADER] * 66], id="trailers"
        ),
    ],
)
async def test_endless_request_headers_are_refused(port: int, endless: list[bytes]) -> None:
    refused = await answer(port, *endless)
    assert refused.startswith(b"HTTP/1.1 431 ")
    assert b'"code":"HEADERS_TOO_LARGE"' in refused


def error_in(response: bytes) -> dict[str, Any]:
    """The `error` of a 400 that closes the connection."""
    head, _, body = response.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ")
    assert {b"content-type: application/json", b"connection: close"} <= set(head.split(b"\r\n"))
    found: dict[str, Any] = json.loads(body)["error"]
    return found


@pytest.mark.parametrize(
    "malformed",
    [
        b"FOO / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET  HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET http://a HTTP/1.1\r\nHost: a\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01",  # TLS
    ],
)
async def test_bytes_that_are_no_request_get_our_error(port: int, malformed: bytes) -> None:
    error = error_in(await answer(port, malformed))
    assert error["code"] == "BAD_REQUEST"
    assert error["message"] and error["request_id"]


@pytest.mark.parametrize(
    "lines",
    [
        b"GET / HTTP/1.1\r\n",
        b"GET http://a/ HTTP/1.1\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nHOST: a\r\n",
        b"GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 2\r\n",
    ],
)
async def test_a_request_that_does_not_name_its_host_once_is_refused(
    port: int, lines: bytes
) -> None:
    error = error_in(await answer(port, lines + b"\r\n"))
    assert (error["code"], error["message"]) == ("BAD_REQUEST", "Send exactly one Host header.")


async def test_the_request_before_one_without_a_host_is_answered_first(port: int) -> None:
    first, second = (await answer(port, GET + b"GET / HTTP/1.1\r\n\r\n")).split(b"0\r\n\r\n")
    assert first.startswith(b"HTTP/1.1 200 ")
    assert "Host" in error_in(second)["message"]


async def test_http_1_0_needs_no_host(port: int) -> None:
    assert (await answer(port, b"GET / HTTP/1.0\r\n\r\n")).startswith(b"HTTP/1.1 200 ")


UPGRADE = LINE + b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMA\r\n"


@pytest.mark.parametrize(
    "body", [b"Content-Length: 5\r\n\r\nhello", b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"]
)
async def test_a_body_beside_an_upgrade_is_refused_and_not_lost(port: int, body: bytes) -> None:
    assert "Upgrade" in error_in(await answer(port, UPGRADE + body))["message"]


@pytest.mark.parametrize("end", [b"\r\n", b"Content-Length: 0\r\n\r\n"])
async def test_an_upgrade_without_a_body_is_ignored(port: int, end: bytes) -> None:
    for kind in (b"h2c", b"websocket"):
        taken = await answer(port, UPGRADE.replace(b"h2c", kind) + end)
        assert taken.startswith(b"HTTP/1.1 200 "), kind


async def test_trailers_are_not_added_to_the_headers(port: int) -> None:
    request_ = b"POST /headers HTTP/1.1\r\nHost: a\r\n"
    chunked = b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nAuthorization: b\r\n\r\n"
    taken = await answer(port, request_ + chunked + request_ + b"Connection: close\r\n\r\n")
    assert taken.startswith(b"HTTP/1.1 200 ")
    assert b"host transfer-encoding" in taken
    assert b"authorization" not in taken


@pytest.mark.parametrize("at_once", [True, False])
async def test_headers_within_the_limit_and_a_large_body_are_accepted(
    port: int, at_once: bool
) -> None:
    size = 10 * MAX_HEADER_BYTES
    head = (
        LINE + HEADER * (MAX_HEADER_BYTES // len(HEADER) - 1) + b"Content-Length: %d\r\n\r\n" % size
    )
    parts = [head, *[bytes(MAX_HEADER_BYTES // 2)] * 20]
    taken = await answer(port, *([b"".join(parts)] if at_once else parts))
    assert taken.startswith(b"HTTP/1.1 200 ")
    assert str(size).encode() in taken


async def test_each_request_of_a_connection_has_the_full_limit(port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for _ in range(3):
        writer.write(LINE + HEADER * 40 + b"Content-Length: 0\r\n\r\n")
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
        assert head.startswith(b"HTTP/1.1 200 ")
        await reader.readuntil(b"0\r\n\r\n")
    writer.close()


async def test_the_second_request_of_a_connection_is_limited_too(port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(LINE + b"Content-Length: 0\r\n\r\n")
    await asyncio.wait_for(reader.readuntil(b"0\r\n\r\n"), 10)
    for part in [LINE, *[HEADER] * 66]:
        writer.write(part)
        await writer.drain()
    assert (await asyncio.wait_for(reader.readline(), 10)).startswith(b"HTTP/1.1 431 ")
    writer.close()


class Written(asyncio.Transport):
    """A transport that keeps what is written, one entry for each write."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[bytes] = []
        self.closed = asyncio.Event()

    def write(self, data: Any) -> None:
        """Keep the data."""
        if data:
            self.writes.append(bytes(data))

    def is_closing(self) -> bool:
        return self.closed.is_set()

    def close(self) -> None:
        self.closed.set()

    def pause_reading(self) -> None:
        """Nothing is read."""

    def resume_reading(self) -> None:
        """Nothing is read."""


async def written(
    protocol: type[HttpToolsProtocol], request: bytes, messages: list[Any]
) -> Written:
    """What the protocol writes for an app that sends these messages."""
    has_ended = asyncio.Event()

    async def sends(_scope: Any, _receive: Any, send: Any) -> None:
        try:
            for message in messages:
                await send(dict(message))
        finally:
            asyncio.get_running_loop().call_soon(has_ended.set)

    config = uvicorn.Config(sends, log_config=None, access_log=False, lifespan="off")
    state = ServerState()
    state.default_headers = [(b"date", b"today")]
    connection, transport = protocol(config, state, {}), Written()
    connection.connection_made(transport)
    connection.data_received(request)
    await asyncio.wait_for(has_ended.wait(), 10)
    connection.connection_lost(None)
    return transport


def start(status: int, *headers: tuple[bytes, bytes]) -> dict[str, Any]:
    return {"type": "http.response.start", "status": status, "headers": list(headers)}


def body(data: bytes, *, more: bool = False) -> dict[str, Any]:
    return {"type": "http.response.body", "body": data, "more_body": more}


GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
SIZE = (b"Content-Length", b"2")


async def test_a_response_is_one_write() -> None:
    transport = await written(LimitedProtocol, GET, [start(200, SIZE), body(b"ok")])
    (response,) = transport.writes
    assert response == b"HTTP/1.1 200 OK\r\ndate: today\r\ncontent-length: 2\r\n\r\nok"


@pytest.mark.parametrize(
    "request_",
    [
        pytest.param(GET, id="GET"),
        pytest.param(GET.replace(b"GET", b"HEAD"), id="HEAD"),
        pytest.param(GET.replace(b"1.1", b"1.0"), id="HTTP/1.0"),
        pytest.param(GET.replace(b"Host", b"Connection: close\r\nHost"), id="the last request"),
    ],
)
@pytest.mark.parametrize(
    "messages",
    [
        pytest.param([start(200, SIZE), body(b"ok")], id="whole"),
        pytest.param([start(200, SIZE, (b"x-100%", b"5%")), body(b"ok")], id="with a percent sign"),
        pytest.param([start(304, (b"etag", b'"1"')), body(b"")], id="304"),
        pytest.param([start(204), body(b"")], id="204"),
        pytest.param([start(200), body(b"ok")], id="without its size"),
        pytest.param([start(200, SIZE), body(b"o", more=True), body(b"k")], id="in parts"),
        pytest.param([start(200, SIZE, (b"connection", b"close")), body(b"ok")], id="closing"),
        pytest.param([start(200, SIZE), body(b"okay")], id="too long"),
        pytest.param([start(200, SIZE), body(b"o")], id="too short"),
        pytest.param([start(304), body(b"ok")], id="304 with a body"),
        pytest.param([start(200, SIZE, (b"a b", b"c")), body(b"ok")], id="a wrong name"),
        pytest.param([start(200, SIZE, (b"a", b"b\r\nc: d")), body(b"ok")], id="two lines"),
        pytest.param([start(200, SIZE, (b"a", b"b\x00")), body(b"ok")], id="a control character"),
        pytest.param([start(200, SIZE), body(b"ok"), body(b"ok")], id="a body too many"),
    ],
)
async def test_a_response_is_what_uvicorn_would_send(request_: bytes, messages: list[Any]) -> None:
    ours, uvicorns = [
        await written(protocol, request_, messages)
        for protocol in (LimitedProtocol, HttpToolsProtocol)
    ]
    assert b"".join(ours.writes) == b"".join(uvicorns.writes)
    assert ours.is_closing() == uvicorns.is_closing()


async def test_a_response_that_waits_for_a_slow_client_says_that_the_server_shuts_down() -> None:
    begun = asyncio.Event()

    async def sends(_scope: Any, _receive: Any, send: Any) -> None:
        await send(start(200, SIZE))
        begun.set()
        await send(body(b"ok"))

    config = uvicorn.Config(sends, log_config=None, access_log=False, lifespan="off")
    connection, transport = LimitedProtocol(config, ServerState(), {}), Written()
    connection.connection_made(transport)
    connection.pause_writing()
    connection.data_received(GET)
    await asyncio.wait_for(begun.wait(), 10)
    connection.shutdown()
    connection.resume_writing()
    await asyncio.wait_for(transport.closed.wait(), 10)
    assert b"connection: close\r\n" in transport.writes[0]


async def test_a_client_that_left_while_two_responses_waited_is_sent_none() -> None:
    """uvicorn tells only the last request, which had not begun, that its client has left."""
    begun, ended = asyncio.Event(), asyncio.Event()

    async def sends(_scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send(start(200, SIZE))
        begun.set()
        await send(body(b"ok"))
        assert await receive() == {"type": "http.disconnect"}
        ended.set()

    config = uvicorn.Config(sends, log_config=None, access_log=False, lifespan="off")
    connection, transport = LimitedProtocol(config, ServerState(), {}), Written()
    connection.connection_made(transport)
    connection.pause_writing()
    connection.data_received(GET + GET)
    await asyncio.wait_for(begun.wait(), 10)
    connection.connection_lost(ConnectionResetError())
    await asyncio.wait_for(ended.wait(), 10)
    assert transport.writes == []


@pytest.mark.parametrize("method", [b"GET", b"HEAD"])
async def test_responses_to_requests_sent_at_once_are_whole_and_in_order(
    port: int, method: bytes
) -> None:
    first = LINE.replace(b"POST", method) + b"\r\n"
    last = LINE + b"Connection: close\r\nContent-Length: 5\r\n\r\nhello"
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(first + first + last)
    received = await asyncio.wait_for(reader.read(), 10)
    writer.close()
    body = b"" if method == b"HEAD" else b"1\r\n0\r\n0\r\n\r\n"
    responses = received.split(b"HTTP/1.1 200 OK\r\n")
    assert [each.partition(b"\r\n\r\n")[2] for each in responses] == [
        *(b"", body, body),
        b"1\r\n5\r\n0\r\n\r\n",
    ]


async def test_a_client_that_waits_to_continue_is_told_to(port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(LINE + b"Expect: 100-continue\r\nContent-Length: 5\r\n\r\n")
    interim = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
    assert interim.startswith(b"HTTP/1.1 100 ")
    writer.write(b"hello")
    assert (await asyncio.wait_for(reader.readline(), 10)).startswith(b"HTTP/1.1 200 ")
    writer.close()


async def test_a_response_that_fails_before_its_body_is_a_500(port: int) -> None:
    received = await answer(port, LINE.replace(b"/", b"/fails", 1) + b"Content-Length: 0\r\n\r\n")
    assert received.startswith(b"HTTP/1.1 500 ")


async def test_a_response_that_fails_within_its_body_is_cut_off(port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(LINE.replace(b"/", b"/fails-late", 1) + b"Content-Length: 0\r\n\r\n")
    received = await asyncio.wait_for(reader.read(), 10)
    writer.close()
    assert received.startswith(b"HTTP/1.1 200 ")
    assert not received.endswith(b"0\r\n\r\n"), "no client may take it for complete"
