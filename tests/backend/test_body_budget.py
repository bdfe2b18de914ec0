"""The memory that request bodies may take, and refusals before reading a body."""

import asyncio
import base64
import time
from typing import Any, cast

import pytest

from backend import body_budget
from backend.body_budget import MAX_LARGE_BODIES, SMALL_BODY, BodyBudget, mark_body_verified
from backend.errors import BodyTooSlow, ServerBusy
from tests.backend.auth.signing import SHOP
from tests.security.offline_app import offline_app

LIMIT = 80_000_000
RESERVED = LIMIT // 8  # for small bodies
SIGNATURE = base64.b64encode(bytes(32))
MULTIPART = (b"content-type", b"multipart/form-data; boundary=x")


class BodySender:
    """One request to a budget, whose body comes when the test says so."""

    def __init__(self, budget: BodyBudget, *headers: tuple[bytes, bytes]) -> None:
        self.messages: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.read = 0  # bytes
        self.leave = asyncio.Event()
        self.scope = scope = cast("Any", {"type": "http", "sender": self, "headers": headers})
        receive = cast("Any", self.messages.get)
        self.task = asyncio.create_task(budget(scope, receive, ignore_response))

    async def send(self, size: int, *, more: bool = True) -> None:
        """So many bytes arrive, and are read or refused."""
        wanted = self.read + size
        body = bytes(size)
        await self.messages.put({"type": "http.request", "body": body, "more_body": more})
        while self.read < wanted and not self.task.done():
            await asyncio.sleep(0)
        if self.task.done():
            await self.task


async def ignore_response(_message: Any) -> None:
    """The answer is of no interest."""


async def reader(scope: Any, receive: Any, _send: Any) -> None:
    """An app that reads the body, and answers when it is told to."""
    sender: BodySender = scope["sender"]
    while True:
        message = await receive()
        sender.read += len(message["body"])
        if not message["more_body"]:
            break
    await sender.leave.wait()


@pytest.fixture
def budget() -> BodyBudget:
    return BodyBudget(reader, LIMIT)


