"""uvicorn's HTTP protocol with a size limit for request lines, headers and trailers.

uvicorn itself has no such limit and would buffer whatever a client sends. nginx refuses headers
over 16 KB; this is for clients that do not come through it. They also get our own errors, where
uvicorn answers in plain text. And a response is one write to the socket, where uvicorn has two.
"""

import asyncio
import functools
import secrets
from http import HTTPStatus
from typing import Any, NamedTuple

import msgspec
import structlog
from uvicorn.protocols.http.httptools_impl import (
    HEADER_RE,
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

from backend.errors import BadRequest

log = structlog.get_logger(__name__)

MAX_HEADER_BYTES = 65_536  # bytes without the end of a header or a chunk of a body
TOO_LARGE = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
MAX_DRAINED_BYTES = 26_000_000  # more than any route's body
TOO_LARGE_CODE = "HEADERS_TOO_LARGE"
NO_UPGRADE = "This server speaks HTTP/1.1 only. Send the request without an Upgrade header."
ONE_HOST = "Send exactly one Host header."
FRAMING = (b"content-length", b"transfer-encoding")
NO_BODY = {b"content-length": b"0"}
WITHOUT_BODY = frozenset({204, 304})
UVICORNS_HEADERS = frozenset({b"connection", b"transfer-encoding"})  # which uvicorn acts upon
TEXT = bytes(set(range(256)) - {*range(9), *range(10, 32), 127})  # of a header's value: no controls
parse = HttpToolsProtocol.data_received


class LimitedProtocol(HttpToolsProtocol):
    """`waiting` counts the bytes since the last complete header, chunk of a body or request.

    It is computed after each parse: a callback inside the parser took a fifth of the time of the
    fastest responses.
    """

    waiting = 0
    drained = 0  # bytes of a body whose request is already answered
    idle_since: float | None = None  # on the loop's clock; None while a request is in progress
    stall_timer: asyncio.TimerHandle | None = None  # while a response waits for the client
    answering: RequestResponseCycle | None = None  # `cycle` is the last request, which may wait

    def connection_made(self, transport: Any) -> None:
        """Close the connection, too, if no request comes."""
        super().connection_made(transport)
        self.become_idle()

    def data_received(self, data: bytes) -> None:
        """Parse the data, and refuse too much of it that completes nothing."""
        cycle = self.cycle
        held = len(cycle.body) if cycle is not None else 0
        parse(self, data)
        if self.cycle is not cycle:
            self.waiting = self.drained = 0
        elif cycle is None or self.scope is not cycle.scope:  # in the next request's header
            self.waiting += len(data)
        elif cycle.response_complete:
            self.drained += len(data)
        else:
            self.waiting = 0 if len(cycle.body) > held else self.waiting + len(data)
        if self.waiting > MAX_HEADER_BYTES or self.drained > MAX_DRAINED_BYTES:
            log.warning("headers_too_large")
            message = f"The request's line, headers and trailers may have {MAX_HEADER_BYTES} bytes."
            self.refuse(TOO_LARGE, TOO_LARGE_CODE, message)

    def on_headers_complete(self) -> None:
        """Let uvicorn start the request; it would add the trailers to the request's headers.

        A client could send past a proxy what the proxy checks or removes, such as a credential.
        """
        self.idle_since = None
        super().on_headers_complete()
        self.headers = []  # for the trailers, which nobody reads

    def on_response_complete(self) -> None:
        """Start the next request if it is here already; otherwise the connection is idle from now.

        uvicorn starts a timer after each response and cancels it with the next request.
        """
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            self.become_idle()
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        else:
            self.become_idle()

    def become_idle(self) -> None:
        """No request is in progress from now: all headers of the next must come within the time.

        So must the end of a connection that is closed, which waits until the response is sent.
        """
        self.idle_since = self.loop.time()
        if self.timeout_keep_alive_task is None:
            self.timeout_keep_alive_handler()

    def timeout_keep_alive_handler(self) -> None:
        """Close the connection if it has been idle for too long; look again when it may have been.

        It is not started anew for each request, so it may find the connection busy, or idle since a
        later moment.
        """
        self.timeout_keep_alive_task = None
        if self.idle_since is None:
            return
        left = self.idle_since + self.timeout_keep_alive - self.loop.time()
        if left > 0:
            self.timeout_keep_alive_task = self.loop.call_later(
                left, self.timeout_keep_alive_handler
            )
        elif self.transport.get_write_buffer_size():
            self.transport.abort()  # which `close` would wait for, for ever
        else:
            super().timeout_keep_alive_handler()

    def pause_writing(self) -> None:
        """Hang up if the client does not take what waits for it, in the time of an idle connection.

        It would keep the response in memory, and the next request would wait behind it for ever.
        """
        super().pause_writing()
        self.stall_timer = self.loop.call_later(self.timeout_keep_alive, self.transport.abort)

    def resume_writing(self) -> None:
        """The client has taken it."""
        super().resume_writing()
        self.end_stall_timer()

    def end_stall_timer(self) -> None:
        """Do not hang up."""
        if self.stall_timer is not None:
            self.stall_timer.cancel()
            self.stall_timer = None

    def _unset_keepalive_if_required(self) -> None:
        """Nothing: with uvicorn, any byte ends the timer, and a client could stop after it."""

    def connection_lost(self, exc: Exception | None) -> None:
        """End the timers, which would keep the connection's memory until then.

        uvicorn tells only the last request that its client has left.
        """
        super().connection_lost(exc)
        if self.answering is not None and not self.answering.response_complete:
            self.answering.disconnected = True
            self.answering.message_event.set()
        self.end_stall_timer()
        super()._unset_keepalive_if_required()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        """Let our cycle send the response; the parser has just created uvicorn's."""
        cycle.__class__ = ResponseCycle
        self.answering = cycle
        hosts = [name for name, _ in cycle.scope["headers"]].count(b"host")
        if hosts > 1 or (not hosts and cycle.scope["http_version"] == "1.1"):
            app = refuse_host
        super()._start_asgi_task(cycle, app)

    def send_400_response(self, msg: str) -> None:
        """uvicorn's answer to bytes that are no HTTP request."""
        self.refuse(BadRequest.status, BadRequest.code, BadRequest.message)

    def _should_upgrade_to_ws(self) -> bool:
        """Never, also where a library for WebSockets is installed, which uvicorn would find."""
        return False

    def _unsupported_upgrade_warning(self) -> None:
        """Ignore an Upgrade header; but the parser skips the body of such a request.

        Java's HttpClient sends one (`h2c`) with its first request over plain HTTP.
        """
        framing = {name: value for name, value in self.scope["headers"] if name in FRAMING}
        if framing and framing != NO_BODY:
            self.cycle.disconnected = True  # the app must not act on half a request
            self.cycle.message_event.set()
            self.refuse(BadRequest.status, BadRequest.code, NO_UPGRADE)

    def refuse(self, status: HTTPStatus, code: str, message: str) -> None:
        """Respond once and close: the start of a next request cannot be found."""
        if self.transport.is_closing():
            return
        request_id, body = refusal_body(code, message)
        head = (
            f"HTTP/1.1 {status.value} {status.phrase}",
            "content-type: application/json",
            f"content-length: {len(body)}",
            f"x-request-id: {request_id}",
            "connection: close",
        )
        self.transport.write("\r\n".join(head).encode() + b"\r\n\r\n" + body)
        self.transport.close()
        self.become_idle()


def refusal_body(code: str, message: str) -> tuple[str, bytes]:
    """A new request ID, and the body of our error with it."""
    request_id = secrets.token_hex(12)
    error = {"code": code, "message": message, "request_id": request_id}
    return request_id, msgspec.json.encode({"error": error})


async def refuse_host(_scope: Any, _receive: Any, send: Any) -> None:
    """The app for a request that does not name its host once, as RFC 9112 §3.2 wants."""
    request_id, body = refusal_body(BadRequest.code, ONE_HOST)
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(body)),
        (b"x-request-id", request_id.encode()),
        (b"connection", b"close"),
    ]
    start = {"type": "http.response.start", "status": BadRequest.status.value, "headers": headers}
    await send(start)
    await send({"type": "http.response.body", "body": body})


