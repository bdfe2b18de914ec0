"""Ten thousand webhooks: a fifth are copies, one in a hundred is forged, none is in order."""

import asyncio
import contextlib
import os
import random
import re
import time
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from tests.faults.conftest import Measured
from tests.faults.web import WebProcess, running_web
from tests.running_app import SHOP, RunningApp
from tests.scenarios import Headers, webhook_headers

COUNT = int(os.environ.get("WEBHOOKS", "10000"))
WORKED_OFF = int(os.environ.get("WEBHOOKS_WORKED_OFF", "1500"))
KILLS = int(os.environ.get("WEB_KILLS", "50"))
PRODUCTS = 100  # each with one picture, told of again and again
SENDERS = 100

Sent = tuple[str, bytes, Headers, bool]  # its id, its body, its headers, and whether it is genuine


def storm(running_app: RunningApp, bodies: list[bytes], count: int = COUNT) -> list[Sent]:
    """The deliveries in the order in which they go out."""
    dice = random.Random(7)
    forged = [delivery(running_app, dice.choice(bodies), forged=True) for _ in range(count // 100)]
    genuine = [
        delivery(running_app, bodies[number % PRODUCTS])
        for number in range(count - count // 5 - len(forged))
    ]
    copies = dice.choices(genuine, k=count // 5)
    plan = [*genuine, *copies, *forged]
    dice.shuffle(plan)
    return plan


def delivery(running_app: RunningApp, body: bytes, *, forged: bool = False) -> Sent:
    """A delivery with an id of its own."""
    secret = "not-the-secret" if forged else running_app.settings.shopify_api_secret
    headers = webhook_headers(body, secret=secret)
    return headers[-1][1].decode(), body, headers, not forged


def bodies_of(running_app: RunningApp) -> list[bytes]:
    """What Shopify tells of each product."""
    found = []
    for _ in range(PRODUCTS):
        running_app.product()
        found.append(msgspec.json.encode(running_app.shopify.payload(SHOP, "products/update")))
    return found


@pytest.mark.timeout(400)
@pytest.mark.promise("P6", "a storm of webhooks is acknowledged", wanted="right status, p99 < 1 s")
async def test_a_webhook_storm_is_acknowledged(
    running_app: RunningApp, tmp_path: Path, record_promise: Measured
) -> None:
    await running_app.install()
    plan = storm(running_app, bodies_of(running_app))
    async with running_web(
        running_app.settings, running_app.shopify.origin, tmp_path / "log"
    ) as served:
        started = time.monotonic()
        answers = await send_all(served.url, plan)
        took = time.monotonic() - started
    wrong = [a for a in answers if a[1] != (200 if a[2] else 401)]
    seconds = sorted(a[3] for a in answers)
    p99 = seconds[len(seconds) * 99 // 100]
    record_promise(
        "P6",
        f"{len(wrong)} of {len(answers):,} wrong, p99 {p99 * 1000:.0f} ms, "
        f"{len(answers) / took:,.0f} a second",
        not wrong and p99 < 1,
    )
    await taken_in(running_app, {a[0] for a in answers if a[1] == 200})


@pytest.mark.timeout(400)
@pytest.mark.promise("P8", "one picture makes one job", wanted=f"{PRODUCTS} jobs")
async def test_a_webhook_storm_creates_one_job_per_picture(
    running_app: RunningApp, tmp_path: Path, record_promise: Measured
) -> None:
    await running_app.install()
    plan = storm(running_app, bodies_of(running_app), WORKED_OFF)
    async with running_web(
        running_app.settings, running_app.shopify.origin, tmp_path / "log"
    ) as served:
        await send_all(served.url, plan)
    await worked_off(running_app)
    jobs = len(await running_app.rows("SELECT 1 FROM jobs"))
    record_promise(
        "P8", f"{jobs} jobs of {PRODUCTS} pictures in {len(plan):,} webhooks", jobs == PRODUCTS
    )


@pytest.mark.timeout(400)
@pytest.mark.promise("P7", "a 2xx webhook is never lost", wanted="0 lost")
async def test_no_acknowledged_webhook_is_lost_when_the_web_process_is_killed(
    running_app: RunningApp, tmp_path: Path, record_promise: Measured
) -> None:
    await running_app.install()
    plan = storm(running_app, bodies_of(running_app))
    acknowledged: set[str] = set()
    statuses: Counter[int] = Counter()
    async with running_web(
        running_app.settings, running_app.shopify.origin, tmp_path / "log"
    ) as served:
        killing = asyncio.create_task(kill_repeatedly(served, acknowledged))
        for copies in range(50):  # until the last kill, as Shopify would send on
            for webhook_id, status, _, _ in await send_all(served.url, plan, retry=True):
                statuses[status] += 1
                if status == 200:
                    acknowledged.add(webhook_id)
            if killing.done():
                break
            dice = random.Random(copies)
            plan = [delivery(running_app, dice.choice(plan)[1]) for _ in range(1000)]
        await killing
    lost = await missing(running_app, acknowledged)
    record_promise(
        "P7",
        f"{len(lost)} of {len(acknowledged):,} acknowledged lost in {KILLS} kills",
        not lost and len(acknowledged) > COUNT // 2 and set(statuses) <= {200, 401},
    )


async def kill_repeatedly(served: WebProcess, acknowledged: set[str]) -> None:
    """kill -9 at random moments, each time a process has begun to answer."""
    for _ in range(KILLS):
        async with httpx.AsyncClient(base_url=served.url, timeout=60) as client:
            await client.get("/health/live")
        await asyncio.sleep(random.uniform(0, 0.5))
        await served.kill()
        await served.start()


async def send_all(
    url: str, plan: list[Sent], *, retry: bool = False
) -> list[tuple[str, int, bool, float]]:
    """Send them all; of each its id, the status, whether it is genuine, and the seconds."""
    answers: list[tuple[str, int, bool, float]] = []
    deliveries = iter(plan)
    address = httpx.URL(url)

    async def sender() -> None:
        async with contextlib.AsyncExitStack() as stack:
            wire = await stack.enter_async_context(Wire(address))
            for webhook_id, body, headers, is_genuine in deliveries:
                started = time.monotonic()
                status = await wire.posted(body, headers, retry=retry)
                answers.append((webhook_id, status, is_genuine, time.monotonic() - started))

    async with asyncio.TaskGroup() as group:
        for _ in range(SENDERS):
            group.create_task(sender())
    return answers


class Wire:
    """A connection that costs its sender little, or the storm would be as slow as its client."""

    def __init__(self, address: httpx.URL) -> None:
        self.address = address
        self.streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def __aenter__(self) -> "Wire":
        return self

    async def __aexit__(self, *_: object) -> None:
        self.drop()

    def drop(self) -> None:
        """Leave the connection."""
        if self.streams:
            self.streams[1].close()
        self.streams = None

    async def posted(self, body: bytes, headers: Headers, *, retry: bool) -> int:
        """The status; with `retry`, sent again until somebody answers, as Shopify would."""
        lines = b"".join(b"%s: %s\r\n" % header for header in headers)
        length = b"Content-Length: %d\r\n" % len(body)
        request = b"POST /webhooks HTTP/1.1\r\nHost: app\r\n" + lines + length + b"\r\n" + body
        while True:
            try:
                return await self.answered(request)
            except (OSError, asyncio.IncompleteReadError):
                self.drop()
                if not retry:
                    raise
                await asyncio.sleep(0.02)

    async def answered(self, request: bytes) -> int:
        """The status of the answer, once all of it is here."""
        if self.streams is None:
            self.streams = await asyncio.open_connection(self.address.host, self.address.port)
        reader, writer = self.streams
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        found = re.search(rb"content-length: ([0-9]+)", head, re.IGNORECASE)
        await reader.readexactly(int(found[1]) if found else 0)
        return int(head[9:12])


async def missing(running_app: RunningApp, ids: set[str]) -> set[str]:
    """Which of the deliveries are not in the inbox, or would never be worked on."""
    rows: list[Any] = await running_app.rows(
        """
        SELECT d.webhook_id FROM webhook_deliveries d
        LEFT JOIN queue.pgqueuer q ON q.dedupe_key
          = concat_ws(':', 'handle_webhook', d.shop_domain, d.topic, d.webhook_id)
        WHERE d.status <> 'received' OR q.id IS NOT NULL
        """
    )
    return ids - {row["webhook_id"] for row in rows}


async def taken_in(running_app: RunningApp, ids: set[str]) -> None:
    """Every acknowledged delivery is there, once, and none besides."""
    assert not await missing(running_app, ids)
    assert len(await running_app.rows("SELECT 1 FROM webhook_deliveries")) == len(ids)


async def worked_off(running_app: RunningApp) -> None:
    """Handle every delivery; a drain has a deadline of its own."""
    while await running_app.rows(
        "SELECT 1 FROM webhook_deliveries WHERE status = 'received' LIMIT 1"
    ):
        try:
            await running_app.drain(only_webhooks=True)
        except TimeoutError:
            continue
