"""Batches: progress, the products by status, retrying what failed, cancelling."""

import asyncio
import re

from playwright.async_api import Route, expect

from backend.dev.shopify import ProductRecord
from tests.page.accessibility import axe_findings, make_narrow, sideways_overflow, small_targets
from tests.page.admin_page import AdminPage
from tests.page.api_answers import error
from tests.page.shops import Shop, photo
from tests.page.worker import paused_worker
from tests.wait import wait_until

SMALL = {"outputs": [{"size": 256, "format": "webp"}]}


async def request_batch(shop: Shop, *products: ProductRecord) -> str:
    """A batch of catalog images of these products; its public id."""
    ids = [product.gid for product in products]
    body = {"workflow": "catalog-image", "product_ids": ids, "parameters": SMALL}
    return str((await shop.call("POST", "/v1/batches", json=body)).json()["public_id"])


async def test_a_batch_is_followed_and_its_failures_are_retried(
    admin: AdminPage, shop: Shop
) -> None:
    empty = shop.stack.shopify.create_product(shop.domain, "Empty", None)
    with paused_worker(shop.stack):
        batch = await request_batch(shop, shop.product(), empty)
        await admin.open(f"/batches/{batch}")
        await expect(admin.app.get_by_text("0 of 2 done").first).to_be_visible()
    await expect(admin.app.get_by_text("1 succeeded, 1 failed")).to_be_visible(timeout=60_000)
    await expect(admin.app.get_by_text("Partly done")).to_be_visible()
    await expect(admin.app.get_by_text("Add one, then retry.")).to_be_visible()

    await admin.app.get_by_label("Status").select_option("FAILURE")
    await expect(admin.app.get_by_role("link", name="Empty", exact=True)).to_have_count(1)
    shop.stack.shopify.add_image(empty, photo("tee_white"))
    await admin.action("Retry failed (1)").click()
    await expect(admin.app.get_by_text("2 succeeded, 0 failed")).to_be_visible(timeout=60_000)
    await expect(admin.action("Retry failed")).to_have_count(0)
    await expect(admin.app.get_by_text("No product has this status.")).to_be_visible()
    await admin.app.get_by_label("Status").select_option("SUCCESS")
    await expect(admin.app.get_by_role("link", name="Tee navy", exact=True)).to_be_visible()
    await admin.app.get_by_role("link", name="Open the job").first.click()
    await expect(admin.app.get_by_text("Timeline")).to_be_visible()


async def test_a_product_that_fails_without_a_photo_is_named(admin: AdminPage, shop: Shop) -> None:
    """By its title if that could be read; otherwise the page says that it could not."""
    shopify = shop.stack.shopify
    empty = shopify.create_product(shop.domain, "Größe „M“", None)
    body = {
        "workflow": "catalog-image",
        "product_ids": [empty.gid, "gid://shopify/Product/999999999999"],
        "parameters": SMALL,
    }
    batch = (await shop.call("POST", "/v1/batches", json=body)).json()["public_id"]
    await admin.open(f"/batches/{batch}")
    await expect(admin.app.get_by_text("0 succeeded, 2 failed")).to_be_visible(timeout=60_000)
    await expect(admin.app.get_by_role("link", name="Größe „M“", exact=True)).to_be_visible()
    unread = admin.app.get_by_role("link", name="Product 999999999999 (title unknown)", exact=True)
    await expect(unread).to_be_visible()


async def test_products_that_were_read_on_request_stay_while_the_batch_goes_on(
    admin: AdminPage, shop: Shop
) -> None:
    async def make_short(route: Route) -> None:
        await route.continue_(url=re.sub(r"limit=\d+", "limit=2", route.request.url))

    empty = [shop.stack.shopify.create_product(shop.domain, f"E{i}", None) for i in range(3)]
    products = admin.app.get_by_role("link", name=re.compile(r"^(Product|E\d)"))
    await admin.page.route("**/items?*", make_short)
    with paused_worker(shop.stack):
        batch = await request_batch(shop, *empty)
        await admin.open(f"/batches/{batch}")
        await expect(products).to_have_count(2)
        await admin.app.get_by_role("button", name="Show more").click()
        await expect(products).to_have_count(3)
    await expect(admin.app.get_by_text("3 of 3 done").first).to_be_visible(timeout=60_000)
    await expect(admin.app.get_by_text("Add one, then retry.")).to_have_count(3)


