"""Bulk operations: a query over all of a shop's products, answered by a file of JSON lines.

Source: shopify.dev, "Perform bulk operations", 2026-10: at most five queries at once in a shop, at
most five connections, two deep; the file is there for seven days.
"""

import json
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from backend.dev.shopify.bulk_lines import lines
from backend.dev.shopify.bulk_query import check, refuse_errors
from backend.dev.shopify.connections import Resolver
from backend.dev.shopify.graphql_context import Arguments, GraphQlContext
from backend.dev.shopify.media import CDN_HOST
from backend.dev.shopify.refusals import Refusal
from backend.dev.shopify.state import AsyncOperation, Event

MAX_RUNNING = 5
MAX_NODES = 1_000_000  # of a connection
RESULT_LIFETIME = 7 * 24 * 3600  # seconds

Execute = Callable[[GraphQlContext, str], Mapping[str, object]]
"""Answers a document for a caller who is in bulk: `data` and `errors`."""


@dataclass(slots=True, kw_only=True)
class Operation(AsyncOperation):
    """One bulk operation, and what has come of it."""

    query: str
    created_at: datetime
    status: str = "CREATED"
    error_code: str | None = None
    completed_at: datetime | None = None
    url: str | None = None
    expires_at: float = 0.0
    file_size: int | None = None
    object_count: int = 0
    root_object_count: int = 0


def bulk_mutations(context: GraphQlContext, execute: Execute) -> dict[str, Resolver]:
    """A resolver for each mutation of bulk operations."""
    return {
        "bulkOperationRunQuery": context.mutation(
            "bulkOperationRunQuery",
            lambda arguments: _run(context, execute, arguments),
            bulkOperation=None,
        ),
        "bulkOperationCancel": context.mutation(
            "bulkOperationCancel", lambda arguments: _cancel(context, arguments), bulkOperation=None
        ),
    }


def operation_view(context: GraphQlContext, gid: str) -> Mapping[str, object] | None:
    """`BulkOperation`, if it is the shop's."""
    operation = _operation(context, gid)
    if operation is None:
        return None
    running = not operation.is_done and operation.steps > 0 and operation.status == "CREATED"
    fresh = context.platform.clock() < operation.expires_at
    return {
        "__typename": "BulkOperation",
        "id": operation.gid,
        "status": "RUNNING" if running else operation.status,
        "type": "QUERY",
        "query": operation.query,
        "errorCode": operation.error_code,
        "createdAt": _zulu(operation.created_at),
        "completedAt": operation.completed_at and _zulu(operation.completed_at),
        "url": operation.url if fresh else None,
        "partialDataUrl": None,
        "fileSize": operation.file_size,
        "objectCount": operation.object_count,
        "rootObjectCount": operation.root_object_count,
    }


def _operation(context: GraphQlContext, gid: str) -> Operation | None:
    return next(
        (work for work in context.shop.work if isinstance(work, Operation) and work.gid == gid),
        None,
    )


def _run(context: GraphQlContext, execute: Execute, arguments: Arguments) -> Mapping[str, object]:
    check(arguments["query"])
    refuse_errors(execute(replace(context, in_bulk=1), arguments["query"]))
    in_bulk = replace(context, in_bulk=MAX_NODES)
    running = [
        work for work in context.shop.work if isinstance(work, Operation) and not work.is_done
    ]
    if len(running) >= MAX_RUNNING:
        raise Refusal(
            "LIMIT_REACHED", None, "Bulk operations limit reached. Please try again later."
        )
    operation = Operation(
        gid=f"gid://shopify/BulkOperation/{next(context.platform.work_numbers)}",
        finish=lambda: _finish(operation, in_bulk, execute, group=arguments["groupObjects"]),
        query=arguments["query"],
        created_at=context.platform.now(),
    )
    context.shop.work.append(operation)
    return {"bulkOperation": operation_view(context, operation.gid)}


def _cancel(context: GraphQlContext, arguments: Arguments) -> Mapping[str, object]:
    operation = _operation(context, arguments["id"])
    if operation is None:
        raise Refusal("INVALID", ["id"], "Bulk operation does not exist")
    if operation.is_done:
        raise Refusal("INVALID", ["id"], "A bulk operation cannot be canceled when it is completed")
    operation.status = "CANCELING"
    return {"bulkOperation": operation_view(context, operation.gid)}


# The result


def _finish(
    operation: Operation, context: GraphQlContext, execute: Execute, *, group: bool
) -> None:
    platform = context.platform
    operation.completed_at = platform.now()
    failure = platform.bulk_failures.popleft() if platform.bulk_failures else None
    answer = execute(context, operation.query)
    if operation.status == "CANCELING":
        operation.status = "CANCELED"
    elif failure or "errors" in answer:
        operation.status = "FAILED"
        operation.error_code = failure or "ACCESS_DENIED"
    else:
        _publish(operation, context, answer["data"], group=group)
    platform.events.append(Event(context.shop.domain, "bulk_operations/finish", operation.gid))


def _publish(operation: Operation, context: GraphQlContext, data: object, *, group: bool) -> None:
    """Write the file. Without grouping, children need not follow their parent: here they don't."""
    rows = list(lines(data))
    if not group:
        rows.sort(key=lambda row: "__parentId" in row)
    content = b"".join(json.dumps(row).encode() + b"\n" for row in rows)
    operation.status = "COMPLETED"
    operation.object_count = len(rows)
    operation.root_object_count = sum("__parentId" not in row for row in rows)
    operation.file_size = len(content)
    if not rows:
        return  # Shopify gives no URL when there is nothing
    operation.expires_at = context.platform.clock() + RESULT_LIFETIME
    path = f"/bulk/{context.shop.number}/{secrets.token_hex(16)}.jsonl"
    operation.url = f"https://{CDN_HOST}{path}"
    context.platform.bulk_results[path] = (operation.expires_at, content)


def _zulu(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")
