"""The web process of the stack, for tests that take it away."""

import contextlib
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

from backend.dev.stack import Stack, process, stop_process, until_ready


class WebServer:
    """Stops the web process, and starts another one at the same port."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.logs = [stack.processes[0].log]
        self._process = stack.processes[0].process
        self._started = contextlib.AsyncExitStack()

    @contextlib.asynccontextmanager
    async def down(self) -> AsyncIterator[None]:
        """No web process in this block: connections are refused."""
        await stop_process(self._process)
        try:
            yield
        finally:
            await self._start()

    def log_lines(self) -> list[str]:
        """What the web process has logged, those before it included."""
        return [line for log in self.logs if log.exists() for line in log.read_text().splitlines()]

    async def close(self) -> None:
        """Stop what was started here."""
        await self._started.aclose()

    async def _start(self) -> None:
        port = str(urlsplit(self.stack.base_url).port)
        arguments = ("--port", port, "--stand-in", self.stack.shopify.origin)
        started = await self._started.enter_async_context(
            process("serve", *arguments, env=self.stack.environment)
        )
        await until_ready(self.stack.http, started)
        self._process = started.process
        self.logs.append(started.log)
