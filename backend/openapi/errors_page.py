"""`docs/errors.md`, made from `backend.errors` and `backend.failures` by `make errors`."""

import sys
from collections.abc import Iterable, Iterator

from backend.errors import AtelierError, ConfigurationError
from backend.failures.registry import DEFINITIONS, Definition, Noun, codes_of
from backend.http_protocol import TOO_LARGE, TOO_LARGE_CODE

# What a client does about an error of the API. Each code has a line; a test holds it complete.
ADVICE = {
    "ALREADY_PUBLISHED": "`DELETE` the publication first, then publish again.",
    "AMBIGUOUS_CREDENTIALS": "Send one credential: a session token, or a signed proxy request.",
    "BAD_REQUEST": "Fix the request's syntax; the API's description has the format.",
    "BATCH_ALREADY_FINISHED": "Nothing. Read its result with `GET /v1/batches/{public_id}`.",
    "BATCH_NOTHING_TO_RETRY": "Nothing. Wait until the batch has finished if it is still running.",
    "BATCH_NOT_FOUND": "Check the id, and that the batch belongs to this shop.",
    "BILLING_DISABLED": "Nothing: this installation charges no merchant.",
    "BODY_TOO_LARGE": "Send a smaller body.",
    "BODY_TOO_SLOW": "Send the request again over a faster connection.",
    "CHARGE_REFUSED": "See Shopify's reason; [what each means](operations.md#billing).",
    "DAILY_CAP_REACHED": "Wait as long as `Retry-After` says.",
    "DATABASE_UNAVAILABLE": "Retry after `Retry-After` seconds.",
    "ENDPOINT_DELIVERY_NOT_FOUND": "Check the id; deliveries are kept for 30 days.",
    "HEADERS_TOO_LARGE": "Send a shorter URL and fewer or shorter headers.",
    "IDEMPOTENCY_KEY_REUSED": "Use a new `Idempotency-Key` for each new body.",
    "IMAGE_ANIMATED": "Upload a still photo.",
    "IMAGE_CORRUPT": "Export the photo again, and upload the new file.",
    "IMAGE_TOO_COMPLEX": "Upload a smaller or simpler photo.",
    "IMAGE_TOO_LARGE": "Save the photo with stronger compression or fewer pixels.",
    "IMAGE_TOO_SMALL": "Upload a larger photo.",
    "IMAGE_TYPE_UNSUPPORTED": "Save the photo as JPEG or PNG.",
    "INSUFFICIENT_BALANCE": "Buy credits or choose less; the body has `required` and `available`.",
    "INTERNAL_ERROR": "Retry later. Quote the `request_id` when you report it.",
    "INVALID_REQUEST": "Correct the values that `detail` names.",
    "JOB_ALREADY_FINISHED": "Nothing. Read its result with `GET /v1/jobs/{public_id}`.",
    "PHOTO_EXPIRED": "Upload the photo again, or name the product in a new job.",
    "RESOURCE_NOT_FOUND": "Check the id, and that the image belongs to this shop.",
    "STOREFRONT_JOB": "Create a job of your own for the product.",
    "JOB_HAS_NO_PRODUCT": "Name a `product_id` when you publish.",
    "JOB_NOT_FINISHED": "Wait until the job has the status `SUCCESS`.",
    "JOB_NOT_FOUND": "Check the id, and that the job belongs to this shop.",
    "METHOD_NOT_ALLOWED": "Use a method that the `Allow` header names.",
    "NO_ENGINE": "Choose a workflow that `GET /v1/operations` shows as enabled, or ask the "
    "operator to set `ENGINES` for its stages.",
    "NOT_FOUND": "Check the address; `GET /schema` lists all of them.",
    "PACKS_NOT_SOLD": "Subscribe to a plan instead; `GET /v1/plans` lists them.",
    "PLAN_ALREADY_ACTIVE": "Nothing, or choose another plan of `GET /v1/plans`.",
    "PRECONDITION_FAILED": "`GET` the current state, then repeat the change with its ETag.",
    "PREVIEW_NOT_PUBLISHABLE": "Publish an artifact that is not a preview.",
    "PRIVACY_REQUEST_NOT_FOUND": "Check the id, and that the request belongs to this shop.",
    "PRODUCT_NOT_FOUND": "Choose another product to publish to.",
    "PUBLICATION_NOT_FOUND": "Publish the job first with `POST /v1/jobs/{public_id}/publication`.",
    "RATE_LIMITED": "Wait as long as `Retry-After` says.",
    "REQUEST_IN_PROGRESS": "Retry after `Retry-After` seconds, with the same key and body.",
    "SCOPE_MISSING": "Open the app in the Shopify admin, and grant the access it asks for.",
    "SERVER_BUSY": "Retry after `Retry-After` seconds.",
    "SHOPIFY_UNAVAILABLE": "Retry after `Retry-After` seconds.",
    "SHOP_NOT_INSTALLED": "`POST /v1/installation` with a session token of the shop.",
    "STORAGE_QUOTA_REACHED": "Wait until older files have expired, or ask support for more.",
    "STORAGE_UNAVAILABLE": "Retry after `Retry-After` seconds.",
    "TOO_MANY_OPEN_BATCHES": "Wait until some of the shop's batches have been expanded.",
    "TOO_MANY_OPEN_CHARGES": "Approve or decline a charge, or wait until they expire.",
    "TOO_MANY_OPEN_JOBS": "Wait until some of the shop's jobs have finished.",
    "TOO_MANY_WEBHOOK_ENDPOINTS": "Delete an endpoint that is no longer used.",
    "UNAUTHENTICATED": "Send a valid credential; fetch a fresh session token from App Bridge.",
    "UNAVAILABLE": "Retry after `Retry-After` seconds.",
    "UNSUPPORTED_MEDIA_TYPE": "Send the content type that the API's description names.",
    "UPLOADS_UNAVAILABLE": "Retry after `Retry-After` seconds.",
    "VISITOR_CAP_REACHED": "Wait as long as `Retry-After` says.",
    "WEBHOOK_ENDPOINT_DISABLED": '`PATCH` the endpoint with `{"enabled": true}` first.',
    "WEBHOOK_ENDPOINT_NOT_FOUND": "Check the id, and that the endpoint belongs to this shop.",
    "WORKFLOW_DISABLED": "Choose a workflow that `GET /v1/operations` shows as enabled.",
}

