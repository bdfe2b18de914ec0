"""Review: compare, publish, dismiss, select many, undo, keys, and each state of the screen."""

import asyncio
import json
import re

import pytest
from playwright.async_api import Locator, Route, expect
from sqlalchemy import text

from tests.page.accessibility import (
    axe_findings,
    has_focus,
    make_narrow,
    reduce_motion,
    running_animations,
    sideways_overflow,
    small_targets,
    tab_to,
)
from tests.page.admin_page import AdminPage
from tests.page.api_answers import answer, error
from tests.page.shops import Shop
from tests.page.web_server import WebServer
from tests.page.worker import paused_worker
from tests.wait import wait_until

SMALL = [{"size": 256, "format": "webp"}]


@pytest.fixture
async def jobs(shop: Shop) -> list[str]:
    """Three finished jobs, the newest first."""
    made = [await shop.finished_job(each, outputs=SMALL) for each in ("tee_navy", "dress_floral")]
    made.append(await shop.finished_job("tee_white", outputs=SMALL))
    return made[::-1]


def queue(admin: AdminPage) -> Locator:
    """The list of cards."""
    return admin.app.locator("#queue")


def card(admin: AdminPage, title: str) -> Locator:
    """The card of that product."""
    return queue(admin).get_by_role("listitem", name=title)


async def show(admin: AdminPage, tab: str) -> None:
    """Choose which cards are shown."""
    await admin.app.get_by_label("Show", exact=True).select_option(tab)


async def product_of(shop: Shop, job: str) -> list[bool]:
    """For each media of the job's product, whether it is ours."""
    media = (await shop.call("GET", f"/v1/jobs/{job}/product")).json()["media"]
    return [each["ours"] for each in media]


async def test_an_image_is_compared_published_and_taken_back(admin: AdminPage, shop: Shop) -> None:
    job = await shop.finished_job("tee_navy", outputs=SMALL)
    await admin.open()
    slider = card(admin, "Tee navy").get_by_role("slider", name="Tee navy: original and result")
    await expect(slider).to_have_attribute("aria-valuetext", "50 % original")
    await slider.press("Home")
    await expect(slider).to_have_attribute("aria-valuetext", "0 % original")
    await expect(card(admin, "Tee navy").get_by_text("Looks good")).to_be_visible()

    await card(admin, "Tee navy").get_by_role("button", name="Publish Tee navy").click()
    await expect(admin.app.get_by_text("Nothing waits for you")).to_be_visible()

    async def is_published() -> bool:
        return await product_of(shop, job) == [False, True]

    await wait_until(is_published, 30, poll=0.2)
    await admin.toasts.get_by_role("button", name="Undo").click()
    await expect(card(admin, "Tee navy")).to_be_visible()

    async def is_restored() -> bool:
        return await product_of(shop, job) == [False]

    await wait_until(is_restored, 30, poll=0.2)


async def test_what_is_dismissed_comes_back_by_undo_and_from_its_own_list(
    admin: AdminPage, jobs: list[str]
) -> None:
    await admin.open()
    await card(admin, "Dress floral").get_by_role("button", name="Not this one").click()
    await expect(card(admin, "Dress floral")).to_have_count(0)
    await admin.toasts.get_by_role("button", name="Undo").click()
    await expect(queue(admin).get_by_role("listitem")).to_have_count(3)
    await expect(queue(admin).get_by_role("listitem").nth(1)).to_have_accessible_name(
        "Dress floral"
    )

    await card(admin, "Dress floral").get_by_role("button", name="Not this one").click()
    await expect(card(admin, "Dress floral")).to_have_count(0)
    await show(admin, "dismissed")
    await card(admin, "Dress floral").get_by_role("button", name="Put back").click()
    await expect(admin.app.get_by_text("Nothing is dismissed")).to_be_visible()
    await show(admin, "waiting")
    await expect(card(admin, "Dress floral")).to_be_visible()


