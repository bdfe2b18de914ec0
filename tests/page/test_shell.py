"""The page's shell in a browser: who may frame it, where its token goes, and how it is reached."""

import asyncio
from collections.abc import AsyncIterator
from html import escape

import pytest
from playwright.async_api import Browser, BrowserContext, Page, Request, Route, expect

from backend.dev.stack import Stack
from tests.page.admin_page import AdminPage
from tests.page.problems import Problems
from tests.page.shops import Shop, photo
from tests.page.tiny_app import tiny_app
from tests.page.web_server import WebServer
from tests.wait import wait_until

JWT = "eyJ"  # how the header of each session token begins
STALE = "401 GET /v1/"
UNREACHABLE = "net::ERR_CONNECTION_REFUSED"
LONGEST_DELAY = 60_000  # milliseconds; the page waits longer after each attempt
SMALL = [{"size": 256, "format": "webp"}]
# The body of the next answer at the path breaks off.
CUT_OFF = """(path) => {
  const whole = globalThis.fetch;
  globalThis.fetch = async (asked, options) => {
    const answer = await whole(asked, options);
    if (asked !== path) return answer;
    globalThis.fetch = whole;
    const broken = new ReadableStream({ start: (body) => body.error(new TypeError("cut off")) });
    return new Response(broken, { status: answer.status, headers: answer.headers });
  };
}"""


@pytest.fixture
async def context(browser: Browser, problems: Problems) -> AsyncIterator[BrowserContext]:
    """A browser without any admin."""
    opened = await browser.new_context()
    problems.watch(opened)
    yield opened
    await opened.close()


# Frames


@pytest.mark.parametrize("is_signed", [True, False])
async def test_another_origin_cannot_frame_the_page(
    is_signed: bool, context: BrowserContext, shop: Shop, problems: Problems
) -> None:
    """Not even with the launch URL of a shop, which the merchant may have copied."""
    token = shop.stack.shopify.id_token(shop.domain)
    launch = f"?shop={shop.domain}&id_token={token}" if is_signed else ""
    page = await framing(context, f"{shop.stack.base_url}/{launch}")
    await wait_until(lambda: any("frame-ancestors" in each for each in problems.found))
    assert await page.frames[1].evaluate("typeof shopify") == "undefined"


async def framing(context: BrowserContext, url: str) -> Page:
    """A page of another origin on this machine, with the URL in a frame."""
    async with tiny_app() as (foreign, _):
        foreign.scripts = ()
        foreign.body = f'<iframe src="{escape(url)}"></iframe>'
        page = await context.new_page()
        await page.goto(foreign.origin)
    return page


# The session token


async def test_the_token_is_in_no_address_referrer_or_log_line(
    admin: AdminPage, shop: Shop, web: WebServer
) -> None:
    sent: list[Request] = []
    admin.page.on("request", lambda request: sent.append(request))  # noqa: PLW0108 (not a builtin)
    await admin.open("/settings")
    await admin.menu("Jobs").click()
    await admin.page.wait_for_url("**/jobs")

    launch = [each.url for each in sent if "id_token=" in each.url]
    assert len(launch) == 1  # the launch itself; nothing after it
    assert JWT not in admin.frame.url
    assert JWT not in admin.page.url
    assert JWT not in str(await admin.frame.evaluate("JSON.stringify(history.state)"))
    referrers = [(await each.all_headers()).get("referer", "") for each in sent]
    assert len(referrers) > 5
    assert not any(JWT in each or "id_token" in each for each in referrers)
    for line in web.log_lines():
        assert JWT not in line
        assert shop.domain.partition(".")[0] not in line or "id_token" not in line
    assert any('"/settings"' in line for line in web.log_lines())


async def test_a_stale_token_is_replaced_once_and_the_merchant_sees_nothing_of_it(
    admin: AdminPage, stack: Stack
) -> None:
    await admin.open("/jobs")
    stack.shopify.expire_next_id_token()
    admin.problems.allow(STALE)
    await admin.menu("Settings").click()
    await admin.title.get_by_text("Settings").wait_for()
    await admin.loaded()
    [stale] = admin.problems.found  # and not a second time
    assert stale.startswith(STALE)
    await expect(admin.app.locator("s-banner")).to_have_count(0)


