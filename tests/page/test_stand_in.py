"""The stand-in admin and CDN: what a page can do in it, and each mistake that it reports."""

from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Browser, expect

from backend.dev.shopify import StandInShopify
from backend.dev.stack import GARMENTS
from tests.page.admin_page import AdminPage
from tests.page.conftest import opened_admin
from tests.page.problems import Problems
from tests.page.tiny_app import TinyApp, tiny_app

SHOP = "tiny.myshopify.com"


@pytest.fixture(scope="module")
async def served() -> AsyncIterator[tuple[TinyApp, StandInShopify]]:
    async with tiny_app() as running:
        yield running


@pytest.fixture
def tiny(served: tuple[TinyApp, StandInShopify]) -> TinyApp:
    """The app, as it was at first."""
    app, _ = served
    fresh = TinyApp(cdn=app.cdn)
    app.__dict__.update(fresh.__dict__)
    return app


@pytest.fixture
async def admin(
    browser: Browser,
    served: tuple[TinyApp, StandInShopify],
    problems: Problems,
    request: pytest.FixtureRequest,
) -> AsyncIterator[AdminPage]:
    _, shopify = served
    shopify.create_shop(SHOP)
    async with opened_admin(browser, shopify, SHOP, problems, request) as page:
        yield page


async def test_the_title_bar_shows_the_pages_heading_badge_and_actions(
    tiny: TinyApp, admin: AdminPage
) -> None:
    tiny.body = """<s-page heading="Tiny"><s-badge slot="accessory">New</s-badge>
      <s-link slot="breadcrumb-actions" href="/list">List</s-link>
      <s-button slot="primary-action" variant="primary" id="go">Go</s-button></s-page>
      <script>document.getElementById("go").onclick = () => shopify.toast.show("Gone");</script>"""
    await admin.open()
    await expect(admin.title).to_have_text("Tiny New")
    await admin.action("Go").click()
    await expect(admin.toasts).to_have_text("Gone")


async def test_a_request_carries_a_new_token_and_is_repeated_once_when_it_was_stale(
    tiny: TinyApp, admin: AdminPage, served: tuple[TinyApp, StandInShopify]
) -> None:
    _, shopify = served
    await admin.open()
    tiny.stale_answers = 1
    shopify.expire_next_id_token()
    admin.problems.allow("401 GET /answer")
    assert await admin.call("GET", "/answer") == {"answer": "yes"}
    first, second = tiny.authorizations
    assert first != second
    assert first.startswith("Bearer ey")
    tiny.stale_answers = 2
    assert await admin.call("GET", "/answer") == {"answer": "stale"}  # not a third time


async def test_the_picker_returns_what_was_chosen_and_nothing_when_cancelled(
    tiny: TinyApp, admin: AdminPage, served: tuple[TinyApp, StandInShopify]
) -> None:
    _, shopify = served
    for title in ("Tee", "Dress"):
        shopify.create_product(SHOP, title, GARMENTS / "tee_navy.jpg")
    await admin.open()
    picked = """() => { window.picked = shopify.resourcePicker({
        type: "product", action: "select", multiple: true, filter: { variants: false } })
        .then((all) => all && all.map(({ title }) => title)); }"""
    await admin.frame.evaluate(picked)
    await admin.pick("Dress")
    assert await admin.frame.evaluate("window.picked") == ["Dress"]
    await admin.frame.evaluate(picked)
    await admin.cancel_picker()
    assert await admin.frame.evaluate("window.picked") is None


async def test_a_save_bar_asks_before_the_page_is_left(tiny: TinyApp, admin: AdminPage) -> None:
    tiny.body = """<s-app-nav><s-link href="/" rel="home">Tiny</s-link>
      <s-link href="/other">Other</s-link></s-app-nav>
      <s-page heading="Tiny"></s-page><ui-save-bar id="bar">
      <button variant="primary">Save</button><button id="discard">Discard</button></ui-save-bar>
      <script>document.getElementById("discard").onclick = () => { window.discarded = true; };
      document.addEventListener("shopify:navigate", (event) => {
        event.preventDefault(); history.pushState(null, "", event.target.getAttribute("href"));
      });</script>"""
    await admin.open()
    await admin.frame.evaluate("shopify.saveBar.show('bar')")
    await expect(admin.save_bar).to_be_visible()
    await admin.menu("Other").click()
    await admin.leave(stay=True)
    await expect(admin.save_bar).to_be_visible()
    assert not admin.page.url.endswith("/other")
    await admin.menu("Other").click()
    await admin.leave()
    await expect(admin.save_bar).to_be_hidden()
    await admin.page.wait_for_url("**/apps/atelier/other")
    assert await admin.frame.evaluate("window.discarded") is True
    await admin.page.go_back()
    await admin.page.wait_for_url("**/apps/atelier")