async def test_each_decision_is_undone_by_its_own_toast_also_on_another_list(
    admin: AdminPage, jobs: list[str]
) -> None:
    await admin.open()
    await card(admin, "Tee white").get_by_role("button", name="Not this one").click()
    await expect(card(admin, "Tee white")).to_have_count(0)
    await card(admin, "Dress floral").get_by_role("button", name="Not this one").click()
    await expect(card(admin, "Dress floral")).to_have_count(0)
    undo = admin.toasts.get_by_role("button", name="Undo")
    await undo.first.click()
    await expect(card(admin, "Tee white")).to_be_visible()
    await expect(queue(admin).get_by_role("listitem")).to_have_count(2)
    await show(admin, "dismissed")
    await expect(card(admin, "Dress floral")).to_be_visible()
    await undo.click()
    await expect(admin.app.get_by_text("Nothing is dismissed")).to_be_visible()


async def test_an_undo_that_succeeds_later_leaves_no_error(admin: AdminPage, shop: Shop) -> None:
    await shop.finished_job("tee_navy", outputs=SMALL)

    async def refuse_deletion(route: Route) -> None:
        if route.request.method == "DELETE":
            await route.fulfill(status=503, json=error("DATABASE_UNAVAILABLE"))
        else:
            await route.continue_()

    await admin.page.route("**/dismissal", refuse_deletion)
    admin.problems.allow("503 DELETE .*/dismissal")
    await admin.open()
    await card(admin, "Tee navy").get_by_role("button", name="Not this one").click()
    await admin.toasts.get_by_role("button", name="Undo").click()
    await expect(admin.app.get_by_text("Atelier can't be reached")).to_be_visible()
    await admin.page.unroute("**/dismissal")
    await admin.app.get_by_role("button", name="Try again").click()
    await expect(card(admin, "Tee navy")).to_be_visible()
    await expect(admin.app.get_by_text("Atelier can't be reached")).to_have_count(0)


async def test_an_undo_that_fails_says_so_on_another_screen_too(
    admin: AdminPage, shop: Shop
) -> None:
    await shop.finished_job("tee_navy", outputs=SMALL)
    admin.problems.allow("503 DELETE .*/dismissal")
    await admin.open()
    await card(admin, "Tee navy").get_by_role("button", name="Not this one").click()
    await expect(admin.toasts).to_be_visible()
    await answer(admin, "/dismissal", error("DATABASE_UNAVAILABLE"), 503)
    await admin.menu("Settings").click()
    await admin.title.get_by_text("Settings").wait_for()
    await admin.toasts.get_by_role("button", name="Undo").click()
    await expect(admin.toasts).to_contain_text("database does not respond. Nothing was changed.")


async def test_what_was_published_elsewhere_is_not_called_dismissed(
    admin: AdminPage, shop: Shop
) -> None:
    """In another tab, or by somebody else in the shop."""
    job = await shop.finished_job("tee_navy", outputs=SMALL)
    admin.problems.allow("409 POST .*/dismissal")
    await admin.open()
    await expect(card(admin, "Tee navy")).to_be_visible()
    [image] = (await shop.call("GET", f"/v1/jobs/{job}")).json()["result"]
    wanted = {"artifacts": [{"sha256": image["meta"]["sha256"]}]}
    await shop.call("POST", f"/v1/jobs/{job}/publication", json=wanted)
    await card(admin, "Tee navy").get_by_role("button", name="Not this one").click()
    await expect(card(admin, "Tee navy")).to_contain_text("on the product already")
    await expect(admin.toasts).to_have_count(0)


async def test_while_images_are_being_removed_they_are_not_called_published(
    admin: AdminPage, shop: Shop
) -> None:
    await shop.finished_job("tee_navy", outputs=SMALL)
    admin.problems.allow("409 POST .*/publication")
    await admin.open()
    publish = card(admin, "Tee navy").get_by_role("button", name="Publish Tee navy")
    with paused_worker(shop.stack):
        await publish.click()
        await admin.toasts.get_by_role("button", name="Undo").click()
        await publish.click()
        await expect(card(admin, "Tee navy")).to_contain_text("still being removed from it")
    await expect(admin.toasts).to_have_count(0)


