"""A complete local Atelier: services, the stand-ins, web and worker processes.

Web and worker are the same commands as in production, in their own processes; only Shopify and the
hosted providers are replaced. Everything is stopped when the block ends, also after an error.
"""

import asyncio
import contextlib
import os
import signal
import socket
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import httpx
import msgspec
from sqlalchemy import select

import migrations
from backend.billing.plans import price_list
from backend.db import Database
from backend.dev.local_settings import BUCKET, local_settings, process_environment
from backend.dev.providers import StandInProvider
from backend.dev.services import ServiceError, local_services
from backend.dev.shopify import ProductRecord, StandInShopify
from backend.dev.shopify.managed_pricing import ManagedPlan
from backend.errors import AtelierError
from backend.jobs.models import Job
from backend.jobs.schemas import JobDetailResponse, JobEventResponse, JobEventsResponse
from backend.settings import Settings
from backend.shops.models import Shop
from backend.tenancy import WORKER

SHOP = "atelier-demo.myshopify.com"
GARMENTS = Path(__file__).parent / "garments"
READY_TIMEOUT = 30  # seconds
LONG_POLL = 20  # seconds
STOP_TIMEOUT = 10  # seconds for a process to end by itself


class StackError(AtelierError):
    """A part of the local stack did not come up, or ended early; the message has its log."""

    code = "LOCAL_STACK_FAILED"


@dataclass(frozen=True, kw_only=True)
class Stack:
    """The running stack, as a merchant and as Shopify use it."""

    base_url: str
    settings: Settings
    shopify: StandInShopify
    provider: StandInProvider
    http: httpx.AsyncClient
    database: Database
    environment: dict[str, str]
    """Of the child processes."""
    processes: tuple["LocalProcess", ...]

    def authorization(self) -> dict[str, str]:
        """The header that App Bridge would put on a request now."""
        return {"Authorization": f"Bearer {self.shopify.id_token(SHOP)}"}

    async def install(self) -> None:
        """Open the demo shop and install the app in it."""
        self.shopify.create_shop(SHOP)
        checked(await self.http.post("/v1/installation", headers=self.authorization()))

    async def make_demo_job(self, garment: str) -> tuple[ProductRecord, str]:
        """Create a product with a sample photo, send its webhook, and find the job it made."""
        title = garment.replace("_", " ").capitalize()
        product = self.shopify.create_product(SHOP, title, GARMENTS / f"{garment}.jpg")
        checked(await self.shopify.send_webhook(SHOP, "products/create"))
        return product, await self.job_of(product)

    async def job_of(self, product: ProductRecord) -> str:
        """The public id of the product's job, as soon as a worker has made it."""
        found = (
            select(Job.public_id)
            .join(Shop, Shop.id == Job.shop_id)
            .where(Shop.domain == SHOP, Job.request["product_id"].astext == product.gid)
        )
        async with asyncio.timeout(READY_TIMEOUT):
            while True:
                async with self.database.reading() as connection:
                    public_id = await connection.scalar(found)
                if public_id is not None:
                    return str(public_id)
                await asyncio.sleep(0.05)

    async def make_hosted_job(self, product: ProductRecord) -> str:
        """Ask for a picture that the hosted provider makes of the product; the job's public id."""
        response = await self.http.post(
            "/v1/product-to-model-direct",
            json={"product_id": product.gid, "category": "top"},
            headers=self.authorization(),
        )
        return str(checked(response).json()["job_id"])

    async def until_one_ends(self) -> None:
        """Wait; raise `StackError` as soon as the web or the worker process has ended."""
        ends = [asyncio.create_task(local.process.wait()) for local in self.processes]
        try:
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for end in ends:
                end.cancel()
        for local in self.processes:
            local.require_running()

    async def job(self, public_id: str) -> JobDetailResponse:
        """The job's detail, over HTTP, as the embedded page reads it."""
        response = await self.http.get(f"/v1/jobs/{public_id}", headers=self.authorization())
        return msgspec.json.decode(checked(response).content, type=JobDetailResponse)

    async def events(self, public_id: str) -> AsyncIterator[JobEventResponse]:
        """The job's events as they commit, over HTTP by long-poll."""
        since = 0
        while True:
            response = await self.http.get(
                f"/v1/jobs/{public_id}/events",
                params={"since": since, "wait": LONG_POLL},
                headers=self.authorization(),
            )
            page = msgspec.json.decode(checked(response).content, type=JobEventsResponse)
            for event in page.events:
                yield event
            since = page.latest_seq


def checked(response: httpx.Response) -> httpx.Response:
    """The response, if it is a success. Raises `StackError` with what it says otherwise."""
    if not response.is_success:
        request = f"{response.request.method} {response.request.url.path}"
        raise StackError(f"{request} answered {response.status_code}: {response.text[:500]}")
    return response


