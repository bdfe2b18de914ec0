"""The screen of credits where Shopify itself sells the plans (App Pricing)."""

import os
from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Locator, expect

from backend.dev.stack import Stack, local_stack
from tests.page.admin_page import AdminPage
from tests.page.shops import Shop
from tests.source_tree import ROOT


@pytest.fixture(scope="module")
async def stack() -> AsyncIterator[Stack]:
    """A stack on App Pricing, without a key of anybody's."""
    sold = {"BILLING": "app_pricing", "PLANS_FILE": str(ROOT / "deploy" / "plans.toml")}
    async with local_stack(environ={**os.environ, **sold}) as running:
        yield running


def plans(admin: AdminPage) -> Locator:
    """The section of the plans."""
    return admin.app.locator('s-section[heading="Plans"]')


def badges(admin: AdminPage) -> Locator:
    """What the title bar has beside the heading."""
    return admin.page.locator("#title-bar .badge")


async def test_a_plan_is_chosen_on_shopifys_page_and_marked_afterwards(admin: AdminPage) -> None:
    await admin.open("/plan")
    await expect(badges(admin)).to_have_text(["0 credits left"])
    await expect(admin.app.locator('s-section[heading="Packs"]')).to_have_count(0)
    await admin.app.get_by_role("button", name="Choose Studio", exact=True).click()
    await admin.page.wait_for_url("**/pricing_plans")
    await admin.page.get_by_role("button", name="Choose Studio", exact=True).click()
    await admin.page.wait_for_url("**/plan?plan_handle=studio")
    await expect(badges(admin)).to_have_text(["1,000 credits left"])
    await expect(plans(admin).get_by_text("Current plan")).to_have_count(1)


async def test_a_plan_chosen_in_another_tab_is_marked_when_the_page_is_visible_again(
    admin: AdminPage, shop: Shop
) -> None:
    await admin.open("/plan")
    await expect(plans(admin).get_by_text("Current plan")).to_have_count(0)
    await shop.call("POST", "/v1/subscription", json={"plan": "studio"})
    shop.stack.shopify.choose_plan(shop.domain, "studio")
    await admin.make("hidden")
    await shop.call("POST", "/v1/installation")  # another page of the app was opened
    await admin.make("visible")
    await expect(plans(admin).get_by_text("Current plan")).to_have_count(1)
    await expect(badges(admin)).to_have_text(["1,000 credits left"])
