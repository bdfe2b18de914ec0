"""The `webhooks` of the OpenAPI document: what is sent to webhook endpoints."""

from typing import Any

from backend.openapi.schemas import COMPONENT_REF
from backend.webhook_endpoints.payloads import DATA_OF

EVENT_HEADERS = {
    "webhook-id": "The event's ID, the same on every attempt.",
    "webhook-timestamp": "When this attempt was sent, in seconds since 1970.",
    "webhook-signature": "Signatures by Standard Webhooks, with spaces between: `v1,<base64>`.",
}


def outgoing_webhooks() -> dict[str, Any]:
    """One entry for each type of event."""
    return {event_type: {"post": event_operation(event_type)} for event_type in DATA_OF}


def event_operation(event_type: Any) -> dict[str, Any]:
    """The request that a receiver gets, and what it is to answer."""
    data = DATA_OF[event_type]
    schema = {
        "type": "object",
        "required": ["type", "timestamp", "data"],
        "additionalProperties": True,  # a receiver ignores what a later release adds
        "properties": {
            "type": {"type": "string", "const": event_type},
            "timestamp": {"type": "string", "format": "date-time"},
            "data": {"$ref": COMPONENT_REF.format(name=data.__name__)},
        },
    }
    headers = [
        {
            "name": name,
            "in": "header",
            "required": True,
            "description": meaning,
            "schema": {"type": "string"},
        }
        for name, meaning in EVENT_HEADERS.items()
    ]
    return {
        "summary": f"Event {event_type}",
        "description": " ".join((data.__doc__ or "").split()),
        "tags": ["Webhook endpoints"],
        "parameters": headers,
        "requestBody": {"required": True, "content": {"application/json": {"schema": schema}}},
        "responses": {"2XX": {"description": "Received. Everything else is tried again."}},
    }
