"""The catalog: its three parts, names, the archive, what an entry was made from, and making one."""

import re
from typing import Any

import pytest
from playwright.async_api import Locator, Route, expect

from backend.dev.stack import Stack
from tests.page.accessibility import axe_findings, make_narrow, sideways_overflow, small_targets
from tests.page.admin_page import AdminPage
from tests.page.shops import Shop, open_shop

SMALL = [{"size": 256, "format": "webp"}]


@pytest.fixture(scope="module")
async def filled_shop(stack: Stack) -> Shop:
    """A shop with two models that the stand-in provider has made."""
    shop = await open_shop(stack)
    for name, age in (("Ada", "20-29"), ("Grace", "60-75")):
        body = {"name": name, "age_range": age, "details": "freckles", "seed": 7, "outputs": SMALL}
        made = (await shop.call("POST", "/v1/model-generator", json=body)).json()
        assert (await shop.ended_job(made["job_id"]))["status"] == "SUCCESS"
    return shop


@pytest.fixture
def shop(filled_shop: Shop) -> Shop:
    """The shop of the tab."""
    return filled_shop


def entry(admin: AdminPage, name: str) -> Locator:
    """An entry that is shown."""
    return admin.app.get_by_role("listitem", name=name, exact=True)


async def models(shop: Shop, *, archived: str = "false") -> list[dict[str, Any]]:
    """The models on the server."""
    found = await shop.call("GET", f"/v1/catalog/models?archived={archived}")
    entries: list[dict[str, Any]] = found.json()["entries"]
    return entries


async def test_an_entry_tells_what_it_was_made_from(admin: AdminPage, shop: Shop) -> None:
    await admin.open()
    await admin.menu("Catalog").click()
    await expect(admin.app.get_by_role("listitem")).to_have_count(2)
    ada = entry(admin, "Ada")
    await expect(ada).to_contain_text("freckles")
    await expect(ada).to_contain_text("Age: 20-29")
    await expect(ada).to_contain_text("Seed: 7")
    width = await ada.locator("img").evaluate("(img) => img.decode().then(() => img.naturalWidth)")
    assert width > 0
    [job] = [each["public_id"] for each in await models(shop) if each["name"] == "Ada"]
    await ada.get_by_role("link", name="Job that made Ada").click()
    await admin.page.wait_for_url(f"**/jobs/{job}")


async def test_an_entry_is_renamed(admin: AdminPage, shop: Shop) -> None:
    await admin.open("/catalog")
    await admin.app.get_by_role("button", name="Rename Grace").click()
    name = admin.app.locator("#rename").get_by_role("textbox", name="Name")
    await expect(name).to_have_value("Grace")
    admin.problems.allow("422 PATCH /v1/catalog/models/")
    await name.fill("   ")
    await admin.app.locator("#rename").get_by_role("button", name="Save").click()
    await expect(admin.app.get_by_text("Enter a name with at most 100")).to_be_visible()
    await name.fill("Grace with a hat")
    await admin.app.locator("#rename").get_by_role("button", name="Save").click()
    await expect(admin.toasts).to_have_text("Renamed to Grace with a hat")
    await expect(name).to_be_hidden()
    await expect(entry(admin, "Grace with a hat")).to_be_visible()
    assert {each["name"] for each in await models(shop)} == {"Ada", "Grace with a hat"}
    [renamed] = [each for each in await models(shop) if each["name"] != "Ada"]
    await shop.call("PATCH", f"/v1/catalog/models/{renamed['public_id']}", json={"name": "Grace"})


async def test_an_entry_is_archived_and_restored(admin: AdminPage, shop: Shop) -> None:
    await admin.open("/catalog")
    await admin.app.get_by_role("button", name="Archive Ada").click()
    await expect(admin.toasts).to_have_text("Ada is archived")
    await expect(entry(admin, "Ada")).to_have_count(0)
    assert [each["name"] for each in await models(shop, archived="true")] == ["Ada"]
    await admin.app.get_by_label("Show archived entries").check()
    await expect(entry(admin, "Grace")).to_have_count(0)
    await admin.app.get_by_role("button", name="Restore Ada").click()
    await expect(admin.app.get_by_text("Nothing is archived")).to_be_visible()
    await admin.app.get_by_label("Show archived entries").uncheck()
    await expect(admin.app.get_by_role("listitem")).to_have_count(2)
    assert await models(shop, archived="true") == []


async def test_a_part_with_more_entries_is_not_called_empty(admin: AdminPage, shop: Shop) -> None:
    async def make_short(route: Route) -> None:
        await route.continue_(url=re.sub(r"limit=\d+", "limit=1", route.request.url))

    await admin.page.route("**/v1/catalog/models?*", make_short)
    await admin.open("/catalog")
    await admin.app.get_by_role("button", name="Archive Grace").click()
    await expect(entry(admin, "Grace")).to_have_count(0)
    await expect(admin.app.get_by_text("No models yet")).to_have_count(0)
    await admin.app.get_by_role("button", name="Show more").click()
    await expect(entry(admin, "Ada")).to_be_visible()
    [grace] = await models(shop, archived="true")
    await shop.call("POST", f"/v1/catalog/models/{grace['public_id']}/restore")


async def test_each_part_leads_to_the_form_of_its_generator(admin: AdminPage) -> None:
    await admin.open("/catalog")
    parts = admin.app.locator("s-button-group")
    await expect(parts.get_by_role("button", pressed=True)).to_have_accessible_name("Models")
    await parts.get_by_role("button", name="Backgrounds").click()
    await admin.page.wait_for_url("**/catalog?kind=backgrounds")
    await expect(admin.app.get_by_text("No backgrounds yet")).to_be_visible()
    await parts.get_by_role("button", name="Garments").click()
    await expect(admin.app.get_by_text("No garments yet")).to_be_visible()
    await admin.action("Make a garment").click()
    await admin.page.wait_for_url("**/make?workflow=complementary-garment-generator")


@pytest.mark.parametrize("is_narrow", [False, True])
async def test_the_catalog_is_accessible(is_narrow: bool, admin: AdminPage) -> None:
    if is_narrow:
        await make_narrow(admin)
    await admin.open("/catalog")
    await expect(admin.app.get_by_role("listitem")).to_have_count(2)
    assert await axe_findings(admin) == []
    assert await sideways_overflow(admin) == 0
    assert await small_targets(admin) == []
    await admin.app.get_by_role("button", name="Rename Ada").click()
    assert await axe_findings(admin) == []


async def test_the_catalog_is_in_german_for_a_german_merchant(admin: AdminPage) -> None:
    await admin.open("/catalog", locale="de")
    await expect(admin.title).to_have_text("Katalog")
    await expect(entry(admin, "Ada")).to_contain_text("Alter: 20-29")
    await admin.open("/catalog?kind=backgrounds", locale="de")
    await expect(admin.app.get_by_text("Noch keine Hintergründe")).to_be_visible()
