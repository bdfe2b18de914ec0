"""Strict query strings: a parameter that was sent twice is refused."""

from collections import Counter
from typing import Any
from urllib.parse import parse_qsl

from litestar import Request

from backend.body import LONGEST_NAME
from backend.errors import BadRequest


async def require_each_once(request: Request[Any, Any, Any]) -> None:
    """Raise `BadRequest` if the query has a parameter twice: Litestar would use the last one.

    Without a credential nothing depends on the query, and others may have written it: Shopify, or
    whoever sent a link.
    """
    query = request.scope["query_string"]
    if not query or not request.scope.get("auth"):
        return
    names = Counter(name for name, _ in parse_qsl(query.decode("latin-1"), keep_blank_values=True))
    repeated = [name for name, times in names.items() if times > 1]
    if repeated:
        raise BadRequest(f"Send the query parameter {repeated[0][:LONGEST_NAME]} once.")
