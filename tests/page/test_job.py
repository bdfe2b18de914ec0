"""A job: live timeline, images, publishing with a preview of the gallery, restoring, failures."""

import re

from playwright.async_api import Locator, Route, expect
from sqlalchemy import text

from tests.page.accessibility import axe_findings, make_narrow, sideways_overflow, small_targets
from tests.page.admin_page import AdminPage
from tests.page.api_answers import answer, error
from tests.page.shops import Shop, photo
from tests.page.web_server import WebServer
from tests.page.worker import paused_worker

SMALL = [{"size": 256, "format": "webp"}]
TWO = [*SMALL, {"size": 300, "format": "jpeg"}]


def product_section(admin: AdminPage) -> Locator:
    """What is, or will be, on the product."""
    return admin.app.locator("s-section").filter(has_text="The product's media")


async def gallery(admin: AdminPage) -> list[str | None]:
    """The alt texts of the gallery that is shown, in order."""
    pictures = product_section(admin).locator("s-thumbnail")
    return [await each.get_attribute("alt") for each in await pictures.all()]


async def test_the_timeline_and_the_images_appear_while_one_looks(
    admin: AdminPage, shop: Shop
) -> None:
    with paused_worker(shop.stack):
        job = await shop.request_job(shop.product(), outputs=SMALL)
        await admin.open(f"/jobs/{job}")
        timeline = admin.app.locator("s-section").filter(has_text="Timeline")
        await expect(timeline.get_by_role("listitem")).to_have_count(1)
        await expect(admin.action("Cancel the job")).to_be_visible()
    await expect(timeline.get_by_text("Cut out the product")).to_be_visible()
    await expect(timeline.get_by_text("Done")).to_be_visible()
    await expect(admin.app.get_by_role("slider")).to_be_visible()
    await expect(admin.app.get_by_role("link", name="256 × 256 WEBP")).to_be_visible()
    await expect(admin.action("Cancel the job")).to_have_count(0)


async def test_images_are_published_as_planned_and_the_originals_restored(
    admin: AdminPage, shop: Shop
) -> None:
    product = shop.product(title="Navy tee")
    shop.stack.shopify.add_image(product, photo("tee_white"), alt="Back")
    job = await shop.request_job(product, outputs=TWO)
    await shop.ended_job(job)
    await admin.open(f"/jobs/{job}")
    await expect(admin.app.get_by_role("textbox", name="Alt text")).to_have_value("Navy tee")
    await admin.app.get_by_role("textbox", name="Alt text").fill("Front, cut out")
    await admin.app.get_by_label("Place").select_option("1")
    await admin.app.get_by_label("300 × 300 JPEG").check()
    assert await gallery(admin) == ["Front, cut out", "Navy tee", "Back", "Navy tee"]

    await admin.app.get_by_role("button", name="Publish").click()
    await expect(admin.app.get_by_text("The images are on the product.").last).to_be_visible()
    now = (await shop.call("GET", f"/v1/jobs/{job}/product")).json()["media"]
    assert [each["ours"] for each in now] == [True, False, False, True]
    assert now[0]["alt"] == "Front, cut out"
    await expect(product_section(admin).get_by_text("From Atelier")).to_have_count(2)

    await admin.app.get_by_role("button", name="Restore originals").click()
    modal = admin.app.locator("#restore")
    await expect(modal).to_contain_text("2 images of Atelier are removed")
    await modal.get_by_role("button", name="Restore originals").click()
    await expect(admin.app.get_by_text("original images again").last).to_be_visible()
    after = (await shop.call("GET", f"/v1/jobs/{job}/product")).json()["media"]
    assert [each["ours"] for each in after] == [False, False]
    await expect(admin.app.get_by_role("button", name="Publish")).to_be_enabled()


