"""The fast path: what pages read most is answered before the framework is entered.

Litestar's routing, dependencies and responses took longer than the database. So a plain request
for one of these reads is answered here, with the same guard and the same functions as on its
route. A request is plain if there is nothing to decide: its one credential is a session token, and
its query is what a page sends. Any other goes to its route.
"""

import functools
import re
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeAlias

import msgspec
import structlog
from litestar.types import ASGIApp, Receive, Scope, Send

from backend.auth.guards import SIGNATURE_HEADER, MerchantGuard
from backend.auth.not_found_limit import NotFoundLimit
from backend.errors import AtelierError
from backend.http_semantics import HTTP
from backend.jobs.etags import TAG_HEADER
from backend.jobs.read_services import ReadServices
from backend.web import (
    ONE_VALUE,
    JsonResponse,
    chosen_request_id,
    log_access,
    response_to_bug,
    response_to_error,
    send_json,
)

HOST = re.compile(rb"[A-Za-z0-9.-]{1,253}(?::[0-9]{1,5})?")
ONCE = frozenset({b"host", b"authorization", TAG_HEADER, *ONE_VALUE})


class PlainRead(msgspec.Struct, frozen=True, gc=False):
    """The route of a read, and its function, which takes the shop and the If-None-Match header."""

    path_template: str
    read: Callable[..., Awaitable[JsonResponse]]  # (reads, *, shop_domain, tags)


# The read that a path and a query ask for, if it is a known one.
FindRead: TypeAlias = Callable[[str, bytes], PlainRead | None]


class PlainRequest(msgspec.Struct, frozen=True, gc=False):
    """A plain request: what it reads, and its two headers that count."""

    asked: PlainRead
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
        finders: Sequence[FindRead],
    ) -> None:
        self.app = app
        self.guard = guard
        self.not_found_limit = not_found_limit
        self.reads = reads
        self.finders = finders

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Answer a plain request; pass on any other."""
        request = self.plain_request(scope) if scope["type"] == HTTP else None
        if request is None:
            return self.app(scope, receive, send)
        return self.answer(scope, send, request)

    def plain_request(self, scope: Any) -> PlainRequest | None:
        """The request if it is plain; otherwise None."""
        if scope["method"] != "GET" or scope["root_path"]:
            return None
        for find in self.finders:
            asked = find(scope["path"], scope["query_string"])
            if asked is not None:
                return with_headers(asked, scope["headers"])
        return None

    async def answer(self, scope: Any, send: Send, request: PlainRequest) -> None:
        """The response, and its line in the access log."""
        started = time.perf_counter()
        request_id = chosen_request_id(scope)
        shop = ""  # nobody's, until the token is verified
        try:
            shop = self.guard.by_token([request.authorization]).shop
            self.guard.limits.count(shop, "GET")
            answer = await request.asked.read(self.reads, shop_domain=shop, tags=request.tags)
        except Exception as error:
            answer = self.refused(shop, error, request_id)
        scope["path_template"] = request.asked.path_template
        log_access(scope, answer.status, time.perf_counter() - started, request_id)
        await send_json(send, answer, request_id)

    def refused(self, shop: str, error: Exception, request_id: str) -> JsonResponse:
        """The response to an error; its log line has the request ID."""
        with structlog.contextvars.bound_contextvars(request_id=request_id):
            if isinstance(error, AtelierError):
                return response_to_error(self.not_found_limit.counted(shop, error))
            return response_to_bug(error)


def with_headers(asked: PlainRead, headers: Sequence[tuple[bytes, bytes]]) -> PlainRequest | None:
    """The request with these headers if they leave nothing to decide; otherwise None."""
    found: dict[bytes, bytes] = {}
    for name, value in headers:
        if name in ONCE:
            if name in found:
                return None
            found[name] = value
        elif name == SIGNATURE_HEADER:
            return None
    if b"authorization" not in found or not is_host(found.get(b"host", b"")):
        return None
    tags = found.get(TAG_HEADER)
    return PlainRequest(asked, found[b"authorization"], tags.decode("latin-1") if tags else None)


@functools.lru_cache(maxsize=64)
def is_host(value: bytes) -> bool:
    """Whether this is a Host header: the routes refuse any other."""
    return HOST.fullmatch(value) is not None
