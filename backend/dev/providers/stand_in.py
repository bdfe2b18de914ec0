"""The stand-in provider: FASHN's API and fal's queue on 127.0.0.1, with switches for trouble.

For development and tests only. It is as strict as the real ones where they are documented: see
`models.py` for what is refused. State is in memory and dies with the object.
"""

import asyncio
import socket
import time
from collections import Counter
from collections.abc import Callable
from typing import Self

import httpx
import uvicorn

from backend.dev.providers.callbacks import CALLBACK_TIMEOUT, ProviderCallbacks
from backend.dev.providers.faults import ProviderFaultName
from backend.dev.providers.inputs import FETCH_TIMEOUT
from backend.dev.providers.processing import Runners
from backend.dev.providers.requests import AcceptedRequest, ProviderState
from backend.dev.providers.server import provider_app
from backend.dev.shopify.embedded_server import EmbeddedServer, Wire
from backend.dev.transport import NO_TLS

FASHN_KEY = "fa-stand-in"
FAL_KEY = "stand-in-id:stand-in-secret"
KEEP_ALIVE = 75  # seconds; longer than clients keep theirs


class StandInProvider:
    """Both providers on 127.0.0.1, inside the current event loop: `async with StandInProvider()`.

    Its `settings` lead the product there. The fields of `state` can be changed at any time.
    """

    def __init__(
        self,
        *,
        app_transport: httpx.AsyncBaseTransport | None = None,
        source_transport: httpx.AsyncBaseTransport | None = None,
        clock: Callable[[], float] = time.time,
        seconds: float = 0.2,
        runners: int = 8,
        port: int = 0,
    ) -> None:
        """`app_transport` is how callbacks go out, `source_transport` how inputs are fetched.

        `seconds` is how long a model works on one request, and `runners` how many it works on at
        once. `port` is its own; 0 is any that is free.
        """
        self.state = ProviderState(
            fashn_key=FASHN_KEY, fal_key=FAL_KEY, clock=clock, seconds=seconds, runners=runners
        )
        self.state.released.set()
        self._app_transport = app_transport
        self._source_transport = source_transport
        self._port = port

    async def __aenter__(self) -> Self:
        # The socket listens from here on: a request that comes before the server is ready waits.
        self._socket = socket.create_server(("127.0.0.1", self._port), backlog=1024)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.state.origin = self.origin
        self._app = httpx.AsyncClient(
            transport=self._app_transport, verify=NO_TLS, timeout=CALLBACK_TIMEOUT, trust_env=False
        )
        self._internet = httpx.AsyncClient(
            transport=self._source_transport, verify=NO_TLS, timeout=FETCH_TIMEOUT, trust_env=False
        )
        self._callbacks = ProviderCallbacks(self.state, self._app)
        runners = Runners(self.state, self._internet, self._callbacks.send)
        self._server = EmbeddedServer(
            uvicorn.Config(
                provider_app(self.state, runners, self._callbacks),
                http=Wire,
                lifespan="off",
                log_config=None,
                access_log=False,
                timeout_keep_alive=KEEP_ALIVE,
                timeout_graceful_shutdown=1,
            )
        )
        self._serving = asyncio.create_task(self._server.serve([self._socket]))
        return self

    async def __aexit__(self, *exception: object) -> None:
        self._server.leave()
        await self._serving
        self._callbacks.stop()
        await self.forget()
        await self._app.aclose()
        await self._internet.aclose()

    @property
    def origin(self) -> str:
        """Where the server listens, such as `http://127.0.0.1:8124`."""
        host, port = self._socket.getsockname()
        return f"http://{host}:{port}"

    @property
    def settings(self) -> dict[str, str]:
        """The product's settings that lead it here, by the names of `Settings`."""
        origin = self.origin
        return {
            "fashn_api_key": self.state.fashn_key,
            "fashn_base_url": f"{origin}/v1",
            "fal_key": self.state.fal_key,
            "fal_base_url": origin,
            "fal_platform_url": f"{origin}/v1",
            "fal_jwks_url": f"{origin}/.well-known/jwks.json",
        }

    @property
    def predictions(self) -> list[AcceptedRequest]:
        """What was accepted, the oldest first: each of them the real provider would be paid for."""
        return list(self.state.predictions.values())

    @property
    def is_idle(self) -> bool:
        """Whether nobody is connected, and everything that was accepted has ended."""
        state = self._server.server_state
        busy = state.connections or state.tasks
        return not busy and all(each.has_ended for each in self.predictions)

    @property
    def calls(self) -> Counter[str]:
        """How many requests of each kind came in, refused ones included, such as `fal submit`."""
        return self.state.calls

    def order_fault(self, name: ProviderFaultName, times: int = 1, *, seconds: float = 2.0) -> None:
        """Have the next requests meet a fault: see `faults.py`."""
        self.state.faults.order(name, times, seconds=seconds)

    async def forget(self) -> None:
        """Stop and forget every request, and the faults to come; what is in `state` stays."""
        tasks = [each.task for each in self.predictions if each.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self.state.forget()

    def hold(self) -> None:
        """Let what comes in wait in the queue, until `release`."""
        self.state.released.clear()

    def release(self) -> None:
        """Let the queue be worked on."""
        self.state.released.set()
