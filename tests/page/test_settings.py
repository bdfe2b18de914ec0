"""Settings in a browser: what is saved, what is refused, and what is kept when something fails."""

import asyncio
from typing import Any

import pytest
from playwright.async_api import Browser, Route, expect

from backend.dev.stack import Stack
from tests.page.accessibility import (
    axe_findings,
    make_narrow,
    sideways_overflow,
    small_targets,
)
from tests.page.admin_page import AdminPage
from tests.page.api_answers import answer_hosted
from tests.page.conftest import opened_admin
from tests.page.problems import Problems
from tests.page.shops import Shop, open_shop
from tests.page.web_server import WebServer


async def saved(shop: Shop) -> dict[str, Any]:
    """The settings on the server."""
    settings: dict[str, Any] = (await shop.call("GET", "/v1/settings")).json()
    return settings


async def opened(admin: AdminPage) -> None:
    """Settings, loaded."""
    await admin.open("/settings")
    await expect(admin.app.get_by_label("Daily limit")).to_have_value("1000")


async def test_a_rule_is_added_edited_and_saved(admin: AdminPage, shop: Shop) -> None:
    await opened(admin)
    await expect(admin.save_bar).to_be_hidden()
    await admin.app.get_by_label("Daily limit").fill("250")
    await admin.app.get_by_role("button", name="Add rule").click()
    rule = admin.app.locator("s-section", has_text="Rule 2")
    await rule.get_by_label("What it makes").select_option("background-swap-with-spec")
    await rule.get_by_label("Scene").select_option("wall")
    await rule.get_by_label("A product gets its first photo").uncheck()
    await rule.get_by_label("One of these tags").fill("summer\n new in \n\n")
    await rule.get_by_label("Publish without review").check()
    await rule.get_by_label("Place among the product's images").fill("2")
    await admin.save()
    await expect(admin.toasts).to_have_text("Settings saved")
    await expect(admin.save_bar).to_be_hidden()
    settings = await saved(shop)
    assert settings["daily_credit_cap"] == 250
    _, added = settings["rules"]
    assert added["workflow"] == "background-swap-with-spec"
    assert added["parameters"]["scene_type"] == "wall"
    assert added["on"] == ["image_changed"]
    assert added["filter"]["tags"] == ["summer", "new in"]
    assert added["publish"] == {"position": 2}


async def test_a_rule_is_removed(admin: AdminPage, shop: Shop) -> None:
    await opened(admin)
    await admin.app.get_by_role("button", name="Remove rule 1").click()
    await expect(admin.app.get_by_text("There are no rules")).to_be_visible()
    await admin.save()
    await expect(admin.toasts).to_have_text("Settings saved")
    assert (await saved(shop))["rules"] == []


async def test_a_refused_save_keeps_the_bar_and_marks_the_field(
    admin: AdminPage, shop: Shop
) -> None:
    await opened(admin)
    admin.problems.allow("422 PUT /v1/settings")
    limit = admin.app.get_by_label("Daily limit")
    await limit.fill("1.5")
    await admin.app.get_by_label("One of these vendors").fill("x" * 256)
    await admin.save()
    await expect(admin.app.get_by_text("Not saved: check the marked fields")).to_be_visible()
    await expect(admin.app.get_by_text("Enter at most 50 lines")).to_be_visible()
    await expect(admin.save_bar).to_be_visible()
    await expect(limit).to_have_value("1.5")
    await admin.app.get_by_label("One of these vendors").fill("")
    await expect(admin.app.get_by_text("Enter at most 50 lines")).to_have_count(0)
    await admin.save()
    await expect(admin.app.get_by_text("Enter a whole number from 0 to 1,000,000.")).to_be_visible()
    await limit.fill("15")
    await admin.save()
    await expect(admin.save_bar).to_be_hidden()
    assert (await saved(shop))["daily_credit_cap"] == 15


async def test_what_a_workflow_needs_is_asked_for_before_anything_is_sent(
    admin: AdminPage, shop: Shop
) -> None:
    await opened(admin)
    await admin.app.get_by_label("What it makes").select_option("background-swap-with-spec")
    await admin.save()
    await expect(admin.app.get_by_text("This is required.")).to_be_visible()
    await admin.app.get_by_label("Scene").select_option("wall")
    await admin.save()
    await expect(admin.save_bar).to_be_hidden()
    [rule] = (await saved(shop))["rules"]
    assert rule["parameters"]["scene_type"] == "wall"