async def test_a_publication_that_succeeds_the_second_time_leaves_no_error(
    admin: AdminPage, shop: Shop
) -> None:
    job = await shop.finished_job("tee_navy", outputs=SMALL)

    async def refuse(route: Route) -> None:
        await route.fulfill(status=503, json=error("DATABASE_UNAVAILABLE"))

    await admin.page.route(f"**/v1/jobs/{job}/publication", refuse, times=1)
    admin.problems.allow("503 POST .*/publication")
    await admin.open(f"/jobs/{job}")
    await admin.app.get_by_role("button", name="Publish").click()
    await expect(admin.app.get_by_text("has not confirmed your last change")).to_be_visible()
    await admin.app.get_by_role("button", name="Publish").click()
    await expect(admin.app.get_by_text("The images are on the product.").last).to_be_visible()
    await expect(admin.app.locator("s-banner")).to_have_count(0)


async def test_the_timeline_has_the_day_of_its_first_event_and_of_each_change(
    admin: AdminPage, shop: Shop
) -> None:
    with paused_worker(shop.stack):
        job = await shop.request_job(shop.product())
        path = f"/v1/jobs/{job}/events"
        page = (await shop.call("GET", path)).json()
        [queued] = page["events"]
        moments = ("2026-03-01T12:00:00Z", "2026-03-01T12:00:05Z", "2026-03-04T12:00:00Z")
        page["events"] = [
            {**queued, "seq": seq, "created_at": at} for seq, at in enumerate(moments, 1)
        ]
        page["latest_seq"] = len(moments)
        await answer(admin, f"{path}?since=0&wait=0", page)
        await admin.open(f"/jobs/{job}")
        timeline = admin.app.locator("s-section").filter(has_text="Timeline")
        shown = timeline.locator("s-list-item")
        await expect(shown).to_contain_text(["Mar 1, 2026", "Waiting", "Mar 4, 2026"])
        await expect(shown.nth(1)).not_to_contain_text("2026")


async def test_a_publication_that_fails_says_why_and_can_be_repeated(
    admin: AdminPage, shop: Shop
) -> None:
    product = shop.product()
    job = await shop.request_job(product, outputs=SMALL)
    await shop.ended_job(job)
    await admin.open(f"/jobs/{job}")
    await expect(admin.app.get_by_role("button", name="Publish")).to_be_enabled()
    shop.stack.shopify.delete_product(product)
    admin.problems.allow("404 GET .*/product")
    await admin.app.get_by_role("button", name="Publish").click()
    await expect(admin.app.get_by_text("Publishing did not work")).to_be_visible()
    await expect(admin.app.get_by_text("The product was deleted in Shopify.")).to_be_visible()


async def test_a_failed_job_says_what_to_do(admin: AdminPage, shop: Shop) -> None:
    product = shop.stack.shopify.create_product(shop.domain, "Empty", None)
    job = await shop.request_job(product)
    await shop.ended_job(job)
    await admin.open(f"/jobs/{job}")
    await expect(admin.app.get_by_text("The images could not be made")).to_be_visible()
    await expect(admin.app.get_by_text("Add one, then retry.").first).to_be_visible()
    await admin.app.get_by_text("Make images again").click()
    await expect(admin.app.get_by_text("1 product × 1 credit")).to_have_count(2)


async def test_what_has_failed_is_made_again_with_the_form_of_its_workflow(
    admin: AdminPage, shop: Shop
) -> None:
    product = shop.stack.shopify.create_product(shop.domain, "Empty", None)
    body = {"product_id": product.gid, "scene_type": "wall"}
    made = await shop.call("POST", "/v1/background-swap-with-spec", json=body)
    job = made.json()["job_id"]
    await shop.ended_job(job)
    await admin.open(f"/jobs/{job}")
    await admin.app.get_by_text("Make images again").click()
    kind = admin.app.get_by_label("Kind of image", exact=True)
    await expect(kind).to_have_value("background-swap-with-spec")
    await expect(admin.app.get_by_text("1 product × ")).to_have_count(2)


