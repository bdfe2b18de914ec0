"""Real servers for the whole session, a fresh database for each test that asks for one."""

import asyncio
import gc
import secrets
import signal
from collections.abc import AsyncIterator, Generator, Iterator
from datetime import UTC, datetime, timedelta

import pytest
import structlog
from asyncpg import connect

import migrations
from backend.dev.services import LocalServices, local_services
from backend.renderers.base import Renderer
from backend.renderers.local import LocalRenderer
from backend.settings import MODEL_PATH, Settings
from backend.shops.token_encryption import generate_key
from tests.caching_renderer import CachingRenderer
from tests.running_app import RunningApp, cloned_database, open_running_app

TEMPLATE = "atelier_template"
BUCKET = "atelier-test"
SECRET = "the-current-client-secret-of-the-app"
PREVIOUS_SECRET = "the-previous-client-secret-of-the-app"
LONGEST_TEST_OF_A_DAY = timedelta(minutes=1)
OLDER_KEY = generate_key()  # of `TOKEN_KEYS`

# The default renderer prints all variables of a traceback, which blocks the loop for seconds.
structlog.configure(
    processors=[
        *structlog.get_config()["processors"][:-1],
        structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback),
    ]
)


# A shell's background ignores Ctrl-C, and so would the commands that tests start and interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

gc.disable()  # until `pytest_collection` has ended: next to nothing of the imports is garbage


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Exclude the objects of imports and collection from later garbage collections.

    Scanning these 300,000 objects again and again takes a tenth of the tests' time. What tests
    leave is collected more rarely than usual: an app is some 100,000 objects, made all at once.
    """
    try:
        return (yield)
    finally:
        gc.collect()
        gc.freeze()
        gc.set_threshold(50_000, 20, 20)
        gc.enable()


@pytest.fixture(scope="session")
def services() -> Iterator[LocalServices]:
    """Postgres and SeaweedFS, with the bucket in place."""
    with local_services(durable=False) as running, pytest.MonkeyPatch.context() as environment:
        running.s3.create_bucket(BUCKET)
        environment.setenv("AWS_ACCESS_KEY_ID", running.s3.access_key)
        environment.setenv("AWS_SECRET_ACCESS_KEY", running.s3.secret_key)
        environment.setenv("AWS_DEFAULT_REGION", "us-east-1")
        yield running


@pytest.fixture(scope="session")
async def template(services: LocalServices) -> str:
    """The name of a database that the migrations have built."""
    connection = await connect(services.postgres.url())
    await connection.execute(f"CREATE DATABASE {TEMPLATE}")
    await connection.close()
    await asyncio.to_thread(migrations.upgrade, services.postgres.url(TEMPLATE))
    return TEMPLATE


@pytest.fixture
async def database_url(services: LocalServices, template: str) -> AsyncIterator[str]:
    """A migrated database for this test alone."""
    async with cloned_database(services.postgres.url(), template) as url:
        yield url


@pytest.fixture
async def same_day() -> None:
    """For tests that count per day (UTC): wait until after midnight if it is near.

    Python's clock can be faked, but not that of Postgres.
    """
    now = datetime.now(UTC)
    midnight = (now + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
    if midnight - now < LONGEST_TEST_OF_A_DAY:
        await asyncio.sleep((midnight - now).total_seconds() + 0.1)


@pytest.fixture
def settings(services: LocalServices, database_url: str) -> Settings:
    """Settings in the middle of a rotation of the client secret."""
    return settings_for(services, database_url)


def settings_for(services: LocalServices, database_url: str) -> Settings:
    """Settings for that database, with an API key of their own."""
    return Settings(
        database_url=database_url,
        s3_endpoint_url=services.s3.endpoint_url,
        s3_bucket=BUCKET,
        shopify_api_key=secrets.token_hex(16),
        shopify_api_secret=SECRET,
        shopify_api_secret_previous=PREVIOUS_SECRET,
        shopify_api_secret_previous_not_after=datetime.now(UTC) + timedelta(days=1),
        token_keys=f"{generate_key()},{OLDER_KEY}",
        rate_limit_misses="1000000/minute",  # tests ask for much that is not there
        storefront_visitor_daily_cap=200,  # their visitors have no address
        quota_open_batches=0,  # those of a module share a shop
    )


@pytest.fixture(scope="session")
async def renderer() -> AsyncIterator[CachingRenderer]:
    """The real renderer; its child process serves the whole session, and renders nothing twice."""
    caching = CachingRenderer(LocalRenderer(MODEL_PATH))
    yield caching
    await caching.close()


@pytest.fixture
async def running_app(settings: Settings, renderer: Renderer) -> AsyncIterator[RunningApp]:
    """The whole app, running on a database of its own."""
    async with open_running_app(settings, renderer) as running:
        yield running
