"""The composition root of the web process: builds its services and wires them together."""

import asyncio
import importlib
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Literal

import httpx
import msgspec
from litestar import Litestar, Router, get
from litestar.di import NamedDependency, Provide
from sqlalchemy import text
from sqlalchemy.orm import configure_mappers

from backend import queue
from backend.account.routes import account_router
from backend.auth.guards import MerchantGuard, ProxyGuard, WebhookGuard
from backend.auth.not_found_limit import NotFoundLimit
from backend.batches.routes import batches_router
from backend.billing.plans import price_list
from backend.billing.refresh import ShopifyBillingRefresh
from backend.billing.routes import billing_router
from backend.billing.service import BillingServices
from backend.body import StrictRequest
from backend.body_budget import BodyBudget
from backend.db import Database
from backend.errors import DatabaseUnavailable
from backend.gallery.catalog_routes import catalog_router
from backend.gallery.render_routes import renders_router
from backend.http_semantics import HttpSemantics
from backend.jobs.creation_routes import creation_router
from backend.jobs.fast_path import FastPath
from backend.jobs.garment_routes import garments_router
from backend.jobs.plain_reads import plain_job_read
from backend.jobs.read_services import ReadServices
from backend.jobs.rerun_routes import rerun_router
from backend.jobs.routes import jobs_router
from backend.jobs.storefront import DailyCaps
from backend.jobs.storefront_routes import storefront_router
from backend.jobs.wakeups import Wakeups
from backend.metrics import watch_pools
from backend.openapi.site import openapi_config
from backend.openapi_responses import documented
from backend.overview.routes import overview_router
from backend.page.routes import page_router
from backend.page.shell import SHOPIFY, ShopifyOrigins
from backend.privacy.routes import privacy_router
from backend.providers.engines import (
    DEFAULT_ENGINE,
    available_stages,
    close_providers,
    hosted_providers,
    require_stage,
)
from backend.publications.routes import publications_router
from backend.query_parameters import require_each_once
from backend.renderers.local import LocalRenderer
from backend.renderers.wire import RenderLimits
from backend.review.plain_reads import plain_review
from backend.review.routes import dismissal_router, review_router
from backend.rules.routes import settings_router
from backend.settings import Settings
from backend.shops.admin_api import AdminApi
from backend.shops.partner_api import partner_api
from backend.shops.routes import installation_router
from backend.ssrf_transport import certificates
from backend.storage.objects import ObjectStore
from backend.storage.presign import Presigner
from backend.submissions.routes import callbacks_router
from backend.tracing import traced_requests
from backend.uploads.image_sanitizer import ImageSanitizer
from backend.uploads.routes import uploads_router
from backend.watchdog import watched_loop
from backend.web import EXCEPTION_HANDLERS, RequestContext
from backend.web_app import WebApp
from backend.webhook_endpoints.routes import webhook_endpoints_router
from backend.webhook_endpoints.service import EndpointSettings
from backend.workflows.offer import WorkflowOffer, hosted_workflows, workflows_without_engine
from backend.workflows.stages import StageName
from webhooks.fast_path import WebhookFastPath
from webhooks.payloads import delivery_headers
from webhooks.routes import webhooks_router

DEFAULT_MAX_BODY_BYTES = 256_000  # bytes; routes that need more set their own limit
# Seconds that an idle connection stays open. Longer than in a proxy in front (nginx and AWS's load
# balancers: 60), which could otherwise reuse a connection that is just closing.
KEEP_ALIVE_SECONDS = 75
# Seconds after which an importing thread lets a request run; Python's default is ten times that,
# each time that the request has waited for anything.
IMPORT_SLICE = 0.0005
USUAL_SLICE = sys.getswitchinterval()  # read once: two apps of a process may start together
FAST_READS = (plain_job_read, plain_review)
UPLOAD_LIMITS = RenderLimits(wall_seconds=20.0, cpu_seconds=15)


