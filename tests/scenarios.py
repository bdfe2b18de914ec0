"""Shared helpers: deliveries with any headers, and rows in any state.

A module whose tests do not disturb each other can share one running app:
`shared_app = pytest.fixture(open_shared_app, scope="module")`. If each needs an empty database, but
changes nothing else of the app, add `running_app = pytest.fixture(emptied_app)`.
"""

import contextlib
import json
import uuid
from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import msgspec

from backend.dev import signing
from backend.dev.services import LocalServices
from backend.dev.shopify.state import Call
from backend.dev.transport import NO_TLS, LoopbackShopify
from backend.failures.registry import Failure
from backend.jobs.ids import new_public_id
from backend.jobs.lifecycle import (
    Checkpoint,
    JobLease,
    NewArtifact,
    advance,
    fail,
    lease_job,
    succeed,
)
from backend.jobs.service import JobRef, request_job
from backend.renderers.base import Rendered, Renderer, RenderRequest
from backend.storage.keys import artifact_key
from backend.worker.stages import raw_file
from backend.workflows.catalog_image import CATALOG_IMAGE
from tests.conftest import SECRET, settings_for
from tests.running_app import (
    SHOP,
    RunningApp,
    cloned_database,
    open_running_app,
    serve_app,
)
from tests.wait import wait_until
from webhooks.receive import DeliveryRef

Headers = list[tuple[bytes, bytes]]

TENANT_TABLES = (
    "jobs",
    "job_events",
    "artifacts",
    "job_stages",
    "catalog_entries",
    "uploads",
    "publications",
    "published_media",
    "shop_settings",
    "seen_pictures",
    "past_jobs",
    "batches",
    "batch_items",
    "privacy_requests",
    "credit_accounts",
    "credit_grants",
    "credit_hold_lots",
    "credit_entries",
    "purchases",
    "subscriptions",
    "plan_periods",
    "submissions",
    "webhook_endpoints",
    "endpoint_deliveries",
)
CREATE, UPDATE = "products/create", "products/update"  # topics
NOBODY_LISTENS = "postgresql://atelier@127.0.0.1:9/atelier"

ENVELOPE = jsonschema.Draft202012Validator(
    json.loads((Path(__file__).parent / "backend/jobs/error.schema.json").read_text())
)


async def open_shared_app(
    services: LocalServices, template: str, renderer: Renderer
) -> AsyncIterator[RunningApp]:
    """A running app with one installed shop, for a fixture of any scope."""
    async with (
        cloned_database(services.postgres.url(), template) as url,
        open_running_app(settings_for(services, url), renderer) as running_app,
    ):
        await running_app.install()
        yield running_app


async def emptied_app(shared_app: RunningApp) -> RunningApp:
    """The module's app with an empty database, for tests that need all of it for themselves."""
    await shared_app.execute(
        """
        DO $$ BEGIN EXECUTE (
            SELECT 'TRUNCATE ' || string_agg(format('%I.%I', schemaname, tablename), ', ')
            FROM pg_tables WHERE schemaname IN ('public', 'queue')
            AND tablename <> 'alembic_version'
        ); END $$
        """
    )
    return shared_app


class NoRenderer:
    """Finishes every stage at once without pixels, for tests that are not about images."""

    name = "none"

    async def render(self, request: RenderRequest) -> Rendered:
        """No picture; but the first stage leaves everything that later ones take in."""
        stages = CATALOG_IMAGE.stages if request.stage == "validate" else ()
        names = {name for stage in stages[2:] for name in stage.inputs}
        return Rendered(files=[raw_file(name, b"none") for name in names], facts={})

    async def close(self) -> None:
        """Nothing to close."""


async def new_shop(shared_app: RunningApp) -> str:
    """The domain of a shop that has just installed the app, for a fixture."""
    domain = f"shop-{uuid.uuid4().hex[:12]}.myshopify.com"
    await shared_app.install(domain)
    return domain


@contextlib.asynccontextmanager
async def without_database(
    running_app: RunningApp, **changes: Any
) -> AsyncIterator[httpx.AsyncClient]:
    """The same app on another socket, with other settings and without a reachable Postgres."""
    settings = msgspec.structs.replace(running_app.settings, database_url=NOBODY_LISTENS, **changes)
    async with (
        serve_app(settings, LoopbackShopify(running_app.shopify.origin)) as url,
        httpx.AsyncClient(base_url=url, verify=NO_TLS) as client,
    ):
        yield client


async def wait_for_lock(running_app: RunningApp) -> None:
    """Wait until a session waits for a lock that another transaction holds."""
    waits = "datname = current_database() AND wait_event_type = 'Lock'"
    await wait_until(lambda: running_app.rows(f"SELECT 1 FROM pg_stat_activity WHERE {waits}"))


