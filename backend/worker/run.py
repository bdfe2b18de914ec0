"""The worker process: PgQueuer's loop around our entry points, kept alive.

A lost database connection ends PgQueuer's loop; it is started again with a fresh connection until
the process is told to stop. On SIGTERM or Ctrl-C a running job is handed over at its next stage.
"""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from functools import partial
from importlib.util import find_spec

import asyncpg
import httpx
import msgspec
import pgqueuer
import structlog
from pgqueuer import PgQueuer
from pgqueuer.db import AsyncpgDriver
from pgqueuer.errors import RetryRequested
from pgqueuer.models import Job
from pgqueuer.types import JobId

from backend import queue
from backend.batches.execution import run_expansion
from backend.batches.leases import BatchRef
from backend.billing.plans import price_list
from backend.billing.refresh import ShopifyBillingRefresh
from backend.db import Database
from backend.errors import DatabaseUnavailable
from backend.jobs.prices import require_known_prices
from backend.jobs.service import JobRef
from backend.leased_task import Retry, TaskOutcome
from backend.metrics import served_metrics, watch_pools
from backend.providers.deadlines import stage_deadlines
from backend.providers.engines import (
    DEFAULT_ENGINE,
    available_stages,
    chosen_engines,
    close_providers,
    hosted_providers,
)
from backend.providers.provider import Provider
from backend.publications.execution import run_publication
from backend.publications.leases import PublicationRef
from backend.renderers.base import Renderer
from backend.renderers.local import LOCAL_STAGES, LocalRenderer
from backend.renderers.wire import RenderLimits
from backend.settings import Settings
from backend.shops.admin_api import AdminApi
from backend.shops.partner_api import partner_api
from backend.shops.service import ShopRef
from backend.ssrf_transport import PublicInternet
from backend.storage.bucket_check import require_bucket
from backend.storage.objects import ObjectStore
from backend.storage.presign import Presigner
from backend.submissions.callback_tokens import CallbackUrls
from backend.tenancy import WORKER
from backend.watchdog import watched_loop
from backend.webhook_endpoints.queue_entries import EndpointRef
from backend.worker.capacity import Capacity, LowPriorityRenderer
from backend.worker.compliance import kept_gauge
from backend.worker.context import WorkerContext
from backend.worker.dequeue import CapacityShare, dequeue_by_capacity
from backend.worker.endpoint_deliveries import deliver_events
from backend.worker.execute import run_job
from backend.worker.outage_log import shorten_outages
from backend.worker.poller import polling
from backend.worker.product_sweep import sweep_products
from backend.worker.queue_metrics import measured_queue
from backend.worker.reauth import resume_shop
from backend.worker.schedules import register_schedules
from backend.worker.segment_model import warn_without_model
from backend.worker.webhook_dispatch import handle_delivery
from backend.workflows import WORKFLOWS
from backend.workflows.offer import WorkflowOffer, workflows_without_engine
from backend.workflows.stages import StageName
from webhooks.outcome import HandlerContext
from webhooks.receive import DeliveryRef

log = structlog.get_logger(__name__)

HEARTBEAT_TIMEOUT = timedelta(seconds=20)  # a dead worker's jobs are picked up after this
POLL = timedelta(seconds=5)  # how often to look without having been notified
RECONNECT_DELAY = timedelta(seconds=1)
MOST_THREADS = 4  # of one child
# Of the queue's connection. The queue's length changes faster than Postgres's statistics of it,
# which often tell of an empty one. Then Postgres would read the whole table to remove an entry.
# Before version 18, a table without an index for a statement then seems so expensive to read that
# each execution would be compiled, for most of a second.
QUEUE_SETTINGS = {"synchronous_commit": "off", "enable_seqscan": "off", "jit": "off"}