async def test_what_cannot_be_published_stays_with_its_reason(
    admin: AdminPage, shop: Shop, jobs: list[str]
) -> None:
    async def refuse(route: Route) -> None:
        cause = {"code": "STORAGE_QUOTA_REACHED", "message": "Full.", "request_id": "r1"}
        await route.fulfill(status=429, body=json.dumps({"error": cause}))

    await admin.page.route(f"**/v1/jobs/{jobs[1]}/publication", refuse)
    admin.problems.allow(f"429 POST /v1/jobs/{jobs[1]}/publication")
    await admin.open()
    await admin.app.get_by_role("button", name="Select", exact=True).click()
    await admin.app.get_by_label("Select Dress floral").check()
    await expect(admin.app.get_by_role("button", name="Publish 1")).to_be_enabled()
    await admin.app.get_by_role("button", name="Select all shown").click()
    await admin.app.get_by_role("button", name="Publish 3").click()

    await expect(queue(admin).get_by_role("listitem")).to_have_count(1)
    await expect(card(admin, "Dress floral")).to_contain_text("all of its image storage")
    await expect(admin.toasts).to_contain_text("2 images are being published")
    await expect(admin.app.get_by_role("button", name="Publish 1")).to_be_enabled()
    await show(admin, "published")
    await expect(queue(admin).get_by_role("listitem")).to_have_count(2)


async def test_without_access_to_files_nothing_is_published(admin: AdminPage, shop: Shop) -> None:
    await shop.finished_job("tee_navy", outputs=SMALL)
    shop.stack.shopify.set_scopes(shop.domain, ["read_products"])
    await shop.call("POST", "/v1/installation")
    admin.problems.allow("403 POST .*/publication")
    await admin.open()
    await card(admin, "Tee navy").get_by_role("button", name="Publish Tee navy").click()
    await expect(card(admin, "Tee navy")).to_contain_text("grant the access")


async def test_keys_work_in_the_list_and_nowhere_else(admin: AdminPage, jobs: list[str]) -> None:
    await admin.open()
    press = admin.page.keyboard.press
    await admin.app.get_by_label("Show", exact=True).focus()
    await press("x")
    await expect(queue(admin).get_by_role("listitem")).to_have_count(3)

    first = card(admin, "Tee white")
    await tab_to(admin, first.get_by_role("slider"))
    await press("j")
    assert await has_focus(card(admin, "Dress floral"))
    await press("k")
    assert await has_focus(first)
    slider = first.get_by_role("slider")
    await press("Space")
    await expect(slider).to_have_attribute("aria-valuetext", "100 % original")
    await press("Space")
    await expect(slider).to_have_attribute("aria-valuetext", "0 % original")

    await press("x")
    await expect(first).to_have_count(0)
    assert await has_focus(card(admin, "Dress floral"))
    await press("u")
    await expect(first).to_be_visible()
    await press("p")
    await expect(card(admin, "Dress floral")).to_have_count(0)
    await press("?")
    await expect(admin.app.get_by_role("dialog", name="Keyboard shortcuts")).to_be_visible()
    await press("Escape")
    await expect(admin.app.get_by_role("dialog", name="Keyboard shortcuts")).to_be_hidden()


async def test_without_an_original_there_is_no_slider(admin: AdminPage, shop: Shop) -> None:
    job = await shop.finished_job("tee_navy", outputs=SMALL)
    async with shop.stack.database.transaction() as connection:
        gone = "DELETE FROM artifacts WHERE job_id = :job AND kind = 'original_thumbnail'"
        await connection.execute(text(gone), {"job": job})
    await admin.open()
    await expect(card(admin, "Tee navy").get_by_role("img", name="Tee navy")).to_be_visible()
    await expect(card(admin, "Tee navy").get_by_role("slider")).to_have_count(0)


async def test_the_setup_guide_shows_what_is_done_until_it_is_hidden(
    admin: AdminPage, shop: Shop
) -> None:
    await admin.open()
    await expect(admin.app.get_by_text("0 of 4 steps done")).to_be_visible()
    await shop.finished_job("tee_navy", outputs=SMALL)
    await admin.open()
    await expect(admin.app.get_by_text("1 of 4 steps done")).to_be_visible()
    await admin.app.get_by_role("button", name="Hide").click()
    await expect(admin.app.get_by_text("Set up Atelier")).to_have_count(0)
    await admin.open()
    await expect(card(admin, "Tee navy")).to_be_visible()
    await expect(admin.app.get_by_text("Set up Atelier")).to_have_count(0)


