"""A real answer for each status that the document promises, and how to get it."""

import asyncio
import contextlib
import secrets
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import httpx
import msgspec
from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.credits.grants import grant_credits
from backend.dev.shopify import ProductRecord
from backend.dev.transport import LoopbackShopify
from backend.jobs.cancellation import cancel_job
from backend.jobs.ids import new_public_id
from backend.jobs.lifecycle import lease_job, succeed
from backend.jobs.service import JobRef, request_jobs
from backend.settings import UNLIMITED
from backend.shops.service import installed_id
from backend.webhook_endpoints.attempts import AttemptResult
from backend.webhook_endpoints.events import append_events
from backend.webhook_endpoints.models import WebhookEndpoint
from backend.webhook_endpoints.queue_entries import EndpointRef
from backend.webhook_endpoints.secrets import encrypted_secret
from backend.worker.endpoint_leases import claim_due, lease_endpoint, store_result
from backend.workflows import BY_NAME, WORKFLOWS
from backend.workflows.catalog_image import CATALOG_IMAGE
from tests.backend.batches import scenarios as batches
from tests.backend.openapi import credentials
from tests.backend.openapi.conformance import Document, operations
from tests.backend.publications import scenarios
from tests.catalog_entries import generated_entry
from tests.hosted_engines import HOSTED_WORKFLOWS, WITH_ENGINES
from tests.minimal_requests import MINIMAL_PARAMETERS, UNKNOWN_ENTRY, UNKNOWN_UPLOAD
from tests.prepaid_apps import SELLING
from tests.running_app import SHOP, RunningApp, serve_app
from tests.scenarios import finished_job, privacy_request, waiting_job, without_database

Answers = dict[tuple[str, int], httpx.Response]
NOBODYS = "0" * 26
LISTS = {
    "/v1/jobs",
    "/v1/batches",
    "/v1/privacy/requests",
    "/v1/review",
    "/v1/renders",
    "/v1/catalog/{kind}",
}
SEVERAL = 4  # at a time
ORDERS = {"/v1/subscription": {"plan": "studio"}, "/v1/purchases": {"pack": "pack-100"}}

# Statuses that take more than these tests may do.
UNKNOWN_SHOP = "stranger.myshopify.com"
PREPAID_SHOP = "prepaid.myshopify.com"
EXPIRY = datetime(2100, 1, 1, tzinfo=UTC)
ENDPOINTS = "/v1/webhook-endpoints"
ELSEWHERE = {
    ("post_upload", 201),  # the picture is painted anew: tests/backend/uploads
    ("post_publication", 403),  # takes another shop: tests/backend/publications
    ("get_job_product", 403),  # the same
}