async def run_worker(
    settings: Settings,
    *,
    slots: int | None = None,
    shopify_transport: httpx.AsyncBaseTransport | None = None,
    endpoint_transport: httpx.AsyncBaseTransport | None = None,
) -> None:
    """Work until SIGTERM or SIGINT. `slots` renders run side by side, by default one a core.

    The transports stand in for the internet in dev and tests.
    """
    slots = slots or cores()
    places = Capacity(slots)
    async with AsyncExitStack() as stack:
        stack.enter_context(served_metrics(settings.metrics_listen))
        context, handler_context = await open_worker_context(
            stack, settings, slots, shopify_transport, endpoint_transport
        )
        await context.database.require_schema_at_start()
        await require_bucket(context.store, may_list=True)
        await stack.enter_async_context(kept_gauge(context.database))
        shorten_outages()
        stop_on_signals(context.stopping)
        await stack.enter_async_context(watched_loop())
        runtime = "openvino" if find_spec("openvino") else "onnxruntime"  # as the child chooses
        log.info("worker_started", slots=slots, inference=runtime)
        await pgqueuer.run(
            lambda: manager(settings, context, handler_context, shares=places.shares),
            dequeue_timeout=POLL,
            batch_size=places.batch,
            max_concurrent_tasks=places.all,
            heartbeat_timeout=HEARTBEAT_TIMEOUT,
            restart_on_failure=True,
            restart_delay=RECONNECT_DELAY,
            shutdown_on_listener_failure=True,
            shutdown=context.stopping,
        )
        log.info("worker_stopped")


async def open_worker_context(
    stack: AsyncExitStack,
    settings: Settings,
    slots: int,
    shopify_transport: httpx.AsyncBaseTransport | None,
    endpoint_transport: httpx.AsyncBaseTransport | None = None,
) -> tuple[WorkerContext, HandlerContext]:
    """Everything the handlers need; closed again with the stack."""
    database = Database(settings.database_url, role=WORKER, statement_timeout=30)
    watch_pools(database.pools)
    admin = AdminApi(settings, shopify_transport)
    store = ObjectStore(settings)
    warn_without_model(settings.segment_model_path)
    local = LocalRenderer(settings.segment_model_path, slots, render_limits(slots))
    chosen = settings.chosen_engines
    renderer = chosen_engines({DEFAULT_ENGINE: local}, chosen, WORKFLOWS.values())
    providers = hosted_providers(settings, chosen)
    stack.push_async_callback(database.close)
    stack.push_async_callback(admin.close)
    stack.push_async_callback(renderer.close)
    stack.push_async_callback(close_providers, providers)
    transport = endpoint_transport or PublicInternet(ports=settings.endpoint_ports)
    stack.push_async_callback(transport.aclose)
    return contexts(
        settings,
        database=database,
        admin=admin,
        store=store,
        renderer=renderer,
        providers=providers,
        endpoint_transport=transport,
    )


def contexts(
    settings: Settings,
    *,
    database: Database,
    admin: AdminApi,
    store: ObjectStore,
    renderer: Renderer,
    providers: Mapping[StageName, Provider] | None = None,
    endpoint_transport: httpx.AsyncBaseTransport,
) -> tuple[WorkerContext, HandlerContext]:
    """What a worker's tasks and webhook handlers share of these services."""
    prices = price_list(settings)
    available = available_stages(LOCAL_STAGES, settings.chosen_engines)
    offer = WorkflowOffer(
        disabled=settings.disabled, without_engine=workflows_without_engine(available)
    )
    require_known_prices(settings.quotas)
    partner = partner_api(settings, admin)
    billing_refresh = ShopifyBillingRefresh(database, admin, prices, partner)
    context = WorkerContext(
        database=database,
        store=store,
        admin=admin,
        renderer=renderer,
        providers=providers or {},
        stopping=asyncio.Event(),
        quotas=settings.quotas,
        prices=prices,
        without_engine=offer.without_engine,
        callbacks=CallbackUrls.of(settings),
        deadlines=stage_deadlines(settings.provider_deadlines),
        presigner=Presigner(settings),
        partner=partner,
        billing_refresh=billing_refresh,
        endpoint_transport=endpoint_transport,
    )
    handler_context = HandlerContext(
        database=database,
        admin=admin,
        store=store,
        closed=offer.closed,
        quotas=settings.quotas,
        prices=prices,
        partner=partner,
        billing_refresh=billing_refresh,
    )
    return context, handler_context