def create_app(
    settings: Settings,
    *,
    store: ObjectStore | None = None,
    shopify_transport: httpx.AsyncBaseTransport | None = None,
    shopify_origins: ShopifyOrigins = SHOPIFY,
) -> HttpSemantics[FastPath]:
    """The ASGI application.

    `shopify_transport` stands in for the network in dev and tests, and `shopify_origins` for the
    admin and the CDN that the page is for.
    """
    database = Database(settings.database_url)
    watch_pools(database.pools)
    admin = AdminApi(settings, shopify_transport)
    wakeups = Wakeups(settings.database_url)
    merchant = MerchantGuard(settings)
    webhook_guard = WebhookGuard(settings, delivery_headers)
    not_found_limit = NotFoundLimit(settings.rate_limit_misses)
    presigner = Presigner(settings)
    prices = price_list(settings)
    partner = partner_api(settings, admin)
    billing = BillingServices(
        prices=prices,
        admin_url=shopify_origins.admin,
        client_id=settings.shopify_api_key,
        handle=settings.shopify_app_handle,
        partner=partner,
    )
    endpoint_settings = EndpointSettings(keys=admin.token_keys, ports=settings.endpoint_ports)
    reads = ReadServices(database=database, presigner=presigner, wakeups=wakeups)
    # Its child starts with the first upload; no model, for nobody asks what the picture shows.
    local = LocalRenderer(None, limits=UPLOAD_LIMITS)
    require_stage(local, DEFAULT_ENGINE, StageName.NORMALISE, "uploads")
    image_sanitizer = ImageSanitizer(local)
    available = available_stages(local.stages, settings.chosen_engines)
    providers = hosted_providers(settings, settings.chosen_engines)
    offer = WorkflowOffer(
        disabled=settings.disabled,
        without_engine=workflows_without_engine(available),
        hosted=hosted_workflows(providers),
    )

    @asynccontextmanager
    async def lifespan(_app: Litestar) -> AsyncIterator[None]:
        async with AsyncExitStack() as parts:  # closes each, even if another fails to close
            parts.push_async_callback(database.close)
            parts.push_async_callback(admin.close)
            parts.push_async_callback(image_sanitizer.close)
            parts.push_async_callback(close_providers, providers)
            await parts.enter_async_context(wakeups.listening())
            await parts.enter_async_context(presigner.renewing())
            await parts.enter_async_context(watched_loop())
            asyncio.get_running_loop().run_in_executor(None, prepare_first_requests)
            yield

    app = WebApp(
        route_handlers=[
            jobs_router(merchant),
            publications_router(merchant),
            review_router(merchant),
            dismissal_router(merchant),
            overview_router(merchant),
            catalog_router(merchant),
            renders_router(merchant),
            account_router(merchant, is_prepaid=settings.quotas.prepaid),
            creation_router(merchant, offer, settings.quotas),
            rerun_router(merchant, offer, settings.quotas),
            garments_router(merchant),
            batches_router(merchant, offer, settings.quotas),
            storefront_router(
                ProxyGuard(settings),
                offer,
                DailyCaps(
                    shop=settings.storefront_daily_cap,
                    visitor=settings.storefront_visitor_daily_cap,
                ),
                settings.quotas,
            ),
            settings_router(merchant, offer, settings.quotas),
            privacy_router(merchant),
            billing_router(merchant),
            uploads_router(merchant, settings.quotas),
            webhook_endpoints_router(merchant),
            installation_router(merchant),
            webhooks_router(webhook_guard),
            callbacks_router(
                {each.name: each for each in providers.values()},
                lambda: settings.shopify_secrets(time.time()),
            ),
            health_router(),
            page_router(settings, pictures=presigner.origin, shopify=shopify_origins),
        ],
        dependencies={
            "database": provided(database),
            "admin": provided(admin),
            "billing": provided(billing),
            "billing_refresh": provided(ShopifyBillingRefresh(database, admin, prices, partner)),
            "endpoint_settings": provided(endpoint_settings),
            "presigner": provided(presigner),
            "reads": provided(reads),
            "store": provided(store or ObjectStore(settings)),
            "image_sanitizer": provided(image_sanitizer),
        },
        request_class=StrictRequest,
        before_request=require_each_once,
        exception_handlers={**EXCEPTION_HANDLERS, **not_found_limit.exception_handlers},
        request_max_body_size=DEFAULT_MAX_BODY_BYTES,
        lifespan=[lifespan],
        openapi_config=openapi_config(),
        logging_config=None,
    )
    received = WebhookFastPath(app, webhook_guard, database)
    counted = BodyBudget(received, settings.body_budget_mb * 1_000_000)
    routed = traced_requests(RequestContext(counted))
    return HttpSemantics(FastPath(routed, merchant, not_found_limit, reads, FAST_READS))


def prepare_first_requests() -> None:
    """Do in a thread, once the process listens, what it need not have done by then.

    A request that needs a part of it before, waits for that or does it itself.
    """
    sys.setswitchinterval(IMPORT_SLICE)
    try:
        configure_mappers()  # which SQLAlchemy does when it compiles the first statement
        certificates()
        importlib.import_module("httpcore")
        queue.import_pgqueuer()
    finally:
        sys.setswitchinterval(USUAL_SLICE)


def provided(service: object) -> Provide:
    """A dependency that injects the same object into every request."""
    return Provide(lambda: service, sync_to_thread=False)


class HealthResponse(msgspec.Struct, frozen=True, kw_only=True):
    """The process is healthy."""

    status: Literal["ok"] = "ok"


@get("/live", sync_to_thread=False, responses=documented(HealthResponse))
def get_liveness() -> HealthResponse:
    """The process is running."""
    return HealthResponse()


@get("/ready", responses=documented(HealthResponse, DatabaseUnavailable))
async def get_readiness(database: NamedDependency[Database]) -> HealthResponse:
    """The process can serve requests: Postgres responds. Otherwise 503."""
    async with database.reading() as connection:
        await connection.execute(text("SELECT 1"))
    return HealthResponse()


def health_router() -> Router:
    """The health routes, without a guard, like the OpenAPI document."""
    return Router("/health", route_handlers=[get_liveness, get_readiness], tags=["Health"])
