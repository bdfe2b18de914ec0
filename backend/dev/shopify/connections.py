"""GraphQL connections: `first`, `after`, and cursors that survive additions and deletions."""

import base64
import json
import uuid
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeVar

from backend.dev.shopify.refusals import error

MAX_PAGE = 250

T = TypeVar("T")
SortKey = list[Any]
PageFault = Literal["empty", "stuck"]
Resolver = Callable[..., object]


def connection(
    rows: Sequence[T],
    view: Callable[[T], object],
    *,
    key: Callable[[T], SortKey],
    ordered: bool = False,
    faults: "deque[PageFault] | None" = None,
) -> Resolver:
    """The resolver of a connection over these rows.

    `key` places a row in the order and ends in its id. The rows are sorted by it, unless they are
    `ordered` by somebody's hand. A page takes the fault that is due, if there is one.
    """

    def resolve(_info: object, **arguments: Any) -> object:
        if faults:
            return _faulty_page(faults.popleft(), arguments.get("after"))
        backwards = bool(arguments.get("reverse"))
        found = list(rows) if ordered else sorted(rows, key=key)
        if backwards:
            found.reverse()
        found = _after(found, arguments.get("after"), key, ordered=ordered, backwards=backwards)
        first = _checked(arguments.get("first"))
        return _page(
            found[:first], view, key, first < len(found), arguments.get("after") is not None
        )

    return resolve


def _page(
    rows: Sequence[T],
    view: Callable[[T], object],
    key: Callable[[T], SortKey],
    more: bool,
    past: bool,
) -> dict[str, object]:
    nodes = [view(row) for row in rows]
    cursors = [_cursor(key(row)) for row in rows]
    return {
        "nodes": nodes,
        "edges": [
            {"node": node, "cursor": cursor} for node, cursor in zip(nodes, cursors, strict=True)
        ],
        "pageInfo": {
            "hasNextPage": more,
            "hasPreviousPage": past,
            "startCursor": cursors[0] if cursors else None,
            "endCursor": cursors[-1] if cursors else None,
        },
    }


def _faulty_page(fault: PageFault, after: str | None) -> dict[str, object]:
    """No nodes but a next page: after an "empty" one, what would have been on this page."""
    end = after
    if fault == "empty":
        last = None if after is None else _decoded(after)
        position = {"behind": last, "page": uuid.uuid4().hex}
        end = base64.b64encode(json.dumps(position).encode()).decode()
    info = {"hasNextPage": True, "hasPreviousPage": False, "startCursor": None, "endCursor": end}
    return {"nodes": [], "edges": [], "pageInfo": info}


def _checked(first: int | None) -> int:
    if first is None:
        raise error("you must provide one of first or last", "BAD_REQUEST")
    if not 0 < first <= MAX_PAGE:
        raise error(f"first must be between 1 and {MAX_PAGE}", "BAD_REQUEST")
    return first


def _after(
    rows: list[T],
    cursor: str | None,
    key: Callable[[T], SortKey],
    *,
    ordered: bool,
    backwards: bool,
) -> list[T]:
    if cursor is None:
        return rows
    last = _decoded(cursor)
    if last is None:
        return rows
    if ordered:
        # By hand there is no "greater": behind the row itself, and nothing if that has gone.
        place = next((at for at, row in enumerate(rows) if key(row)[-1] == last[-1]), len(rows))
        return rows[place + 1 :]
    return [row for row in rows if (key(row) < last if backwards else key(row) > last)]


def _cursor(key: SortKey) -> str:
    return base64.b64encode(json.dumps(key).encode()).decode()


def _decoded(cursor: str) -> SortKey | None:
    """The key of the row that the cursor is behind; None for one that is before all rows."""
    try:
        value = json.loads(base64.b64decode(cursor, validate=True))
    except ValueError:
        value = None
    if isinstance(value, dict):
        value = value.get("behind", ())
        if value is None:
            return None
    if not isinstance(value, list) or not value:
        raise error(f"`{cursor}` is not a valid cursor.", "INVALID_CURSOR")
    return value
