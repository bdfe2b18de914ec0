"""Random requests, valid and invalid: no 5xx, and only documented responses.

`make fuzz` does the same with many more of them (`FUZZ_EXAMPLES`).
"""

import asyncio
import os
from collections.abc import AsyncIterator, Callable

import msgspec
import pytest

from backend.dev.services import LocalServices
from backend.renderers.base import Renderer
from tests.backend.openapi import credentials
from tests.backend.openapi.fuzzing import fuzz
from tests.conftest import settings_for
from tests.running_app import RunningApp, cloned_database, open_running_app
from tests.scenarios import finished_job, waiting_job

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "5"))  # for each operation, beside the edge cases
UPLOAD_KEY = "upl_" + "0" * 32

GUARDS_DOCUMENTED = {
    "a session token": (credentials.session_token, "^/v1/"),
    # The same routes behind the other key: one that reads and one that writes will do.
    "a signature": (credentials.signature, "^/v1/(jobs/.*/events|catalog-image)$"),
    "the app proxy": (credentials.app_proxy, "^/proxy/"),
    "a webhook": (credentials.webhook, "^/webhooks$"),
    "no key": (credentials.nothing, "^/health/"),
}
LONG = {"a session token", "a signature", "the app proxy"}  # callers with many routes


@pytest.fixture(scope="module")
async def populated_app(
    services: LocalServices, template: str, renderer: Renderer
) -> AsyncIterator[RunningApp]:
    """A running app with data in it and no rate limit."""
    async with cloned_database(services.postgres.url(), template) as url:
        settings = msgspec.structs.replace(
            settings_for(services, url),
            rate_limit_reads="1000000/minute",
            rate_limit_writes="1000000/minute",
            storefront_daily_cap=1_000_000,
            storefront_visitor_daily_cap=1_000_000,
            quota_open_jobs=0,
            quota_open_batches=0,
        )
        async with open_running_app(settings, renderer) as running_app:
            await running_app.install()
            await finished_job(running_app)
            await waiting_job(running_app)
            await running_app.execute(
                "INSERT INTO uploads (shop_id, upload_key, key, stored_at) "
                "SELECT id, :key, 'uploads/x.jpg', now() FROM shops",
                key=UPLOAD_KEY,
            )
            yield running_app


@pytest.mark.timeout(3600)
@pytest.mark.parametrize(
    ("key", "paths"),
    [
        pytest.param(*guard, id=name, marks=[pytest.mark.slow] if name in LONG else [])
        for name, guard in GUARDS_DOCUMENTED.items()
    ],
)
async def test_every_response_to_random_requests_is_documented(
    populated_app: RunningApp, key: Callable[[RunningApp], credentials.Sign], paths: str
) -> None:
    document = (await populated_app.http.get("/schema/openapi.json")).json()
    findings = await asyncio.to_thread(  # the app runs in this loop
        fuzz,
        document,
        base_url=str(populated_app.http.base_url),
        sign=key(populated_app),
        paths=paths,
        upload_key=UPLOAD_KEY,
        examples=EXAMPLES,
    )
    assert not findings.faults, "\n\n".join(findings.faults)
    assert findings.requests > 10