async def test_a_body_beyond_the_budget_is_refused_until_another_ends(
    budget: BodyBudget,
) -> None:
    first, second, *small = (BodySender(budget) for _ in range(2 + RESERVED // SMALL_BODY))
    for sender in (first, second, *small):
        mark_body_verified(await scope_of(sender))
    await first.send(LIMIT - RESERVED, more=False)
    for sender in small:
        await sender.send(SMALL_BODY, more=False)
    await second.send(RESERVED % SMALL_BODY)
    assert budget.held == LIMIT
    with pytest.raises(ServerBusy):
        await second.send(1)
    for sender in (first, *small):
        sender.leave.set()
        await sender.task
    assert (budget.held, budget.unverified) == (0, 0)


async def test_verified_uploads_leave_room_for_webhooks(budget: BodyBudget) -> None:
    """Of a few merchants, or of one that means harm: neither may keep out what Shopify sends."""
    upload, other, webhook = (BodySender(budget) for _ in range(3))
    for sender in (upload, other):
        mark_body_verified(await scope_of(sender))
    await upload.send(LIMIT - RESERVED)
    with pytest.raises(ServerBusy):
        await other.send(SMALL_BODY + 1)
    await webhook.send(SMALL_BODY)
    mark_body_verified(webhook.scope)
    upload.task.cancel()
    webhook.task.cancel()
    await asyncio.gather(upload.task, webhook.task, return_exceptions=True)
    assert (budget.held, budget.unverified) == (0, 0)


@pytest.mark.parametrize("length", [(b"content-length", b"25000000"), (b"te", b"chunked")])
async def test_a_limited_number_of_large_unsigned_bodies_is_read_at_once(
    budget: BodyBudget, length: tuple[bytes, bytes]
) -> None:
    senders = [BodySender(budget, length) for _ in range(MAX_LARGE_BODIES)]
    for sender in senders:
        await sender.send(SMALL_BODY + 1)
    with pytest.raises(ServerBusy):
        await BodySender(budget, length).send(SMALL_BODY + 1)
    await BodySender(budget).send(SMALL_BODY)  # a small one still comes in
    mark_body_verified(
        senders[0].scope
    )  # and so does a large one in the place of one that is signed
    await BodySender(budget, length).send(SMALL_BODY + 1)
    senders[1].leave.set()
    await senders[1].send(1, more=False)
    await BodySender(budget, length).send(SMALL_BODY + 1)


async def scope_of(sender: BodySender) -> Any:
    """The scope, once the budget has seen it."""
    await asyncio.sleep(0)
    return sender.scope


async def test_unsigned_bodies_leave_room_for_small_and_signed_ones(
    budget: BodyBudget,
) -> None:
    large, larger, small, signed = (BodySender(budget) for _ in range(4))
    await large.send(LIMIT * 3 // 8)
    with pytest.raises(ServerBusy):
        await larger.send(SMALL_BODY + 1)
    await small.send(SMALL_BODY)
    mark_body_verified(await scope_of(signed))
    await signed.send(LIMIT // 2 - SMALL_BODY)
    assert budget.held == LIMIT - RESERVED
    for sender in (large, small, signed):
        sender.task.cancel()
    await asyncio.gather(large.task, small.task, signed.task, return_exceptions=True)
    assert (budget.held, budget.unverified) == (0, 0)


async def test_a_verified_body_no_longer_counts_as_unsigned(
    budget: BodyBudget,
) -> None:
    sender = BodySender(budget)
    await sender.send(1_000)
    assert budget.unverified == 1_000
    mark_body_verified(sender.scope)
    mark_body_verified(sender.scope)
    assert (budget.held, budget.unverified) == (1_000, 0)
    sender.task.cancel()
    await asyncio.gather(sender.task, return_exceptions=True)
    assert (budget.held, budget.unverified) == (0, 0)


async def test_a_slow_body_is_refused_and_released(
    budget: BodyBudget, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(body_budget, "BODY_TIMEOUT", 0.2)
    slow, fast = BodySender(budget), BodySender(budget)
    await slow.send(100)
    await fast.send(int(body_budget.MIN_BODY_RATE))  # has earned a second more
    started = time.monotonic()
    with pytest.raises(BodyTooSlow):
        await asyncio.wait_for(slow.task, 5)
    assert time.monotonic() - started < 1
    assert not fast.task.done()
    with pytest.raises(BodyTooSlow):
        await asyncio.wait_for(fast.task, 5)
    assert budget.held == 0


# Nothing is read for a credential that no body can make good


def query(shop: str = SHOP, age: int = 0) -> bytes:
    """The query of a signed request."""
    return f"shop={shop}&timestamp={int(time.time()) - age}".encode()


def delivery(**changes: bytes) -> list[tuple[bytes, bytes]]:
    """A delivery's headers, some of them changed; without those that are empty."""
    headers = {
        "x_shopify_hmac_sha256": SIGNATURE,
        "x_shopify_shop_domain": SHOP.encode(),
        "x_shopify_topic": b"products/update",
        "x_shopify_webhook_id": b"1",
    }
    found = (headers | changes).items()
    return [(name.replace("_", "-").encode(), value) for name, value in found if value]


SIGNED = (b"x-shopify-hmac-sha256", SIGNATURE)
GZIP = (b"content-encoding", b"gzip")
UPLOADS, BATCHES, WEBHOOKS = "/v1/uploads", "/v1/batches", "/webhooks"
Request = tuple[str, bytes, list[tuple[bytes, bytes]]]


def length(value: int) -> tuple[bytes, bytes]:
    """The header that announces it."""
    return b"content-length", b"%d" % value


def refused() -> dict[str, tuple[Request, int]]:
    """Requests of this moment, and the status of their refusal."""
    return {
        "no credential": ((UPLOADS, query(), []), 401),
        "a short signature": ((UPLOADS, query(), [(SIGNED[0], b"AAAA=")]), 401),
        "a signature in another alphabet": (
            (UPLOADS, query(), [(SIGNED[0], b"-" * 43 + b"=")]),
            401,
        ),
        "no shop and no time": ((UPLOADS, b"", [SIGNED]), 401),
        "no time": ((UPLOADS, f"shop={SHOP}".encode(), [SIGNED]), 401),
        "a stale time": ((UPLOADS, query(age=120), [SIGNED]), 401),
        "a shop of another shape": ((UPLOADS, query("evil.example"), [SIGNED]), 401),
        "an encoding": ((UPLOADS, query(), [SIGNED, GZIP]), 415),
        "too long an upload": ((UPLOADS, query(), [SIGNED, length(25_016_385)]), 413),
        "too long a body": ((BATCHES, query(), [SIGNED, length(256_001)]), 413),
        "a webhook without a signature": (
            (WEBHOOKS, b"", delivery(x_shopify_hmac_sha256=b"")),
            401,
        ),
        "a webhook with a short one": ((WEBHOOKS, b"", delivery(x_shopify_hmac_sha256=b"AA")), 401),
        "a webhook of no shop": ((WEBHOOKS, b"", delivery(x_shopify_shop_domain=b"")), 400),
        "a webhook of a shop of another shape": (
            (WEBHOOKS, b"", delivery(x_shopify_shop_domain=b"evil.example")),
            400,
        ),
        "a webhook without a topic": ((WEBHOOKS, b"", delivery(x_shopify_topic=b"")), 400),
        "an encoded webhook": ((WEBHOOKS, b"", [*delivery(), GZIP]), 415),
        "too long a webhook": ((WEBHOOKS, b"", [*delivery(), length(5_000_001)]), 413),
    }


@pytest.mark.parametrize("what", refused())
async def test_a_request_that_must_fail_is_refused_without_reading_its_body(what: str) -> None:
    (path, query, headers), status = refused()[what]
    answer = await request_app(path, query, [MULTIPART, *headers])
    assert (answer.status, answer.reads) == (status, 0)


async def test_a_wrong_signature_is_refused_after_the_body_is_read() -> None:
    for path in ("/v1/uploads", "/v1/batches"):
        answer = await request_app(path, query(), [MULTIPART, SIGNED])
        assert (answer.status, answer.reads) == (401, 2)
    answer = await request_app("/webhooks", b"", delivery())
    assert (answer.status, answer.reads) == (401, 2)


class Asked:
    """A request to the app itself, without a socket: the answer's status, and how often it read."""

    def __init__(self) -> None:
        self.status = self.reads = 0

    async def receive(self) -> Any:
        """A body in two pieces."""
        self.reads += 1
        return {"type": "http.request", "body": b"{}", "more_body": self.reads < 2}

    async def send(self, message: Any) -> None:
        """Keep the status."""
        self.status = message.get("status", self.status)


async def request_app(path: str, query: bytes, headers: list[tuple[bytes, bytes]]) -> Asked:
    """POST it."""
    scope: Any = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST",
        "scheme": "http", "path": path, "raw_path": path.encode(), "query_string": query,
        "root_path": "", "headers": headers, "client": ("127.0.0.1", 1), "server": ("a", 80),
    }  # fmt: skip
    one = Asked()
    await offline_app()(scope, one.receive, one.send)
    return one