class Client(msgspec.Struct, frozen=True, kw_only=True):
    """Whoever asks for one operation."""

    shared_app: RunningApp
    http: httpx.AsyncClient
    method: str
    path: str
    operation: Document

    @property
    def sign(self) -> credentials.Sign:
        """The first of the credentials that the operation takes."""
        first: dict[str, Any] = next(iter(self.operation["security"]), {})
        scheme = next(iter(first), "nothing")
        return KEYS[scheme](self.shared_app)

    async def ask(
        self,
        *,
        query: str = "",
        sign: credentials.Sign | None = None,
        public_id: str | None = None,
        kind: str = "models",
        content: bytes | None = None,
        **headers: str,
    ) -> httpx.Response:
        """A good request, but for what is said."""
        if public_id is None and "{public_id}" in self.path:
            public_id = await self.new_one()
        delivery_id = await self.delivery_of(public_id) if "{delivery_id}" in self.path else None
        path = self.path.format(public_id=public_id, kind=kind, delivery_id=delivery_id) + query
        body, media_type = self.body() if content is None else (content, "application/json")
        request = SimpleNamespace(
            method=self.method,
            url=f"{str(self.http.base_url).rstrip('/')}{path}",
            body=body,
            headers={"Content-Type": media_type} | self.required_headers(),
        )
        (sign or self.sign)(request)
        request.headers |= {name.replace("_", "-"): value for name, value in headers.items()}
        answer = await self.http.request(
            request.method, request.url, content=request.body, headers=request.headers
        )
        if self.path.startswith(f"{ENDPOINTS}/"):  # a shop may have ten
            await remove_endpoint(self.shared_app, public_id)
        return answer

    def body(self) -> tuple[bytes, str]:
        """The least that the operation takes."""
        name = self.path.rpartition("/")[2]
        if name in MINIMAL_PARAMETERS:
            product = {"product_id": f"gid://shopify/Product/{uuid.uuid4().int % 10**15}"}
            photo = product if BY_NAME[name].has_photo else {}
            return msgspec.json.encode(MINIMAL_PARAMETERS[name] | photo), "application/json"
        if self.path == "/v1/compatibility/check":
            return b'{"garments":["dress","top"],"workflow":"look"}', "application/json"
        if self.path == "/v1/batches":
            body = {"workflow": "catalog-image", "product_ids": batches.product_gids(2)}
            return msgspec.json.encode(body), "application/json"
        if name == "publication" and self.method == "POST":
            wanted = {"artifacts": [{"sha256": "0" * 64}]}
            return msgspec.json.encode(wanted), "application/json"
        if name == "settings" and self.method == "PUT":
            return b'{"rules":[{"workflow":"catalog-image"}]}', "application/json"
        if name == "rerun":
            return b"{}", "application/json"
        if self.path.startswith("/v1/catalog") and self.method == "PATCH":
            return b'{"name":"Ada"}', "application/json"
        if self.path == ENDPOINTS:
            return b'{"url":"https://hooks.example.com/atelier"}', "application/json"
        if self.path.startswith(f"{ENDPOINTS}/") and self.method == "PATCH":
            return b'{"description":"Orders"}', "application/json"
        if self.path in ORDERS:
            return msgspec.json.encode(ORDERS[self.path]), "application/json"
        if "requestBody" in self.operation:
            return b'{"id":1}', "application/json"
        return b"", "application/json"

    def required_headers(self) -> dict[str, str]:
        """What Shopify puts on a delivery."""
        if self.path != "/webhooks":
            return {}
        return {
            "X-Shopify-Topic": "products/update",
            "X-Shopify-Shop-Domain": SHOP,
            "X-Shopify-Webhook-Id": str(uuid.uuid4()),
        }

    async def new_one(self) -> str:
        """A waiting job that this caller may see, or what else the path is about."""
        if self.path.startswith("/v1/batches"):
            ref = await batches.create_batch(
                self.shared_app, SHOP, {"product_ids": batches.product_gids(2)}
            )
            return ref.public_id
        if self.path.startswith(f"{ENDPOINTS}/"):
            return await endpoint_with_delivery(self.shared_app)
        if self.path.startswith("/v1/privacy"):
            return await privacy_request(self.shared_app)
        if self.path.startswith("/v1/catalog"):
            return (await generated_entry(self.shared_app))[0].public_id
        if self.path.startswith("/v1/renders"):
            return (await finished_job(self.shared_app))[0].public_id
        job = await waiting_job(self.shared_app)
        if self.path.startswith("/proxy"):
            await self.shared_app.execute(
                "UPDATE jobs SET origin = 'storefront' WHERE public_id = :id", id=job.public_id
            )
        return job.public_id

    async def delivery_of(self, endpoint_id: str | None) -> str:
        """Its one delivery, or one that there is not."""
        rows = await self.shared_app.rows(
            "SELECT id FROM endpoint_deliveries WHERE endpoint_id = :id", id=endpoint_id
        )
        return str(rows[0]["id"]) if rows else NOBODYS


KEYS: dict[str, Callable[[RunningApp], credentials.Sign]] = {
    "sessionToken": credentials.session_token,
    "signedRequest": credentials.signature,
    "proxySignature": credentials.app_proxy,
    "webhookSignature": credentials.webhook,
    "nothing": credentials.nothing,
}


