"""How many bytes of bodies a process holds at once, and for how long: no stranger fills its memory.

A body's bytes count from their arrival until its request has been answered, wherever they are kept:
on some machines temporary files are memory too. Past the budget a request is a 503, and one whose
body does not arrive in its time a 400. Bodies that nobody has signed yet share half of the budget,
so that whoever has shown a session token still gets in; and the last quarter of that half is for
small ones, such as most webhooks, which unsigned uploads must not shut out. Only a few large ones
arrive at the same time: hundreds that are hashed in turn would keep everybody else waiting.
"""

import asyncio
from typing import Any

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Receive, Scope, Send

from backend.errors import BodyTooSlow, ServerBusy
from backend.spool import drop_spool

BODY_KEY = "atelier_body"  # in the scope
BODY_TIMEOUT = 20  # seconds for a body to arrive, and one more for each
MIN_BODY_RATE = 100_000  # bytes that have come
SMALL_BODY = 256_000  # bytes
MAX_LARGE_BODIES = 8  # bodies that nobody has signed yet


class BodyBudget:
    """ASGI wrapper around the app; `limit` is in bytes."""

    def __init__(self, app: ASGIApp, limit: int) -> None:
        self.app = app
        self.limit = limit
        self.held = self.unsigned = self.large = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Count the request's body, and let go of it once it is answered."""
        if scope["type"] != ScopeType.HTTP:
            await self.app(scope, receive, send)
            return
        body = BudgetedBody(self, scope, receive)
        marked: Any = scope
        marked[BODY_KEY] = body
        try:
            await self.app(scope, body.receive, send)
        finally:
            body.release()
            drop_spool(scope)

    def take(self, size: int, *, has_signed: bool, before: int) -> None:
        """Count bytes of a body of which so many have come `before`. Raises `ServerBusy`."""
        unsigned = 0 if has_signed else size
        most = self.limit // 2 if before + size <= SMALL_BODY else self.limit * 3 // 8
        if self.held + size > self.limit or (unsigned and self.unsigned + unsigned > most):
            raise ServerBusy
        self.held += size
        self.unsigned += unsigned

    def begin_large(self) -> None:
        """Count a large body that nobody has signed yet. Raises `ServerBusy`."""
        if self.large >= MAX_LARGE_BODIES:
            raise ServerBusy
        self.large += 1


class BudgetedBody:
    """One request's body on its way in."""

    __slots__ = (
        "arrived",
        "budget",
        "deadline",
        "has_signed",
        "held",
        "inner",
        "is_large",
        "scope",
    )

    def __init__(self, budget: BodyBudget, scope: Scope, receive: Receive) -> None:
        self.budget = budget
        self.scope = scope
        self.inner = receive
        self.held = 0  # bytes
        self.has_signed = self.arrived = False
        self.is_large = False  # and counted as such
        self.deadline = 0.0

    async def receive(self) -> Any:
        """The next ASGI message, counted. Raises `BodyTooSlow` or `ServerBusy`."""
        if self.arrived:
            return await self.inner()
        message: Any = await self.receive_in_time()
        if message["type"] == "http.request":
            self.arrived = not message.get("more_body", False)
            if size := len(message.get("body", b"")):
                self.count(size)
        return message

    def count(self, size: int) -> None:
        """So many bytes more have come. Raises `ServerBusy`."""
        may_grow = not (self.has_signed or self.is_large)
        if may_grow and max(self.held + size, declared_size(self.scope)) > SMALL_BODY:
            self.budget.begin_large()
            self.is_large = True
        self.budget.take(size, has_signed=self.has_signed, before=self.held)
        self.held += size

    async def receive_in_time(self) -> Any:
        """The next message, while the body may still take its time."""
        self.deadline = self.deadline or asyncio.get_running_loop().time() + BODY_TIMEOUT
        try:
            async with asyncio.timeout_at(self.deadline + self.held / MIN_BODY_RATE):
                return await self.inner()
        except TimeoutError as error:
            raise BodyTooSlow from error

    def mark_verified(self) -> None:
        """From now on it counts as somebody's."""
        if not self.has_signed:
            self.has_signed = True
            self.budget.unsigned -= self.held
            self.end_large()

    def release(self) -> None:
        """It is no longer held."""
        self.budget.held -= self.held
        if not self.has_signed:
            self.budget.unsigned -= self.held
        self.held = 0
        self.end_large()

    def end_large(self) -> None:
        """It is no longer one of the large ones that nobody has signed."""
        self.budget.large -= self.is_large
        self.is_large = False


def declared_size(scope: Scope) -> int:
    """What Content-Length says, in bytes; 0 for a body in chunks."""
    for name, value in scope["headers"]:
        if name == b"content-length":
            return int(value) if value.isdigit() and len(value) < 20 else 0
    return 0


def mark_body_verified(scope: Any) -> None:
    """Say that the request's credential has been verified: that of its body, or one beside it."""
    if BODY_KEY in scope:  # not in tests of a guard alone
        scope[BODY_KEY].mark_verified()
