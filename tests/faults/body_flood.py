"""Clients that upload 25 MB each and never finish, as a process of their own.

`python -m tests.faults.body_flood HOW PORT SECONDS` keeps 500 connections from 50 addresses open.
Each posts an upload with an invented signature: everything but the end as fast as possible, then
one byte a second, then the end; then it starts again. Together they send at most half a gigabit a
second. HOW is `invented` (only the header) or `wellformed` (with shop and time, so that only the
body decides), with `-tls` appended for a TLS port. Prints a line of JSON: the megabytes sent, and
the responses by status.
"""

import asyncio
import base64
import collections
import contextlib
import json
import sys
import time
from typing import Any

import uvloop

from tests.faults.slow_clients import NAME, NETWORK, trusting

CONNECTIONS, ADDRESSES = 500, 50
SIZE = 25_000_000  # bytes
KEPT_BACK = 5  # bytes, one a second; then the rest
PIECE = 65_536
A_SECOND = 60_000_000  # bytes, of all together
TRUSTING = trusting()
SIGNATURE = base64.b64encode(bytes(32)).decode()


class Line:
    """What they share: its capacity, and what came of it."""

    def __init__(self) -> None:
        self.started = time.monotonic()
        self.sent = 0
        self.answers: collections.Counter[str] = collections.Counter()

    async def carry(self, size: int) -> None:
        """Wait until so much fits through."""
        self.sent += size
        early = self.sent / A_SECOND - (time.monotonic() - self.started)
        await asyncio.sleep(max(0.0, early))


def beginning(how: str) -> bytes:
    """The request's head."""
    query = f"?shop=north.myshopify.com&timestamp={int(time.time())}" if how == "wellformed" else ""
    return (
        f"POST /v1/uploads{query} HTTP/1.1\r\nHost: {NAME}\r\nContent-Length: {SIZE}\r\n"
        "Content-Type: multipart/form-data; boundary=x\r\n"
        f"X-Shopify-Hmac-Sha256: {SIGNATURE}\r\nConnection: close\r\n\r\n"
    ).encode()


async def fill(how: str, port: int, address: str, line: Line) -> None:
    """One upload."""
    how, _, tls = how.partition("-")
    secure: dict[str, Any] = {"ssl": TRUSTING, "server_hostname": NAME} if tls else {}
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", port, local_addr=(address, 0), **secure
    )
    answer = asyncio.create_task(reader.readline())
    try:
        writer.write(beginning(how))
        for _ in range((SIZE - KEPT_BACK) // PIECE):
            await line.carry(PIECE)
            writer.write(bytes(PIECE))
            await writer.drain()
        writer.write(bytes((SIZE - KEPT_BACK) % PIECE))
        for _ in range(KEPT_BACK):
            await asyncio.wait([answer], timeout=1)
            writer.write(b"0")
            await writer.drain()
        await asyncio.wait([answer], timeout=30)
    finally:
        status = answer.result()[9:12] if answer.done() and not answer.exception() else b""
        line.answers[status.decode() or "none"] += 1
        answer.cancel()
        writer.transport.abort()


async def keep_filling(how: str, port: int, address: str, line: Line) -> None:
    """One after the other."""
    while True:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await fill(how, port, address, line)
        await asyncio.sleep(1)


async def main(how: str, port: int, seconds: float) -> None:
    """All at once, for so long."""
    line = Line()
    addresses = [f"{NETWORK}{number % ADDRESSES + 1}" for number in range(CONNECTIONS)]
    filling = [asyncio.create_task(keep_filling(how, port, address, line)) for address in addresses]
    await asyncio.sleep(seconds)
    for task in filling:
        task.cancel()
    await asyncio.gather(*filling, return_exceptions=True)
    print(json.dumps({"sent_mb": line.sent // 1_000_000, "answers": line.answers}), flush=True)


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3])))