async def request_every_response(shared_app: RunningApp, document: Document) -> Answers:
    """An answer for each operation and status of the document, ELSEWHERE's aside."""
    few = asyncio.Semaphore(SEVERAL)
    async with circumstances(shared_app) as clients:

        async def witness(
            method: str, path: str, operation: Document, status: int
        ) -> httpx.Response:
            is_sold = path == "/v1/plans" and status == 200
            http = (
                clients.of_statuses[201] if is_sold else clients.of(path, status, shared_app.http)
            )
            async with few:
                return await WAYS[status](
                    Client(
                        shared_app=shared_app,
                        http=http,
                        method=method,
                        path=path,
                        operation=operation,
                    )
                )

        wanted = {
            (operation["operationId"], int(status)): witness(method, path, operation, int(status))
            for method, path, operation in operations(document)
            for status in operation["responses"]
            if (operation["operationId"], int(status)) not in ELSEWHERE
        }
        return dict(zip(wanted, await asyncio.gather(*wanted.values()), strict=True))


async def further_refusals(shared_app: RunningApp) -> list[httpx.Response]:
    """Answers with codes that share their status with one that is had more easily."""
    path, body = "/v1/catalog-image", {"product_id": "gid://shopify/Product/1"}
    key = {**shared_app.bearer(), "Idempotency-Key": uuid.uuid4().hex}
    await shared_app.http.post(path, json=body, headers=key)
    shared_app.shopify.create_shop(UNKNOWN_SHOP)
    await shared_app.execute("UPDATE shops SET stored_bytes = 1000000 WHERE domain = :d", d=SHOP)
    batch = {"workflow": "catalog-image", "product_ids": batches.product_gids(1)}
    of_deleted, _ = await scenarios.publishable_job(shared_app, SHOP, product=deleted(shared_app))
    preview = {**body, "category": "dress"}
    expired = await expired_job(shared_app)
    visit = credentials.app_proxy(shared_app)(
        SimpleNamespace(url="/proxy/v1/product-to-model-direct")
    ).url
    async with (
        client_of(shared_app, storefront_daily_cap=0) as full,
        client_of(shared_app, storefront_visitor_daily_cap=0) as greedy,
        client_of(shared_app, quota_open_jobs=1, quota_open_batches=1) as busy,
        client_of(shared_app, quota_stored_mb=1) as stuffed,
    ):
        return [
            await shared_app.http.post(path, json={**body, "margin": 0.2}, headers=key),
            await shared_app.http.post("/v1/extract", json=body, headers=shared_app.bearer()),
            await shared_app.http.post(
                "/v1/purchases", json=ORDERS["/v1/purchases"], headers=shared_app.bearer()
            ),
            await shared_app.http.get("/v1/jobs", headers=shared_app.bearer(UNKNOWN_SHOP)),
            await shared_app.http.get("/v1/jobs", headers={"Authorization": "Bearer stale"}),
            await shared_app.http.get(
                f"/v1/jobs/{of_deleted.public_id}/product", headers=shared_app.bearer()
            ),
            await shared_app.http.post(
                f"/v1/jobs/{expired}/rerun", json={}, headers=shared_app.bearer()
            ),
            await full.post(visit, json=preview),
            await greedy.post(visit, json=preview),
            await busy.post(path, json=body, headers=shared_app.bearer()),
            await busy.post("/v1/batches", json=batch, headers=shared_app.bearer()),
            await stuffed.post(path, json=body, headers=shared_app.bearer()),
        ]


async def expired_job(shared_app: RunningApp) -> str:
    """A job whose upload is no longer stored; its ID."""
    ref, _ = await finished_job(shared_app, request={"upload_key": None})
    return ref.public_id


def deleted(shared_app: RunningApp) -> ProductRecord:
    """A product that the shop no longer has."""
    product = shared_app.product()
    shared_app.shopify.delete_product(product)
    return product


class Circumstances(msgspec.Struct, frozen=True, kw_only=True):
    """Clients of the same app where things are not as usual."""

    of_statuses: dict[int, httpx.AsyncClient]
    with_engines: httpx.AsyncClient

    def of(self, path: str, status: int, usual: httpx.AsyncClient) -> httpx.AsyncClient:
        """The client that gets this status there."""
        is_hosted = path.removeprefix("/v1/") in HOSTED_WORKFLOWS
        return self.of_statuses.get(status, self.with_engines if is_hosted else usual)


