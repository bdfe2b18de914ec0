"""The stand-in's HTTP: which request goes where, by method and path, and its faults."""

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec
from litestar import Litestar, Request, Response, route
from litestar.types import Method

from backend.dev.providers import controls, fal_api, fashn_api
from backend.dev.providers.callbacks import ProviderCallbacks
from backend.dev.providers.exchange import Exchange
from backend.dev.providers.faults import OrderedFault
from backend.dev.providers.processing import Runners
from backend.dev.providers.requests import AcceptedRequest, ProviderState
from backend.dev.shopify.fault_injection import cut_short
from backend.dev.shopify.state import HttpResponse

MAX_BODY_BYTES = 100_000_000  # several photos as data URIs
EARLY_CALLBACK_WAIT = 10.0  # seconds that an answer waits for its own callback at most
HTTP_METHODS: list[Method] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]

_NOT_FOUND = HttpResponse(404, {"detail": "Not Found"})
_NOT_ALLOWED = HttpResponse(405, {"detail": "Method Not Allowed"})
_GONE = HttpResponse(403, b"<Error><Code>AccessDenied</Code></Error>", {}, "application/xml")
_NO_PICTURE = b"<!DOCTYPE html><title>502 Bad Gateway</title>"

ServedBy = Callable[..., HttpResponse | AcceptedRequest]


@dataclass(frozen=True, slots=True)
class ServedEndpoint:
    """Requests of one kind. `name` is what they are counted by."""

    name: str
    method: str
    path: re.Pattern[str]
    handler: ServedBy


def provider_app(state: ProviderState, runners: Runners, callbacks: ProviderCallbacks) -> Litestar:
    """Return the ASGI application that answers as both providers."""
    endpoints = _endpoints(runners, callbacks)

    @route(["/", "/{path:path}"], http_method=HTTP_METHODS, request_max_body_size=MAX_BODY_BYTES)
    async def any_request(request: Request[Any, Any, Any]) -> Response[Any]:
        exchange = await _exchange(state, request)
        found = [(each, m) for each in endpoints if (m := each.path.fullmatch(exchange.path))]
        fitting = [(each, m) for each, m in found if each.method == exchange.method]
        if not fitting:
            return _response(_NOT_ALLOWED if found else _NOT_FOUND)
        endpoint, match = fitting[0]
        state.calls[endpoint.name] += 1
        if endpoint.name in _SUBMITS:
            return await _submit(exchange, endpoint, match, request)
        if endpoint.name.endswith("status") and state.faults.take("status"):
            return _response(HttpResponse(500, {"detail": "Internal Server Error"}))
        answer = endpoint.handler(exchange, *match.groups())
        assert isinstance(answer, HttpResponse)
        return _response(answer)

    async def _submit(
        exchange: Exchange,
        endpoint: ServedEndpoint,
        match: re.Match[str],
        request: Request[Any, Any, Any],
    ) -> Response[Any]:
        fault = state.faults.take("submit")
        if fault is not None and fault.name == "hang":
            await asyncio.sleep(fault.seconds)
            return _response(HttpResponse(504, {"detail": "Gateway Timeout"}))
        answered, refused = _SUBMITS[endpoint.name]
        if fault is not None and fault.name != "answer_lost":
            return _response(refused(fault.name, fault.seconds))
        accepted = endpoint.handler(exchange, *match.groups())
        if isinstance(accepted, HttpResponse):
            return _response(accepted)
        answer = answered(exchange, accepted)
        runners.start(accepted)
        await _callback_first(accepted, accepted.callback_fault)
        return cut_short(answer, request) if fault is not None else _response(answer)

    async def _callback_first(accepted: AcceptedRequest, fault: OrderedFault | None) -> None:
        if fault is not None and fault.name == "callback_forged":
            callbacks.forge(accepted)
        if fault is not None and fault.name == "callback_early":
            assert accepted.task is not None
            await asyncio.wait([accepted.task], timeout=EARLY_CALLBACK_WAIT)

    # Logging is the host program's: Litestar would configure the root logger.
    return Litestar([any_request], openapi_config=None, logging_config=None)


_SUBMITS = {
    "fashn run": (fashn_api.run_answer, fashn_api.run_fault),
    "fal submit": (fal_api.submit_answer, fal_api.submit_fault),
}


def _endpoints(runners: Runners, callbacks: ProviderCallbacks) -> list[ServedEndpoint]:
    """In the order in which they are tried."""

    def cancel(exchange: Exchange, app: str, request_id: str) -> HttpResponse:
        return fal_api.cancel_queued(exchange, app, request_id, runners)

    def jwks(_exchange: Exchange) -> HttpResponse:
        return HttpResponse(200, callbacks.jwks())

    app = r"/([\w.-]+/[\w.-]+)"
    one = rf"{app}/requests/([\w-]+)"
    submit = r"/([\w.-]+/[\w.-]+(?:/[\w.-]+)*)"
    table: list[tuple[str, str, str, ServedBy]] = [
        ("control", "POST", r"/stand-in/faults", controls.order_faults),
        ("control", "POST", r"/stand-in/(hold|release)", controls.hold_or_release),
        ("control", "GET", r"/stand-in/requests", controls.list_predictions),
        ("output", "GET", r"/files/(.+)", output_file),
        ("fashn run", "POST", r"/v1/run", fashn_api.run_model),
        ("fashn status", "GET", r"/v1/status/(.+)", fashn_api.prediction_status),
        ("fashn credits", "GET", r"/v1/credits", fashn_api.credit_balance),
        ("fal keys", "GET", r"/\.well-known/jwks\.json", jwks),
        ("fal list", "GET", r"/v1/models/requests/by-endpoint", fal_api.list_requests),
        ("fal prices", "GET", r"/v1/models/pricing", fal_api.list_prices),
        ("fal status", "GET", rf"{one}/status", fal_api.request_status),
        ("fal cancel", "PUT", rf"{one}/cancel", cancel),
        ("fal result", "GET", one, fal_api.request_result),
        ("fal submit", "POST", submit, fal_api.queue_request),
    ]
    return [
        ServedEndpoint(name, method, re.compile(path), handler)
        for name, method, path, handler in table
    ]


def output_file(exchange: Exchange, name: str) -> HttpResponse:
    """A picture, at a URL that anybody may fetch until it expires."""
    file = exchange.state.outputs.get(name)
    if file is None:
        return _NOT_FOUND
    fault = file.fault.name if file.fault else ""
    if fault == "expired_output" or exchange.state.clock() >= file.expires_at:
        return _GONE
    content = _NO_PICTURE if fault == "wrong_bytes" else file.content
    return HttpResponse(200, content, content_type=file.content_type)


async def _exchange(state: ProviderState, request: Request[Any, Any, Any]) -> Exchange:
    return Exchange(
        state=state,
        method="GET" if request.method == "HEAD" else request.method,
        path=request.url.path,
        query=dict(request.query_params.items()),
        headers=dict(request.headers.items()),
        body=await request.body(),
    )


def _response(answer: HttpResponse) -> Response[Any]:
    is_json = not isinstance(answer.body, bytes)
    return Response(
        msgspec.json.encode(answer.body) if is_json else answer.body,
        status_code=answer.status,
        headers=answer.headers,
        media_type=answer.content_type,
    )
