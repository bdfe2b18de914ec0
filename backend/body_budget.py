"""A limit on the bytes of request bodies that a process holds at once, and on their arrival time.

A body's bytes count from their arrival until its request is answered, also those in temporary
files, which are memory on some machines. Over the budget a request gets a 503; a body that arrives
too slowly gets a 400. Bodies whose credential is not verified yet share half of the budget, so that
requests with a session token still get in. The last quarter of that half is for small bodies, such
as most webhooks, so that unverified uploads cannot block them; nor can verified ones, for so is the
last eighth of the whole. Only a few large unverified bodies may arrive at once: hashing hundreds of
them would delay all other requests.
"""

import asyncio
from typing import Any

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Receive, Scope, Send

from backend.errors import BodyTooSlow, ServerBusy
from backend.spool import drop_spool

BODY_KEY = "atelier_body"  # in the ASGI scope
BODY_TIMEOUT = 20  # seconds for a body to arrive, plus one for every
MIN_BODY_RATE = 100_000  # bytes received
SMALL_BODY = 256_000  # bytes
MAX_LARGE_BODIES = 8  # unverified bodies


class BodyBudget:
    """ASGI middleware around the app; `limit` is in bytes."""

    def __init__(self, app: ASGIApp, limit: int) -> None:
        self.app = app
        self.limit = limit
        self.held = self.unverified = self.large = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Count the request's body until the request is answered."""
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

    def take(self, size: int, *, is_verified: bool, before: int) -> None:
        """Count `size` bytes of a body that has `before` bytes already. Raises `ServerBusy`."""
        is_small = before + size <= SMALL_BODY
        most = self.limit if is_small else self.limit * 7 // 8
        most_unverified = self.limit // 2 if is_small else self.limit * 3 // 8
        if self.held + size > most:
            raise ServerBusy
        if not is_verified and self.unverified + size > most_unverified:
            raise ServerBusy
        self.held += size
        self.unverified += 0 if is_verified else size

    def begin_large(self) -> None:
        """Count a large unverified body. Raises `ServerBusy`."""
        if self.large >= MAX_LARGE_BODIES:
            raise ServerBusy
        self.large += 1


class BudgetedBody:
    """One request's body while it arrives."""

    __slots__ = (
        "arrived",
        "budget",
        "deadline",
        "held",
        "inner",
        "is_large",
        "is_verified",
        "scope",
    )

    def __init__(self, budget: BodyBudget, scope: Scope, receive: Receive) -> None:
        self.budget = budget
        self.scope = scope
        self.inner = receive
        self.held = 0  # bytes
        self.is_verified = self.arrived = False
        self.is_large = False  # and counted in `budget.large`
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
        """Count `size` more bytes. Raises `ServerBusy`."""
        may_grow = not (self.is_verified or self.is_large)
        if may_grow and max(self.held + size, declared_size(self.scope)) > SMALL_BODY:
            self.budget.begin_large()
            self.is_large = True
        self.budget.take(size, is_verified=self.is_verified, before=self.held)
        self.held += size

    async def receive_in_time(self) -> Any:
        """The next ASGI message. Raises `BodyTooSlow` after the deadline."""
        self.deadline = self.deadline or asyncio.get_running_loop().time() + BODY_TIMEOUT
        try:
            async with asyncio.timeout_at(self.deadline + self.held / MIN_BODY_RATE):
                return await self.inner()
        except TimeoutError as error:
            raise BodyTooSlow from error

    def mark_verified(self) -> None:
        """Count it as verified from now on."""
        if not self.is_verified:
            self.is_verified = True
            self.budget.unverified -= self.held
            self.end_large()

    def release(self) -> None:
        """Stop counting its bytes."""
        self.budget.held -= self.held
        if not self.is_verified:
            self.budget.unverified -= self.held
        self.held = 0
        self.end_large()

    def end_large(self) -> None:
        """Stop counting it as a large unverified body."""
        self.budget.large -= self.is_large
        self.is_large = False


def declared_size(scope: Scope) -> int:
    """The Content-Length in bytes; 0 for a chunked body."""
    for name, value in scope["headers"]:
        if name == b"content-length":
            return int(value) if value.isdigit() and len(value) < 20 else 0
    return 0


def mark_body_verified(scope: Any) -> None:
    """Record that the request's credential, in its body or headers, was verified."""
    if BODY_KEY in scope:  # absent in unit tests of a guard
        scope[BODY_KEY].mark_verified()