HEAD = """# Errors

This page is generated: `make errors` writes it, from `backend/errors/`,
`backend/failures/` and `backend/openapi/errors_page.py`. A code never changes once released; a
message may. So a client decides by the code.

## Errors of the API

The response to a request that was refused: `{"error": {"code", "message", "request_id"}}`, with
`detail` beside it where single values are wrong. All 429 and 503 responses, and some others, say in
`Retry-After` when to try again.
"""
FAILURES = """
## Failures of jobs, publications and batches

Work that was accepted and then failed: `{"code", "message", "retryable"}`, as `extra.error` in a
job's last event, and as `error` of a publication, a batch or one of its items. Where `retryable` is
true, the same request can succeed another time. Some messages have the figures of the single case.
"""


def errors_page() -> str:
    """The whole page, in Markdown."""
    errors = table(("Code", "Status", "Message", "What to do"), api_rows())
    failures = table(
        ("Code", "Fails", "Retryable", "Message", "What to do"),
        (failure_row(DEFINITIONS[code]) for code in codes_of(*Noun)),
    )
    return f"{HEAD}\n{errors}{FAILURES}\n{failures}"


def api_rows() -> Iterator[tuple[str, ...]]:
    """A row for each code that the API answers with."""
    for code, kinds in sorted(api_errors().items()):
        statuses = dict.fromkeys(str(int(kind.status)) for kind in kinds)
        messages = dict.fromkeys(kind.message for kind in kinds)
        yield f"`{code}`", ", ".join(statuses), "<br>".join(messages), ADVICE[code]
    yield (
        f"`{TOO_LARGE_CODE}`",
        str(int(TOO_LARGE)),
        "The request's headers are too large.",
        ADVICE[TOO_LARGE_CODE],
    )


def failure_row(defined: Definition) -> tuple[str, ...]:
    """The row of a failure."""
    return (
        f"`{defined.code}`",
        ", ".join(defined.nouns),
        "yes" if defined.retryable else "no",
        "<br>".join(defined.messages),
        defined.advice,
    )


def api_errors() -> dict[str, list[type[AtelierError]]]:
    """The errors by code, but for the one that no response has: a process ends with it."""
    found: dict[str, list[type[AtelierError]]] = {}
    for kind in with_subclasses(AtelierError):
        if kind is not ConfigurationError and kind.__module__.startswith("backend.errors"):
            found.setdefault(kind.code, []).append(kind)
    return found


def with_subclasses(kind: type[AtelierError]) -> Iterator[type[AtelierError]]:
    """The class, and all that derive from it."""
    yield kind
    for each in kind.__subclasses__():
        yield from with_subclasses(each)


def table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """A Markdown table."""
    lines = (head, ("---",) * len(head), *rows)
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


if __name__ == "__main__":
    sys.stdout.write(errors_page())