async def test_a_job_is_cancelled_after_one_question(admin: AdminPage, shop: Shop) -> None:
    with paused_worker(shop.stack):
        job = await shop.request_job(shop.product())
        await admin.open(f"/jobs/{job}")
        await admin.action("Cancel the job").click()
        await admin.app.locator("#cancel").get_by_role("button", name="Keep it running").click()
        await admin.action("Cancel the job").click()
        await admin.app.locator("#cancel").get_by_role("button", name="Cancel the job").click()
        await expect(admin.app.get_by_text("The images could not be made")).to_be_visible()
        await expect(admin.app.get_by_text("It was cancelled.").first).to_be_visible()
    await expect(admin.action("Cancel the job")).to_have_count(0)


async def test_a_preview_can_not_be_published(admin: AdminPage, shop: Shop) -> None:
    body = {"product_id": shop.product("dress_floral").gid, "category": "dress", "outputs": SMALL}
    made = await shop.call("POST", "/v1/product-to-model-direct", json=body)
    job = made.json()["job_id"]
    await shop.ended_job(job)
    async with shop.stack.database.transaction() as connection:
        marked = """UPDATE artifacts SET meta = jsonb_set(meta, '{is_preview}', 'true')
                    WHERE job_id = :job AND role = 'final'"""
        await connection.execute(text(marked), {"job": job})
        another_version = "UPDATE jobs SET attempt = attempt + 1 WHERE public_id = :job"
        await connection.execute(text(another_version), {"job": job})
    await admin.open(f"/jobs/{job}")
    await expect(admin.app.get_by_text("It cannot be published.")).to_be_visible()
    await expect(admin.app.get_by_role("button", name="Publish")).to_have_count(0)


async def test_a_job_that_is_not_there(admin: AdminPage, shop: Shop) -> None:
    admin.problems.allow("404 GET /v1/jobs/")
    await admin.open(f"/jobs/{'0' * 26}")
    await expect(admin.app.get_by_text("This job no longer exists.")).to_be_visible()
    await expect(admin.app.get_by_text("Request ID for support")).to_be_visible()


async def test_the_timeline_goes_on_after_an_outage(
    admin: AdminPage, shop: Shop, web: WebServer
) -> None:
    admin.problems.allow("failed GET /v1/")
    with paused_worker(shop.stack):
        job = await shop.request_job(shop.product(), outputs=SMALL)
        await admin.open(f"/jobs/{job}")
        await expect(admin.app.get_by_text("Waiting for its turn").first).to_be_visible()
        async with web.down():
            await expect(admin.app.get_by_text("Atelier can't be reached")).to_be_visible()
            await expect(admin.app.get_by_text("Waiting for its turn").first).to_be_visible()
    await expect(admin.app.get_by_role("slider")).to_be_visible()
    await expect(admin.app.get_by_text("Atelier can't be reached")).to_have_count(0)


async def test_without_shopify_the_images_show_and_publishing_waits(
    admin: AdminPage, shop: Shop
) -> None:
    job = await shop.finished_job("tee_navy", outputs=SMALL)
    shop.stack.shopify.lock_shop(shop.domain)
    admin.problems.allow("503 (GET .*/product|POST /v1/installation)")
    await admin.open(f"/jobs/{job}")
    await expect(admin.app.get_by_role("slider")).to_be_visible()
    await expect(admin.app.get_by_role("button", name="Publish")).to_have_count(0)


async def test_the_links_to_the_files_are_renewed_before_they_expire(
    admin: AdminPage, shop: Shop
) -> None:
    job = await shop.finished_job("tee_navy", outputs=SMALL)
    await admin.page.clock.install()
    await admin.open(f"/jobs/{job}")
    await expect(admin.app.get_by_role("link", name="256 × 256 WEBP")).to_be_visible()
    await expect(admin.app.get_by_role("button", name="Publish")).to_be_visible()
    async with admin.page.expect_response(f"**/v1/jobs/{job}"):
        await admin.page.clock.fast_forward(580_000)  # of the ten minutes that they work at least


