"""A receiver of events on loopback, which answers as it is told and keeps what it got."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from standardwebhooks.webhooks import Webhook

from backend.worker.endpoint_upkeep import wake_endpoints
from tests.running_app import SHOP, RunningApp

HEAD_END = b"\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"


def answer(status: int, *headers: str, body: bytes = b"") -> bytes:
    """A whole answer with that status."""
    lines = (f"HTTP/1.1 {status} X", f"Content-Length: {len(body)}", "Connection: close", *headers)
    return "\r\n".join(lines).encode() + HEAD_END + body


@dataclass
class Received:
    """One request."""

    path: str
    headers: dict[str, str]
    body: bytes

    def verified(self, secret: str) -> dict[str, object]:
        """The event, as Standard Webhooks' own library reads it. Raises if it does not verify."""
        event: dict[str, object] = Webhook(secret).verify(self.body, self.headers)
        return event


@dataclass
class Receiver:
    """What came in; `answers` are given in turn, the last one again and again.

    An answer of None leaves the sender without one until the receiver ends.
    """

    port: int = 0
    requests: list[Received] = field(default_factory=list)
    answers: list[bytes | None] = field(default_factory=lambda: [OK])
    under_way: int = 0
    most_at_once: int = 0
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def url(self) -> str:
        """For the API: the dev transport carries it to this port."""
        return f"https://p{self.port}.localhost/hooks"

    def ids(self) -> list[str]:
        """The `webhook-id` of each request."""
        return [each.headers["webhook-id"] for each in self.requests]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Read a request and answer it."""
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            head = (await reader.readuntil(HEAD_END)).decode("latin-1")
            first, *lines = head.strip().split("\r\n")
            headers = {name.lower(): value for name, _, value in (x.partition(": ") for x in lines)}
            body = await reader.readexactly(int(headers.get("content-length", 0)))
            self.requests.append(Received(first.split()[1], headers, body))
            self.under_way += 1
            self.most_at_once = max(self.most_at_once, self.under_way)
            told = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
            await asyncio.sleep(0)
            if told is None:
                await self.ended.wait()
            else:
                writer.write(told)
                await writer.drain()
            self.under_way -= 1
        writer.close()


@contextlib.asynccontextmanager
async def open_receiver() -> AsyncIterator[Receiver]:
    """A receiver on a free port."""
    receiver = Receiver()
    server = await asyncio.start_server(receiver.serve, "127.0.0.1", 0)
    receiver.port = server.sockets[0].getsockname()[1]
    try:
        yield receiver
    finally:
        receiver.ended.set()
        server.close()


async def add(
    running_app: RunningApp, url: str, *, shop: str = SHOP, **more: object
) -> dict[str, object]:
    """Register an endpoint; what the API answers."""
    response = await running_app.http.post(
        "/v1/webhook-endpoints", json={"url": url, **more}, headers=running_app.bearer(shop)
    )
    assert response.status_code == 201, response.text
    created: dict[str, object] = response.json()
    return created


async def send_test(running_app: RunningApp, endpoint_id: object, *, shop: str = SHOP) -> str:
    """Ask for an `endpoint.test`; its ID."""
    response = await running_app.http.post(
        f"/v1/webhook-endpoints/{endpoint_id}/test", headers=running_app.bearer(shop)
    )
    assert response.status_code == 202, response.text
    return str(response.json()["event_id"])


async def deliveries(
    running_app: RunningApp, endpoint_id: object, *, shop: str = SHOP
) -> list[dict[str, object]]:
    """The endpoint's delivery log."""
    response = await running_app.http.get(
        f"/v1/webhook-endpoints/{endpoint_id}/deliveries", headers=running_app.bearer(shop)
    )
    assert response.status_code == 200, response.text
    found: list[dict[str, object]] = response.json()["deliveries"]
    return found


async def one(running_app: RunningApp, endpoint_id: object) -> dict[str, object]:
    """The endpoint as the API shows it."""
    response = await running_app.http.get(
        f"/v1/webhook-endpoints/{endpoint_id}", headers=running_app.bearer()
    )
    found: dict[str, object] = response.json()
    return found


async def make_due(running_app: RunningApp) -> None:
    """Let the pauses be over, wake the endpoints as the clock does, and deliver."""
    await end_pauses(running_app)
    await running_app.execute(
        "UPDATE endpoint_deliveries SET next_attempt_at = now() WHERE status = 'pending'"
    )
    await running_app.execute("DELETE FROM queue.pgqueuer WHERE entrypoint = 'deliver_events'")
    await wake_endpoints(running_app.database)
    await running_app.drain()


async def end_pauses(running_app: RunningApp) -> None:
    """Let the pauses of endpoints that fail be over."""
    for table in ("webhook_endpoints", "app_webhook_endpoints"):
        await running_app.execute(
            f"UPDATE {table} SET last_failed_at = last_failed_at - interval '1 minute'"
        )
