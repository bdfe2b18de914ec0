"""Two thousand clients that hang up in the middle: no connection stays with any of them."""

import asyncio
import random
from urllib.parse import urlsplit

import httpx
import msgspec
import pytest

from backend.dev.transport import LoopbackShopify
from tests.faults.conftest import Measured
from tests.faults.pools import held_connections, seen_databases
from tests.faults.writers import BODY, PATH
from tests.running_app import RunningApp, serve_app
from tests.wait import wait_until

COUNT, AT_ONCE = 2_000, 50


@pytest.mark.timeout(200)
@pytest.mark.promise("P24", "clients that hang up keep nothing", wanted="0 connections held")
async def test_the_pools_are_whole_after_two_thousand_disconnects(
    running_app: RunningApp, monkeypatch: pytest.MonkeyPatch, record_promise: Measured
) -> None:
    await running_app.install()
    job = await running_app.request_job()
    settings = msgspec.structs.replace(
        running_app.settings, rate_limit_reads="1000000/minute", rate_limit_writes="1000000/minute"
    )
    opened = seen_databases(monkeypatch)
    most = 0
    async with serve_app(settings, LoopbackShopify(running_app.shopify.origin)) as url:
        (database,) = opened
        numbers = iter(range(COUNT))

        async def hanging_up() -> None:
            nonlocal most
            for number in numbers:
                await hang_up(running_app, url, job, number)
                most = max(most, held_connections(database))

        await asyncio.gather(*(hanging_up() for _ in range(AT_ONCE)))
        await wait_until(lambda: not held_connections(database))
        still_held = held_connections(database)
        async with httpx.AsyncClient(base_url=url, timeout=20, trust_env=False) as client:
            asked = (
                client.get(f"/v1/jobs/{job}", headers=running_app.bearer()) for _ in range(AT_ONCE)
            )
            answers = await asyncio.gather(*asked)
    assert {answer.status_code for answer in answers} == {200}
    record_promise(
        "P24",
        f"{still_held} held after {COUNT:,} disconnects, up to {most} during them",
        still_held == 0 and most > 0,
    )


async def hang_up(running_app: RunningApp, url: str, job: str, number: int) -> None:
    """Ask for a job or for its detail, and be gone before the answer."""
    address = urlsplit(url)
    _, writer = await asyncio.open_connection(address.hostname, address.port)
    token = running_app.bearer()["Authorization"]
    body = msgspec.json.encode(BODY) if number % 2 else b""
    head = (
        f"{'POST ' + PATH if body else 'GET /v1/jobs/' + job} HTTP/1.1\r\n"
        f"Host: localhost\r\nAuthorization: {token}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    writer.write(head.encode() + body)
    await writer.drain()
    await asyncio.sleep(random.uniform(0, 0.03))
    writer.transport.abort()
