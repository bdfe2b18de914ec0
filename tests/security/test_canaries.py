"""A run of the product's processes with searchable secrets, none of which may leak.

`atelier serve` and `atelier worker` carry a photo to pictures and publish them, while a client
knocks with what is nearly right. Then whatever they said, and every row they wrote, is searched
(T-44, T-46; promise 25).
"""

import base64
import os
import re
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import msgspec
import pytest

from backend.dev import signing
from backend.dev.providers import StandInProvider
from backend.dev.services import LocalServices
from backend.renderers.base import Renderer
from tests.backend.uploads.multipart_forms import picture
from tests.conftest import settings_for
from tests.flows.processes import (
    running_web_process,
    running_worker_process,
    wait_for_end,
    wait_for_row,
)
from tests.running_app import SHOP, RunningApp, cloned_database, open_running_app
from tests.scenarios import expire_token, webhook_headers
from tests.security.database_dump import dump_rows

pytestmark = pytest.mark.slow  # it starts processes

CURRENT, PREVIOUS = "canary-current-client-secret-7d1f", "canary-previous-client-secret-9b2e"
KEY_BYTES = [os.urandom(32) for _ in range(2)]


@pytest.fixture
async def provider() -> AsyncIterator[StandInProvider]:
    """A hosted provider with keys that occur nowhere else."""
    async with StandInProvider(seconds=0.01) as found:
        found.state.fal_key, found.state.fashn_key = "canary-fal-key", "canary-fashn-key"
        yield found


@pytest.fixture
async def running_app(
    services: LocalServices, template: str, renderer: Renderer, provider: StandInProvider
) -> AsyncIterator[RunningApp]:
    """A running app with secrets that occur nowhere else."""
    keys = ",".join(
        f"k{number}:{base64.b64encode(key).decode()}" for number, key in enumerate(KEY_BYTES)
    )
    async with cloned_database(services.postgres.url(), template) as url:
        settings = msgspec.structs.replace(
            settings_for(services, url),
            shopify_api_secret=CURRENT,
            shopify_api_secret_previous=PREVIOUS,
            token_keys=keys,
            engines="dress=fal",
            **provider.settings,
        )
        async with open_running_app(settings, renderer) as running:
            yield running


def canaries(services: LocalServices, sent: list[str]) -> dict[str, str]:
    """What to search for, by what it is: patterns of each class of secret."""
    keys = [base64.b64encode(key).decode() for key in KEY_BYTES]
    return {
        "a client secret, or a provider's key": f"{CURRENT}|{PREVIOUS}|canary-",
        "a key of the tokens": "|".join(
            re.escape(form) for key in keys for form in (key, key.rstrip("="))
        )
        + "|"
        + "|".join(key.hex() for key in KEY_BYTES),
        "an access or refresh token": r"shp(at|rt|ca|ss)_\w+",
        "a session token": r"eyJ[\w-]{8,}\.[\w-]+\.[\w-]+",
        "the store's secret key": re.escape(services.s3.secret_key),
        "a presigned URL": r"X-Amz-(Signature|Credential)",
        "a signature": "|".join(re.escape(each) for each in sent),
    }


async def send_secrets_everywhere(client: httpx.AsyncClient, running_app: RunningApp) -> list[str]:
    """Requests with secrets everywhere that a request has room for; the signatures that it sent."""
    token = running_app.shopify.id_token(SHOP)
    body = b'{"id": 1}'
    hmac = signing.webhook_signature(body, CURRENT)
    pairs = {"shop": SHOP, "timestamp": str(int(time.time())), "logged_in_customer_id": ""}
    proxied = signing.app_proxy_query(pairs, CURRENT)
    bearer = {"Authorization": f"Bearer {token}"}
    for path in (f"/v1/jobs/{token}", f"/{token}", f"/v1/jobs?id_token={token}&cursor={token}"):
        await client.get(path, headers=bearer)
        await client.get(path, headers={"Authorization": f"Bearer {token}x", "Cookie": token})
    await client.post("/webhooks", content=b"[]", headers=webhook_headers(body, secret=CURRENT))
    await client.post("/webhooks", content=body, headers=webhook_headers(body, secret=CURRENT))
    await client.get(f"/proxy/v1/jobs/x?{proxied}")
    await client.get(f"/v1/jobs?{proxied}", headers={"X-Shopify-Hmac-Sha256": hmac})
    await client.post("/v1/catalog-image", content=token, headers=bearer)
    await client.post("/v1/catalog-image", json={token: token}, headers=bearer)
    return [hmac, proxied.rpartition("=")[2]]


async def dress_at_provider(
    client: httpx.AsyncClient, running_app: RunningApp, provider: StandInProvider, product: str
) -> None:
    """A job whose picture a provider makes, after an outage that is logged."""
    provider.order_fault("status_error")
    answer = await client.post(
        "/v1/product-to-model-direct",
        json={"product_id": product, "category": "top"},
        headers=running_app.bearer(),
    )
    assert answer.status_code == 202, answer.text
    detail = await wait_for_end(running_app, answer.json()["job_id"])
    assert [each.status for each in provider.predictions] == ["done"], detail
    assert detail["status"] == "SUCCESS"


async def test_no_secret_appears_in_process_output_or_storage(
    running_app: RunningApp, services: LocalServices, provider: StandInProvider, tmp_path: Path
) -> None:
    log, said = tmp_path / "worker.log", tmp_path / "web.log"
    running_app.shopify.create_shop(SHOP)
    async with (
        running_web_process(running_app, said) as (web, port),
        running_worker_process(running_app, log) as working,
    ):
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
            running_app.shopify.fail_next("exchange", 503)
            for _ in range(2):
                await client.post("/v1/installation", headers=running_app.bearer())
            await client.post(
                "/v1/uploads", files={"file": picture()}, headers=running_app.bearer()
            )
            sent = await send_secrets_everywhere(client, running_app)
            running_app.shopify.app_url = str(client.base_url).rstrip("/")
            product = running_app.product()
            await expire_token(running_app, SHOP)
            running_app.shopify.lose_next_answer("refresh")
            running_app.shopify.fail_next("graphql", 503)
            await running_app.send("products/create")
            await wait_for_row(
                running_app, "SELECT 1 FROM jobs WHERE request->>'product_id' = :g", g=product.gid
            )
            job = (await running_app.rows("SELECT public_id FROM jobs"))[0]["public_id"]
            detail = await wait_for_end(running_app, job)
            assert detail["status"] == "SUCCESS"
            digests = [item["meta"]["sha256"] for item in detail["result"]]  # type: ignore[attr-defined]
            answer = await client.post(
                f"/v1/jobs/{job}/publication",
                json={"artifacts": [{"sha256": digest} for digest in digests]},
                headers=running_app.bearer(),
            )
            assert answer.status_code == 202, answer.text
            await wait_for_row(running_app, "SELECT 1 FROM publications WHERE status = 'PUBLISHED'")
            await dress_at_provider(client, running_app, provider, product.gid)
        for process in (web, working):
            process.send_signal(signal.SIGTERM)
            await process.wait()
    written = {
        "the web process": said.read_text(),
        "the worker": log.read_text(),
        "the database": await dump_rows(running_app),
    }
    assert '"route":"/v1/jobs/{public_id}"' in written["the web process"].replace(": ", ":")
    assert job in written["the worker"] or "worker_stopped" in written["the worker"]
    assert "v1.k0." in written["the database"]
    found = {
        f"{what} in {where}"
        for where, text in written.items()
        for what, pattern in canaries(services, sent).items()
        if re.search(pattern, text)
    }
    assert found == set()
