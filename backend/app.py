"""The composition root of the web process: the one place where its parts meet."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
from litestar import Litestar, Router, get
from litestar.di import NamedDependency, Provide
from litestar.types import ASGIApp
from sqlalchemy import text

from backend.auth.guards import MerchantGuard, WebhookGuard
from backend.db import Database
from backend.jobs.routes import jobs_router
from backend.jobs.wakeups import Wakeups
from backend.settings import Settings
from backend.shops.admin_api import AdminApi
from backend.shops.routes import installation_router
from backend.storage.presign import Presigner
from backend.web import EXCEPTION_HANDLERS, RequestContext
from webhooks.routes import webhooks_router

MAX_BODY = 256_000  # bytes; routes that need more say so themselves


def create_app(
    settings: Settings, *, shopify_transport: httpx.AsyncBaseTransport | None = None
) -> ASGIApp:
    """The ASGI application. `shopify_transport` stands in for the network in dev and tests."""
    database = Database(settings.database_url)
    admin = AdminApi(settings, shopify_transport)
    wakeups = Wakeups(settings.database_url)
    merchant = MerchantGuard(settings)

    @asynccontextmanager
    async def lifespan(_app: Litestar) -> AsyncIterator[None]:
        async with wakeups.listening():
            yield
        await admin.close()
        await database.close()

    app = Litestar(
        route_handlers=[
            jobs_router(merchant),
            installation_router(merchant),
            webhooks_router(WebhookGuard(settings)),
            health_router(),
        ],
        dependencies={
            "database": provided(database),
            "admin": provided(admin),
            "presigner": provided(Presigner(settings)),
            "wakeups": provided(wakeups),
        },
        exception_handlers=EXCEPTION_HANDLERS,
        request_max_body_size=MAX_BODY,
        lifespan=[lifespan],
        openapi_config=None,
        logging_config=None,
    )
    return RequestContext(app)


def provided(service: object) -> Provide:
    """A dependency that is the same object for every request."""
    return Provide(lambda: service, sync_to_thread=False)


@get("/live", sync_to_thread=False)
def live() -> dict[str, str]:
    """The process answers."""
    return {"status": "ok"}


@get("/ready")
async def ready(database: NamedDependency[Database]) -> dict[str, str]:
    """The process can serve: Postgres answers. 503 otherwise."""
    async with database.reading() as connection:
        await connection.execute(text("SELECT 1"))
    return {"status": "ok"}


def health_router() -> Router:
    """The only routes without a guard."""
    return Router("/health", route_handlers=[live, ready])
