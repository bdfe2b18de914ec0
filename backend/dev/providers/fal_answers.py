"""fal's answers: its queue, its results and the bodies of its webhooks."""

import base64
from typing import Any

from backend.dev.providers.requests import AcceptedRequest, ModelError, OutputFile, ProviderState
from backend.dev.shopify.state import HttpResponse

INFRASTRUCTURE_ERRORS = frozenset({"client_cancelled", "request_timeout"})


def fal_error(status: int, detail: str, error_type: str | None = None) -> HttpResponse:
    """An error of the platform, not of the model."""
    if error_type is None:
        return HttpResponse(status, {"detail": detail})
    body = {"detail": detail, "error_type": error_type}
    return HttpResponse(status, body, {"X-Fal-Error-Type": error_type})


def queue_urls(prediction: AcceptedRequest) -> dict[str, str]:
    """The request's three URLs: with the app's name, but without the path behind it."""
    app = "/".join(prediction.model.name.split("/")[:2])
    url = f"{prediction.origin}/{app}/requests/{prediction.id}"
    return {"response_url": url, "status_url": f"{url}/status", "cancel_url": f"{url}/cancel"}


def fal_accepted(prediction: AcceptedRequest, state: ProviderState) -> HttpResponse:
    """The answer to a submitted request."""
    return HttpResponse(
        200,
        {
            "status": "IN_QUEUE",
            "request_id": prediction.id,
            **queue_urls(prediction),
            "logs": None,
            "metrics": {},
            "queue_position": state.position(prediction),
        },
        {"x-fal-request-id": prediction.id},
    )


def fal_queue_status(prediction: AcceptedRequest, state: ProviderState) -> HttpResponse:
    """The answer to the status URL: 202 until it has ended."""
    body: dict[str, Any] = {"request_id": prediction.id, **queue_urls(prediction), "logs": None}
    if prediction.has_ended:
        return HttpResponse(200, {**body, "status": "COMPLETED", **_ended(prediction)})
    if prediction.status == "waiting":
        body |= {"status": "IN_QUEUE", "queue_position": state.position(prediction)}
    else:
        body |= {"status": "IN_PROGRESS"}
    return HttpResponse(202, {**body, "metrics": {}})


def fal_result(prediction: AcceptedRequest) -> HttpResponse:
    """The answer to the response URL: the model's own, with its status."""
    headers = {"x-fal-request-id": prediction.id}
    if not prediction.has_ended:
        return HttpResponse(400, {"detail": "Request is still in progress"}, headers)
    error = prediction.error
    if error is None:
        headers["x-fal-billable-units"] = f"{prediction.units:g}"
        return HttpResponse(200, result_body(prediction), headers)
    headers["X-Fal-Retryable"] = "true" if error.fal_status >= 500 else "false"
    if error.fal_type in INFRASTRUCTURE_ERRORS:
        return fal_error(error.fal_status, error.message, error.fal_type)
    return HttpResponse(error.fal_status, error_body(error), headers)


def result_body(prediction: AcceptedRequest) -> dict[str, Any]:
    """What the model has made."""
    images = [_image(prediction, file) for file in prediction.files]
    seed = {"seed": prediction.seed}
    if prediction.model.single_image:
        return {"image": images[0], **seed}
    return {"images": images, **seed}


def error_body(error: ModelError) -> dict[str, Any]:
    """A model's error, as a list of details."""
    detail = {"loc": list(error.loc), "msg": error.message, "type": error.fal_type}
    return {"detail": [{**detail, "url": f"https://docs.fal.ai/errors#{error.fal_type}"}]}


def webhook_body(prediction: AcceptedRequest) -> dict[str, Any]:
    """The body of a callback."""
    error = prediction.error
    return {
        "request_id": prediction.id,
        "gateway_request_id": prediction.id,
        "status": "OK" if error is None else "ERROR",
        "error": None if error is None else f"Unexpected status code: {error.fal_status}",
        "payload": result_body(prediction) if error is None else error_body(error),
    }


def _ended(prediction: AcceptedRequest) -> dict[str, Any]:
    assert prediction.ended_at is not None
    seconds = prediction.ended_at - (prediction.started_at or prediction.ended_at)
    ended: dict[str, Any] = {"metrics": {"inference_time": seconds}}
    if prediction.error is not None:
        ended |= {"error": prediction.error.message, "error_type": prediction.error.fal_type}
    return ended


def _image(prediction: AcceptedRequest, file: OutputFile) -> dict[str, Any]:
    url = f"{prediction.origin}/files/{file.name}"
    if prediction.inputs.get("sync_mode"):
        url = f"data:{file.content_type};base64,{base64.b64encode(file.content).decode()}"
    return {
        "url": url,
        "content_type": file.content_type,
        "file_name": file.name,
        "file_size": len(file.content),
        "width": file.width,
        "height": file.height,
    }
