"""uvicorn embedded in another program's event loop, with connections that can be cut."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


@dataclass(slots=True)
class _Line:
    transport: asyncio.Transport
    closed: asyncio.Event = field(default_factory=asyncio.Event)


_LINES: dict[tuple[str, int], _Line] = {}
"""The open connections of every stand-in, by the address of their other end."""


class Wire(HttpToolsProtocol):
    """One connection, which can be found by its peer."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Remember the connection."""
        super().connection_made(transport)
        if self.client is not None:
            _LINES[self.client] = _Line(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        line = _LINES.pop(self.client, None) if self.client else None
        if line is not None:
            line.closed.set()
        super().connection_lost(exc)


async def cut(client: Any) -> None:
    """End the connection to this peer after what has been sent, and wait until it has ended."""
    line = _LINES.get(tuple(client))
    if line is not None:
        line.transport.close()
        await line.closed.wait()


class EmbeddedServer(uvicorn.Server):
    """A server that is a guest in somebody else's loop, and leaves as soon as it is told to.

    uvicorn looks ten times a second whether to stop, and waits as long between its last steps.
    """

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._told = asyncio.Event()

    def leave(self) -> None:
        """Have it answer what it has begun, and end."""
        self.should_exit = True
        self._told.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals to the host: its Ctrl-C must not end at this server."""
        yield

    async def main_loop(self) -> None:
        """Keep the date until it is told to leave."""
        counter = 0
        while not await self.on_tick(counter):
            counter += 1
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._told.wait(), 0.1)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close what is idle, wait for what is under way, and end it when the grace is over."""
        for server in self.servers:
            server.close()
        for listening in sockets or []:
            listening.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.config.timeout_graceful_shutdown):
                while self.server_state.connections or self.server_state.tasks:  # noqa: ASYNC110
                    await asyncio.sleep(0.002)
        for task in self.server_state.tasks:
            task.cancel()
        await self.lifespan.shutdown()
