"""FASHN's API: `/v1/run`, `/v1/status/{id}`, `/v1/credits`."""

from collections import deque

import msgspec

from backend.dev.providers.exchange import Exchange
from backend.dev.providers.fashn_answers import fashn_accepted, fashn_error, fashn_status
from backend.dev.providers.inputs import kept_aside
from backend.dev.providers.models import SERVED_FASHN_MODELS
from backend.dev.providers.requests import AcceptedRequest, ProviderState
from backend.dev.shopify.state import HttpResponse

_UNAUTHORIZED = fashn_error("UnauthorizedAccess", "Unauthorized: Invalid token")
_NO_PREDICTION = fashn_error("NotFound", "Prediction not found")


class RunBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of `/v1/run`."""

    model_name: str
    inputs: dict[str, object]


def run_model(exchange: Exchange) -> HttpResponse | AcceptedRequest:
    """Accept a request, or refuse it as FASHN does."""
    state = exchange.state
    if refused := _refused(exchange) or _limited(state):
        return refused
    try:
        body = msgspec.json.decode(exchange.body, type=RunBody)
        model = SERVED_FASHN_MODELS.get(body.model_name)
        if model is None:
            return fashn_error("BadRequest", f"Invalid model_name: {body.model_name}")
        msgspec.convert(body.inputs, type=model.inputs)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        return fashn_error("BadRequest", f"Invalid request: {error}")
    return state.accept(
        "fashn",
        model,
        kept_aside(state, body.inputs),
        headers=exchange.headers,
        callback_url=exchange.query.get("webhook_url"),
    )


def run_answer(exchange: Exchange, prediction: AcceptedRequest) -> HttpResponse:
    """What `/v1/run` says of a request that was accepted."""
    return fashn_accepted(prediction)


def run_fault(name: str, seconds: float) -> HttpResponse:
    """How `/v1/run` answers with this fault."""
    if name == "rate_limited":
        return fashn_error("RateLimitExceeded", "Rate limit exceeded", seconds)
    if name == "concurrency_limited":
        return fashn_error("ConcurrencyLimitExceeded", "Concurrency limit exceeded", seconds)
    if name == "out_of_credits":
        return fashn_error("OutOfCredits", "You have run out of API credits")
    return fashn_error("InternalServerError", "Internal server error")


def prediction_status(exchange: Exchange, prediction_id: str) -> HttpResponse:
    """How far a request is."""
    state = exchange.state
    if refused := _refused(exchange):
        return refused
    if not _counted(state.fashn_polls, state.clock(), 10.0, state.fashn_polls_per_ten_seconds):
        return fashn_error("RateLimitExceeded", "Rate limit exceeded", 10)
    prediction = state.predictions.get(prediction_id)
    if prediction is None or prediction.api != "fashn":
        return _NO_PREDICTION
    return fashn_status(prediction)


def credit_balance(exchange: Exchange) -> HttpResponse:
    """What is left."""
    if refused := _refused(exchange):
        return refused
    left = int(exchange.state.fashn_credits)
    return HttpResponse(200, {"credits": {"total": left, "subscription": 0, "on_demand": left}})


def _refused(exchange: Exchange) -> HttpResponse | None:
    wanted = f"Bearer {exchange.state.fashn_key}"
    return None if exchange.headers.get("authorization") == wanted else _UNAUTHORIZED


def _limited(state: ProviderState) -> HttpResponse | None:
    if not _counted(state.fashn_runs, state.clock(), 60.0, state.fashn_runs_per_minute):
        return run_fault("rate_limited", 60)
    if state.unfinished("fashn") >= state.fashn_concurrency:
        return run_fault("concurrency_limited", 2)
    if state.fashn_credits <= 0:
        return run_fault("out_of_credits", 0)
    return None


def _counted(times: deque[float], now: float, window: float, limit: int) -> bool:
    """Whether one more request fits in the window, in seconds; if so, it is counted."""
    while times and times[0] <= now - window:
        times.popleft()
    if len(times) >= limit:
        return False
    times.append(now)
    return True
