"""The fast path: the two reads that pages poll are answered before the framework is entered.

Litestar's routing, dependencies and responses took longer than the database. So a plain request
for a job's detail or events is answered here, with the same guard and the same functions as on its
route. A request is plain if there is nothing to decide: its one credential is a session token, and
its query is what a page sends. Any other goes to its route.
"""

import functools
import re
import time
from collections.abc import Awaitable
from typing import Any

import msgspec
import structlog
from litestar.types import ASGIApp, Receive, Scope, Send

from backend.auth.guards import SIGNATURE_HEADER, MerchantGuard
from backend.auth.not_found_limit import NotFoundLimit
from backend.errors import AtelierError
from backend.http_semantics import HTTP
from backend.jobs.conditional_get import read_detail, read_events
from backend.jobs.etags import TAG_HEADER
from backend.jobs.read_services import ReadServices
from backend.web import (
    JsonResponse,
    chosen_request_id,
    log_access,
    response_to_bug,
    response_to_error,
    send_json,
)

JOBS_PREFIX, EVENTS_SEGMENT = "/v1/jobs/", "events"
DETAIL_ROUTE, EVENTS_ROUTE = "/v1/jobs/{public_id}", "/v1/jobs/{public_id}/events"
QUERY = re.compile(rb"since=([0-9]{1,9})")
HOST = re.compile(rb"[A-Za-z0-9.-]{1,253}(?::[0-9]{1,5})?")
ONCE = frozenset({b"host", b"authorization", TAG_HEADER})


class PlainRequest(msgspec.Struct, frozen=True, gc=False):
    """A plain request: for the events after `since`, or for the detail if that is None."""

    public_id: str
    since: int | None
    authorization: bytes
    tags: str | None


class FastPath:
    """ASGI middleware around the whole app, with the guard and the services of its routes."""

    def __init__(
        self,
        app: ASGIApp,
        guard: MerchantGuard,
        not_found_limit: NotFoundLimit,
        reads: ReadServices,
    ) -> None:
        self.app = app
        self.guard = guard
        self.not_found_limit = not_found_limit
        self.reads = reads

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Answer a plain request; pass on any other."""
        asked = plain_request(scope) if scope["type"] == HTTP else None
        if asked is None:
            return self.app(scope, receive, send)
        return self.answer(scope, send, asked)

    async def answer(self, scope: Any, send: Send, asked: PlainRequest) -> None:
        """The response, and its line in the access log."""
        started = time.perf_counter()
        request_id = chosen_request_id(scope)
        shop = ""  # nobody's, until the token is verified
        try:
            shop = self.guard.by_token([asked.authorization]).shop
            self.guard.limits.count(shop, "GET")
            answer = await self.read(shop, asked)
        except Exception as error:
            answer = self.refused(shop, error, request_id)
        scope["path_template"] = DETAIL_ROUTE if asked.since is None else EVENTS_ROUTE
        log_access(scope, answer.status, time.perf_counter() - started, request_id)
        await send_json(send, answer, request_id)

    def read(self, shop: str, asked: PlainRequest) -> Awaitable[JsonResponse]:
        """The response of the route with the same path."""
        if asked.since is None:
            return read_detail(
                self.reads, shop_domain=shop, public_id=asked.public_id, tags=asked.tags
            )
        return read_events(
            self.reads,
            shop_domain=shop,
            public_id=asked.public_id,
            tags=asked.tags,
            since=asked.since,
        )

    def refused(self, shop: str, error: Exception, request_id: str) -> JsonResponse:
        """The response to an error; its log line has the request ID."""
        with structlog.contextvars.bound_contextvars(request_id=request_id):
            if isinstance(error, AtelierError):
                return response_to_error(self.not_found_limit.counted(shop, error))
            return response_to_bug(error)


def plain_request(scope: Any) -> PlainRequest | None:
    """The parsed request, if it is one of the two reads and plain; otherwise None."""
    address = parsed_path(scope)
    if address is None:
        return None
    found: dict[bytes, bytes] = {}
    for name, value in scope["headers"]:
        if name in ONCE:
            if name in found:
                return None
            found[name] = value
        elif name == SIGNATURE_HEADER:
            return None
    if b"authorization" not in found or not is_host(found.get(b"host", b"")):
        return None
    tags = found.get(TAG_HEADER)
    return PlainRequest(*address, found[b"authorization"], tags.decode("latin-1") if tags else None)


@functools.lru_cache(maxsize=64)
def is_host(value: bytes) -> bool:
    """Whether this is a Host header: the routes refuse any other."""
    return HOST.fullmatch(value) is not None


def parsed_path(scope: Any) -> tuple[str, int | None] | None:
    """The job's ID, and the `since` of its events; None for any other path."""
    path, query = scope["path"], scope["query_string"]
    if scope["method"] != "GET" or not path.startswith(JOBS_PREFIX) or scope["root_path"]:
        return None
    public_id, slash, rest = path[len(JOBS_PREFIX) :].partition("/")
    if not slash:
        return (public_id, None) if public_id and not query else None
    if rest != EVENTS_SEGMENT or not public_id:
        return None
    since = QUERY.fullmatch(query) if query else None
    if query and since is None:
        return None
    return public_id, int(since[1]) if since else 0
