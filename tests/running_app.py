"""The whole app for tests: its own database, real S3, a stand-in Shopify, HTTP over sockets.

Only Shopify's network is replaced. `drain` runs PgQueuer with the product's own entry points until
nothing in the queue is due.
"""

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import uvicorn
from pgqueuer.types import QueueEntrypoint, QueueExecutionMode
from sqlalchemy import text

from backend import queue
from backend.app import KEEP_ALIVE_SECONDS, create_app
from backend.db import Database
from backend.dev.shopify import ProductRecord, StandInShopify
from backend.dev.shopify.embedded_server import EmbeddedServer
from backend.dev.transport import NO_TLS, LoopbackEndpoints, LoopbackShopify
from backend.renderers.base import Renderer
from backend.settings import Settings
from backend.shops.admin_api import AdminApi
from backend.storage.objects import ObjectStore
from backend.tenancy import WORKER
from backend.worker.context import WorkerContext
from backend.worker.dequeue import CapacityShare
from backend.worker.run import contexts, manager
from tests.wait import wait_until
from webhooks.outcome import HandlerContext

SHOP = "north.myshopify.com"
OTHER_SHOP = "south.myshopify.com"
OWNER = "none"  # whoever the URL logs in: the migrations' role, which is a superuser here
GARMENTS = Path(__file__).parent / "data" / "garments"
HEIC = Path(__file__).parent / "data" / "heic"


@dataclass(frozen=True, kw_only=True)
class RunningApp:
    """The parts of a running app that tests use."""

    settings: Settings
    shopify: StandInShopify
    http: httpx.AsyncClient
    database: Database  # as the workers have it
    owner: Database
    worker_context: WorkerContext
    handler_context: HandlerContext

    def bearer(self, shop: str = SHOP) -> dict[str, str]:
        """The header that App Bridge puts on a request."""
        return {"Authorization": f"Bearer {self.shopify.id_token(shop)}"}

    async def install(self, shop: str = SHOP) -> None:
        """Create the shop if needed, and install the app in it."""
        if shop not in self.shopify.platform.shops:
            self.shopify.create_shop(shop)
        response = await self.http.post("/v1/installation", headers=self.bearer(shop))
        assert response.status_code == 200, response.text

    def product(self, image: Path | bytes | None = None, *, shop: str = SHOP) -> ProductRecord:
        """A product with a photo, by default the navy tee."""
        picture = GARMENTS / "tee_navy.jpg" if image is None else image
        return self.shopify.create_product(shop, "Tee", picture)

    async def send(self, topic: str, *, shop: str = SHOP, **how: Any) -> httpx.Response:
        """Have Shopify deliver a webhook once."""
        return await self.shopify.send_webhook(shop, topic, **how)

    async def request_job(self, image: Path | bytes | None = None, *, shop: str = SHOP) -> str:
        """Create a job by a product webhook, not yet run; its public id."""
        product = self.product(image, shop=shop)
        assert (await self.send("products/create", shop=shop)).status_code == 200
        await self.drain(only_webhooks=True)
        asked = "SELECT public_id FROM jobs WHERE request->>'product_id' = :gid"
        # A worker that the test has started may have taken the delivery.
        rows = await wait_until(lambda: self.rows(asked, gid=product.gid), 30)
        return str(rows[0]["public_id"])

    async def finished_job(self, image: Path | bytes | None = None, *, shop: str = SHOP) -> str:
        """Create a job by a product webhook and run it to its end; its public id."""
        public_id = await self.request_job(image, shop=shop)
        await self.drain()
        return public_id

    async def detail(self, public_id: str, *, shop: str = SHOP) -> httpx.Response:
        """`GET /v1/jobs/{public_id}` as a shop."""
        return await self.http.get(f"/v1/jobs/{public_id}", headers=self.bearer(shop))

    async def drain(
        self, *, only_webhooks: bool = False, shares: Sequence[CapacityShare] = ()
    ) -> None:
        """Process what is due in the queue until it is empty."""
        async with manager(
            self.settings, self.worker_context, self.handler_context, shares=shares
        ) as pgq:
            pgq.qm.queries.queued_work = pgq.qm.queries.eligible_queued_work  # type: ignore[method-assign]
            pgq.qm.verify_structure = _tables_are_there  # type: ignore[method-assign]
            if only_webhooks:
                for name in (queue.RUN_JOB, queue.RUN_BACKLOG, queue.EXPAND_BATCH):
                    pgq.qm.entrypoint_registry.pop(QueueEntrypoint(name))
            async with asyncio.timeout(60):
                await pgq.qm.run(mode=QueueExecutionMode.drain, dequeue_timeout=timedelta(0))

    async def rows(self, sql: str, **parameters: Any) -> list[dict[str, Any]]:
        """The rows of a query, run as the owner."""
        async with self.owner.reading() as connection:
            result = await connection.execute(text(sql), parameters)
            return [dict(row) for row in result.mappings()]

    async def execute(self, sql: str, **parameters: Any) -> None:
        """Run a statement as the owner."""
        async with self.owner.transaction() as connection:
            await connection.execute(text(sql), parameters)


