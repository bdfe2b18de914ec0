"""The response headers, each described once."""

from typing import Any

from backend.openapi_responses import DocumentedResponse

ON_EVERY_RESPONSE = ("X-Request-Id", "Cache-Control")
SOMETIMES = "-sometimes"

HEADER_OBJECTS: dict[str, dict[str, Any]] = {
    "X-Request-Id": {
        "description": "Quote it when you report a problem. Taken from the request if that "
        "has one of 8 to 64 letters, digits, `-` and `_`.",
        "schema": {"type": "string", "pattern": "^[A-Za-z0-9_-]{8,64}$"},
    },
    "Cache-Control": {
        "description": "`no-cache` if the response must be revalidated, otherwise `no-store`.",
        "schema": {"enum": ["private, no-store", "private, no-cache"]},
    },
    "ETag": {
        "description": "The version of a job and its URLs: send it back as `If-None-Match`. "
        "Or the version of the settings: send it back as `If-Match` when you change them.",
        "schema": {"type": "string", "pattern": '^"[!#-~]+"$'},
    },
    "Retry-After": {
        "description": "Seconds to wait before the next request, with random jitter so that "
        "clients do not retry at once. If it is 1 or 2, add a random fraction yourself.",
        "schema": {"type": "integer", "minimum": 1, "maximum": 86_461},
    },
    "Link": {
        "description": 'The next page, with `rel="next"`. Absent on the last page.',
        "schema": {"type": "string", "pattern": '^</v1/[a-zA-Z0-9/-]+\\?[!-~]+>; rel="next"$'},
    },
    "Location": {
        "description": "The URL of what is new: a job, a batch or a webhook endpoint.",
        "schema": {
            "type": "string",
            "pattern": "^/v1/(jobs|batches|webhook-endpoints)/[0-9A-HJKMNP-TV-Z]{26}$",
        },
    },
    "Idempotency-Replayed": {
        "description": "This is the response of the first request with this key.",
        "schema": {"const": "true"},
    },
    "X-Shopify-Retry-Invalid-Session-Request": {
        "description": "Makes App Bridge fetch a new session token and retry.",
        "schema": {"const": "1"},
    },
}


def header_components() -> dict[str, Any]:
    """Each header twice: as required and as optional."""
    always = {name: {**header, "required": True} for name, header in HEADER_OBJECTS.items()}
    sometimes = {name + SOMETIMES: header for name, header in HEADER_OBJECTS.items()}
    return always | sometimes


def headers_of(response: DocumentedResponse) -> dict[str, Any]:
    """The headers of a response."""
    always = {name: reference(name) for name in (*ON_EVERY_RESPONSE, *response.always)}
    sometimes = {name: reference(name + SOMETIMES) for name in response.sometimes}
    return always | sometimes


def reference(name: str) -> dict[str, str]:
    """The reference to a header component."""
    return {"$ref": f"#/components/headers/{name}"}