@contextlib.asynccontextmanager
async def circumstances(shared_app: RunningApp) -> AsyncIterator[Circumstances]:
    """Apps where it is not as usual, by the status that needs it."""
    names = ",".join(workflow.name for workflow in WORKFLOWS.values())
    once = {"rate_limit_reads": "1/minute", "rate_limit_writes": "1/minute"}
    async with (
        client_of(shared_app, disabled_workflows=names) as switched_off,
        client_of(shared_app, **SELLING, **WITH_ENGINES) as prepaid,
        client_of(shared_app, **once, **WITH_ENGINES) as limited,
        client_of(shared_app, **WITH_ENGINES) as with_engines,
        without_database(shared_app, **SELLING, **WITH_ENGINES) as alone,
    ):
        of_statuses = {201: prepaid, 402: prepaid, 403: switched_off, 429: limited, 503: alone}
        yield Circumstances(of_statuses=of_statuses, with_engines=with_engines)


@contextlib.asynccontextmanager
async def client_of(shared_app: RunningApp, **changes: Any) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the app with other settings."""
    settings = msgspec.structs.replace(shared_app.settings, **changes)
    async with (
        serve_app(settings, LoopbackShopify(shared_app.shopify.origin)) as url,
        httpx.AsyncClient(base_url=url, timeout=30) as http,
    ):
        yield http


# How to get each status


async def good(client: Client) -> httpx.Response:
    """What it is for."""
    if client.path.endswith(("/publication", "/dismissal", "/product")):
        return await of_a_product(client)
    if client.path.startswith("/v1/batches/"):
        return await client.ask(public_id=await partly_done(client.shared_app))
    if names_images(client):
        return await client.ask(content=await body_with_images(client))
    if client.path.startswith("/v1/privacy/requests/"):
        return await of_a_customer(client)
    if client.path == ENDPOINTS and client.method == "GET":
        listed = await endpoint_with_delivery(client.shared_app)
        answer = await client.ask()
        await remove_endpoint(client.shared_app, listed)
        return answer
    is_usual = client.http is client.shared_app.http
    if is_usual and client.path in {"/v1/credits", "/v1/transactions"}:
        return await of_a_prepaid_shop(client)
    if client.path == "/v1/privacy/requests":
        await privacy_request(client.shared_app)
    is_list = client.method == "GET" and client.path in LISTS
    if is_list and client.path == "/v1/batches":
        await partly_done(client.shared_app)
    if is_list and client.path.startswith("/v1/catalog"):
        await generated_entry(client.shared_app)
    return await client.ask(query="?limit=2" if is_list else "")


async def of_a_prepaid_shop(client: Client) -> httpx.Response:
    """A shop that has bought credits, of which jobs have taken some."""
    shared_app = client.shared_app
    await shared_app.install(PREPAID_SHOP)
    async with shared_app.database.transaction(PREPAID_SHOP) as connection:
        shop_id = await installed_id(connection, PREPAID_SHOP)
        if await grant_credits(
            connection, shop_id, source="pack", ref="1", amount=50, expires_at=EXPIRY
        ):
            prepaid = msgspec.structs.replace(UNLIMITED, prepaid=True)
            made = await request_jobs(
                connection,
                CATALOG_IMAGE,
                shop_id=shop_id,
                requests=[{}] * 3,
                origin="api",
                quotas=prepaid,
            )
            await end_two(connection, made)
    async with client_of(shared_app, **SELLING) as http:
        return await http.get(client.path, headers=shared_app.bearer(PREPAID_SHOP))


async def end_two(connection: AsyncConnection, made: list[JobRef]) -> None:
    """The first one ends well, the second one is cancelled."""
    lease = await lease_job(connection, made[0])
    assert lease is not None
    await succeed(connection, lease, {})
    await cancel_job(connection, shop_domain=PREPAID_SHOP, public_id=made[1].public_id)


async def of_a_customer(client: Client) -> httpx.Response:
    """What a customer of whom nobody else here asks has had made."""
    customer = str(secrets.randbelow(10**12))
    await finished_job(client.shared_app, customer_id=customer)
    return await client.ask(
        public_id=await privacy_request(client.shared_app, customer_id=customer)
    )


async def of_a_product(client: Client) -> httpx.Response:
    """A job that has something to publish, and has published it if that is to be read."""
    product = client.shared_app.product()
    job, digests = await scenarios.publishable_job(client.shared_app, SHOP, product)
    asked = scenarios.publication_request(digests)
    if not client.path.endswith("/publication"):
        return await client.ask(public_id=job.public_id)
    if client.method == "POST":
        return await client.ask(public_id=job.public_id, content=msgspec.json.encode(asked))
    await scenarios.post_publication(client.shared_app, SHOP, job, asked)
    return await client.ask(public_id=job.public_id)


async def partly_done(shared_app: RunningApp) -> str:
    """A batch of which something is done, something failed, and something is left."""
    ref = await batches.expanded_batch(shared_app, SHOP, {"product_ids": batches.product_gids(3)})
    await batches.end_jobs(shared_app, SHOP, ref, good=1, bad=1)
    return ref.public_id


def names_images(client: Client) -> bool:
    """Whether the least request names an upload or an entry of the catalog."""
    named = {*map(str, MINIMAL_PARAMETERS.get(client.path.rpartition("/")[2], {}).values())}
    return bool(named & {UNKNOWN_UPLOAD, UNKNOWN_ENTRY})


async def body_with_images(client: Client) -> bytes:
    """A request whose images exist, as rows say; nobody will look at them."""
    key = f"upl_{uuid.uuid4().hex}"
    await client.shared_app.execute(
        "INSERT INTO uploads (shop_id, upload_key, key, stored_at) "
        "SELECT id, :key, 'uploads/' || :key || '.jpg', now() FROM shops WHERE domain = :shop",
        key=key,
        shop=SHOP,
    )
    entry, _ = await generated_entry(client.shared_app)
    body = client.body()[0].replace(UNKNOWN_UPLOAD.encode(), key.encode())
    return body.replace(UNKNOWN_ENTRY.encode(), entry.public_id.encode())


async def endpoint_with_delivery(shared_app: RunningApp) -> str:
    """A webhook endpoint with a delivery that was tried once."""
    endpoint_id = new_public_id()
    async with shared_app.database.transaction(SHOP) as connection:
        shop_id = await installed_id(connection, SHOP)
        stored = encrypted_secret(
            shared_app.worker_context.admin.token_keys, endpoint_id, "whsec_c2VjcmV0"
        )
        await connection.execute(
            insert(WebhookEndpoint).values(
                shop_id=shop_id, id=endpoint_id, url="https://hooks.example.com/", secret=stored
            )
        )
        await append_events(connection, shop_id, "endpoint.test", {}, only_endpoint=endpoint_id)
        ref = EndpointRef(shop_id=shop_id, endpoint_id=endpoint_id)
        lease = await lease_endpoint(connection, ref)
        assert lease is not None
        [delivery] = await claim_due(connection, ref, 1)
        failed = AttemptResult(error="STATUS", ms=41, status=503, body="")
        await store_result(connection, lease, delivery, failed)
    return endpoint_id


async def remove_endpoint(shared_app: RunningApp, endpoint_id: str | None) -> None:
    """As its shop does."""
    await shared_app.execute(
        "UPDATE webhook_endpoints SET deleted_at = now() WHERE id = :id", id=endpoint_id
    )


async def two_credentials(client: Client) -> httpx.Response:
    """The second is of another kind, and would not be good either."""
    if client.path.startswith("/v1"):
        return await client.ask(X_Shopify_Hmac_Sha256="x")
    return await client.ask(Authorization="Bearer x")


async def no_credential(client: Client) -> httpx.Response:
    """Anybody."""
    return await client.ask(sign=credentials.nothing(client.shared_app))


async def too_long(client: Client) -> httpx.Response:
    """A body with more bytes than the largest that any route takes, signed where it must be."""
    size = 26_000_000 if client.path == "/v1/uploads" else 5_000_001
    merchant = client.path.startswith("/v1")
    sign = credentials.signature(client.shared_app) if merchant else None
    return await client.ask(sign=sign, content=b" " * size)


async def unpaid(client: Client) -> httpx.Response:
    """More than the shop, which has no credits, can pay."""
    if client.path.endswith("/retry"):
        return await client.ask(public_id=await partly_done(client.shared_app))
    if names_images(client):
        return await client.ask(content=await body_with_images(client))
    return await client.ask()


async def conflict(client: Client) -> httpx.Response:
    """What has ended, or has not; a key that somebody is just claiming; or a missing engine."""
    if client.path == "/v1/settings":
        rule = {"workflow": "extract"}
        return await client.ask(content=msgspec.json.encode({"rules": [rule]}))
    if client.path.endswith(("/publication", "/retry", "/dismissal", "/product")):
        return await client.ask()
    if client.path.endswith("/rerun"):
        visitors, _ = await finished_job(client.shared_app, customer_id="191167")
        return await client.ask(public_id=visitors.public_id)
    if client.path.startswith(f"{ENDPOINTS}/"):
        public_id = await endpoint_with_delivery(client.shared_app)
        await client.shared_app.execute(
            "UPDATE webhook_endpoints SET disabled_at = now() WHERE id = :id", id=public_id
        )
        return await client.ask(public_id=public_id)
    if client.path.endswith("/cancel"):
        public_id = await client.new_one()
        await client.ask(public_id=public_id)
        return await client.ask(public_id=public_id)
    key = uuid.uuid4().hex
    async with client.shared_app.database.transaction() as connection:
        await connection.exec_driver_sql(
            "INSERT INTO idempotency_keys (shop_id, route, key, fingerprint, answer) "
            f"SELECT id, 'POST {client.path}', '{key}', '', '{{}}' FROM shops "
            f"WHERE domain = '{SHOP}'"
        )
        return await client.ask(Idempotency_Key=key)


async def another_media_type(client: Client) -> httpx.Response:
    """A body in another language, or packed."""
    if client.path == "/webhooks":
        return await client.ask(Content_Encoding="gzip")
    if client.path.startswith("/v1"):
        return await client.ask(
            sign=credentials.signature(client.shared_app), Content_Encoding="gzip"
        )
    return await client.ask(Content_Type="text/plain")


async def wrong_value(client: Client) -> httpx.Response:
    """A value that cannot be."""
    if client.path == "/v1/uploads":
        form = "multipart/form-data; boundary=x"
        return await client.ask(content=b"--x--\r\n", Content_Type=form)
    if client.method == "GET":
        return await client.ask(query="?since=-1" if "events" in client.path else "?limit=0")
    wrong = b'{"url":""}' if client.path.startswith(ENDPOINTS) else b'{"outputs":[]}'
    return await client.ask(content=wrong)


async def not_there(client: Client) -> httpx.Response:
    """An ID that nothing has, or a list of nothing that there is."""
    if client.path.endswith("/{kind}"):
        return await client.ask(kind="shoes")
    if client.path == ENDPOINTS:
        return await removed_meanwhile(client)
    return await client.ask(public_id=NOBODYS)


async def removed_meanwhile(client: Client) -> httpx.Response:
    """A repeated request for an endpoint that was removed since the first one."""
    key = uuid.uuid4().hex
    made = await client.ask(Idempotency_Key=key)
    await remove_endpoint(client.shared_app, made.json()["id"])
    return await client.ask(Idempotency_Key=key)


async def too_often(client: Client) -> httpx.Response:
    """The second within a minute, where one is allowed."""
    await client.ask()
    return await client.ask()


WAYS: dict[int, Callable[[Client], Awaitable[httpx.Response]]] = {
    200: good,
    201: good,
    202: good,
    204: good,
    304: lambda client: client.ask(If_None_Match="*"),
    400: two_credentials,
    401: no_credential,
    402: unpaid,
    403: good,
    404: not_there,
    409: conflict,
    412: lambda client: client.ask(If_Match='"9"'),
    413: too_long,
    415: another_media_type,
    422: wrong_value,
    429: too_often,
    503: good,
}
