"""The stand-in admin in a browser, as a merchant uses it: the app is in its iframe.

`frame` is for `evaluate`, and `app` for locators: `admin.app.get_by_role("button", name="Save")`.
Locators see into Polaris' shadow roots. Title bar, menu, save bar, toasts and the picker are the
admin's own, outside of the frame.
"""

from dataclasses import dataclass
from typing import Any, Literal

from playwright.async_api import Frame, FrameLocator, Locator, Page, expect

from backend.dev.shopify import StandInShopify
from tests.page.problems import Problems

TIMEOUT = 20_000  # milliseconds; the machine may be busy
SHOWN = "s-page"
VISIBILITY = """(state) => {
  Object.defineProperty(document, "visibilityState", { value: state, configurable: true });
  document.dispatchEvent(new Event("visibilitychange"));
}"""

expect.set_options(timeout=TIMEOUT)


@dataclass(kw_only=True)
class AdminPage:
    """One tab of a browser in one shop's admin."""

    page: Page
    shopify: StandInShopify
    shop: str
    problems: Problems

    async def open(self, path: str = "/", *, locale: str = "en") -> None:
        """Open the app at its page `path` (a query is kept), and wait until it has drawn it."""
        path, _, query = path.partition("?")
        if locale != "en":
            query = f"{query}&locale={locale}".removeprefix("&")
        url = self.shopify.admin_url(self.shop, path)
        await self.page.goto(f"{url}?{query}" if query else url)
        await self.app.locator(SHOWN).first.wait_for(state="attached")

    async def loaded(self) -> None:
        """Wait until nothing of the page is loading."""
        await expect(self.app.locator("s-spinner")).to_have_count(0)

    @property
    def app(self) -> FrameLocator:
        """The app's document, for locators."""
        return self.page.frame_locator("iframe[name=app-iframe]")

    @property
    def frame(self) -> Frame:
        """The app's document, for `evaluate`."""
        frame = self.page.frame(name="app-iframe")
        assert frame is not None, "the admin shows no app"
        return frame

    async def call(self, method: str, path: str, body: object = None) -> Any:
        """The JSON answer of a request that the page itself makes, with its session token."""
        return await self.frame.evaluate(
            """([method, path, body]) => fetch(path, {
                method,
                headers: body === null ? {} : { "Content-Type": "application/json" },
                body: body === null ? undefined : JSON.stringify(body),
            }).then((answer) => answer.json())""",
            [method, path, body],
        )

    async def make(self, state: Literal["hidden", "visible"]) -> None:
        """Go to another tab of the browser, or come back from it."""
        await self.frame.evaluate(VISIBILITY, state)

    # The admin's own parts

    @property
    def title(self) -> Locator:
        """The heading of the title bar."""
        return self.page.locator("#title-bar h1")

    def action(self, name: str) -> Locator:
        """A button of the title bar."""
        return self.page.locator("#title-bar").get_by_role("button", name=name)

    @property
    def home(self) -> Locator:
        """The app's name above its menu, which leads to its first page."""
        return self.page.locator("#home")

    def menu(self, name: str) -> Locator:
        """An entry of the app's menu."""
        return self.page.locator("#menu").get_by_role("link", name=name)

    @property
    def save_bar(self) -> Locator:
        """The bar that is there while changes are not saved."""
        return self.page.locator("#save-bar")

    async def save(self) -> None:
        """Press Save in the save bar."""
        await self.save_bar.get_by_role("button", name="Save").click()

    async def discard(self) -> None:
        """Press Discard in the save bar."""
        await self.save_bar.get_by_role("button", name="Discard").click()

    @property
    def toasts(self) -> Locator:
        """The toasts that show."""
        return self.page.locator("#toasts p")

    async def pick(self, *titles: str) -> None:
        """Choose these in the resource picker, which the page has opened."""
        picker = self.page.locator("#picker")
        for title in titles:
            await picker.get_by_label(title, exact=True).check()
        await picker.get_by_role("button", name="Select").click()

    async def cancel_picker(self) -> None:
        """Close the resource picker without a choice."""
        await self.page.locator("#picker").get_by_role("button", name="Cancel").click()

    async def leave(self, *, stay: bool = False) -> None:
        """Answer the admin's question whether to leave with unsaved changes."""
        name = "Stay" if stay else "Leave page"
        await self.page.locator("#leave").get_by_role("button", name=name).click()
