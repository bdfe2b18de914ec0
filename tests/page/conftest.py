"""One browser and one real stack for the session; a shop and a tab of its own for each test.

Only Shopify is replaced: its Admin API, its admin and its script CDN. A console error, an uncaught
error, a CSP violation, a failed request or an error answer fails the test, unless it was expected
with `problems.allow`.
"""

import contextlib
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import Browser, ViewportSize, async_playwright

from backend.dev.shopify import StandInShopify
from backend.dev.stack import Stack, local_stack
from tests.page.admin_page import TIMEOUT, AdminPage
from tests.page.chromium import FLAGS, chromium_path
from tests.page.problems import Problems
from tests.page.shops import Shop, open_shop
from tests.page.web_server import WebServer

VIEWPORT: ViewportSize = {"width": 1280, "height": 800}

FAILED = pytest.StashKey[bool]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]):
    """Remember for the fixtures whether the test itself has failed."""
    report = yield
    if report.when == "call":
        item.stash[FAILED] = report.failed
    return report


@pytest.fixture(scope="session")
async def stack() -> AsyncIterator[Stack]:
    """Postgres, bucket, web and worker as `atelier dev` starts them, and the stand-in Shopify."""
    async with local_stack() as running:
        yield running


@pytest.fixture(scope="session")
async def web(stack: Stack) -> AsyncIterator[WebServer]:
    """The web process of the stack, which can be stopped and started again."""
    server = WebServer(stack)
    yield server
    await server.close()


@pytest.fixture(scope="session")
async def browser() -> AsyncIterator[Browser]:
    """Chromium. There are no browser tests without it, so that it fails instead of skipping."""
    async with async_playwright() as playwright:
        chromium = playwright.chromium
        path = chromium_path(chromium.executable_path)
        launched = await chromium.launch(executable_path=path, args=FLAGS)
        yield launched
        await launched.close()


@pytest.fixture
async def shop(stack: Stack) -> Shop:
    """A new shop with the app installed."""
    return await open_shop(stack)


@pytest.fixture
def problems() -> Problems:
    """What went wrong in the browser during this test."""
    return Problems()


@pytest.fixture
async def admin(
    browser: Browser, shop: Shop, problems: Problems, request: pytest.FixtureRequest
) -> AsyncIterator[AdminPage]:
    """A tab in the shop's admin; not opened yet."""
    shopify = shop.stack.shopify
    async with opened_admin(browser, shopify, shop.domain, problems, request) as page:
        yield page


@contextlib.asynccontextmanager
async def opened_admin(
    browser: Browser,
    shopify: StandInShopify,
    shop: str,
    problems: Problems,
    request: pytest.FixtureRequest,
) -> AsyncIterator[AdminPage]:
    """A tab in that shop's admin. Fails at the end if there were problems nobody expected."""
    context = await browser.new_context(viewport=VIEWPORT)
    context.set_default_timeout(TIMEOUT)
    problems.watch(context)
    page = await context.new_page()
    yield AdminPage(page=page, shopify=shopify, shop=shop, problems=problems)
    if request.node.stash.get(FAILED, False):
        picture = Path(tempfile.mkdtemp(prefix="atelier-page-"), "failed.png")
        await page.screenshot(path=picture)
        print(f"Screenshot: {picture}", *problems.found, sep="\n")
    await context.close()
    assert problems.unexpected == []