@pytest.mark.parametrize("is_hosted", [False, True])
async def test_a_rule_publishes_a_worn_garment_only_if_a_provider_makes_it(
    is_hosted: bool, admin: AdminPage, shop: Shop
) -> None:
    """The mannequin of the app's own machines is a preview."""
    await answer_hosted(admin, shop, is_hosted=is_hosted)
    await opened(admin)
    await expect(admin.app.get_by_label("Publish without review")).to_have_count(1)
    await admin.app.get_by_label("What it makes").select_option("product-to-model-direct")
    publish = admin.app.get_by_label("Publish without review")
    await expect(publish).to_have_count(1 if is_hosted else 0)
    await admin.discard()


async def test_a_rule_keeps_what_its_workflow_describes_within(
    admin: AdminPage, shop: Shop
) -> None:
    parameters = {"person": {"age_range": "50-59"}, "scene": {"place": "beach"}}
    rule = {"workflow": "product-to-model-phased", "parameters": parameters}
    await shop.call("PUT", "/v1/settings", json={"rules": [rule]})
    await opened(admin)
    offered = admin.app.get_by_label("What it makes").locator("option")
    await expect(offered.filter(has_text="Model for the catalog")).to_have_count(0)
    await expect(admin.app.get_by_label("Age", exact=True)).to_have_value("50-59")
    await admin.app.get_by_label("Place", exact=True).select_option("nature")
    await admin.save()
    await expect(admin.save_bar).to_be_hidden()
    [kept] = (await saved(shop))["rules"]
    assert kept["parameters"]["person"]["age_range"] == "50-59"
    assert kept["parameters"]["scene"]["place"] == "nature"


async def test_what_is_typed_while_a_save_is_under_way_is_kept(
    admin: AdminPage, shop: Shop
) -> None:
    may_save = asyncio.Event()

    async def hold(route: Route) -> None:
        if route.request.method == "PUT":
            await may_save.wait()
        await route.continue_()

    await opened(admin)
    await admin.page.route("**/v1/settings", hold)
    limit = admin.app.get_by_label("Daily limit")
    await limit.fill("250")
    await admin.save()
    await limit.fill("300")
    may_save.set()
    await expect(admin.toasts).to_have_text("Settings saved")
    await expect(limit).to_have_value("300")
    assert (await saved(shop))["daily_credit_cap"] == 250
    await admin.save()
    await expect(admin.save_bar).to_be_hidden()
    assert (await saved(shop))["daily_credit_cap"] == 300


async def test_somebody_elses_save_is_not_overwritten(admin: AdminPage, shop: Shop) -> None:
    await opened(admin)
    await admin.app.get_by_label("Daily limit").fill("7")
    await shop.call("PUT", "/v1/settings", json={"rules": [], "daily_credit_cap": 42})
    admin.problems.allow("412 PUT /v1/settings")
    await admin.save()
    await expect(admin.app.get_by_text("Your changes are not saved")).to_be_visible()
    await expect(admin.app.get_by_label("Daily limit")).to_have_value("7")
    assert (await saved(shop))["daily_credit_cap"] == 42
    await admin.app.get_by_role("button", name="show the saved settings").click()
    await expect(admin.app.get_by_label("Daily limit")).to_have_value("42")
    await expect(admin.save_bar).to_be_hidden()


@pytest.mark.parametrize("is_changed_since", [False, True])
async def test_a_save_whose_answer_was_lost_is_not_called_somebody_elses(
    is_changed_since: bool, admin: AdminPage, shop: Shop
) -> None:
    """Nor does it stop the next one."""
    await opened(admin)
    limit = admin.app.get_by_label("Daily limit")
    await limit.fill("77")
    await admin.app.get_by_label("One of these tags").fill(" summer \n\nnew in")
    await admin.page.route("**/v1/settings", lose_answer)
    admin.problems.allow("failed PUT /v1/settings")
    admin.problems.allow("412 PUT /v1/settings")
    await admin.save()
    await expect(admin.app.get_by_text("has not confirmed your last change")).to_be_visible()
    assert (await saved(shop))["daily_credit_cap"] == 77
    await admin.page.unroute("**/v1/settings")
    if is_changed_since:
        await limit.fill("78")
    await admin.save()
    await expect(admin.toasts).to_have_text("Settings saved")
    await expect(admin.save_bar).to_be_hidden()
    await expect(admin.app.locator("s-banner")).to_have_count(0)
    settings = await saved(shop)
    assert settings["daily_credit_cap"] == (78 if is_changed_since else 77)
    assert settings["rules"][0]["filter"]["tags"] == ["summer", "new in"]