class ResponseCycle(RequestResponseCycle):
    """A request and its response, whose headers wait for the body: both are one write.

    A write to the socket costs about as much as all of the app's own work for a small response, and
    wakes the client. uvicorn writes twice, and searches each header for what may not be in it.
    """

    start: Any = None  # the message with the status and the headers, until there is a body

    async def send(self, message: Any) -> None:
        """ASGI's `send`; what is not a whole response is left to uvicorn."""
        if message["type"] == "http.response.start" and not self.response_started:
            self.start = message
            return
        start, self.start = self.start, None
        if self.flow.write_paused and not self.disconnected:
            await self.flow.drain()  # first: the server may shut down and close the connection
        response = self.whole_response(start, message) if start is not None else None
        if response is None:
            if start is not None:
                await super().send(start)
            await super().send(message)
        elif not self.disconnected:
            self.write(response)

    def whole_response(self, start: Any, message: Any) -> bytes | None:
        """The bytes of the response if `message` is its whole body; None if uvicorn must see it.

        That is for a body in parts or without its size, for HEAD, and for headers that are wrong.
        """
        headers = [*self.default_headers, *start["headers"]]
        if not headers or message.get("more_body") or self.scope["method"] == "HEAD":
            return None
        names, values = zip(*headers, strict=True)
        head, body = head_of(start["status"], names), message.get("body", b"")
        if head is None or b"".join(values).translate(None, TEXT):
            return None
        size = b"0" if head.size_at is None else values[head.size_at]
        if size != b"%d" % len(body):
            return None
        end = b"\r\n" if self.keep_alive else b"connection: close\r\n\r\n"
        return b"".join((head.template % values, end, body))

    def write(self, response: bytes) -> None:
        """Write the response, and end the cycle as uvicorn does after the last part of a body."""
        self.response_started = self.response_complete = True
        self.waiting_for_100_continue = False
        self.transport.write(response)
        self.message_event.set()
        if not self.keep_alive:
            self.transport.close()
        self.on_response()


class Head(NamedTuple):
    """A status line and headers with `%b` for each value; `size_at` is Content-Length's place."""

    template: bytes
    size_at: int | None


@functools.lru_cache(maxsize=256)
def head_of(status: int, names: tuple[bytes, ...]) -> Head | None:
    """The head of responses with these headers; None if uvicorn must frame or refuse them."""
    names = tuple(name.lower() for name in names)
    has_size = names.count(b"content-length") == 1
    if any(
        HEADER_RE.search(name) or name in UVICORNS_HEADERS or b"%" in name for name in names
    ) or not (has_size or status in WITHOUT_BODY):
        return None
    lines = b"".join(b"%b: %%b\r\n" % name for name in names)
    return Head(STATUS_LINE[status] + lines, names.index(b"content-length") if has_size else None)
