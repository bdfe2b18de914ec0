"""For every HTTP response: a request id, an access-log line, and errors in one envelope.

The envelope: `{"error": {"code", "message", "request_id"}}`.
"""

import os
import re
import time
from collections.abc import Awaitable, Iterable, Mapping
from typing import Any, NamedTuple

import msgspec
import structlog
from litestar import Request, Response
from litestar.enums import ScopeType
from litestar.exceptions import HTTPException, ValidationException
from litestar.types import ASGIApp, HTTPScope, Message, Receive, Scope, Send

from backend.errors import (
    AtelierError,
    BadRequest,
    BodyTooLarge,
    InsufficientBalance,
    InvalidRequest,
    MethodNotAllowed,
    RequestError,
    RouteNotFound,
    Unavailable,
    UnsupportedMedia,
)
from backend.http_semantics import sent_method
from backend.logs import log_briefly
from backend.metrics import count_request
from backend.openapi_responses import (
    ErrorCause,
    ErrorResponse,
    InsufficientBalanceError,
    InvalidRequestError,
    Problem,
)

log = structlog.get_logger(__name__)

RawHeaders = Iterable[tuple[bytes, bytes]]

REQUEST_ID = b"x-request-id"
CLIENT_REQUEST_ID = re.compile(rb"[A-Za-z0-9_-]{8,64}")

# Errors that the framework raises itself, as our own error classes.
FRAMEWORK_ERRORS: dict[int, type[RequestError]] = {
    error.status: error
    for error in (BadRequest, RouteNotFound, MethodNotAllowed, BodyTooLarge, UnsupportedMedia)
}
ONE_VALUE = (b"content-type", b"idempotency-key")  # credentials are up to the guards
# The headers of every response that does not set its own.
SECURITY_HEADERS = {
    "cache-control": "private, no-store",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
}


class RequestContext:
    """ASGI middleware around the whole app, so that it also sees the router's 404s and 405s."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Bind a request id to the request's logs and add it to the response."""
        if scope["type"] != ScopeType.HTTP:
            await self.app(scope, receive, send)
            return
        request_id = chosen_request_id(scope)
        started = time.perf_counter()

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                if scope["method"] == "OPTIONS" or message["status"] == MethodNotAllowed.status:
                    message["headers"] = with_every_method(scope, message["headers"])
                message["headers"] = with_standard_headers(message["headers"], request_id)
                seconds = time.perf_counter() - started
                log_access(scope, message["status"], seconds, request_id)
            await send(message)

        bound = structlog.contextvars.bind_contextvars(request_id=request_id)
        try:
            if problem := header_problem(scope):
                response = response_to_error(BadRequest(problem))
                log_access(scope, response.status, time.perf_counter() - started, request_id)
                await send_json(send, response, request_id)
            else:
                await self.app(scope, receive, send_with_id)
        finally:
            structlog.contextvars.reset_contextvars(**bound)


def header_problem(scope: HTTPScope) -> str | None:
    """Why the headers cannot be meant: another reader might choose the other value of two."""
    names = [name for name, _ in scope["headers"]]
    if names.count(b"host") > 1:
        return "Send exactly one Host header."  # RFC 9112 §3.2
    repeated = next((name for name in ONE_VALUE if names.count(name) > 1), None)
    return f"Send the header {repeated.decode().title()} once." if repeated else None


def with_every_method(scope: HTTPScope, headers: RawHeaders) -> RawHeaders:
    """The headers with a complete Allow.

    Litestar lists only the first handler's methods for OPTIONS, and knows no HEAD: see
    `http_semantics`.
    """
    others = {
        method
        for route in scope["litestar_app"].routes
        if route.path_format == scope.get("path_template")
        for method in getattr(route, "methods", ())
    }
    return [
        (name, allowed(value, others) if name.lower() == b"allow" else value)
        for name, value in headers
    ]


def allowed(value: bytes, others: set[str]) -> bytes:
    """An Allow header with these methods too, and with HEAD wherever there is GET."""
    methods = {*value.decode().split(", "), *others}
    head = {"HEAD"} if "GET" in methods else set()
    return ", ".join(sorted(methods | head)).encode()


STANDARD_HEADERS = {name.encode(): value.encode() for name, value in SECURITY_HEADERS.items()}
NO_HEADERS: Mapping[bytes, bytes] = {}


def with_standard_headers(headers: RawHeaders, request_id: str) -> list[tuple[bytes, bytes]]:
    """The headers with the request id and the missing security headers."""
    present = {name.lower() for name, _ in headers}
    missing = [header for header in STANDARD_HEADERS.items() if header[0] not in present]
    return [*headers, *missing, (REQUEST_ID, request_id.encode())]


def chosen_request_id(scope: Scope) -> str:
    """The client's own id if it is well-formed, else 96 random bits."""
    for name, value in scope["headers"]:
        if name == REQUEST_ID and CLIENT_REQUEST_ID.fullmatch(value):
            return value.decode()
    return os.urandom(12).hex()


def current_request_id() -> str:
    """The id of the current request."""
    return str(structlog.contextvars.get_contextvars()["request_id"])


