"""The stand-in Shopify: its server, with the merchant's side of it and its switches for trouble.

For development and tests only. State is in memory and dies with the object.
"""

import asyncio
import socket
import time
from collections.abc import Callable
from typing import Self

import httpx
import uvicorn

from backend.dev.shopify import async_steps, sources
from backend.dev.shopify.billing_actions import BillingActions
from backend.dev.shopify.contract_actions import ContractActions
from backend.dev.shopify.deliveries import WEBHOOK_TIMEOUT
from backend.dev.shopify.embedded_admin import admin_path
from backend.dev.shopify.embedded_server import EmbeddedServer, Wire
from backend.dev.shopify.fault_controls import FaultControls
from backend.dev.shopify.http import stand_in_app
from backend.dev.shopify.merchant import DEFAULT_SCOPES, MerchantActions
from backend.dev.shopify.state import Platform, ShopRecord
from backend.dev.shopify.webhooks import Webhooks
from backend.dev.transport import NO_TLS

__all__ = ["DEFAULT_SCOPES", "WEBHOOK_TIMEOUT", "StandInShopify"]

STAND_IN_KEEP_ALIVE = (
    75  # seconds; a client that lets go first never meets a connection being closed
)


class StandInShopify(MerchantActions, BillingActions, ContractActions, Webhooks, FaultControls):
    """Shopify on 127.0.0.1, inside the current event loop: `async with StandInShopify(…)`.

    Reach it with `backend.dev.transport.LoopbackShopify(shopify.origin)`. A shop is named by its
    domain everywhere; a shop that was not created raises KeyError. The settings of `platform` can
    be changed at any time.
    """

    def __init__(
        self,
        *,
        api_key: str,
        secret: str,
        app_url: str = "",
        app_transport: httpx.AsyncBaseTransport | None = None,
        source_transport: httpx.AsyncBaseTransport | None = None,
        access_token_lifetime: int = 3600,
        clock: Callable[[], float] = time.time,
        port: int = 0,
    ) -> None:
        """`app_url` is where webhooks go, and may be set later; `app_transport` how they go there.

        Without that they go over plain http.

        `source_transport` is how the external URLs of files are fetched: without one, none can be.
        `access_token_lifetime` is in seconds, and `clock` gives seconds since the epoch. `port` is
        its own; 0 is any that is free.
        """
        self.app_url = app_url
        self.platform = Platform(
            api_key=api_key,
            secret=secret,
            clock=clock,
            access_token_lifetime=access_token_lifetime,
        )
        self.outbox = []
        self._sending = set()
        self._app_transport = app_transport
        self._source_transport = source_transport
        self._port = port

    async def __aenter__(self) -> Self:
        # The socket listens from here on: a request that comes before the server is ready waits.
        self._socket = socket.create_server(("127.0.0.1", self._port))
        self.platform.origin = self.origin
        # Its connections inherit this. Without it, each answer waits 40 ms for a delayed ACK.
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._server = EmbeddedServer(
            uvicorn.Config(
                stand_in_app(self.platform, self._before, self._after, lambda: self.app_url),
                http=Wire,
                lifespan="off",
                log_config=None,
                access_log=False,
                timeout_keep_alive=STAND_IN_KEEP_ALIVE,
                timeout_graceful_shutdown=1,
            )
        )
        self._serving = asyncio.create_task(self._server.serve([self._socket]))
        self._webhooks = httpx.AsyncClient(
            transport=self._app_transport,
            verify=NO_TLS,
            timeout=WEBHOOK_TIMEOUT,
            trust_env=False,
        )
        self._internet = httpx.AsyncClient(
            transport=self._source_transport or sources.NoInternet(),
            timeout=sources.DOWNLOAD_TIMEOUT,
            trust_env=False,
        )
        return self

    async def __aexit__(self, *exception: object) -> None:
        for sending in self._sending:
            sending.cancel()
        await self._webhooks.aclose()
        await self._internet.aclose()
        self._server.leave()
        await self._serving

    @property
    def origin(self) -> str:
        """Where the server listens, such as `http://127.0.0.1:8123`."""
        host, port = self._socket.getsockname()
        return f"http://{host}:{port}"

    def admin_url(self, shop: str, path: str = "/") -> str:
        """Where a merchant's browser opens the app: its page `path` in the shop's admin.

        A query such as `?locale=de` may follow.
        """
        return self.origin + admin_path(self.platform.shops[shop].domain, path)

    # Time passing by hand, for `platform.is_held`

    async def step_files(self, times: int = 1) -> None:
        """Take every file that is under way on, in all shops: to PROCESSING, and to its end."""
        for shop in self.platform.shops.values():
            for _ in range(times):
                await self._before(shop)
                async_steps.step_files(self.platform, shop)
        self._tell()

    def step_jobs(self, times: int = 1) -> None:
        """Take every job that is under way on, in all shops."""
        for shop in self.platform.shops.values():
            for _ in range(times):
                async_steps.step_jobs(self.platform, shop)
        self._tell()

    async def _before(self, shop: ShopRecord) -> None:
        await sources.download_sources(self.platform.catalogue.library, shop.number, self._internet)

    async def _after(self, _shop: ShopRecord) -> None:
        self._tell()