def cores() -> int:
    """The cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def render_limits(slots: int) -> RenderLimits:
    """Each child's share of the cores: together the children have no more threads than there are.

    Few slots on many cores stop at `MOST_THREADS`, since a single picture gains little from more.
    """
    return RenderLimits(threads=min(MOST_THREADS, max(1, cores() // slots)))


@asynccontextmanager
async def manager(
    settings: Settings,
    context: WorkerContext,
    handler_context: HandlerContext,
    *,
    shares: Sequence[CapacityShare] = (),
) -> AsyncIterator[PgQueuer]:
    """PgQueuer over a connection of its own, with our entry points and schedules.

    `shares` limits how many entries of a backlog it works on at once.

    Its commits do not wait for the disk (`QUEUE_SETTINGS`). It only takes entries and removes them,
    after the tasks have been claimed and ended on other connections, whose commits do wait, and
    with which all earlier ones reach the disk. If Postgres crashes, the last entries that were
    taken or removed are in the queue again, as they are when a worker dies: then a task is claimed
    anew, which fences who had it, or has ended.
    """
    connection = await asyncpg.connect(
        settings.database_url,
        timeout=5,
        command_timeout=30,
        server_settings={"role": WORKER, **QUEUE_SETTINGS},
    )
    try:
        driver = AsyncpgDriver(connection)
        pgq = PgQueuer(driver, queries=queue.queries(driver))
        capacity = dequeue_by_capacity(pgq, shares)
        register_entrypoints(pgq, context, handler_context, capacity.free_place)
        register_schedules(pgq, settings, context)
        async with (
            measured_queue(driver, settings.metrics_listen),
            polling(context.database, context.providers),
        ):
            yield pgq
    finally:
        await connection.close(timeout=2)


def register_entrypoints(
    pgq: PgQueuer,
    context: WorkerContext,
    handler_context: HandlerContext,
    free_place: Callable[[JobId], None],
) -> None:
    """What the queue's entries mean."""
    low_priority = msgspec.structs.replace(context, renderer=LowPriorityRenderer(context.renderer))

    @pgq.entrypoint(queue.RUN_JOB)
    @pgq.entrypoint(queue.RUN_BACKLOG)
    async def run_queued_job(entry: Job) -> None:
        ref = msgspec.json.decode(entry.payload or b"", type=JobRef)
        is_backlog = entry.entrypoint == queue.RUN_BACKLOG
        used = low_priority if is_backlog else context
        again(await run_job(ref, used, partial(free_place, entry.id)))

    @pgq.entrypoint(queue.HANDLE_WEBHOOK)
    @pgq.entrypoint(queue.HANDLE_BACKLOG)
    async def handle_queued_webhook(entry: Job) -> None:
        ref = msgspec.json.decode(entry.payload or b"", type=DeliveryRef)
        again(await handle_delivery(ref, handler_context, entry.attempts))

    @pgq.entrypoint(queue.PUBLISH)
    @pgq.entrypoint(queue.PUBLISH_BACKLOG)
    async def publish_queued_one(entry: Job) -> None:
        ref = msgspec.json.decode(entry.payload or b"", type=PublicationRef)
        again(await run_publication(ref, context.publication_context, queue.PUBLISH))

    @pgq.entrypoint(queue.UNPUBLISH)
    @pgq.entrypoint(queue.UNPUBLISH_BACKLOG)
    async def unpublish_queued_one(entry: Job) -> None:
        ref = msgspec.json.decode(entry.payload or b"", type=PublicationRef)
        again(await run_publication(ref, context.publication_context, queue.UNPUBLISH))

    @pgq.entrypoint(queue.SWEEP_PRODUCTS)
    async def sweep_queued_shop(entry: Job) -> None:
        ref = msgspec.json.decode(entry.payload or b"", type=ShopRef)
        await sweep_products(ref, context, handler_context.closed)

    @pgq.entrypoint(queue.DELIVER_EVENTS)
    async def deliver_queued_events(entry: Job) -> None:
        ref = msgspec.json.decode(entry.payload or b"", type=EndpointRef)
        again(await deliver_events(ref, context))

    @pgq.entrypoint(queue.EXPAND_BATCH)
    async def run_queued_expansion(entry: Job) -> None:
        ref = msgspec.json.decode(entry.payload or b"", type=BatchRef)
        again(await run_expansion(ref, context.batch_context))

    @pgq.entrypoint(queue.RESUME_SHOP)
    async def resume_queued_shop(entry: Job) -> None:
        ref = msgspec.json.decode(entry.payload or b"", type=ShopRef)
        try:
            await resume_shop(ref, context.database)
        except DatabaseUnavailable as error:
            raise RetryRequested(RECONNECT_DELAY) from error


def again(outcome: TaskOutcome) -> None:
    """Put the entry back on the queue if the task is to be run again."""
    if isinstance(outcome, Retry):
        raise RetryRequested(outcome.delay)


def stop_on_signals(stopping: asyncio.Event) -> None:
    """Ask for a hand-over instead of dying in the middle of a stage."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