@contextlib.asynccontextmanager
async def local_stack(
    port: int | None = None, environ: Mapping[str, str] = os.environ
) -> AsyncIterator[Stack]:
    """Start everything; `port` is the web server's (default: any that is free)."""
    async with contextlib.AsyncExitStack() as stack:
        listener = stack.enter_context(listening(port))
        base_url = "http://{}:{}".format(*listener.getsockname())
        try:
            services = await asyncio.to_thread(stack.enter_context, local_services())
        except ServiceError as error:
            raise StackError(str(error)) from error
        provider = await stack.enter_async_context(StandInProvider())
        settings = local_settings(services, base_url, environ, provider)
        await asyncio.gather(
            asyncio.to_thread(migrations.upgrade, settings.database_url),
            asyncio.to_thread(services.s3.create_bucket, BUCKET),
        )
        shopify = await stack.enter_async_context(
            StandInShopify(
                api_key=settings.shopify_api_key,
                secret=settings.shopify_api_secret,
                app_url=base_url,
            )
        )
        if settings.billing == "app_pricing":
            sell_plans(shopify, settings)
        env = process_environment(settings, services, environ)
        stand_in = ("--stand-in", shopify.origin)
        fd = str(listener.fileno())
        web = await stack.enter_async_context(
            process("serve", "--fd", fd, *stand_in, env=env, pass_fds=(listener.fileno(),))
        )
        listener.close()  # the process has its own now: if it dies, connections are refused
        worker = await stack.enter_async_context(process("worker", *stand_in, env=env))
        http = await stack.enter_async_context(httpx.AsyncClient(base_url=base_url, timeout=30))
        database = Database(settings.database_url, role=WORKER, pool_size=2)
        stack.push_async_callback(database.close)
        await until_ready(http, web, worker)
        yield Stack(
            base_url=base_url,
            settings=settings,
            shopify=shopify,
            provider=provider,
            http=http,
            database=database,
            environment=env,
            processes=(web, worker),
        )


def listening(port: int | None) -> socket.socket:
    """The web server's socket, for its process to inherit: nobody can take the port meanwhile."""
    try:
        listener = socket.create_server(("127.0.0.1", port or 0))
    except OSError as error:
        raise StackError(f"Port {port} is taken; choose another with --port.") from error
    return listener


def sell_plans(shopify: StandInShopify, settings: Settings) -> None:
    """Have the stand-in sell the plans of `PLANS_FILE`, as the Dev Dashboard would."""
    platform = shopify.platform
    platform.has_app_pricing = True
    platform.partner.token = settings.partner_api_token
    platform.partner.plans = [
        ManagedPlan(
            handle=plan.handle,
            name=plan.name,
            price=plan.price or Decimal(0),
            interval=plan.interval,
            trial_days=plan.trial_days,
        )
        for plan in price_list(settings).plans
    ]


@dataclass(frozen=True)
class LocalProcess:
    """A child process and the file that its log goes to."""

    name: str
    process: asyncio.subprocess.Process
    log: Path

    def require_running(self) -> None:
        """Raise `StackError` with the end of the log if it has ended."""
        if self.process.returncode is not None:
            tail = "\n".join(self.log.read_text(errors="replace").splitlines()[-15:])
            raise StackError(f"`atelier {self.name}` ended early:\n{tail}")


@contextlib.asynccontextmanager
async def process(
    command: str, *arguments: str, env: dict[str, str], pass_fds: tuple[int, ...] = ()
) -> AsyncIterator[LocalProcess]:
    """Run `atelier COMMAND` beside us. In a session of its own: Ctrl-C is ours to pass on."""
    with tempfile.TemporaryDirectory(prefix=f"atelier-{command}-") as directory:
        log = Path(directory, "log.jsonl")
        with log.open("wb") as output:
            child = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "backend.cli",
                command,
                *arguments,
                "--end-with-parent",
                env=env,
                stdin=asyncio.subprocess.PIPE,
                stdout=output,
                stderr=output,
                start_new_session=True,
                pass_fds=pass_fds,
            )
        try:
            yield LocalProcess(command, child, log)
        finally:
            await stop_process(child)


async def stop_process(child: asyncio.subprocess.Process) -> None:
    """Terminate the process, and kill it if it does not end in time."""
    with contextlib.suppress(ProcessLookupError):
        child.send_signal(signal.SIGTERM)
    try:
        await asyncio.wait_for(child.wait(), STOP_TIMEOUT)
    except TimeoutError:
        child.kill()
        await child.wait()


async def until_ready(http: httpx.AsyncClient, *processes: LocalProcess) -> None:
    """Wait until the web process answers that it is ready."""
    async with asyncio.timeout(READY_TIMEOUT):
        while True:
            for child in processes:
                child.require_running()
            with contextlib.suppress(httpx.TransportError):
                if (await http.get("/health/ready")).status_code == 200:
                    return
            await asyncio.sleep(0.05)