async def test_while_the_admin_has_only_stale_tokens_the_page_waits_and_then_goes_on(
    admin: AdminPage, stack: Stack
) -> None:
    await admin.open("/jobs")
    stack.shopify.expire_next_id_token(times=4)
    admin.problems.allow(STALE)
    await admin.menu("Settings").click()
    banner = admin.app.locator("s-banner")
    await expect(banner).to_contain_text("Try again")
    await expect(banner).to_have_count(0)
    await admin.loaded()


# Ways to the page


async def test_an_address_outside_the_admin_leads_into_it(
    context: BrowserContext, shop: Shop, problems: Problems
) -> None:
    page = await context.new_page()
    await page.goto(f"{shop.stack.base_url}/settings?shop={shop.domain}")
    await page.wait_for_url(f"{shop.stack.shopify.origin}/store/*/apps/*/settings")
    settings = page.frame_locator("iframe").locator("s-page[heading=Settings]")
    await settings.wait_for(state="attached")
    assert problems.unexpected == []


async def test_an_address_without_a_shop_says_where_to_open_the_app(
    context: BrowserContext, stack: Stack
) -> None:
    page = await context.new_page()
    await page.goto(stack.base_url)
    await expect(page.get_by_text("Open Atelier from your Shopify admin")).to_be_visible()


async def test_menu_back_and_deep_link_show_the_same_screen(admin: AdminPage) -> None:
    await admin.open("/settings")
    await expect(admin.title).to_have_text("Settings")
    await expect(admin.menu("Settings")).to_have_attribute("aria-current", "page")
    await admin.menu("Jobs").click()
    await admin.page.wait_for_url("**/apps/atelier/jobs")
    documents = await admin.frame.evaluate("performance.getEntriesByType('navigation').length")
    await admin.page.go_back()
    await expect(admin.title).to_have_text("Settings")
    assert admin.page.url.endswith("/apps/atelier/settings")
    await admin.page.go_forward()
    await admin.page.wait_for_url("**/apps/atelier/jobs")
    assert documents == 1
    await admin.page.reload()
    await admin.page.wait_for_url("**/apps/atelier/jobs")


async def test_the_menu_loads_the_screen_that_is_open_again(admin: AdminPage, shop: Shop) -> None:
    """And keeps what was typed."""
    await admin.open()
    await expect(admin.app.get_by_text("Nothing waits for you")).to_be_visible()
    await shop.finished_job("tee_navy", outputs=SMALL)
    await admin.home.click()
    await expect(admin.app.get_by_role("listitem", name="Tee navy")).to_be_visible()
    await admin.menu("Make images").click()
    await admin.app.get_by_label("Margin").fill("12")
    async with admin.page.expect_response("**/v1/operations"):
        await admin.menu("Make images").click()
    await expect(admin.app.get_by_label("Margin")).to_have_value("12")


# Leaving


async def test_a_screen_that_was_left_asks_for_nothing_more(admin: AdminPage, shop: Shop) -> None:
    job = await shop.finished_job("tee_navy", outputs=SMALL)
    may_publish = await held(admin, f"**/v1/jobs/{job}/publication")
    await admin.open(f"/jobs/{job}")
    await admin.app.get_by_role("button", name="Publish").click()
    await admin.menu("Settings").click()
    await expect(admin.app.get_by_label("Daily limit")).to_be_visible()
    asked: list[str] = []
    admin.page.on("request", lambda request: asked.append(request.url))
    async with admin.page.expect_response("**/publication"):
        may_publish.set()
    await admin.call("GET", "/v1/settings")
    assert [url for url in asked if job in url] == []


async def test_an_answer_that_comes_late_does_not_lead_to_another_screen(
    admin: AdminPage, shop: Shop
) -> None:
    number = shop.product().gid.rsplit("/", 1)[1]
    may_start = await held(admin, "**/v1/catalog-image")
    await admin.open(f"/make?id={number}")
    await admin.app.locator("s-section").get_by_role("button", name="Make images").click()
    await admin.app.locator("#confirm").get_by_role("button", name="Make images").click()
    await admin.menu("Settings").click()
    await expect(admin.app.get_by_label("Daily limit")).to_be_visible()
    async with admin.page.expect_response("**/v1/catalog-image"):
        may_start.set()
    await admin.call("GET", "/v1/settings")
    await expect(admin.title).to_have_text("Settings")
    assert admin.page.url.endswith("/settings")


