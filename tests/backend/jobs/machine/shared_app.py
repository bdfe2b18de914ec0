"""A running app for synchronous tests, on an event loop of its own.

Hypothesis drives its machines synchronously, and a database's connections belong to one loop. The
loop rests between two calls; the server, the queue and Postgres do not mind.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack
from typing import Any, Self, TypeVar

import httpx
from msgspec.structs import replace
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.auth.signed_request import signed_request
from backend.dev import signing
from backend.dev.services import LocalServices
from backend.leased_task import Done
from backend.renderers.base import Rendered, RenderRequest
from backend.worker.webhook_dispatch import handle_delivery
from tests.conftest import SECRET, settings_for
from tests.running_app import OTHER_SHOP, SHOP, RunningApp, cloned_database, open_running_app
from tests.scenarios import delivery_status, send_webhook

T = TypeVar("T")
Act = Callable[[AsyncConnection], Awaitable[T]]

DAILY_CAP = 4
FOR_ANYBODY = 3  # of these; the last is for whoever is logged in
JSON = {"Content-Type": "application/json"}

# Every move of a job is noted by the database itself; a change of a finished one is a move too.
# Losing its natural key is none: the next job about the same thing takes it.
NOTE_MOVES = """
CREATE TABLE moves (source text, target text);
CREATE FUNCTION note_move() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    IF OLD.status IS DISTINCT FROM NEW.status THEN
        INSERT INTO moves VALUES (OLD.status, NEW.status);
    ELSIF OLD.finished_at IS NOT NULL
        AND to_jsonb(OLD) - 'natural_key' <> to_jsonb(NEW) - 'natural_key' THEN
        INSERT INTO moves VALUES (OLD.status, 'CHANGED');
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER note_move AFTER UPDATE ON jobs FOR EACH ROW EXECUTE FUNCTION note_move()
"""
SHOPS = {"north": SHOP, "south": OTHER_SHOP}
EMPTY = (
    "jobs",
    "idempotency_keys",
    "daily_counts",
    "webhook_deliveries",
    "queue.pgqueuer",
    "moves",
)


class Crash(Exception):
    """The process dies here."""


class NoRenderer:
    """Nothing is rendered in these tests."""

    name = "none"

    async def render(self, request: RenderRequest) -> Rendered:
        """Nobody asks."""
        raise NotImplementedError

    async def close(self) -> None:
        """Nothing is open."""


class SharedApp:
    """A running app and the rules' actions in it; one for all examples."""

    running_app: RunningApp

    def __init__(self, services: LocalServices, template: str) -> None:
        self.services = services
        self.template = template
        self.runner = asyncio.Runner(loop_factory=asyncio.new_event_loop)
        self.stack = AsyncExitStack()

    def __enter__(self) -> Self:
        self.running_app = self.run(self.opened())
        return self

    def __exit__(self, *exception: object) -> None:
        self.run(self.stack.aclose())
        self.runner.close()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run the coroutine on this app's loop."""
        return self.runner.run(work)

    async def opened(self) -> RunningApp:
        """A running app with a low storefront cap, whose database records status changes."""
        url = await self.stack.enter_async_context(
            cloned_database(self.services.postgres.url(), self.template)
        )
        settings = replace(
            settings_for(self.services, url),
            storefront_daily_cap=DAILY_CAP,
            storefront_visitor_daily_cap=DAILY_CAP,
            rate_limit_writes="60000/minute",
        )
        running_app = await self.stack.enter_async_context(open_running_app(settings, NoRenderer()))
        for statement in NOTE_MOVES.strip().split(";\nCREATE"):
            await running_app.execute(
                statement if statement.startswith("CREATE") else f"CREATE{statement}"
            )
        await running_app.execute("GRANT SELECT ON moves TO PUBLIC")
        return running_app

    async def emptied(self) -> None:
        """Two shops that have the app and nothing else, as every example finds them."""
        for table in EMPTY:
            await self.running_app.execute(f"DELETE FROM {table}")
        found = await self.running_app.rows("SELECT domain FROM shops WHERE status = 'installed'")
        for domain in SHOPS.values():
            if {"domain": domain} not in found:
                await self.come_back(domain)

    async def come_back(self, domain: str) -> None:
        """The shop installs the app, for the first time or again."""
        if domain in self.running_app.shopify.platform.shops:
            self.running_app.shopify.reinstall(domain)
        await self.running_app.install(domain)

    # Requests

    async def ask(
        self, shop: str, name: str, body: bytes, key: str | None, *, is_signed: bool
    ) -> httpx.Response:
        """A merchant asks for a job, by the admin's page or by a server of theirs."""
        headers = {**JSON, **({} if key is None else {"Idempotency-Key": key})}
        path = f"/v1/{name}"
        if not is_signed:
            headers |= self.running_app.bearer(shop)
            return await self.running_app.http.post(path, content=body, headers=headers)
        url, signature = signed_request(
            SECRET.encode(),
            method="POST",
            url=f"{str(self.running_app.http.base_url).rstrip('/')}{path}",
            shop=shop,
            body=body,
            now=int(time.time()),
        )
        headers["X-Shopify-Hmac-Sha256"] = signature
        return await self.running_app.http.post(url, content=body, headers=headers)

    async def visit(
        self, shop: str, customer: str | None, path: str, body: bytes | None = None
    ) -> httpx.Response:
        """A visitor of the storefront asks; Shopify's proxy says which customer it is, if any."""
        query = {
            "shop": shop,
            "path_prefix": "/apps/atelier",
            "timestamp": str(int(time.time())),
            "logged_in_customer_id": customer or "",
        }
        url = f"/proxy/v1/{path}?{signing.app_proxy_query(query, SECRET)}"
        if body is None:
            return await self.running_app.http.get(url)
        return await self.running_app.http.post(url, content=body, headers=JSON)

    async def cancel(self, shop: str, job_id: str) -> httpx.Response:
        """A merchant cancels."""
        return await self.running_app.http.post(
            f"/v1/jobs/{job_id}/cancel", headers=self.running_app.bearer(shop)
        )

    async def deliver(
        self, shop: str, topic: str, payload: dict[str, object] | None = None
    ) -> tuple[str, str | None]:
        """Shopify tells us something, and we act on it, and again as a queue may do."""
        ref = await send_webhook(self.running_app, topic, payload, shop=shop)
        for tries in range(2):
            assert await handle_delivery(ref, self.running_app.handler_context, tries) == Done()
        return await delivery_status(self.running_app, ref.webhook_id)

    # Workers

    async def commit(self, act: Act[T]) -> T:
        """Do it in a transaction."""
        async with self.running_app.database.transaction() as connection:
            return await act(connection)

    async def crash(self, act: Act[Any]) -> None:
        """Do it and die before the commit."""
        try:
            async with self.running_app.database.transaction() as connection:
                await act(connection)
                raise Crash
        except Crash:
            pass