# Shopify


async def wait_for_call(running_app: RunningApp, call: Call, times: int) -> None:
    """Wait until the stand-in has received that many calls."""
    await wait_until(lambda: running_app.shopify.calls[call] >= times, poll=0)


async def expire_token(running_app: RunningApp, shop: str, left: timedelta = timedelta(0)) -> None:
    """Store an expiry of the shop's access token that lies `left` ahead."""
    await running_app.execute(
        "UPDATE shops SET access_token_expires_at = now() + :left WHERE domain = :d",
        left=left,
        d=shop,
    )


async def lock_out(running_app: RunningApp, shop: str = SHOP) -> None:
    """Revoke every token of the shop, as after 90 days in which nobody opened the app."""
    running_app.shopify.platform.shops[shop].grants.revoke_all()
    await expire_token(running_app, shop)


# Answers


def refusal(response: httpx.Response) -> tuple[int, str]:
    """Status and code of an error response, whose envelope is checked."""
    assert response.is_error, f"{response.status_code} is no refusal"
    body = response.json()
    ENVELOPE.validate(body)
    assert response.headers["content-type"] == "application/json"
    assert body["error"]["request_id"] == response.headers["x-request-id"]
    return response.status_code, body["error"]["code"]


# Deliveries


def header(name: str, value: str | bytes) -> tuple[bytes, bytes]:
    """A header line, whose value may hold any bytes."""
    return name.encode(), value if isinstance(value, bytes) else value.encode()


def webhook_headers(
    body: bytes,
    *,
    topic: str = "products/update",
    shop: str = SHOP,
    secret: str = SECRET,
    webhook_id: str | None = None,
) -> Headers:
    """The headers that matter of a delivery of `body`."""
    return [
        header("X-Shopify-Hmac-Sha256", signing.webhook_signature(body, secret)),
        header("X-Shopify-Topic", topic),
        header("X-Shopify-Shop-Domain", shop),
        header("X-Shopify-Webhook-Id", webhook_id or str(uuid.uuid4())),
    ]


def with_header(headers: Headers, name: str, *values: str | bytes) -> Headers:
    """The headers with these values of one name in place of its own."""
    others = [each for each in headers if each[0] != name.encode()]
    return others + [header(name, value) for value in values]


async def post_webhook(running_app: RunningApp, body: bytes, headers: Headers) -> httpx.Response:
    """Post a delivery with exactly these headers."""
    return await running_app.http.post("/webhooks", content=body, headers=headers)


async def deliver(running_app: RunningApp, body: bytes, **how: Any) -> httpx.Response:
    """Post any bytes as a correctly signed delivery."""
    return await post_webhook(running_app, body, webhook_headers(body, **how))


async def send_webhook(
    running_app: RunningApp,
    topic: str,
    payload: Mapping[str, object] | None = None,
    *,
    shop: str = SHOP,
) -> DeliveryRef:
    """Have Shopify deliver a webhook, which is stored and not yet processed."""
    ref = DeliveryRef(shop_domain=shop, topic=topic, webhook_id=str(uuid.uuid4()))
    answer = await running_app.send(topic, shop=shop, payload=payload, webhook_id=ref.webhook_id)
    assert answer.status_code == 200
    return ref


async def process_webhook(
    running_app: RunningApp,
    topic: str,
    payload: Mapping[str, object] | None = None,
    *,
    shop: str = SHOP,
) -> tuple[str, str | None]:
    """Have Shopify deliver a webhook and process it; its final status and note."""
    ref = await send_webhook(running_app, topic, payload, shop=shop)
    await running_app.drain(only_webhooks=True)
    return await delivery_status(running_app, ref.webhook_id)


async def delivery_status(running_app: RunningApp, webhook_id: str) -> tuple[str, str | None]:
    """The status of a delivery, and the note on it."""
    rows = await running_app.rows(
        "SELECT status, note FROM webhook_deliveries WHERE webhook_id = :id", id=webhook_id
    )
    assert len(rows) == 1
    return rows[0]["status"], rows[0]["note"]


# Rows


async def waiting_job(
    running_app: RunningApp,
    *,
    shop: str = SHOP,
    request: dict[str, Any] | None = None,
    customer_id: str | None = None,
) -> JobRef:
    """A job that no worker has claimed."""
    shop_id = (await running_app.rows("SELECT id FROM shops WHERE domain = :d", d=shop))[0]["id"]
    async with running_app.database.transaction() as connection:
        ref = await request_job(
            connection,
            CATALOG_IMAGE,
            shop_id=shop_id,
            request=request or {},
            origin="storefront" if customer_id else "webhook",
            customer_id=customer_id,
        )
    assert ref is not None
    return ref


