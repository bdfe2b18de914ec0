"""Finds a request at fal whose answer was lost, in fal's own list of our requests.

fal takes no idempotency key, but lists an account's requests with their inputs
(`GET /models/requests/by-endpoint?expand=payloads`, read on 2026-11-29). So each picture's URL ends
in a fragment with our reference, which is not sent to the server that has the picture. A request
without such a URL is told by its seed, and by not being `known` as another one.

The documentation does not say whether a request is listed before it has ended. Each request is
therefore sent with a limit on how long it may wait for its start (`START_WITHIN`): then one that is
not listed after `LISTED_WITHIN` was never accepted. Until then nobody knows.

It does not say either which of a request's times `start` and `end` are about. So the time that is
looked through ends well after such a request has ended. What the account has sent since then is not
in the way, however much that is.
"""

from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import msgspec

from backend.providers.client import ProviderHttp
from backend.providers.provider import ProviderUnavailable, SubmitRequest

PAGE_ITEMS = 50
MOST_PAGES = 10
CLOCK_SKEW = timedelta(minutes=1)  # between fal's clock and ours
START_WITHIN = timedelta(minutes=5)
LISTED_WITHIN = START_WITHIN + timedelta(minutes=5)  # to be made, and to be listed
LOOKED_THROUGH = START_WITHIN + timedelta(hours=1)  # after the request was sent
LOOK_AGAIN_AFTER = 15.0  # seconds


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


async def find_request_id(
    http: ProviderHttp,
    request: SubmitRequest,
    since: datetime,
    known: Collection[str] = (),
) -> str | None:
    """fal's id of the request that was sent since then; None if fal has certainly not accepted it.

    Raises `ProviderUnavailable`, also while it may still be listed.
    """
    earliest = (since - CLOCK_SKEW).astimezone(UTC)
    query = {
        "endpoint_id": request.model,
        **looked_through(since),
        "expand": "payloads",
        "limit": str(PAGE_ITEMS),
    }
    for _ in range(MOST_PAGES):
        url = f"{http.base_url}/models/requests/by-endpoint?{urlencode(query)}"
        page = (await http.ask("GET", url)).read(RequestPage)
        if page is None:
            raise ProviderUnavailable("fal's list of requests cannot be read")
        for each in page.items:
            if each.request_id in known or not is_since(each.sent_at, earliest):
                continue
            if is_request(each.json_input, request):
                return each.request_id
        if not page.has_more or not page.next_cursor:
            require_settled(since)
            return None
        query["cursor"] = page.next_cursor
    raise ProviderUnavailable("fal's list of requests is too long to look through")


def looked_through(since: datetime) -> dict[str, str]:
    """The part of the list to look through; it has an end once that has passed."""
    latest = since + LOOKED_THROUGH + CLOCK_SKEW
    times = {"start": since - CLOCK_SKEW}
    if latest < datetime.now(UTC):
        times["end"] = latest
    return {name: f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}" for name, at in times.items()}


def require_settled(since: datetime) -> None:
    """Raise `ProviderUnavailable` while it may still come to be listed."""
    if datetime.now(UTC) - since < LISTED_WITHIN:
        raise ProviderUnavailable("it may not be listed yet", retry_after=LOOK_AGAIN_AFTER)


def is_since(sent_at: datetime | None, earliest: datetime) -> bool:
    """Whether it may have been sent since then; a time without a zone is UTC."""
    if sent_at is None:
        return True
    return (sent_at if sent_at.tzinfo else sent_at.replace(tzinfo=UTC)) >= earliest


def is_request(listed: Any, request: SubmitRequest) -> bool:
    """Whether the listed input is this request's."""
    if not isinstance(listed, dict):
        return False
    marks = [mark for value in listed.values() for mark in references_in(value)]
    if marks:
        return request.reference in marks
    return listed.get("seed") == request.seed


def with_reference(url: str, reference: str) -> str:
    """The URL with our reference as its fragment; a data URI cannot have one."""
    return f"{url}#{reference}" if url.startswith(("https://", "http://")) else url


def references_in(value: Any) -> list[str]:
    """The fragments of the URLs in an input."""
    values = value if isinstance(value, list) else [value]
    urls = [
        each
        for each in values
        if isinstance(each, str) and each.startswith(("https://", "http://"))
    ]
    return [mark for url in urls if (mark := url.partition("#")[2])]