async def held(admin: AdminPage, pattern: str) -> asyncio.Event:
    """Hold the answers of these requests until the event is set: the network is slow."""
    may_go = asyncio.Event()

    async def hold(route: Route) -> None:
        await may_go.wait()
        await route.continue_()

    await admin.page.route(pattern, hold)
    return may_go


async def test_the_admin_shows_that_the_next_screen_is_still_being_loaded(
    admin: AdminPage,
) -> None:
    may_load = await held(admin, "**/views/settings.js")
    await admin.open("/jobs")
    await admin.loaded()
    progress = admin.page.locator("#progress")
    await expect(progress).to_be_hidden()
    await admin.menu("Settings").click()
    await expect(progress).to_be_visible()
    may_load.set()
    await expect(admin.app.get_by_label("Daily limit")).to_be_visible()
    await expect(progress).to_be_hidden()


# Without the web process


async def test_a_request_that_is_never_answered_is_given_up_and_made_again(
    admin: AdminPage,
) -> None:
    await admin.page.clock.install()
    await admin.open("/jobs")
    await admin.loaded()
    may_go = await held(admin, "**/v1/settings")
    async with admin.page.expect_request("**/v1/settings"):
        await admin.menu("Settings").click()
    await admin.page.clock.fast_forward(LONGEST_DELAY)
    await expect(admin.app.locator("s-banner")).to_contain_text("Atelier can't be reached")
    may_go.set()
    await expect(admin.app.get_by_label("Daily limit")).to_be_visible()
    await expect(admin.app.locator("s-banner")).to_have_count(0)


async def test_an_upload_may_take_minutes(admin: AdminPage) -> None:
    await admin.page.clock.install()
    may_go = await held(admin, "**/v1/uploads")
    await admin.open("/make")
    await admin.app.get_by_label("My own photos").check()
    async with admin.page.expect_request("**/v1/uploads"):
        zone = admin.app.locator("s-drop-zone input[type=file]")
        await zone.set_input_files(photo("tee_navy"))
    await admin.page.clock.fast_forward(5 * LONGEST_DELAY)
    await expect(admin.app.locator("s-spinner")).to_have_count(1)
    may_go.set()
    await expect(admin.app.get_by_text("1 photo × 1 credit")).to_have_count(2)


async def test_a_connection_that_ends_within_an_answer_is_waited_for(
    admin: AdminPage, shop: Shop
) -> None:
    await admin.open("/jobs")
    await admin.loaded()
    await admin.frame.evaluate(CUT_OFF, "/v1/settings")
    await admin.menu("Settings").click()
    await expect(admin.app.get_by_label("Daily limit")).to_have_value("1000")
    await expect(admin.app.locator("s-banner")).to_have_count(0)


async def test_the_page_outlives_the_web_process_and_goes_on_by_itself(
    admin: AdminPage, web: WebServer
) -> None:
    await admin.open("/settings")
    await admin.menu("Jobs").click()
    await admin.title.get_by_text("Jobs").wait_for()
    admin.problems.allow(UNREACHABLE)
    banner = admin.app.locator("s-banner")
    async with web.down():
        await admin.menu("Settings").click()
        await expect(banner).to_contain_text("Atelier can't be reached")
    await expect(banner).to_have_count(0, timeout=LONGEST_DELAY)
    await admin.loaded()


async def test_a_screen_whose_code_could_not_be_loaded_opens_by_itself_later(
    admin: AdminPage, web: WebServer
) -> None:
    await admin.open("/jobs")
    admin.problems.allow(UNREACHABLE)
    banner = admin.app.locator("s-banner")
    async with web.down():
        await admin.menu("Settings").click()
        await expect(banner).to_contain_text("This part of Atelier can't be loaded")
    await expect(banner).to_have_count(0, timeout=LONGEST_DELAY)
    await admin.title.get_by_text("Settings").wait_for()
    await admin.loaded()
