"""A merchant's whole way, from the first visit to the restored originals, step by step.

`test_story.py` checks each step on the real stack, and `screenshots.py` takes its pictures for
`docs/page.md`.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from playwright.async_api import Locator, expect

from backend.dev.shopify import Media, ProductRecord
from tests.page.admin_page import AdminPage
from tests.page.shops import JOB_TIMEOUT, Shop

GARMENT = "tee_navy"
TITLE = "Navy tee"
RENDERED = JOB_TIMEOUT * 1000  # milliseconds

See = Callable[[str], Awaitable[None]]


@dataclass(kw_only=True)
class Story:
    """The steps in their order. `see` is told when a step can be looked at."""

    admin: AdminPage
    shop: Shop
    see: See

    async def tell(self) -> None:
        """All of it."""
        product = self.shop.product(GARMENT, TITLE)
        originals = self.media(product)
        await self.open_from_the_admin()
        await self.pick(TITLE)
        await self.watch_the_job()
        await self.compare()
        await self.publish()
        await self.see_it_on(product, originals)
        await self.restore()
        assert self.media(product) == originals

    async def open_from_the_admin(self) -> None:
        """The first visit shows the setup guide."""
        await self.admin.open()
        await expect(self.heading("Set up Atelier")).to_be_visible()
        await self.admin.loaded()
        await self.see("1_setup_guide")

    async def pick(self, title: str) -> None:
        """Choose a product in Shopify's picker, look at the price, and start."""
        await self.link("Choose products and make images of them").click()
        await self.button("Choose products").click()
        await self.admin.page.locator("#picker").get_by_label(title).check()
        await self.see("2_picker")
        await self.admin.page.locator("#picker").get_by_role("button", name="Select").click()
        await expect(self.admin.app.get_by_text("1 product × 1 credit").first).to_be_visible()
        await self.button("Make images").click()
        await self.in_modal("confirm", "Make images").click()

    async def watch_the_job(self) -> None:
        """The job's stages come by themselves, until its images are there."""
        await self.admin.page.wait_for_url("**/jobs/*")
        stages = self.admin.app.get_by_role("listitem")
        await expect(stages.nth(1)).to_be_visible()
        await self.see("3_live_job")
        slider = self.admin.app.locator("atelier-compare")
        await expect(slider).to_be_visible(timeout=RENDERED)

    async def compare(self) -> None:
        """The image waits for review; the slider shows the original and the result."""
        await self.admin.home.click()
        slider = self.admin.app.locator("#queue atelier-compare").first  # the job has one, too
        await expect(slider).to_be_visible()
        await slider.scroll_into_view_if_needed()
        await self.see("4_compare")

    async def publish(self) -> None:
        """The job's page shows the product's media as they will be, and publishes."""
        await self.link(TITLE).click()
        place = self.admin.app.locator("s-select", has_text="At the end").first
        await place.locator("select").select_option("1")
        publish = self.admin.app.get_by_role("button", name="Publish", exact=True)
        await publish.scroll_into_view_if_needed()
        await self.see("5_publish")
        await publish.click()

    async def see_it_on(self, product: ProductRecord, originals: list[tuple[str, str]]) -> None:
        """The image is the product's first one; the originals follow."""
        await self.says("The images are on the product.")
        await self.admin.loaded()
        await self.see("6_published")
        [ours, *others] = self.media(product)
        assert others == originals
        assert ours[1] == TITLE

    async def restore(self) -> None:
        """One button takes our images away and leaves the product as it was."""
        await self.button("Restore originals").click()
        await self.see("7_restore")
        await self.in_modal("restore", "Restore originals").click()
        await self.says("The product has its original images again.")
        await self.admin.loaded()
        await self.see("8_restored")

    # What is on the screen

    def heading(self, name: str) -> Locator:
        """A heading in the app."""
        return self.admin.app.get_by_role("heading", name=name)

    def link(self, name: str) -> Locator:
        """A link in the app."""
        return self.admin.app.get_by_role("link", name=name).first

    def button(self, name: str) -> Locator:
        """A button in the app."""
        return self.admin.app.get_by_role("button", name=name).first

    def in_modal(self, modal: str, name: str) -> Locator:
        """A button of the modal that is open."""
        return self.admin.app.locator(f"s-modal#{modal}").get_by_role("button", name=name)

    async def says(self, text: str) -> None:
        """Wait until the app says so: a publication takes its steps."""
        await expect(self.admin.app.get_by_text(text).first).to_be_visible(timeout=RENDERED)

    def media(self, product: ProductRecord) -> list[tuple[str, str]]:
        """URL and alt text of the product's media in Shopify, in their order."""
        media: tuple[Media, ...] = self.shop.stack.shopify.current(product).media
        return [(each.url, each.alt or "") for each in media]
