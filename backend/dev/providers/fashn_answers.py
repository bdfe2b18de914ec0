"""FASHN's answers: what its documentation shows, word for word where it matters."""

import base64
from typing import Any

from backend.dev.providers.requests import AcceptedRequest
from backend.dev.shopify.state import HttpResponse

FASHN_STATUS = {
    "waiting": "in_queue",
    "running": "processing",
    "done": "completed",
    "failed": "failed",
    "cancelled": "canceled",
}
_API_ERRORS = {
    "BadRequest": 400,
    "UnauthorizedAccess": 401,
    "NotFound": 404,
    "RateLimitExceeded": 429,
    "ConcurrencyLimitExceeded": 429,
    "OutOfCredits": 429,
    "InternalServerError": 500,
}


def fashn_error(name: str, message: str, retry_after: float | None = None) -> HttpResponse:
    """An API-level error: nothing was accepted."""
    headers = {} if retry_after is None else {"Retry-After": f"{retry_after:g}"}
    return HttpResponse(_API_ERRORS[name], {"error": name, "message": message}, headers)


def fashn_accepted(prediction: AcceptedRequest) -> HttpResponse:
    """The answer to `/v1/run`."""
    return HttpResponse(200, {"id": prediction.id, "error": None})


def fashn_status(prediction: AcceptedRequest) -> HttpResponse:
    """The answer to `/v1/status`; what it cost is in a header, once it is done."""
    headers = {}
    if prediction.status == "done":
        headers["x-fashn-credits-used"] = f"{prediction.units:g}"
    return HttpResponse(200, prediction_body(prediction), headers)


def prediction_body(prediction: AcceptedRequest) -> dict[str, Any]:
    """The body of a status, and of a callback."""
    error = prediction.error
    return {
        "id": prediction.id,
        "status": FASHN_STATUS[prediction.status],
        "output": _output(prediction) if prediction.status == "done" else None,
        "error": error and {"name": error.fashn_name, "message": error.message},
    }


def _output(prediction: AcceptedRequest) -> list[str]:
    if not prediction.inputs.get("return_base64"):
        return [f"{prediction.origin}/files/{file.name}" for file in prediction.files]
    return [
        f"data:{file.content_type};base64,{base64.b64encode(file.content).decode()}"
        for file in prediction.files
    ]