async def test_the_list_of_jobs_goes_on_until_all_have_ended(admin: AdminPage, shop: Shop) -> None:
    """Also what was read on request stays."""
    empty = shop.stack.shopify.create_product(shop.domain, "Empty", None)
    await shop.ended_job(await shop.request_job(empty))
    rows = admin.app.locator("s-table-row")
    with paused_worker(shop.stack):
        for _ in range(2):
            await shop.request_job(empty)
        await admin.page.route("**/v1/jobs?*", make_short)
        await admin.open("/jobs")
        await expect(rows.get_by_text("Waiting", exact=True)).to_have_count(2)
        await admin.app.get_by_role("button", name="Show more").click()
        await expect(rows).to_have_count(3)
    await expect(rows.get_by_text("Failed", exact=True)).to_have_count(3, timeout=60_000)
    await expect(admin.app.get_by_role("button", name="Show more")).to_have_count(0)


async def test_the_list_of_jobs_leaves_none_out_when_more_than_a_page_have_come(
    admin: AdminPage, shop: Shop
) -> None:
    jobs = admin.app.locator("s-table-row")
    with paused_worker(shop.stack):
        for _ in range(2):
            await shop.request_job(shop.product())
        await admin.page.route("**/v1/jobs?*", make_short)
        await admin.open("/jobs")
        await expect(jobs).to_have_count(2)
        for _ in range(3):
            await shop.request_job(shop.product())
        await admin.app.get_by_role("button", name="Show more").click()
        await expect(jobs).to_have_count(4)


async def test_the_list_of_jobs_says_what_each_is_of(admin: AdminPage, shop: Shop) -> None:
    """Its product, or else the kind of image; the kind is on each row."""
    job = await shop.finished_job("tee_navy", outputs=SMALL)
    gone = "gid://shopify/Product/999999999999"
    body = {"product_id": gone}
    await shop.ended_job((await shop.call("POST", "/v1/catalog-image", json=body)).json()["job_id"])
    await admin.open("/jobs")
    titled = admin.app.get_by_role("link", name="Tee navy")
    await expect(titled).to_have_attribute("href", f"/jobs/{job}")
    await expect(admin.app.get_by_role("link", name="Catalog image")).to_have_count(1)
    rows = admin.app.locator("s-table-row")
    await expect(rows.filter(has_text="Catalog image")).to_have_count(2)


async def make_short(route: Route) -> None:
    """Pages of two rows."""
    await route.continue_(url=re.sub(r"limit=\d+", "limit=2", route.request.url))


async def test_the_list_of_jobs_by_status_and_page_by_page(admin: AdminPage, shop: Shop) -> None:
    await admin.open("/jobs")
    await expect(admin.app.get_by_text("No jobs here")).to_be_visible()
    empty = shop.stack.shopify.create_product(shop.domain, "Empty", None)
    for _ in range(3):
        await shop.ended_job(await shop.request_job(empty))
    await admin.page.route("**/v1/jobs?*", make_short)
    await admin.open("/jobs")
    await expect(admin.app.get_by_role("link", name="Empty")).to_have_count(2)
    await admin.app.get_by_role("button", name="Show more").click()
    await expect(admin.app.get_by_role("link", name="Empty")).to_have_count(3)
    await admin.app.get_by_label("Status").select_option("SUCCESS")
    await expect(admin.app.get_by_text("No jobs here")).to_be_visible()
    assert admin.page.url.endswith("/jobs?status=SUCCESS")


async def test_everybody_can_use_it(admin: AdminPage, shop: Shop) -> None:
    job = await shop.finished_job("tee_navy", outputs=TWO)
    await make_narrow(admin)
    for path, shown in ((f"/jobs/{job}", "Timeline"), ("/jobs", "Newest first")):
        await admin.open(path)
        await expect(admin.app.get_by_text(shown)).to_be_visible()
        await expect(admin.app.locator("s-spinner")).to_have_count(0)
        assert await axe_findings(admin) == []
        assert await sideways_overflow(admin) == 0
        assert await small_targets(admin) == []
