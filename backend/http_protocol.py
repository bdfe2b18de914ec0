"""uvicorn's HTTP protocol with a size limit for request lines, headers and trailers.

uvicorn itself has no such limit and would buffer whatever a client sends. nginx refuses headers
over 16 KB; this is for clients that do not come through it. They also get our own errors, where
uvicorn answers in plain text. And a response is one write to the socket, where uvicorn has two.
"""

import secrets
from asyncio import Transport
from http import HTTPStatus
from typing import Any

import msgspec
import structlog
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from backend.errors import BadRequest

log = structlog.get_logger(__name__)

MAX_HEADER_BYTES = 65_536  # bytes without the end of a header or a chunk of a body
TOO_LARGE = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
MAX_DRAINED_BYTES = 26_000_000  # more than any route's body
TOO_LARGE_CODE = "HEADERS_TOO_LARGE"
NO_UPGRADE = "This server speaks HTTP/1.1 only. Send the request without an Upgrade header."
FRAMING = (b"content-length", b"transfer-encoding")
NO_BODY = {b"content-length": b"0"}
CONTINUE = b"HTTP/1.1 100 "
parse = HttpToolsProtocol.data_received


class LimitedProtocol(HttpToolsProtocol):
    """`waiting` counts the bytes since the last complete header, chunk of a body or request.

    It is computed after each parse: a callback inside the parser took a fifth of the time of the
    fastest responses.
    """

    waiting = 0
    drained = 0  # bytes of a body whose request is already answered

    def data_received(self, data: bytes) -> None:
        """Parse the data, and refuse too much of it that completes nothing."""
        cycle = self.cycle
        held = len(cycle.body) if cycle is not None else 0
        parse(self, data)
        if self.cycle is not cycle:
            self.waiting = self.drained = 0
            if self.scope["method"] != "HEAD":  # its response ends with its headers
                writer: Any = ResponseWriter(self.transport)  # has all that a cycle calls
                self.cycle.transport = writer
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

    def send_400_response(self, msg: str) -> None:
        """uvicorn's answer to bytes that are no HTTP request."""
        self.refuse(BadRequest.status, BadRequest.code, BadRequest.message)

    def _unsupported_upgrade_warning(self) -> None:
        """Ignore an Upgrade header; but the parser skips the body of such a request.

        Java's HttpClient sends one (`h2c`) with its first request over plain HTTP.
        """
        framing = {name: value for name, value in self.headers if name in FRAMING}
        if framing and framing != NO_BODY:
            self.cycle.disconnected = True  # the app must not act on half a request
            self.cycle.message_event.set()
            self.refuse(BadRequest.status, BadRequest.code, NO_UPGRADE)

    def refuse(self, status: HTTPStatus, code: str, message: str) -> None:
        """Respond once and close: the start of a next request cannot be found."""
        if self.transport.is_closing():
            return
        request_id = secrets.token_hex(12)
        error = {"code": code, "message": message, "request_id": request_id}
        body = msgspec.json.encode({"error": error})
        head = (
            f"HTTP/1.1 {status.value} {status.phrase}",
            "content-type: application/json",
            f"content-length: {len(body)}",
            f"x-request-id: {request_id}",
            "connection: close",
        )
        self.transport.write("\r\n".join(head).encode() + b"\r\n\r\n" + body)
        self.transport.close()


class ResponseWriter:
    """The transport of one response: its headers go out with the first part of its body.

    A write to the socket costs about as much as all of the app's own work for a small response,
    and wakes the client.
    """

    __slots__ = ("headers", "is_started", "transport")

    def __init__(self, transport: Transport) -> None:
        self.transport = transport
        self.headers = b""
        self.is_started = False

    def write(self, data: bytes) -> None:
        """Keep the headers, which are the first write, and write them with the next one."""
        if not self.is_started and not data.startswith(CONTINUE):
            self.headers, self.is_started = data, True
            return
        if self.headers:
            data, self.headers = self.headers + data, b""
        self.transport.write(data)

    def close(self) -> None:
        """Close after what was written; a response that failed may be without its body."""
        if self.headers:
            self.transport.write(self.headers)
        self.transport.close()

    def is_closing(self) -> bool:
        """Whether the connection is closed, or about to be."""
        return self.transport.is_closing()