async def test_while_atelier_is_down_the_cards_stay_and_then_all_is_well_again(
    admin: AdminPage, shop: Shop, web: WebServer
) -> None:
    await shop.finished_job("tee_navy", outputs=SMALL)
    admin.problems.allow("failed (GET|POST) /v1/")
    await admin.open()
    await expect(card(admin, "Tee navy")).to_be_visible()
    async with web.down():
        await card(admin, "Tee navy").get_by_role("button", name="Not this one").click()
        await expect(card(admin, "Tee navy")).to_contain_text("can't be reached")
        await show(admin, "dismissed")
        await expect(admin.app.get_by_text("Atelier can't be reached")).to_be_visible()
    await expect(admin.app.get_by_text("Nothing is dismissed")).to_be_visible()
    await expect(admin.app.get_by_text("Atelier can't be reached")).to_have_count(0)


async def test_an_empty_list_promises_nothing_that_needs_a_rule(
    admin: AdminPage, shop: Shop
) -> None:
    await shop.call("PUT", "/v1/settings", json={"rules": []})
    await admin.open()
    await expect(admin.app.get_by_text("Nothing waits for you")).to_be_visible()
    await expect(admin.app.get_by_text("If Settings have a rule")).to_be_visible()


async def test_a_picture_that_has_expired_has_the_list_loaded_again(
    admin: AdminPage, shop: Shop
) -> None:
    """As one further down does that is loaded when the merchant comes to it."""
    await shop.finished_job("tee_navy", outputs=SMALL)
    admin.problems.allow("403 GET|ERR_BLOCKED_BY_ORB")
    await admin.open()
    picture = card(admin, "Tee navy").locator("img").last
    await expect(picture).to_be_visible()
    await admin.frame.evaluate("const now = Date.now; Date.now = () => now() + 600_000")
    async with admin.page.expect_response("**/v1/review?*"):
        await picture.evaluate("(img) => { img.src += '0' }")


@pytest.mark.parametrize(
    ("status", "code", "shown"),
    [
        (429, "RATE_LIMITED", "Too many requests at once"),
        (401, "UNAUTHENTICATED", "Shopify has not confirmed your session yet"),
    ],
)
async def test_what_passes_by_itself_is_tried_again(
    status: int, code: str, shown: str, admin: AdminPage, shop: Shop
) -> None:
    async def refuse(route: Route) -> None:
        cause = {"code": code, "message": "No.", "request_id": "r1"}
        headers = {"Retry-After": "1"}
        await route.fulfill(status=status, headers=headers, body=json.dumps({"error": cause}))

    await admin.page.route("**/v1/review?*", refuse)
    admin.problems.allow(f"{status} GET /v1/review")
    await admin.open()
    await expect(admin.app.get_by_text(shown)).to_be_visible()
    await admin.page.unroute("**/v1/review?*")
    await expect(admin.app.get_by_text("Nothing waits for you")).to_be_visible()
    await expect(admin.app.get_by_text(shown)).to_have_count(0)


async def test_a_later_answer_does_not_hide_what_the_page_waits_for(
    admin: AdminPage, shop: Shop
) -> None:
    is_refused = asyncio.Event()

    async def refuse(route: Route) -> None:
        headers = {"Retry-After": "60"}
        await route.fulfill(status=429, headers=headers, json=error("RATE_LIMITED"))
        is_refused.set()

    async def answer_later(route: Route) -> None:
        await is_refused.wait()
        await route.continue_()

    await admin.page.route("**/v1/overview", refuse)
    await admin.page.route("**/v1/review?*", answer_later)
    admin.problems.allow("429 GET /v1/overview")
    async with admin.page.expect_response("**/v1/review?*"):
        await admin.open()
    await admin.call("GET", "/v1/settings")
    await expect(admin.app.get_by_text("Too many requests at once")).to_be_visible()


async def test_an_error_says_how_to_find_it_and_can_be_tried_again(
    admin: AdminPage, shop: Shop
) -> None:
    async def fail(route: Route) -> None:
        cause = {"code": "INTERNAL_ERROR", "message": "No.", "request_id": "req-42"}
        await route.fulfill(status=500, body=json.dumps({"error": cause}))

    await admin.page.route("**/v1/overview", fail, times=1)
    admin.problems.allow("500 GET /v1/overview")
    await admin.open()
    banner = admin.app.get_by_role("alert")
    await expect(banner).to_contain_text("The list can't be loaded")
    await expect(admin.app.get_by_text("req-42")).to_be_visible()
    await admin.app.get_by_role("button", name="Try again").click()
    await expect(admin.app.get_by_text("Nothing waits for you")).to_be_visible()
    await expect(banner).to_have_count(0)


