"""Crash a publication after any step that leaves a trace.

Steps are transactions and mutations. A crash after a query or an upload, or before a step, is the
same as a crash after the previous step.
"""

import contextlib
import copy
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.db import Database
from backend.dev.transport import LoopbackShopify
from backend.publications.context import PublicationContext
from backend.shops.admin_api import AdminApi
from tests.backend.publications.scenarios import publication_context_of
from tests.running_app import RunningApp

Happens = Callable[[int], Awaitable[None]]


class Crash(BaseException):
    """The process dies here: nothing may catch this."""


class Steps:
    """Counts the steps, and has something happen at each."""

    def __init__(self, happens: Happens) -> None:
        self.happens = happens
        self.names: list[str] = []

    @property
    def count(self) -> int:
        """How many there were."""
        return len(self.names)

    async def step(self, name: str) -> None:
        """One more: a transaction, or the mutation of that name."""
        self.names.append(name)
        await self.happens(self.count)


class SteppedDatabase(Database):
    """Takes a step after each transaction."""

    steps: Steps

    @contextlib.asynccontextmanager
    async def transaction(self, shop: str | int | None = None) -> AsyncIterator[AsyncConnection]:
        """As ever."""
        async with super().transaction(shop) as connection:
            yield connection
        await self.steps.step("transaction")


class SteppedApi(AdminApi):
    """Takes a step after each mutation, when its answer is here and nothing was made of it."""

    steps: Steps

    async def graphql(
        self, shop: str, token: str, document: str, variables: dict[str, Any], **how: Any
    ) -> Any:
        """As ever."""
        answer = await super().graphql(shop, token, document, variables, **how)
        if document.lstrip().startswith("mutation"):
            await self.steps.step(next(iter(answer)))
        return answer


@contextlib.asynccontextmanager
async def count_steps(
    shared_app: RunningApp, happens: Happens
) -> AsyncIterator[tuple[PublicationContext, Steps]]:
    """A publication context as a process has it, but with the shared connection pool.

    A crash rolls its transaction back and returns the connection.
    """
    steps = Steps(happens)
    database = copy.copy(shared_app.database)
    database.__class__ = SteppedDatabase
    assert isinstance(database, SteppedDatabase)
    admin = SteppedApi(shared_app.settings, LoopbackShopify(shared_app.shopify.origin))
    database.steps = admin.steps = steps
    try:
        yield (
            msgspec.structs.replace(
                publication_context_of(shared_app), database=database, admin=admin
            ),
            steps,
        )
    finally:
        await admin.close()


async def do_nothing(_step: int) -> None:
    """Nothing happens."""


def crash_at(fatal: int) -> Happens:
    """The process dies at that step."""

    async def happens(step: int) -> None:
        if step == fatal:
            raise Crash

    return happens
