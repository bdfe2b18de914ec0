"""Finds a request at fal whose answer was lost, in fal's own list of our requests.

fal takes no idempotency key, but lists an account's requests with their inputs
(`GET /models/requests/by-endpoint?expand=payloads`, read on 2026-11-29). A request is told by what
was sent: the seed, the prompt, and the pictures' URLs without their signatures, whose paths name
the job. The documentation does not say whether a request is listed before it has ended.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import msgspec

from backend.providers.client import ProviderHttp
from backend.providers.provider import ProviderUnavailable

PAGE_ITEMS = 50
MOST_PAGES = 10
CLOCK_SKEW = timedelta(minutes=1)  # between fal's clock and ours


class ListedRequest(msgspec.Struct):
    """A request in the list."""

    request_id: str
    sent_at: datetime | None = None
    json_input: Any = None


class RequestPage(msgspec.Struct):
    """A page of the list."""

    items: list[ListedRequest]
    has_more: bool = False
    next_cursor: str | None = None


async def find_request(
    http: ProviderHttp, endpoint: str, inputs: Mapping[str, Any], since: datetime
) -> str | None:
    """The id of the request that was sent since then with these inputs; None if none is listed.

    Raises `ProviderUnavailable`, also if the list is too long to look through.
    """
    earliest = (since - CLOCK_SKEW).astimezone(UTC)
    query = {
        "endpoint_id": endpoint,
        "start": earliest.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "expand": "payloads",
        "limit": str(PAGE_ITEMS),
    }
    for _ in range(MOST_PAGES):
        url = f"{http.base_url}/models/requests/by-endpoint?{urlencode(query)}"
        page = (await http.ask("GET", url)).read(RequestPage)
        if page is None:
            raise ProviderUnavailable("fal's list of requests cannot be read")
        for each in page.items:
            if is_since(each.sent_at, earliest) and has_inputs(each.json_input, inputs):
                return each.request_id
        if not page.has_more or not page.next_cursor:
            return None
        query["cursor"] = page.next_cursor
    raise ProviderUnavailable("fal's list of requests is too long to look through")


def is_since(sent_at: datetime | None, earliest: datetime) -> bool:
    """Whether it may have been sent since then; a time without a zone is UTC."""
    if sent_at is None:
        return True
    return (sent_at if sent_at.tzinfo else sent_at.replace(tzinfo=UTC)) >= earliest


def has_inputs(listed: Any, inputs: Mapping[str, Any]) -> bool:
    """Whether the listed input is this one; fal may have added defaults."""
    if not isinstance(listed, dict):
        return False
    return all(
        name in listed and without_signatures(listed[name]) == without_signatures(value)
        for name, value in inputs.items()
    )


def without_signatures(value: Any) -> Any:
    """The value with each URL cut before its query: that is signed anew each time."""
    if isinstance(value, list):
        return [without_signatures(each) for each in value]
    is_url = isinstance(value, str) and value.startswith(("https://", "http://"))
    return value.partition("?")[0] if is_url else value
