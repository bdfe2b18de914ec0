"""uvicorn's HTTP protocol with a limit on what is no body: it has none for request lines, headers
and trailers, and would keep whatever a stranger sends of them.

nginx refuses more than 16 KB of a header; this is for whoever comes another way.
"""

import secrets
from http import HTTPStatus

import msgspec
import structlog
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

log = structlog.get_logger(__name__)

MOST = 65_536  # bytes without a header's end or a piece of a body
TOO_LARGE = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
CODE = "HEADERS_TOO_LARGE"


class LimitedProtocol(HttpToolsProtocol):
    """`waiting` counts the bytes since the last header's end, piece of a body, or request's end."""

    waiting = 0

    def data_received(self, data: bytes) -> None:
        """Parse what has come, and refuse more than `MOST` that leads to nothing."""
        for start in range(0, len(data), MOST):
            piece = data[start : start + MOST]
            self.waiting += len(piece)
            super().data_received(piece)
            if self.waiting > MOST:
                self.refuse()
            if self.transport.is_closing():
                return

    def on_headers_complete(self) -> None:
        """The header has ended."""
        self.waiting = 0
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """A piece of the body has come."""
        self.waiting = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The request has ended."""
        self.waiting = 0
        super().on_message_complete()

    def refuse(self) -> None:
        """Answer once and close: where the next request would begin nobody knows."""
        log.warning("headers_too_large")
        request_id = secrets.token_hex(12)
        message = f"The request's line, headers and trailers may have {MOST} bytes."
        error = {"code": CODE, "message": message, "request_id": request_id}
        body = msgspec.json.encode({"error": error})
        head = (
            f"HTTP/1.1 {TOO_LARGE.value} {TOO_LARGE.phrase}",
            "content-type: application/json",
            f"content-length: {len(body)}",
            f"x-request-id: {request_id}",
            "connection: close",
        )
        self.transport.write("\r\n".join(head).encode() + b"\r\n\r\n" + body)
        self.transport.close()
