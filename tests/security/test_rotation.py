"""Secrets and keys rotate while the service runs, without a refused request (T-08, T-42).

Each step is what an operator does: start processes with the next settings beside the old ones,
let the old ones go, and only then take the next step.
"""

import asyncio
import contextlib
import itertools
import json
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import httpx
import msgspec
import pytest

from backend.auth.signed_request import signed_request
from backend.dev import signing
from backend.dev.transport import LoopbackShopify
from backend.settings import Settings
from backend.shops.admin_api import AdminApi
from backend.shops.token_encryption import generate_key
from backend.shops.tokens import installed_shop
from backend.worker.reencryption import reencrypt_all
from tests.running_app import SHOP, RunningApp, serve_app
from tests.scenarios import expire_token, open_shared_app, webhook_headers

pytestmark = pytest.mark.slow

shared_app = pytest.fixture(open_shared_app, scope="module")

OLD, NEW = "the-secret-before-the-rotation", "the-secret-after-the-rotation"


@contextlib.asynccontextmanager
async def process(running_app: RunningApp, settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    """A web process with these settings."""
    async with (
        serve_app(settings, LoopbackShopify(running_app.shopify.origin)) as url,
        httpx.AsyncClient(base_url=url, timeout=30) as client,
    ):
        yield client


async def every_route(client: httpx.AsyncClient, settings: Settings, secret: str) -> list[int]:
    """One request of each kind, signed with this secret."""
    token = signing.session_token(SHOP, api_key=settings.shopify_api_key, secret=secret)
    now = int(time.time())
    url, signature = signed_request(
        secret.encode(), method="GET", url="/v1/jobs", shop=SHOP, body=b"", now=now
    )
    body = json.dumps({"id": now}).encode()
    pairs = {"shop": SHOP, "timestamp": str(now), "logged_in_customer_id": ""}
    proxied = signing.app_proxy_query(pairs, secret)
    answers = [
        await client.get("/v1/jobs", headers={"Authorization": f"Bearer {token}"}),
        await client.get(url, headers={"X-Shopify-Hmac-Sha256": signature}),
        await client.post("/webhooks", content=body, headers=webhook_headers(body, secret=secret)),
        await client.get(f"/proxy/v1/jobs/{'0' * 26}?{proxied}"),  # 404: it is let in
    ]
    return [answer.status_code for answer in answers]


OPEN, SHUT = [200, 200, 200, 404], [401, 401, 401, 401]


async def test_the_client_secret_rotates_without_a_refused_request(
    shared_app: RunningApp,
) -> None:
    before, during, after = (
        msgspec.structs.replace(
            shared_app.settings, shopify_api_secret=current, shopify_api_secret_previous=previous
        )  # the previous one's end is a day away
        for current, previous in ((OLD, ""), (NEW, OLD), (NEW, ""))
    )
    async with (
        process(shared_app, before) as first,
        process(shared_app, during) as second,
        process(shared_app, after) as third,
    ):
        steps = [  # which processes are in service, and with which secrets Shopify signs
            ([first], [OLD]),
            ([first, second], [OLD]),
            ([second], [OLD, NEW]),
            ([second], [NEW]),
            ([second, third], [NEW]),
            ([third], [NEW]),
        ]
        refused = [
            number
            for number, (processes, secrets) in enumerate(steps)
            for client, secret in itertools.product(processes, secrets)
            for _ in range(5)
            if await every_route(client, before, secret) != OPEN
        ]
        assert refused == []
        assert await every_route(third, before, OLD) == SHUT, "and then the old one is dead"
        assert await every_route(first, before, NEW) == SHUT
        for client in (first, second, third):
            assert await every_route(client, before, "") == SHUT


@pytest.mark.parametrize(
    ("current", "previous", "ends_in", "opens"),
    [
        (OLD, "", None, {OLD}),
        (NEW, "", None, {NEW}),
        (NEW, OLD, 3600, {NEW, OLD}),
        (NEW, OLD, 0, {NEW}),
        (NEW, OLD, None, {NEW}),
    ],
    ids=["old alone", "new alone", "both", "both, and the old one has ended", "both, no end"],
)
async def test_each_endpoint_accepts_only_currently_valid_secrets(
    shared_app: RunningApp, current: str, previous: str, ends_in: int | None, opens: set[str]
) -> None:
    not_after = None if ends_in is None else datetime.now(UTC) + timedelta(seconds=ends_in)
    settings = rotating(shared_app, current, previous, not_after)
    async with process(shared_app, settings) as client:
        for secret in (OLD, NEW, ""):
            expected = OPEN if secret in opens else SHUT
            assert await every_route(client, settings, secret) == expected, secret


async def test_the_previous_secret_expires_in_a_running_process(shared_app: RunningApp) -> None:
    """And with it what the process has remembered of tokens that the secret had signed."""
    ends_at = datetime.now(UTC) + timedelta(seconds=2)
    settings = rotating(shared_app, NEW, OLD, ends_at)
    token = signing.session_token(SHOP, api_key=settings.shopify_api_key, secret=OLD)
    job = f"/v1/jobs/{'0' * 26}"  # the address that is answered before the framework is entered
    bearer = {"Authorization": f"Bearer {token}"}
    async with process(shared_app, settings) as client, asyncio.timeout(10):
        assert await every_route(client, settings, OLD) == OPEN
        status = 404
        while status == 404:
            status = (await client.get(job, headers=bearer)).status_code
            await asyncio.sleep(0.05)
        assert status == 401
        assert datetime.now(UTC) >= ends_at
        assert await every_route(client, settings, OLD) == SHUT
        assert await every_route(client, settings, NEW) == OPEN


def rotating(
    shared_app: RunningApp, current: str, previous: str, not_after: datetime | None
) -> Settings:
    """The settings of a process with these secrets."""
    return msgspec.structs.replace(
        shared_app.settings,
        shopify_api_secret=current,
        shopify_api_secret_previous=previous,
        shopify_api_secret_previous_not_after=not_after,
    )


async def used(shared_app: RunningApp, shops: list[str], *generations: AdminApi) -> int:
    """Have each process read each shop's token, and renew and write it; how often that was."""
    for admin, shop, is_due in itertools.product(generations, shops, (False, True)):
        if is_due:
            await expire_token(shared_app, shop)
        assert await installed_shop(shared_app.database, admin, shop) is not None
    return len(generations) * len(shops) * 2


async def test_token_keys_rotate_without_an_unreadable_token(
    shared_app: RunningApp,
) -> None:
    first, new = shared_app.settings.token_keys, generate_key()
    shops = [f"shop-{number}.myshopify.com" for number in range(4)]
    for shop in shops:
        await shared_app.install(shop)
    async with contextlib.AsyncExitStack() as stack:
        knows_old, opens_new, seals_new, forgets_old = [
            await stack.enter_async_context(generation(shared_app, keys))
            for keys in (first, f"{first},{new}", f"{new},{first}", new)
        ]
        for overlap in ((knows_old, opens_new), (opens_new, seals_new)):
            assert await used(shared_app, shops, *overlap)
        tally, _ = await asyncio.gather(
            reencrypt_all(shared_app.database, seals_new.token_keys, lambda _: None),
            used(shared_app, shops, seals_new),
        )
        assert (tally.left, tally.unreadable) == (0, 0)
        assert await used(shared_app, shops, seals_new, forgets_old)
    prefix = forgets_old.token_keys.prefix
    rows = await shared_app.rows("SELECT access_token, refresh_token FROM shops")
    assert all(token.startswith(prefix) for row in rows for token in row.values())


@contextlib.asynccontextmanager
async def generation(shared_app: RunningApp, keys: str) -> AsyncIterator[AdminApi]:
    """What a process that was started with these keys works with."""
    settings = msgspec.structs.replace(shared_app.settings, token_keys=keys)
    admin = AdminApi(settings, LoopbackShopify(shared_app.shopify.origin))
    yield admin
    await admin.close()
