"""A TCP proxy that makes a healthy server look slow, gone or cut off, and stops clients in midair.

It stands before Postgres (on its unix socket) and before S3. A blackhole takes connections and
says nothing, as a network does that drops packets; nothing is refused. A `Hold` freezes the
connection that sends some words: whoever waits for it knows exactly how far the client has come.
"""

import asyncio
import contextlib
import socket
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Self

CHUNK = 64 * 1024
Connect = Callable[[], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]


@dataclass(kw_only=True)
class Hold:
    """Where to freeze: at what the client says, before or after the server has heard it."""

    words: bytes
    answered: bool = False  # let the server answer, and hold the answer back
    after: bytes = b""  # only on a connection on which these words have gone before
    reached: asyncio.Event = field(default_factory=asyncio.Event)


class FaultProxy:
    """`async with FaultProxy(connect) as proxy`: listens on `proxy.port`, and passes everything on.

    The faults are attributes to be set at any time, for connections that are open as well.
    """

    def __init__(self, connect: Connect) -> None:
        self.connect = connect
        self.latency = 0.0  # seconds before each piece of an answer
        self.bandwidth: int | None = None  # bytes a second of the answers
        self.cut_after: int | None = None  # bytes of a connection's answers, then a reset
        self.cut_uploads_after: int | None = None  # the same of what the client sends
        self.is_refusing = False
        self.hold: Hold | None = None
        self._open = asyncio.Event()
        self._open.set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *exception: object) -> None:
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def blackhole(self) -> None:
        """Say nothing any more, to anybody."""
        self._open.clear()

    def heal(self) -> None:
        """Pass everything on again; connections that a blackhole has swallowed do not come back."""
        if not self._open.is_set():
            self.drop_all()
        self._open.set()
        self.latency, self.bandwidth, self.hold = 0.0, None, None
        self.cut_after = self.cut_uploads_after = None
        self.is_refusing = False

    def drop_all(self) -> None:
        """Cut every connection."""
        for task in self._tasks:
            task.cancel()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.is_refusing:
            return reset_connection(writer)
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self._carry(reader, writer)
        except asyncio.CancelledError:
            reset_connection(writer)
        finally:
            self._tasks.discard(task)
        return None

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._open.wait()
        try:
            far_reader, far_writer = await self.connect()
        except OSError:
            return reset_connection(writer)
        line = Line(self)
        ways = [
            asyncio.create_task(line.upwards(reader, far_writer)),
            asyncio.create_task(line.downwards(far_reader, writer)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            far_writer.close()
            if line.is_cut:
                reset_connection(writer)
            else:
                writer.close()
        return None

    async def passed(self) -> None:
        """Wait while there is a blackhole."""
        await self._open.wait()


class Line:
    """One connection through the proxy."""

    def __init__(self, proxy: FaultProxy) -> None:
        self.proxy = proxy
        self.is_cut = self.is_held = False
        self.seen: set[bytes] = set()

    async def upwards(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """What the client says."""
        sent = 0
        while data := await reader.read(CHUNK):
            await self.proxy.passed()
            hold = self.proxy.hold
            if hold is not None and self.is_place(hold, data):
                if not hold.answered:
                    hold.reached.set()
                    await asyncio.Event().wait()
                self.is_held = True
            limit = self.proxy.cut_uploads_after
            sent += len(data)
            if limit is not None and sent >= limit:
                self.is_cut = True
                return
            writer.write(data)
            await writer.drain()

    async def downwards(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """What the server answers."""
        sent = 0
        while data := await reader.read(CHUNK):
            hold = self.proxy.hold
            if self.is_held and hold is not None:
                hold.reached.set()
                await asyncio.Event().wait()
            await asyncio.sleep(self.proxy.latency)
            if self.proxy.bandwidth is not None:
                await asyncio.sleep(len(data) / self.proxy.bandwidth)
            await self.proxy.passed()
            limit = self.proxy.cut_after
            if limit is not None and sent + len(data) >= limit:
                writer.write(data[: max(limit - sent, 0)])
                with contextlib.suppress(ConnectionError):
                    await writer.drain()
                self.is_cut = True
                return
            sent += len(data)
            writer.write(data)
            await writer.drain()

    def is_place(self, hold: Hold, data: bytes) -> bool:
        """Whether this is where the client is to be frozen."""
        is_after = not hold.after or hold.after in self.seen
        if hold.after and hold.after in data:
            self.seen.add(hold.after)
        return is_after and hold.words in data and not hold.reached.is_set()


def reset_connection(writer: asyncio.StreamWriter) -> None:
    """Close with a RST, as a machine does that has forgotten the connection."""
    raw = writer.get_extra_info("socket")
    if raw is not None:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
