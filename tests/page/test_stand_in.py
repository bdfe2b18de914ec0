"""The stand-in admin and CDN: what a page can do in it, and each mistake that it reports."""

import re
from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Browser, expect

from backend.dev.shopify import StandInShopify
from backend.dev.stack import GARMENTS
from tests.page.admin_page import AdminPage
from tests.page.conftest import opened_admin
from tests.page.problems import Problems
from tests.page.tiny_app import TinyApp, tiny_app
from tests.wait import wait_until

SHOP = "tiny.myshopify.com"


@pytest.fixture(scope="module")
async def served() -> AsyncIterator[tuple[TinyApp, StandInShopify]]:
    async with tiny_app() as running:
        yield running


@pytest.fixture
def tiny(served: tuple[TinyApp, StandInShopify]) -> TinyApp:
    """The app, as it was at first."""
    app, _ = served
    fresh = TinyApp(cdn=app.cdn, origin=app.origin)
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


MISTAKES = {
    "unknown attribute": ('<s-badge colour="red">New</s-badge>', 'has no attribute "colour"'),
    "unknown value": ('<s-badge tone="danger">New</s-badge>', 'tone="danger"> is not'),
    "unknown size": ('<s-box padding="huge"></s-box>', 'padding="huge"> is not spaces'),
    "not a number": ('<s-progress max="many"></s-progress>', 'max="many"> is not number'),
    "unknown element": ("<s-card></s-card>", "<s-card> is no element of Polaris"),
    "unknown icon": ('<s-icon type="unicorn"></s-icon>', 'type="unicorn"> is not icon'),
    "unknown slot": ('<s-badge slot="nowhere">New</s-badge>', 'no slot "nowhere" of <s-page>'),
    "wrong child": ("<s-select label='Size'><s-box></s-box></s-select>", "cannot be in <s-select>"),
    "text for nobody": ("<s-table>Nothing</s-table>", "<s-table> shows no text of its own"),
    "child of a leaf": ("<s-divider><s-text>No</s-text></s-divider>", "there is no <s-divider>"),
    "no such command target": (
        '<s-button commandFor="gone" command="--show">Open</s-button>',
        'commandfor="gone">: no element has this id',
    ),
    "title bar variant": (
        '<s-button slot="primary-action" variant="tertiary">Go</s-button>',
        "<s-page> wants variant primary",
    ),
    "second menu": (
        "<s-app-nav></s-app-nav><s-app-nav></s-app-nav>",
        "a document can have only one <s-app-nav>",
    ),
}
CALLS = {
    "property of the wrong kind": (
        "document.createElement('s-button').disabled = 'yes'",
        "disabled is a string, not boolean",
    ),
    "unknown event": (
        "document.createElement('s-banner').addEventListener('close', () => {})",
        '<s-banner> has no event "close"',
    ),
    "unknown toast option": (
        "shopify.toast.show('Saved', { error: true })",
        'toast.show has no option "error"',
    ),
    "unknown part of shopify": ("shopify.modal", "there is no shopify.modal"),
}


async def test_a_mistake_in_the_document_is_a_console_error(
    tiny: TinyApp, admin: AdminPage
) -> None:
    tiny.body = (
        f'<s-page heading="Tiny">{"".join(markup for markup, _ in MISTAKES.values())}</s-page>'
    )
    await admin.open()
    for _, complaint in MISTAKES.values():
        await reported(admin, complaint)


async def test_a_mistake_in_what_is_drawn_later_is_a_console_error(
    tiny: TinyApp, admin: AdminPage
) -> None:
    await admin.open()
    assert admin.problems.found == []
    for markup, complaint in MISTAKES.values():
        await admin.frame.evaluate(
            "markup => { document.querySelector('s-page').innerHTML = markup; }", markup
        )
        await reported(admin, complaint)
    for script, complaint in CALLS.values():
        await admin.frame.evaluate(f"() => {{ {script}; }}")
        await reported(admin, complaint)


@pytest.mark.parametrize(
    ("before", "complaint"),
    [
        ('<script src="/other.js"></script>', "it must be the first script"),
        ('<script src="data:text/javascript,1"></script>', "it must be the first script"),
    ],
)
async def test_app_bridge_wants_to_be_the_first_script(
    before: str, complaint: str, tiny: TinyApp, admin: AdminPage
) -> None:
    tiny.before_scripts = before
    admin.problems.allow("uncaught: .*Unexpected token '<'")  # it is the document
    await admin.open()
    await reported(admin, complaint)


async def test_a_request_to_another_origin_is_reported(tiny: TinyApp, admin: AdminPage) -> None:
    await admin.open()
    admin.problems.allow("failed GET|blocked by CORS policy")
    await admin.frame.evaluate("url => fetch(url).catch(() => {})", f"{tiny.cdn}/elsewhere")
    await reported(admin, "the admin is asked first")


async def reported(admin: AdminPage, complaint: str) -> None:
    """The complaint was made; it does not fail the test."""
    await wait_until(lambda: any(complaint in each for each in admin.problems.found))
    admin.problems.allow(re.escape(complaint))
