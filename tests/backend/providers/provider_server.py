"""A provider's HTTP server on loopback that answers as it is told, and notes what it was asked."""

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from backend.providers.provider import Finished, ProviderJob

RECORDED = Path(__file__).parent / "recorded"


@dataclass
class Asked:
    """A request as it arrived."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Answer:
    """What to answer, and how: whole, half, or not at all."""

    body: Any = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    way: Literal["whole", "half", "none", "hang"] = "whole"

    def bytes(self) -> bytes:
        content = self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()
        lines = [f"HTTP/1.1 {self.status} Any", f"Content-Length: {len(content)}"]
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        whole = ("\r\n".join([*lines, "", ""])).encode() + content
        return whole[:-1] if self.way == "half" else whole


class ProviderServer:
    """Answers in the order in which answers were put in; the last one again and again."""

    def __init__(self) -> None:
        self.answers: deque[Answer | Callable[[Asked], Answer]] = deque()
        self.asked: list[Asked] = []
        self.connections = 0
        self.origin = ""
        self.released = asyncio.Event()

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while asked := await read_request(reader):
                self.asked.append(asked)
                given = self.answers.popleft() if len(self.answers) > 1 else self.answers[0]
                answer = given if isinstance(given, Answer) else given(asked)
                if answer.way == "hang":
                    await self.released.wait()
                if answer.way in {"none", "hang"}:
                    break
                writer.write(answer.bytes())
                await writer.drain()
                if answer.way == "half":
                    break
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


async def read_request(reader: asyncio.StreamReader) -> Asked | None:
    """The next request of a connection; None at its end."""
    first = await reader.readline()
    if not first:
        return None
    method, target, _ = first.decode().split()
    headers = {}
    while line := (await reader.readline()).strip():
        name, _, value = line.decode().partition(":")
        headers[name.lower()] = value.strip()
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return Asked(method, target, headers, body)


@asynccontextmanager
async def served_provider() -> AsyncIterator[ProviderServer]:
    """Such a server, on a free port."""
    provider = ProviderServer()
    server = await asyncio.start_server(provider.connected, "127.0.0.1", 0)
    provider.origin = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield provider
    finally:
        provider.released.set()
        server.close()
        await server.wait_closed()


def recorded(provider: str) -> dict[str, Any]:
    """The shapes that the provider's own documentation shows."""
    found: dict[str, Any] = json.loads((RECORDED / f"{provider}.json").read_text())
    return found


def undated(job: ProviderJob | Finished | None) -> ProviderJob:
    """The job without the time at which it was accepted."""
    assert isinstance(job, ProviderJob)
    handles = {name: value for name, value in job.handles.items() if name != "accepted_at"}
    return ProviderJob(id=job.id, handles=handles)