async def test_an_answer_that_comes_late_does_not_show_products_of_another_status(
    admin: AdminPage, shop: Shop
) -> None:
    is_asked, may_answer = asyncio.Event(), asyncio.Event()

    async def hold_all(route: Route) -> None:
        if "status=" not in route.request.url:
            is_asked.set()
            await may_answer.wait()
        await route.continue_()

    empty = shop.stack.shopify.create_product(shop.domain, "Empty", None)
    none = admin.app.get_by_text("No product has this status.")
    with paused_worker(shop.stack):
        batch = await request_batch(shop, empty)
        await admin.open(f"/batches/{batch}")
        await expect(admin.app.get_by_role("link", name="Product")).to_have_count(1)
        await admin.page.route("**/items?*", hold_all)
    await is_asked.wait()  # since the counts have changed
    await admin.app.get_by_label("Status").select_option("SUCCESS")
    await expect(none).to_be_visible()
    async with admin.page.expect_response(re.compile(r"/items\?limit=\d+$")):
        may_answer.set()
    await admin.call("GET", "/v1/settings")
    await expect(none).to_be_visible()


async def test_products_of_an_ended_batch_that_could_not_be_read_are_read_again(
    admin: AdminPage, shop: Shop
) -> None:
    """Nothing else about it changes any more that would lead to another reading."""

    async def refuse(route: Route) -> None:
        await route.fulfill(status=503, json=error("DATABASE_UNAVAILABLE"))

    async def has_ended() -> bool:
        found = (await shop.call("GET", f"/v1/batches/{batch}")).json()
        return bool(found["status"] == "FAILURE")

    batch = await request_batch(shop, shop.stack.shopify.create_product(shop.domain, "Empty", None))
    await wait_until(has_ended, 60, poll=0.2)
    await admin.page.route("**/items?*", refuse, times=1)
    admin.problems.allow("503 GET .*/items")
    await admin.open(f"/batches/{batch}")
    await expect(admin.app.get_by_text("Add one, then retry.")).to_be_visible()
    await expect(admin.app.locator("s-banner")).to_have_count(0)


async def test_a_batch_is_cancelled_after_one_question(admin: AdminPage, shop: Shop) -> None:
    with paused_worker(shop.stack):
        batch = await request_batch(shop, shop.product(), shop.product())
        await admin.open(f"/batches/{batch}")
        await admin.action("Cancel the batch").click()
        modal = admin.app.locator("#cancel")
        await expect(modal).to_contain_text("2 products are not done yet")
        await modal.get_by_role("button", name="Cancel the batch").click()
        await expect(admin.app.get_by_text("Cancelled", exact=True)).to_be_visible()
    await expect(admin.action("Cancel the batch")).to_have_count(0)
    await expect(admin.action("Retry failed (2)")).to_be_visible()


async def test_a_batch_that_is_not_there(admin: AdminPage, shop: Shop) -> None:
    admin.problems.allow("404 GET /v1/batches/")
    await admin.open(f"/batches/{'0' * 26}")
    await expect(admin.app.get_by_text("This batch no longer exists.")).to_be_visible()


async def test_the_list_of_batches(admin: AdminPage, shop: Shop) -> None:
    await admin.open("/batches")
    await expect(admin.app.get_by_text("No batches yet")).to_be_visible()
    empty = shop.stack.shopify.create_product(shop.domain, "Empty", None)
    await request_batch(shop, empty)
    await admin.open("/batches")
    await admin.app.get_by_role("link", name="Catalog image").click()
    await expect(admin.app.get_by_text("1 of 1 done").first).to_be_visible(timeout=60_000)


async def test_everybody_can_use_it(admin: AdminPage, shop: Shop) -> None:
    empty = shop.stack.shopify.create_product(shop.domain, "Empty", None)
    batch = await request_batch(shop, empty)
    await make_narrow(admin)
    for path in (f"/batches/{batch}", "/batches"):
        await admin.open(path)
        await expect(admin.app.get_by_text("of 1 done").first).to_be_visible()
        assert await axe_findings(admin) == []
        assert await sideways_overflow(admin) == 0
        assert await small_targets(admin) == []
