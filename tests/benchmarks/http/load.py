"""A client that costs little: one loop, raw sockets, requests that are bytes already.

It keeps every connection busy with one request at a time, and counts what is not as it should be.
"""

import asyncio
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import cycle, islice

LENGTH = re.compile(rb"\r\ncontent-length: (\d+)", re.IGNORECASE)
END_OF_HEAD = b"\r\n\r\n"


@dataclass
class Outcome:
    """What came of a run: `latencies` in seconds, and the answers without the status wanted."""

    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    wrong: int = 0

    @property
    def rate(self) -> float:
        """Good answers a second."""
        return (len(self.latencies) - self.wrong) / self.seconds

    def quantile(self, share: float) -> float:
        """The latency that this share of the answers stayed within, in milliseconds.

        0 if there is no answer, as when all of them take too long.
        """
        ordered = sorted(self.latencies)
        if not ordered:
            return 0.0
        return ordered[min(int(len(ordered) * share), len(ordered) - 1)] * 1000


class Wire(asyncio.Protocol):
    """One connection: the next request goes out when the answer to the last is complete."""

    def __init__(self, requests: Iterator[bytes], status: bytes, outcome: Outcome) -> None:
        self.requests, self.status, self.outcome = requests, status, outcome
        self.buffer = b""
        self.is_over = False
        self.closed = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the first request."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.send()

    def send(self) -> None:
        """The next request."""
        self.started = time.perf_counter()
        self.transport.write(next(self.requests))

    def data_received(self, data: bytes) -> None:
        """A part of an answer; once it is whole, count it and go on."""
        self.buffer += data
        head = self.buffer.find(END_OF_HEAD)
        if head < 0:
            return
        length = LENGTH.search(self.buffer, 0, head + 2)
        size = int(length[1]) if length else 0
        if len(self.buffer) < head + len(END_OF_HEAD) + size:
            return
        self.outcome.latencies.append(time.perf_counter() - self.started)
        self.outcome.wrong += self.buffer[9:12] != self.status
        self.buffer = b""
        if self.is_over:
            self.transport.close()
        else:
            self.send()

    def connection_lost(self, _error: Exception | None) -> None:
        """A connection that the server ends is a wrong answer too."""
        if not self.is_over:
            self.outcome.wrong += 1
        if not self.closed.done():
            self.closed.set_result(None)


async def load(
    ports: Sequence[int],
    requests: Iterator[bytes],
    *,
    connections: int,
    seconds: float,
    status: int = 200,
) -> Outcome:
    """Ask for `seconds` over that many connections, spread evenly over the ports."""
    outcome = Outcome()
    loop = asyncio.get_running_loop()
    started = time.perf_counter()
    wires = [
        (
            await loop.create_connection(
                lambda: Wire(requests, str(status).encode(), outcome), "127.0.0.1", port
            )
        )[1]
        for port in islice(cycle(ports), connections)
    ]
    await asyncio.sleep(seconds)
    outcome.seconds = time.perf_counter() - started
    for wire in wires:
        wire.is_over = True
    async with asyncio.timeout(30):
        await asyncio.gather(*(wire.closed for wire in wires))
    return outcome