async def _tables_are_there() -> None:
    """In place of PgQueuer's own check, whose 15 queries cost more than those of a job.

    The tables are those of the template. The tests of worker processes run PgQueuer's check.
    """


@contextlib.asynccontextmanager
async def open_running_app(settings: Settings, renderer: Renderer) -> AsyncIterator[RunningApp]:
    """Start the app and its stand-ins; stop them when the block ends."""
    async with contextlib.AsyncExitStack() as stack:
        shopify = await stack.enter_async_context(
            StandInShopify(api_key=settings.shopify_api_key, secret=settings.shopify_api_secret)
        )
        transport = LoopbackShopify(shopify.origin)
        base_url = await stack.enter_async_context(serve_app(settings, transport))
        shopify.app_url = base_url
        http = await stack.enter_async_context(
            httpx.AsyncClient(base_url=base_url, verify=NO_TLS, timeout=30)
        )
        database = Database(settings.database_url, role=WORKER, statement_timeout=30)
        stack.push_async_callback(database.close)
        owner = Database(settings.database_url, role=OWNER, statement_timeout=30)
        stack.push_async_callback(owner.close)
        admin = AdminApi(settings, LoopbackShopify(shopify.origin))
        stack.push_async_callback(admin.close)
        worker_context, handler_context = contexts(
            settings,
            database=database,
            admin=admin,
            store=ObjectStore(settings),
            renderer=renderer,
            endpoint_transport=LoopbackEndpoints(),
        )
        yield RunningApp(
            settings=settings,
            shopify=shopify,
            http=http,
            database=database,
            owner=owner,
            worker_context=worker_context,
            handler_context=handler_context,
        )


@contextlib.asynccontextmanager
async def serve_app(settings: Settings, transport: httpx.AsyncBaseTransport) -> AsyncIterator[str]:
    """Serve the web application on a free port; its base URL."""
    server = EmbeddedServer(
        uvicorn.Config(
            create_app(settings, shopify_transport=transport),
            port=0,
            log_config=None,
            access_log=False,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=1,
        )
    )
    serving = asyncio.create_task(server.serve())
    await wait_until(lambda: server.started or serving.done(), poll=0.005)
    if serving.done():
        await serving
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.leave()
    await serving


@contextlib.asynccontextmanager
async def cloned_database(server_url: str, template: str) -> AsyncIterator[str]:
    """The URL of a fresh copy of the template, dropped afterwards."""
    name = f"test_{uuid.uuid4().hex[:16]}"
    connection = await asyncpg.connect(server_url)
    try:
        await connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        yield server_url.replace("/postgres?", f"/{name}?")
    finally:
        await connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
        await connection.close()
