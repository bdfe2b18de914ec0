"""The response headers, each described once."""

from typing import Any

from backend.openapi_responses import DocumentedResponse

ON_EVERY_RESPONSE = ("X-Request-Id", "Cache-Control")
SOMETIMES = "-sometimes"

HEADER_OBJECTS: dict[str, dict[str, Any]] = {
    "X-Request-Id": {
        "description": "Quote it when you report something. The request's own, if it has one "
        "of 8 to 64 letters, digits, `-` and `_`.",
        "schema": {"type": "string", "pattern": "^[A-Za-z0-9_-]{8,64}$"},
    },
    "Cache-Control": {
        "description": "What must be asked again is `no-cache`, all else is `no-store`.",
        "schema": {"enum": ["private, no-store", "private, no-cache"]},
    },
    "ETag": {
        "description": "The version: of a job together with that of its URLs, to be sent back as "
        "`If-None-Match`; or of the settings, to be sent back as `If-Match` when they are changed.",
        "schema": {"type": "string", "pattern": '^"[!#-~]+"$'},
    },
    "Retry-After": {
        "description": "Seconds after which to ask again, scattered a little: pages that asked "
        "at once are told apart. At 1 or 2 seconds add a fraction of your own.",
        "schema": {"type": "integer", "minimum": 1, "maximum": 86_461},
    },
    "Link": {
        "description": 'Where the next page is: `rel="next"`. The last page has none.',
        "schema": {"type": "string", "pattern": '^</v1/[a-zA-Z0-9/]+\\?[!-~]+>; rel="next"$'},
    },
    "Location": {
        "description": "Where to follow what was made.",
        "schema": {"type": "string", "pattern": "^/v1/(jobs|batches)/[0-9A-HJKMNP-TV-Z]{26}$"},
    },
    "Idempotency-Replayed": {
        "description": "The answer is that of the first request with this key.",
        "schema": {"const": "true"},
    },
    "X-Shopify-Retry-Invalid-Session-Request": {
        "description": "App Bridge fetches a fresh session token and asks again.",
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
