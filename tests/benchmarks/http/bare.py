"""The limit: our SQL on asyncpg behind a bare ASGI callable, and nothing else.

No framework, no credential, no presigning, no JSON work: it sends what the statement returns. The
shop is a query parameter, which no server that means it would believe. The statement is ours to the
letter, and runs as the role that ours runs as; the inserts of a webhook know nothing of shops.
"""

import os
import uuid
from typing import Any
from urllib.parse import parse_qs

import asyncpg

from backend.jobs import queries
from backend.review.queries import REVIEW_PAGE
from backend.tenancy import WEB

Scope = dict[str, Any]
QUERIES = {
    "detail": queries.ONE_DETAIL,
    "version": queries.ONE_VERSION,
    "events": queries.ONE_TIMELINE,
}
KNOWN = "SELECT id FROM shops WHERE domain = $1"
STORE = (
    "INSERT INTO webhook_deliveries (shop_domain, topic, webhook_id, body, status) "
    "VALUES ($1, 'products/update', $2, $3, 'received') ON CONFLICT DO NOTHING RETURNING true"
)
ENQUEUE = (
    "INSERT INTO queue.pgqueuer (priority, entrypoint, payload, execute_after, status, dedupe_key) "
    "VALUES (0, 'handle_webhook', $1, now(), 'queued', $2) ON CONFLICT DO NOTHING"
)


async def keep(_connection: Any) -> None:
    """Leave a connection as it is when it goes back: it has nothing to reset."""


class Bare:
    """An ASGI application."""

    reading: asyncpg.Pool
    writing: asyncpg.Pool

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        """Answer whatever is asked."""
        if scope["type"] == "lifespan":
            await self.live(receive, send)
            return
        status, body = await self.answer(scope, receive)
        length = str(len(body)).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", length)]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def live(self, receive: Any, send: Any) -> None:
        """Open the pools, and close them at the end."""
        await receive()
        url = os.environ["DATABASE_URL"]
        as_web = {"role": WEB}
        self.reading = await asyncpg.create_pool(
            url, min_size=10, max_size=10, reset=keep, server_settings=as_web
        )
        self.writing = await asyncpg.create_pool(url, min_size=10, max_size=10, reset=keep)
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self.reading.close()
        await self.writing.close()
        await send({"type": "lifespan.shutdown.complete"})

    async def answer(self, scope: Scope, receive: Any) -> tuple[int, bytes]:
        """What the database says."""
        if scope["method"] == "POST":
            return await self.store((await receive())["body"])
        query = parse_qs(scope["query_string"].decode())
        if scope["path"] == "/v1/review":
            return await self.review(query["shop"][0])
        _, _, _, job, *rest = scope["path"].split("/")
        has_tag = any(name == b"if-none-match" for name, _ in scope["headers"])
        statement = QUERIES["events" if rest else "version" if has_tag else "detail"]
        given = {
            "shop_domain": query["shop"][0],
            "public_id": job,
            "since": int(query.get("since", "0")[0]),
        }
        row = await self.reading.fetchrow(statement.sql, *statement.arguments(given))
        if has_tag:
            return 304, b""
        return 200, "\n".join(map(str, row.values())).encode()

    async def review(self, shop: str) -> tuple[int, bytes]:
        """The first page of a shop's cards."""
        given = {"shop_domain": shop, "state": "WAITING", "before": "Z" * 26, "limit": 25}
        rows = await self.reading.fetch(REVIEW_PAGE.sql, *REVIEW_PAGE.arguments(given))
        return 200, "\n".join(str(value) for row in rows for value in row.values()).encode()

    async def store(self, body: bytes) -> tuple[int, bytes]:
        """The two inserts of a delivery, in one transaction."""
        webhook_id = str(uuid.uuid4())
        async with self.writing.acquire() as connection, connection.transaction():
            await connection.fetchval(KNOWN, "shop-0.myshopify.com")
            await connection.fetchval(STORE, "shop-0.myshopify.com", webhook_id, body)
            await connection.execute(ENQUEUE, body, f"handle_webhook:{webhook_id}")
        return 200, b""


app = Bare()
