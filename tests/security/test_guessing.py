"""Ids cannot be guessed: they are too many, tries are limited, and responses reveal nothing.

T-20 and T-21; how long a 404 takes is `tests/faults/test_timing.py`'s matter.
"""

import time
from collections.abc import AsyncIterator, Awaitable, Callable

import httpx
import msgspec
import pytest

from backend.auth.not_found_limit import NotFoundLimit
from backend.dev import signing
from backend.dev.services import LocalServices
from backend.errors import ConfigurationError
from backend.jobs.ids import new_public_id
from backend.renderers.base import Renderer
from backend.settings import Settings
from tests.conftest import SECRET, settings_for
from tests.running_app import RunningApp, cloned_database, open_running_app
from tests.scenarios import finished_job, new_shop, refusal

BUDGET = 5  # a day, so that no time passes that counts


@pytest.fixture(scope="module")
async def shared_app(
    services: LocalServices, template: str, renderer: Renderer
) -> AsyncIterator[RunningApp]:
    """A running app with a low limit of unknown ids."""
    async with cloned_database(services.postgres.url(), template) as url:
        settings = msgspec.structs.replace(
            settings_for(services, url), rate_limit_misses=f"{BUDGET}/day"
        )
        async with open_running_app(settings, renderer) as running_app:
            yield running_app


@pytest.fixture
async def shop(shared_app: RunningApp) -> str:
    """A shop whose budget is whole."""
    return await new_shop(shared_app)


PAGES: dict[str, dict[str, str]] = {}


async def as_merchant(shared_app: RunningApp, shop: str, path: str) -> httpx.Response:
    """The embedded page asks with one token: first the route's way, then the short one."""
    bearer = PAGES.setdefault(shop, shared_app.bearer(shop))
    return await shared_app.http.get(f"/v1{path}", headers=bearer)


async def as_visitor(shared_app: RunningApp, shop: str, path: str) -> httpx.Response:
    """A visitor of the storefront asks."""
    pairs = {"shop": shop, "timestamp": str(int(time.time())), "logged_in_customer_id": ""}
    return await shared_app.http.get(f"/proxy/v1{path}?{signing.app_proxy_query(pairs, SECRET)}")


LEAST = {
    "DATABASE_URL": "postgresql://",
    "S3_BUCKET": "b",
    "SHOPIFY_API_KEY": "k",
    "SHOPIFY_API_SECRET": "s",
}
Asker = Callable[[RunningApp, str, str], Awaitable[httpx.Response]]
PLACES: list[tuple[Asker, str, str]] = [
    (as_merchant, "/jobs/{}", "JOB_NOT_FOUND"),
    (as_merchant, "/jobs/{}/events", "JOB_NOT_FOUND"),
    (as_merchant, "/jobs/{}/publication", "JOB_NOT_FOUND"),
    (as_merchant, "/batches/{}", "BATCH_NOT_FOUND"),
    (as_merchant, "/batches/{}/items", "BATCH_NOT_FOUND"),
    (as_visitor, "/jobs/{}", "JOB_NOT_FOUND"),
    (as_visitor, "/jobs/{}/events", "JOB_NOT_FOUND"),
]


@pytest.mark.parametrize(("ask", "path", "code"), PLACES)
async def test_too_many_unknown_ids_are_answered_with_429(
    shared_app: RunningApp, shop: str, ask: Asker, path: str, code: str
) -> None:
    other = await new_shop(shared_app)
    own, _ = await finished_job(shared_app, shop=shop)
    foreign, _ = await finished_job(shared_app, shop=other)
    guesses = [path.format(new_public_id()) for _ in range(BUDGET - 1)]
    answers = [await ask(shared_app, shop, guess) for guess in (*guesses, path.format("x"))]
    assert {refusal(answer) for answer in answers} == {(404, code)}
    for over in (new_public_id(), foreign.public_id, "x"):
        answer = await ask(shared_app, shop, path.format(over))
        assert refusal(answer) == (429, "RATE_LIMITED")
        assert int(answer.headers["retry-after"]) >= 1
    assert (await as_merchant(shared_app, shop, f"/jobs/{own.public_id}")).status_code == 200
    assert refusal(await ask(shared_app, other, path.format("x"))) == (404, code)


def test_the_default_limit_is_sixty_unknown_ids_a_minute() -> None:
    assert Settings.from_env(LEAST).rate_limit_misses == "60/minute"


def test_an_unreadable_limit_stops_the_start() -> None:
    with pytest.raises(ConfigurationError, match="600/minute"):
        NotFoundLimit("some")