async def claimed_job(running_app: RunningApp, **what: Any) -> JobLease:
    """A job that a worker has claimed and not worked on."""
    ref = await waiting_job(running_app, **what)
    async with running_app.database.transaction() as connection:
        claimed = await lease_job(connection, ref)
    assert claimed is not None
    return claimed


async def make_stage(
    running_app: RunningApp,
    job: JobLease,
    stage: str,
    *,
    role: str = "intermediate",
    pictures: int = 1,
) -> list[str]:
    """Record a stage of a claimed job, with images in the bucket; their keys."""
    keys = [
        await stored_picture(running_app, job.ref, stage, f"picture-{number}")
        for number in range(pictures)
    ]
    meta = {"content_type": "image/png", "width": 1, "height": 1}
    async with running_app.database.transaction() as connection:
        await advance(
            connection,
            job,
            stage=stage,
            message=f"Made {stage}",
            progress={"progress": {"done": 1, "total": 5}},
            checkpoint=Checkpoint(files=dict(numbered_names(keys)), facts={}),
            artifacts=[
                NewArtifact(
                    name=name, role=role, kind="catalog_image", label=None, key=key, meta=meta
                )
                for name, key in numbered_names(keys)
            ],
        )
    return keys


def numbered_names(keys: list[str]) -> list[tuple[str, str]]:
    """Each key with a numbered name."""
    return [(f"picture-{number}", key) for number, key in enumerate(keys)]


async def stored_picture(running_app: RunningApp, ref: JobRef, stage: str, name: str) -> str:
    """Store an object of a job; its key."""
    data = f"{ref.public_id} {stage} {name}".encode()
    key = artifact_key(shop_id=ref.shop_id, job_id=ref.public_id, stage=stage, name=name, data=data)
    await running_app.worker_context.store.put(key, data, content_type="image/png")
    return key


async def finished_job(running_app: RunningApp, **what: Any) -> tuple[JobRef, list[str]]:
    """A succeeded job with one intermediate and two final images; and their keys."""
    job = await claimed_job(running_app, **what)
    keys = await make_stage(running_app, job, "segment")
    keys += await make_stage(running_app, job, "encode", role="final", pictures=2)
    async with running_app.database.transaction() as connection:
        await succeed(connection, job, {"progress": {"done": 5, "total": 5}})
    return job.ref, keys


async def privacy_request(
    running_app: RunningApp, *, shop: str = SHOP, customer_id: str = "191167"
) -> str:
    """A customer's request for their data; its public id."""
    public_id = new_public_id()
    await running_app.execute(
        "INSERT INTO privacy_requests (shop_id, public_id, shopify_id, customer_id, requested_at) "
        "SELECT id, :public_id, :number, :customer, now() FROM shops WHERE domain = :d",
        public_id=public_id,
        number=uuid.uuid4().int % 10**15,
        customer=customer_id,
        d=shop,
    )
    return public_id


async def failed_job(running_app: RunningApp, failure: Failure) -> JobRef:
    """A job that has failed."""
    job = await claimed_job(running_app)
    async with running_app.database.transaction() as connection:
        await fail(connection, job, failure)
    return job.ref


async def fingerprint(running_app: RunningApp, shop: str = SHOP) -> dict[str, str]:
    """A checksum of a shop's rows for each table, without deliveries."""
    tables = {"shops": "t.id = s.id"} | dict.fromkeys(TENANT_TABLES, "t.shop_id = s.id")
    sums = (
        f"SELECT '{table}' AS name, "
        "md5(coalesce(string_agg(t::text, '|' ORDER BY t::text), '')) AS sum "
        f"FROM {table} t JOIN shops s ON {belongs} WHERE s.domain = :d"
        for table, belongs in tables.items()
    )
    rows = await running_app.rows(" UNION ALL ".join(sums), d=shop)
    return {row["name"]: row["sum"] for row in rows}


async def missing_objects(running_app: RunningApp, keys: list[str]) -> list[str]:
    """Which of the objects are gone from the bucket."""
    return [key for key in keys if not await is_stored(running_app, key)]


async def is_stored(running_app: RunningApp, key: str) -> bool:
    """Whether the bucket lists the object."""
    store = running_app.worker_context.store
    found = store.client.list_objects_v2(Bucket=store.bucket, Prefix=key)
    return found["KeyCount"] == 1


async def jobs_of(shared_app: RunningApp, shop: str) -> list[dict[str, Any]]:
    """The shop's jobs, oldest first."""
    return await shared_app.rows(
        "SELECT j.* FROM jobs j JOIN shops s ON s.id = j.shop_id "
        "WHERE s.domain = :d ORDER BY j.created_at",
        d=shop,
    )