async def test_discarding_a_save_whose_answer_was_lost_shows_what_is_saved(
    admin: AdminPage, shop: Shop
) -> None:
    await opened(admin)
    await admin.app.get_by_label("Daily limit").fill("77")
    await admin.page.route("**/v1/settings", lose_answer)
    admin.problems.allow("failed PUT /v1/settings")
    await admin.save()
    await expect(admin.app.get_by_text("has not confirmed your last change")).to_be_visible()
    await admin.app.get_by_label("Daily limit").fill("78")
    await admin.discard()
    await expect(admin.app.get_by_label("Daily limit")).to_have_value("77")


async def lose_answer(route: Route) -> None:
    """Have the settings saved, and the page not told."""
    if route.request.method == "PUT":
        await route.fetch()
        await route.abort()
    else:
        await route.continue_()


async def test_leaving_asks_about_unsaved_changes(admin: AdminPage, shop: Shop) -> None:
    await opened(admin)
    await admin.app.get_by_label("Daily limit").fill("9")
    await expect(admin.save_bar).to_be_visible()
    await admin.menu("Jobs").click()
    await admin.leave(stay=True)
    await expect(admin.app.get_by_label("Daily limit")).to_have_value("9")
    await admin.menu("Jobs").click()
    await admin.leave()
    await admin.page.wait_for_url("**/jobs")
    await expect(admin.save_bar).to_be_hidden()
    assert (await saved(shop))["daily_credit_cap"] == 1000


async def test_discarding_shows_what_is_saved(admin: AdminPage) -> None:
    await opened(admin)
    await admin.app.get_by_label("Daily limit").fill("9")
    await admin.discard()
    await expect(admin.app.get_by_label("Daily limit")).to_have_value("1000")
    await expect(admin.save_bar).to_be_hidden()


async def test_a_save_while_the_server_is_down_can_be_repeated(
    admin: AdminPage, shop: Shop, web: WebServer
) -> None:
    await opened(admin)
    await admin.app.get_by_label("Daily limit").fill("77")
    admin.problems.allow("failed PUT /v1/settings")
    async with web.down():
        await admin.save()
        await expect(admin.app.get_by_text("Atelier can't be reached")).to_be_visible()
        await expect(admin.save_bar).to_be_visible()
    await admin.app.get_by_role("button", name="Try again").click()
    await expect(admin.save_bar).to_be_hidden()
    assert (await saved(shop))["daily_credit_cap"] == 77


async def test_settings_load_by_themselves_when_the_server_is_back(
    admin: AdminPage, web: WebServer
) -> None:
    await admin.open("/jobs")
    admin.problems.allow("failed (GET|HEAD)")
    async with web.down():
        await admin.menu("Settings").click()
        await expect(admin.app.get_by_text("can't be loaded")).to_be_visible()
    await expect(admin.app.get_by_label("Daily limit")).to_have_value("1000")


async def test_settings_wait_until_the_shop_has_given_access(
    browser: Browser, stack: Stack, problems: Problems, request: pytest.FixtureRequest
) -> None:
    """As after a reinstall: reads are refused until the installation has ended."""
    may_install = asyncio.Event()

    async def hold(route: Route) -> None:
        await may_install.wait()
        await route.continue_()

    shop = await open_shop(stack, installed=False)
    async with opened_admin(browser, stack.shopify, shop.domain, problems, request) as admin:
        await admin.page.route("**/v1/installation", hold)
        problems.allow("401 GET /v1/(settings|operations)")
        await admin.open("/settings")
        await expect(admin.app.get_by_text("Connecting to your shop")).to_be_visible()
        may_install.set()
        await expect(admin.app.get_by_label("Daily limit")).to_have_value("1000")
        await expect(admin.app.get_by_text("Connecting to your shop")).to_have_count(0)


@pytest.mark.parametrize("is_narrow", [False, True])
async def test_settings_are_accessible(admin: AdminPage, is_narrow: bool) -> None:
    if is_narrow:
        await make_narrow(admin)
    await opened(admin)
    assert await axe_findings(admin) == []
    assert await sideways_overflow(admin) == 0
    assert await small_targets(admin) == []


async def test_settings_are_in_german_for_a_german_merchant(admin: AdminPage) -> None:
    await admin.open("/settings", locale="de-AT")
    await expect(admin.app.get_by_label("Tageslimit")).to_have_value("1000")
    await expect(admin.menu("Aufträge")).to_be_visible()
    assert await admin.frame.evaluate("document.documentElement.lang") == "de-AT"
    await expect(admin.app.get_by_role("heading", name="Regel 1: Katalogbild")).to_be_visible()
