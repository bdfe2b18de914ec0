"""The gallery: all images of the shop, filtered, page by page; each leads to its job."""

from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from playwright.async_api import Locator, Route, expect

from backend.dev.stack import Stack
from backend.gallery.renders import OP_CLASSES
from tests.page.accessibility import axe_findings, make_narrow, sideways_overflow, small_targets
from tests.page.admin_page import AdminPage
from tests.page.shops import Shop, open_shop

SMALL = [{"size": 256, "format": "webp"}]


@pytest.fixture(scope="module")
async def shop(stack: Stack) -> Shop:
    """One for all tests, with two catalog images and an image on a model."""
    shop = await open_shop(stack)
    for garment in ("tee_navy", "tee_white"):
        await shop.finished_job(garment, outputs=SMALL)
    body = {"product_id": shop.product("dress_floral").gid, "category": "dress", "outputs": SMALL}
    made = (await shop.call("POST", "/v1/product-to-model-direct", json=body)).json()
    assert (await shop.ended_job(made["job_id"]))["status"] == "SUCCESS"
    return shop


def images(admin: AdminPage) -> Locator:
    """The images that are shown."""
    return admin.app.get_by_role("listitem")


async def test_images_are_listed_newest_first_and_lead_to_their_jobs(
    admin: AdminPage, shop: Shop
) -> None:
    await admin.open()
    await admin.menu("Gallery").click()
    await expect(images(admin)).to_have_count(3)
    await expect(images(admin).first).to_contain_text("Dresses")
    shown = (
        await images(admin)
        .first.locator("img")
        .evaluate("(img) => img.decode().then(() => img.naturalWidth)")
    )
    assert shown > 0
    [newest, *_] = (await shop.call("GET", "/v1/renders")).json()["renders"]
    await images(admin).first.get_by_role("link").click()
    await admin.page.wait_for_url(f"**/jobs/{newest['public_id']}")


async def test_filters_stand_in_the_address_and_can_be_taken_off(admin: AdminPage) -> None:
    await admin.open("/gallery")
    await admin.app.get_by_label("Kind of image").select_option("catalog-image")
    await expect(images(admin)).to_have_count(2)
    await admin.page.wait_for_url("**/gallery?workflow=catalog-image")
    await admin.app.get_by_label("Kind of garment").select_option("dress")
    await expect(admin.app.get_by_text("No images match")).to_be_visible()
    await admin.app.get_by_label("Kind of image").select_option("")
    await expect(images(admin)).to_have_count(1)
    await admin.page.wait_for_url("**/gallery?category=dress")
    await admin.app.get_by_label("Kind of garment").select_option("shoes")
    await admin.app.get_by_text("Show all images").click()
    await expect(images(admin)).to_have_count(3)


async def test_images_are_filtered_by_how_they_were_made(admin: AdminPage) -> None:
    await admin.open("/gallery")
    how = admin.app.get_by_label("How it was made")
    offered = await how.locator("option").evaluate_all("(all) => all.map(({ value }) => value)")
    assert sorted(offered) == ["", *OP_CLASSES]
    await how.select_option("compose")
    await admin.page.wait_for_url("**/gallery?origin=compose")
    await expect(images(admin)).to_have_count(1)
    await expect(images(admin)).to_contain_text("Worn product")
    await how.select_option("edit")
    await expect(admin.app.get_by_text("No images match")).to_be_visible()
    await admin.open("/gallery?origin=catalog")
    await expect(images(admin)).to_have_count(2)


async def test_more_images_are_read_by_the_cursor(admin: AdminPage) -> None:
    cursors = []

    async def in_pages_of_two(route: Route) -> None:
        url = urlsplit(route.request.url)
        query = parse_qs(url.query) | {"limit": ["2"]}
        cursors.append(query.get("cursor"))
        await route.continue_(url=url._replace(query=urlencode(query, doseq=True)).geturl())

    await admin.page.route("**/v1/renders?*", in_pages_of_two)
    await admin.open("/gallery")
    await expect(images(admin)).to_have_count(2)
    await admin.app.get_by_role("button", name="Show more").click()
    await expect(images(admin)).to_have_count(3)
    await expect(admin.app.get_by_role("button", name="Show more")).to_have_count(0)
    assert cursors[0] is None and cursors[-1] is not None
    links = [await each.get_attribute("href") for each in await images(admin).locator("a").all()]
    assert len(set(links)) == 3


@pytest.mark.parametrize("is_narrow", [False, True])
async def test_the_gallery_is_accessible(is_narrow: bool, admin: AdminPage) -> None:
    if is_narrow:
        await make_narrow(admin)
    await admin.open("/gallery")
    await expect(images(admin)).to_have_count(3)
    assert await axe_findings(admin) == []
    assert await sideways_overflow(admin) == 0
    assert await small_targets(admin) == []


async def test_the_gallery_is_in_german_for_a_german_merchant(admin: AdminPage) -> None:
    await admin.open("/gallery?category=dress", locale="de")
    await expect(admin.title).to_have_text("Galerie")
    await expect(images(admin)).to_contain_text("Kleider")
    await expect(admin.menu("Galerie")).to_be_visible()


class TestOfANewShop:
    """Nothing has been made yet."""

    @pytest.fixture
    async def shop(self, stack: Stack) -> Shop:
        """One without jobs."""
        return await open_shop(stack)

    async def test_an_empty_gallery_says_how_to_fill_it(self, admin: AdminPage) -> None:
        await admin.open("/gallery")
        await expect(admin.app.get_by_text("No images yet")).to_be_visible()
        await admin.app.get_by_role("link", name="Make images").click()
        await admin.page.wait_for_url("**/make")