def log_access(scope: HTTPScope, status: int, seconds: float, request_id: str) -> None:
    """One line a request: the path's template, for a path itself can carry ids and tokens."""
    method, route = sent_method(scope), scope.get("path_template", "unmatched")
    count_request(method, route, int(status), seconds)
    log_briefly(
        __name__,
        "request",
        method=method,
        route=route,
        status=int(status),
        ms=round(seconds * 1000, 1),
        request_id=request_id,
    )


class JsonResponse(NamedTuple):
    """A response with a JSON body: a Struct, or None for an empty body."""

    status: int
    headers: Mapping[str, str]
    body: Any


def send_json(send: Send, response: JsonResponse, request_id: str) -> Awaitable[None]:
    """Send the response without the framework, with all headers that `RequestContext` adds."""
    more = {**STANDARD_HEADERS, REQUEST_ID: request_id.encode()}
    return send_response(send, response, more)


async def send_response(
    send: Send, response: JsonResponse, defaults: Mapping[bytes, bytes] = NO_HEADERS
) -> None:
    """Send the response without the framework; `defaults` are headers that it need not set."""
    headers = {**defaults}
    for name, value in response.headers.items():
        headers[name.lower().encode()] = value.encode("latin-1")
    body = b""
    if response.body is not None:
        body = msgspec.json.encode(response.body)
        headers[b"content-type"] = b"application/json"
        headers[b"content-length"] = b"%d" % len(body)
    status, found = int(response.status), [*headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": found})
    await send({"type": "http.response.body", "body": body, "more_body": False})


def response_to_error(error: AtelierError) -> JsonResponse:
    """The response to an `AtelierError`."""
    if isinstance(error, Unavailable):
        log.warning("unavailable", code=error.code, cause=repr(error.__cause__)[:300])
    elif error.status == AtelierError.status:
        log.error("misconfigured", code=error.code, message=error.message)
        return internal_error()
    return JsonResponse(error.status, error.headers, envelope(error.code, error.message))


def response_to_bug(error: Exception) -> JsonResponse:
    """The response to an unexpected exception, whose details go only to the log."""
    log.error("unexpected_error", exc_info=error)
    return internal_error()


def atelier_error(_request: Request[Any, Any, Any], error: AtelierError) -> Response[Any]:
    """Litestar's handler for `AtelierError`."""
    return litestar_response(response_to_error(error))


def invalid_request(_request: Request[Any, Any, Any], error: InvalidRequest) -> Response[Any]:
    """The 422: the envelope, plus `detail` in the shape known from FastAPI."""
    body = InvalidRequestError(
        error=cause(error.code, error.message), detail=msgspec.convert(error.detail, list[Problem])
    )
    return litestar_response(JsonResponse(error.status, error.headers, body))


def insufficient_balance(
    _request: Request[Any, Any, Any], error: InsufficientBalance
) -> Response[Any]:
    """The 402: the envelope, plus what it costs and what there is."""
    body = InsufficientBalanceError(
        error=cause(error.code, error.message), required=error.required, available=error.available
    )
    return litestar_response(JsonResponse(error.status, error.headers, body))


def invalid_parameters(
    request: Request[Any, Any, Any], error: ValidationException
) -> Response[Any]:
    """Litestar's handler for parameters of the wrong type."""
    found = error.extra if isinstance(error.extra, list) else []
    detail = [
        {
            "loc": parameter_location(
                getattr(item.get("source"), "value", "body"), item.get("key", "")
            ),
            "msg": item.get("message", error.detail),
            "type": "value_error",
        }
        for item in found
    ]
    return invalid_request(request, InvalidRequest(detail))


def parameter_location(source: str, key: str) -> list[str]:
    """The `loc` of a parameter; Litestar names a header by the handler's argument."""
    return [source, key.replace("_", "-").title() if source == "header" else key]


def framework_error(_request: Request[Any, Any, Any], error: HTTPException) -> Response[Any]:
    """Litestar's handler for its own HTTP errors."""
    status = error.status_code
    if status >= 500:
        log.error("framework_error", status=status, detail=error.detail)
        return litestar_response(internal_error())
    found = FRAMEWORK_ERRORS.get(status, RequestError)
    body = envelope(found.code, found.message)
    return litestar_response(JsonResponse(status, error.headers or {}, body))


def unexpected_error(_request: Request[Any, Any, Any], error: Exception) -> Response[Any]:
    """Litestar's handler for any other exception."""
    return litestar_response(response_to_bug(error))


def internal_error() -> JsonResponse:
    """The 500, without any detail."""
    body = envelope(AtelierError.code, AtelierError.message)
    return JsonResponse(AtelierError.status, AtelierError.headers, body)


def envelope(code: str, message: str) -> ErrorResponse:
    """The envelope of an error."""
    return ErrorResponse(error=cause(code, message))


def cause(code: str, message: str) -> ErrorCause:
    """The `error` object, with the id of the current request."""
    return ErrorCause(code=code, message=message, request_id=current_request_id())


def litestar_response(response: JsonResponse) -> Response[Any]:
    """The same as a Litestar response, always with JSON as its media type."""
    return Response(
        response.body,
        status_code=response.status,
        headers=dict(response.headers),
        media_type="application/json",
    )


EXCEPTION_HANDLERS: dict[int | type[Exception], Any] = {
    AtelierError: atelier_error,
    InvalidRequest: invalid_request,
    InsufficientBalance: insufficient_balance,
    ValidationException: invalid_parameters,
    HTTPException: framework_error,
    Exception: unexpected_error,
}