async def test_an_error_goes_with_the_list_that_could_not_be_loaded(
    admin: AdminPage, shop: Shop
) -> None:
    async def fail(route: Route) -> None:
        await route.fulfill(status=500, json=error("INTERNAL_ERROR"))

    await admin.page.route("**/v1/review?*", fail, times=1)
    admin.problems.allow("500 GET /v1/review")
    await admin.open()
    await expect(admin.app.get_by_text("The list can't be loaded")).to_be_visible()
    await show(admin, "dismissed")
    await expect(admin.app.get_by_text("Nothing is dismissed")).to_be_visible()
    await expect(admin.app.get_by_text("The list can't be loaded")).to_have_count(0)


async def test_jobs_that_have_not_begun_are_in_progress_and_not_looked_at(
    admin: AdminPage, shop: Shop
) -> None:
    with paused_worker(shop.stack):
        await shop.request_job(shop.product())
        await admin.open()
        await expect(admin.app.get_by_text("1 of 4 steps done")).to_be_visible()
        await admin.app.get_by_role("link", name="In progress").click()
        await expect(admin.app.get_by_role("link", name="Catalog image")).to_have_count(1)


async def test_the_list_is_loaded_again_after_the_pictures_have_expired(
    admin: AdminPage, shop: Shop
) -> None:
    """Their addresses work for ten minutes at least; so a return after nine reads new ones."""
    await admin.open()
    await expect(admin.app.get_by_text("Nothing waits for you")).to_be_visible()
    await admin.make("hidden")
    await shop.finished_job("tee_navy", outputs=SMALL)
    await admin.make("visible")
    await expect(card(admin, "Tee navy")).to_have_count(0)
    await admin.make("hidden")
    await admin.frame.evaluate("const now = Date.now; Date.now = () => now() + 600_000")
    await admin.make("visible")
    await expect(card(admin, "Tee navy")).to_be_visible()


async def make_short(route: Route) -> None:
    """Pages of two cards. They are those of the API; only their size is smaller here."""
    await route.continue_(url=re.sub(r"limit=\d+", "limit=2", route.request.url))


async def test_the_next_cards_come_when_all_that_are_shown_are_decided(
    admin: AdminPage, jobs: list[str]
) -> None:
    await admin.page.route("**/v1/review?*", make_short)
    await admin.open()
    await expect(queue(admin).get_by_role("listitem")).to_have_count(2)
    for title in ("Tee white", "Dress floral"):
        await card(admin, title).get_by_role("button", name="Not this one").click()
    await expect(card(admin, "Tee navy")).to_be_visible()
    await expect(admin.app.get_by_text("Nothing waits for you")).to_have_count(0)
    await card(admin, "Tee navy").get_by_role("button", name="Not this one").click()
    await expect(admin.app.get_by_text("Nothing waits for you")).to_be_visible()


async def test_more_cards_are_read_on_request(admin: AdminPage, jobs: list[str]) -> None:
    await admin.page.route("**/v1/review?*", make_short)
    await admin.open()
    await expect(queue(admin).get_by_role("listitem")).to_have_count(2)
    await admin.app.get_by_role("button", name="Show more").click()
    await expect(queue(admin).get_by_role("listitem")).to_have_count(3)
    await expect(admin.app.get_by_role("button", name="Show more")).to_have_count(0)


async def test_everybody_can_use_it(admin: AdminPage, jobs: list[str]) -> None:
    """axe, 320 pixels, targets, less motion; with cards, while selecting, and with nothing."""
    await make_narrow(admin)
    await reduce_motion(admin)
    await admin.open()
    await expect(queue(admin).get_by_role("listitem")).to_have_count(3)
    await admin.app.get_by_role("button", name="Select", exact=True).click()
    await admin.app.get_by_role("button", name="Select all shown").click()
    for tab in ("waiting", "dismissed"):
        await show(admin, tab)
        await expect(queue(admin).locator("s-spinner")).to_have_count(0)
        assert await axe_findings(admin) == []
        assert await sideways_overflow(admin) == 0
        assert await small_targets(admin) == []
        assert await running_animations(admin) == []
