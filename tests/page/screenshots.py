"""Takes the pictures of the page for README and `docs/page.md`: `make screenshots`.

Of the running page, with the tests' own helpers: what they show is what the code does.
"""

import asyncio
import os
from pathlib import Path

import pyvips
from playwright.async_api import Page, ViewportSize, async_playwright, expect

from backend.dev.stack import Stack, local_stack
from tests.backend.webhook_endpoints.receiver import answer, open_receiver
from tests.page.admin_page import AdminPage
from tests.page.chromium import FLAGS, chromium_path
from tests.page.problems import Problems
from tests.page.shops import Shop, open_shop
from tests.page.story import RENDERED, Story
from tests.source_tree import ROOT

README_PICTURE = ROOT / "docs" / "page_review.webp"
STEPS = ROOT / "docs" / "page"
GARMENTS = {
    "tee_navy": "Navy tee",
    "dress_floral": "Floral dress",
    "breton_long_sleeve": "Breton shirt",
    "tee_white": "White tee",
}
MODELS: dict[str, dict[str, str]] = {
    "Ines": {"hair_color": "blonde", "pose": "walking"},
    "Tom": {"body": "male", "age_range": "50-59"},
    "Mara": {"hair_color": "black"},
}
CHARGED = {"BILLING": "manual", "PLANS_FILE": str(ROOT / "deploy" / "plans.toml")}
SIZE: ViewportSize = {"width": 1280, "height": 800}
QUALITY = 82  # WebP


async def main() -> None:
    """All sets; the files that are there are replaced."""
    async with async_playwright() as playwright:
        chromium = playwright.chromium
        path = chromium_path(chromium.executable_path)
        browser = await chromium.launch(executable_path=path, args=FLAGS)
        context = await browser.new_context(viewport=SIZE, reduced_motion="reduce")
        problems = Problems()
        problems.watch(context)
        page = await context.new_page()
        async with local_stack() as stack:
            await show_review(stack, page, problems)
            await show_story(stack, page, problems)
            await show_hosted_workflows(stack, page, problems)
            await show_webhooks(stack, page, problems)
        async with local_stack(environ={**os.environ, **CHARGED}) as stack:
            await show_credits_screen(stack, page, problems)
        await browser.close()
    if problems.found:
        raise SystemExit("\n".join(problems.found))


async def show_review(stack: Stack, page: Page, problems: Problems) -> None:
    """The first page of a shop with finished images of all sample garments."""
    shop = await open_shop(stack)
    products = [shop.product(garment, title) for garment, title in reversed(GARMENTS.items())]
    jobs = [await shop.request_job(product) for product in products]
    for job in jobs:
        await shop.ended_job(job)
    await shop.call("POST", "/v1/overview/setup-dismissal")
    admin = admin_page(shop, page, problems)
    await admin.open()
    await expect(admin.app.locator("atelier-compare")).to_have_count(len(jobs))
    await take(page, README_PICTURE)


async def show_story(stack: Stack, page: Page, problems: Problems) -> None:
    """Each step of the story."""
    shop = await open_shop(stack)

    async def see(step: str) -> None:
        await take(page, STEPS / f"{step}.webp")

    await Story(admin=admin_page(shop, page, problems), shop=shop, see=see).tell()


async def show_hosted_workflows(stack: Stack, page: Page, problems: Problems) -> None:
    """The catalog, a form that uses it, what the form made and how, and the gallery."""
    shop = await open_shop(stack)
    for name, asked in MODELS.items():
        await shop.catalog_entry(name=name, **asked)
    for garment, title in list(GARMENTS.items())[2:]:
        await shop.ended_job(await shop.request_job(shop.product(garment, title)))
    product = shop.product("dress_floral", "Floral dress")
    admin = admin_page(shop, page, problems)
    await admin.open("/catalog?kind=models")
    await expect(admin.app.locator("#entries").get_by_role("listitem")).to_have_count(len(MODELS))
    await take(page, STEPS / "catalog.webp")
    await admin.open(f"/make?workflow=try-on&id={product.gid.rsplit('/', 1)[1]}")
    await admin.app.get_by_label("Kind of garment", exact=True).select_option("dress")
    await admin.app.get_by_role("button", name="Choose from the catalog").click()
    await expect(admin.app.get_by_role("button", name="Choose Mara")).to_be_visible()
    await take(page, STEPS / "catalog_picker.webp")
    await admin.app.get_by_role("button", name="Choose Mara").click()
    await admin.app.get_by_text("The person", exact=True).scroll_into_view_if_needed()
    await take(page, STEPS / "form.webp")
    await admin.app.locator("s-section").get_by_role("button", name="Make images").click()
    await admin.app.locator("#confirm").get_by_role("button", name="Make images").click()
    await page.wait_for_url("**/jobs/*")
    await expect(admin.app.get_by_text("Made with AI")).to_be_visible(timeout=RENDERED)
    lineage = admin.app.get_by_text("How it was made", exact=True)
    await lineage.evaluate("(heading) => heading.scrollIntoView({ block: 'start' })")
    await take(page, STEPS / "lineage.webp")
    await admin.open("/gallery")
    await expect(admin.app.get_by_role("listitem")).to_have_count(len(MODELS) + 3)
    await take(page, STEPS / "gallery.webp")


async def show_webhooks(stack: Stack, page: Page, problems: Problems) -> None:
    """An endpoint with a delivery that failed and was repeated."""
    shop = await open_shop(stack)
    async with open_receiver() as receiver:
        endpoint = {"url": receiver.url, "description": "Our warehouse"}
        await shop.call("POST", "/v1/webhook-endpoints", json=endpoint)
        receiver.answers[:] = [answer(500)]
        admin = admin_page(shop, page, problems)
        await admin.open("/webhook-endpoints")
        await admin.app.get_by_role("button", name="Send a test event").click()
        row = admin.app.locator("s-table-body s-table-row")
        await expect(row).to_contain_text("500 after")
        receiver.answers[:] = [answer(204)]
        await row.get_by_role("button", name="Send again").click()
        await expect(row).to_contain_text("Delivered")
        await take(page, STEPS / "webhooks.webp")


async def show_credits_screen(stack: Stack, page: Page, problems: Problems) -> None:
    """The screen Credits of a shop with a plan and some usage."""
    shop = await open_shop(stack)
    await shop.call("POST", "/v1/subscription", json={"plan": "studio"})
    charge = stack.shopify.latest_charge(shop.domain)
    stack.shopify.approve_charge(shop.domain, charge.gid)
    await shop.call("POST", "/v1/installation")
    for garment, title in list(GARMENTS.items())[:2]:
        await shop.ended_job(await shop.request_job(shop.product(garment, title)))
    admin = admin_page(shop, page, problems)
    await admin.open("/plan")
    await expect(admin.app.get_by_text("Current plan")).to_have_count(1)
    await take(page, STEPS / "credits.webp")


def admin_page(shop: Shop, page: Page, problems: Problems) -> AdminPage:
    """The admin of that shop, in this tab."""
    return AdminPage(page=page, shopify=shop.stack.shopify, shop=shop.domain, problems=problems)


async def take(page: Page, path: Path) -> None:
    """Save what the window shows as WebP, once its pictures are there."""
    await page.wait_for_load_state("networkidle")
    screenshot = pyvips.Image.new_from_buffer(await page.screenshot(), "")
    path.parent.mkdir(exist_ok=True)
    screenshot.webpsave(str(path), Q=QUALITY, effort=6, strip=True)
    print(f"{path.relative_to(ROOT)}  {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    asyncio.run(main())
