"""fal's queue, its list of requests and prices, and its public keys."""

from datetime import UTC, datetime
from typing import Any

import msgspec

from backend.dev.providers.exchange import Exchange
from backend.dev.providers.fal_answers import (
    fal_accepted,
    fal_error,
    fal_queue_status,
    fal_result,
)
from backend.dev.providers.inputs import as_sent, kept_aside
from backend.dev.providers.models import SERVED_FAL_MODELS
from backend.dev.providers.processing import Runners
from backend.dev.providers.requests import AcceptedRequest, ProviderState
from backend.dev.shopify.state import HttpResponse

_UNAUTHORIZED = fal_error(401, "No user found for Key ID and Secret")
_NO_REQUEST = fal_error(404, "Request not found")
MAX_PAGE_ITEMS = 100


def queue_request(exchange: Exchange, endpoint: str) -> HttpResponse | AcceptedRequest:
    """Accept a request. Its inputs are looked at by the model, when it is its turn."""
    state = exchange.state
    if refused := _refused(exchange):
        return refused
    if state.fal_is_locked:
        return submit_fault("out_of_credits", 0)
    model = SERVED_FAL_MODELS.get(endpoint)
    if model is None:
        return fal_error(404, f"Application '{endpoint}' not found")
    try:
        inputs = msgspec.json.decode(exchange.body, type=dict[str, object])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return fal_error(400, "The body is not a JSON object")
    return state.accept(
        "fal",
        model,
        kept_aside(state, inputs),
        headers=exchange.headers,
        callback_url=exchange.query.get("fal_webhook"),
    )


def submit_answer(exchange: Exchange, prediction: AcceptedRequest) -> HttpResponse:
    """What the queue says of a request that was accepted."""
    return fal_accepted(prediction, exchange.state)


def submit_fault(name: str, seconds: float) -> HttpResponse:
    """How the queue answers with this fault."""
    if name in ("rate_limited", "concurrency_limited"):
        answer = fal_error(429, "Too many requests")
        return HttpResponse(429, answer.body, {"Retry-After": f"{seconds:g}"})
    if name == "out_of_credits":
        return fal_error(
            403, "User is locked. Reason: Exhausted balance. Top up your balance to continue."
        )
    return fal_error(500, "Internal Server Error", "internal_error")


def request_status(exchange: Exchange, app: str, request_id: str) -> HttpResponse:
    """How far a request is."""
    found = _found(exchange, app, request_id)
    return found if isinstance(found, HttpResponse) else fal_queue_status(found, exchange.state)


def request_result(exchange: Exchange, app: str, request_id: str) -> HttpResponse:
    """What the model has made."""
    found = _found(exchange, app, request_id)
    return found if isinstance(found, HttpResponse) else fal_result(found)


def cancel_queued(exchange: Exchange, app: str, request_id: str, runners: Runners) -> HttpResponse:
    """Stop a request."""
    found = _found(exchange, app, request_id)
    if isinstance(found, HttpResponse):
        return HttpResponse(404, {"status": "NOT_FOUND"}) if found is _NO_REQUEST else found
    if runners.cancel(found):
        return HttpResponse(202, {"status": "CANCELLATION_REQUESTED"})
    return HttpResponse(400, {"status": "ALREADY_COMPLETED"})


def list_requests(exchange: Exchange) -> HttpResponse:
    """The account's requests to some models, newest first, which began in a time."""
    if refused := _refused(exchange):
        return refused
    state, query = exchange.state, exchange.query
    endpoints = set(query.get("endpoint_id", "").split(",")) - {""}
    if not endpoints:
        return fal_error(422, "endpoint_id is required")
    start, end = _seconds(query.get("start"), state.clock() - 86_400), _seconds(query.get("end"))
    found = [
        each
        for each in reversed(state.predictions.values())
        if each.api == "fal" and each.model.name in endpoints and _is_listed(each, state)
        if start <= each.accepted_at and (end is None or each.accepted_at < end)
        if query.get("request_id") in (None, each.id)
    ]
    first = int(query.get("cursor") or 0)
    last = first + min(int(query.get("limit") or 50), MAX_PAGE_ITEMS)
    has_payloads = "payloads" in query.get("expand", "")
    return HttpResponse(
        200,
        {
            "items": [_item(each, state, has_payloads) for each in found[first:last]],
            "has_more": last < len(found),
            "next_cursor": str(last) if last < len(found) else None,
        },
    )


def list_prices(exchange: Exchange) -> HttpResponse:
    """What a unit of some models costs."""
    if refused := _refused(exchange):
        return refused
    wanted = exchange.query.get("endpoint_id", "").split(",")
    if unknown := [name for name in wanted if name not in SERVED_FAL_MODELS]:
        return fal_error(404, f"Endpoint not found: {', '.join(unknown)}")
    prices = [
        {
            "endpoint_id": name,
            "unit_price": SERVED_FAL_MODELS[name].unit_price,
            "unit": "image",
            "currency": "USD",
        }
        for name in wanted
    ]
    return HttpResponse(200, {"prices": prices, "next_cursor": None, "has_more": False})


def _refused(exchange: Exchange) -> HttpResponse | None:
    wanted = f"Key {exchange.state.fal_key}"
    return None if exchange.headers.get("authorization") == wanted else _UNAUTHORIZED


def _found(exchange: Exchange, app: str, request_id: str) -> AcceptedRequest | HttpResponse:
    if refused := _refused(exchange):
        return refused
    prediction = exchange.state.predictions.get(request_id)
    if prediction is None or prediction.api != "fal":
        return _NO_REQUEST
    # The URLs have the app's name without the path behind it.
    return prediction if f"{prediction.model.name}/".startswith(f"{app}/") else _NO_REQUEST


def _is_listed(prediction: AcceptedRequest, state: ProviderState) -> bool:
    return prediction.has_ended or state.fal_lists_unfinished


def _item(prediction: AcceptedRequest, state: ProviderState, has_payloads: bool) -> dict[str, Any]:
    item: dict[str, Any] = {
        "request_id": prediction.id,
        "endpoint_id": prediction.model.name,
        "sent_at": _written(prediction.accepted_at),
        "started_at": _written(prediction.started_at),
        "ended_at": _written(prediction.ended_at),
        "status_code": None,
    }
    if prediction.has_ended:
        item["status_code"] = fal_result(prediction).status
    # A request that says so leaves no payload behind.
    if has_payloads and prediction.headers.get("x-fal-store-io") != "0":
        item["json_input"] = as_sent(state, prediction.inputs)
    return item


def _seconds(written: str | None, default: Any = None) -> Any:
    if written is None:
        return default
    found = datetime.fromisoformat(written)
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()


def _written(seconds: float | None) -> str | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat()
