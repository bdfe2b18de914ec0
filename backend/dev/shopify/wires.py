"""The stand-in's own uvicorn: a guest in somebody else's loop, whose connections can be cut."""

import asyncio
import contextlib
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


class GuestServer(uvicorn.Server):
    """A server that is a guest in somebody else's loop."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals to the host: its Ctrl-C must not end at this server."""
        yield
