"""What every HTTP answer has: a request id, an access-log line, and errors in one envelope.

The envelope: `{"error": {"code", "message", "request_id"}}`.
"""

import re
import secrets
import time
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any

import structlog
from litestar import Request, Response
from litestar.enums import ScopeType
from litestar.exceptions import HTTPException, ValidationException
from litestar.types import ASGIApp, HTTPScope, Message, Receive, Scope, Send

from backend.errors import AtelierError, InvalidRequest, Unavailable

log = structlog.get_logger(__name__)

RawHeaders = Iterable[tuple[bytes, bytes]]

REQUEST_ID = "x-request-id"
CLIENT_REQUEST_ID = re.compile(rb"[A-Za-z0-9_-]{8,64}")

# Codes for the errors that the framework itself finds. Written out, for the names in
# http.HTTPStatus change between Python versions.
FRAMEWORK_CODES = {
    400: "BAD_REQUEST",
    404: "NOT_FOUND",
    405: "METHOD_NOT_ALLOWED",
    413: "BODY_TOO_LARGE",
    415: "UNSUPPORTED_MEDIA_TYPE",
}
# What every answer carries unless its route has said otherwise.
SECURITY_HEADERS = {
    "cache-control": "private, no-store",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
}


class RequestContext:
    """ASGI wrapper around the whole app: it also sees the 404s and 405s of the router."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Bind a request id for the request's logs and put it on the answer."""
        if scope["type"] != ScopeType.HTTP:
            await self.app(scope, receive, send)
            return
        request_id = chosen_request_id(scope)
        started = time.perf_counter()

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = completed(message["headers"], request_id)
                log_access(scope, message["status"], time.perf_counter() - started)
            await send(message)

        with structlog.contextvars.bound_contextvars(request_id=request_id):
            await self.app(scope, receive, send_with_id)


def completed(headers: RawHeaders, request_id: str) -> RawHeaders:
    """The answer's headers with its id, and the security headers that it lacks."""
    present = {name.lower() for name, _ in headers}
    standard = [(name.encode(), value.encode()) for name, value in SECURITY_HEADERS.items()]
    return [
        *headers,
        *(header for header in standard if header[0] not in present),
        (REQUEST_ID.encode(), request_id.encode()),
    ]


def chosen_request_id(scope: Scope) -> str:
    """The caller's own id where it is harmless, else a fresh one of 96 random bits."""
    for name, value in scope["headers"]:
        if name == REQUEST_ID.encode() and CLIENT_REQUEST_ID.fullmatch(value):
            return value.decode()
    return secrets.token_hex(12)


def log_access(scope: HTTPScope, status: int, seconds: float) -> None:
    """One line a request: the path's template, for a path itself can carry ids and tokens."""
    log.info(
        "request",
        method=scope["method"],
        route=scope.get("path_template", "unmatched"),
        status=int(status),
        ms=round(seconds * 1000, 1),
    )


def atelier_error(_request: Request[Any, Any, Any], error: AtelierError) -> Response[Any]:
    """The answer to an error that Atelier raised on purpose."""
    if isinstance(error, Unavailable):
        log.warning("unavailable", code=error.code, cause=repr(error.__cause__)[:300])
    elif error.status == AtelierError.status:
        log.error("misconfigured", code=error.code, message=error.message)
        return envelope(error.status, AtelierError.code, AtelierError.message, {})
    return envelope(error.status, error.code, error.message, error.headers)


def invalid_request(_request: Request[Any, Any, Any], error: InvalidRequest) -> Response[Any]:
    """The 422: the envelope, and beside it `detail` in the shape that FastAPI made usual."""
    response = envelope(error.status, error.code, error.message, error.headers)
    response.content["detail"] = error.detail
    return response


def invalid_parameters(
    request: Request[Any, Any, Any], error: ValidationException
) -> Response[Any]:
    """Litestar's finding that a parameter does not fit its type."""
    found = error.extra if isinstance(error.extra, list) else []
    detail = [
        {
            "loc": [getattr(item.get("source"), "value", "body"), item.get("key", "")],
            "msg": item.get("message", error.detail),
            "type": "value_error",
        }
        for item in found
    ]
    return invalid_request(request, InvalidRequest(detail))


def framework_error(_request: Request[Any, Any, Any], error: HTTPException) -> Response[Any]:
    """The answer to an error that Litestar found before a handler ran."""
    status = HTTPStatus(error.status_code)
    code = FRAMEWORK_CODES.get(status, "BAD_REQUEST" if status < 500 else "INTERNAL_ERROR")
    if status >= 500:
        log.error("framework_error", status=status, detail=error.detail)
    return envelope(status, code, status.phrase + ".", error.headers or {})


def unexpected_error(_request: Request[Any, Any, Any], error: Exception) -> Response[Any]:
    """The answer to a bug: no detail leaves the process, all of it is in the log."""
    log.error("unexpected_error", exc_info=error)
    return envelope(AtelierError.status, AtelierError.code, AtelierError.message, {})


def envelope(status: int, code: str, message: str, headers: Any) -> Response[Any]:
    """An error as every client of ours can read it."""
    request_id = structlog.contextvars.get_contextvars().get("request_id")
    return Response(
        {"error": {"code": code, "message": message, "request_id": request_id}},
        status_code=status,
        headers=dict(headers),
        media_type="application/json",
    )


EXCEPTION_HANDLERS: dict[int | type[Exception], Any] = {
    AtelierError: atelier_error,
    InvalidRequest: invalid_request,
    ValidationException: invalid_parameters,
    HTTPException: framework_error,
    Exception: unexpected_error,
}
