"""The further images of a rule: an entry of the catalog or an upload, kept for many jobs."""

from pathlib import Path
from typing import Any

from playwright.async_api import expect

from tests.page.accessibility import axe_findings, make_narrow, sideways_overflow, tab_to
from tests.page.admin_page import AdminPage
from tests.page.shops import Shop, photo


async def saved_rule(shop: Shop) -> dict[str, Any]:
    """The one rule on the server."""
    [rule] = (await shop.call("GET", "/v1/settings")).json()["rules"]
    return dict(rule)


async def save_rule(shop: Shop, workflow: str, **parameters: Any) -> None:
    """Replace the rules by this one."""
    rule = {"workflow": workflow, "parameters": parameters}
    await shop.call("PUT", "/v1/settings", json={"rules": [rule]})


async def opened(admin: AdminPage) -> None:
    """Settings, loaded."""
    await admin.open("/settings")
    await expect(admin.app.get_by_label("Daily limit")).to_have_value("1000")


async def test_a_rule_takes_a_model_of_the_catalog_that_is_chosen_by_keyboard(
    admin: AdminPage, shop: Shop
) -> None:
    model = await shop.catalog_entry(name="Mara")
    await opened(admin)
    await admin.app.get_by_label("What it makes").select_option("try-on")
    await expect(admin.app.get_by_label("A picture of mine")).to_have_count(0)  # of a person
    await admin.save()
    await expect(admin.app.get_by_text("Choose one from the catalog.")).to_be_visible()
    await tab_to(admin, admin.app.get_by_role("button", name="Choose from the catalog"))
    await admin.page.keyboard.press("Enter")
    await expect(admin.app.get_by_role("dialog", name="Models")).to_be_visible()
    await tab_to(admin, admin.app.get_by_role("button", name="Choose Mara"))
    await admin.page.keyboard.press("Enter")
    await expect(admin.app.get_by_text("Choose one from the catalog.")).to_have_count(0)
    await expect(admin.app.get_by_text("Mara", exact=True).first).to_be_visible()
    await admin.save()
    await expect(admin.toasts).to_have_text("Settings saved")
    assert (await saved_rule(shop))["parameters"]["model_id"] == model
    await expect(admin.app.locator("s-thumbnail")).to_have_count(1)


async def test_a_saved_rule_shows_its_model_and_can_go_back_to_an_invented_one(
    admin: AdminPage, shop: Shop
) -> None:
    model = await shop.catalog_entry(name="Mara")
    await save_rule(shop, "product-to-model-phased", model_id=model)
    await make_narrow(admin)
    await opened(admin)
    await expect(admin.app.get_by_text("Mara", exact=True)).to_be_visible()
    await expect(admin.app.locator("s-thumbnail")).to_have_count(1)
    await expect(admin.app.get_by_label("Age", exact=True)).to_have_count(0)
    assert await axe_findings(admin) == []
    assert await sideways_overflow(admin) == 0
    await admin.app.get_by_role("radio", name="A new one, as described below").first.check()
    await admin.app.get_by_label("Age", exact=True).select_option("50-59")
    await admin.save()
    await expect(admin.save_bar).to_be_hidden()
    parameters = (await saved_rule(shop))["parameters"]
    assert (parameters["model_id"], parameters["person"]["age_range"]) == (None, "50-59")


async def test_an_archived_entry_stops_its_rule_and_is_replaced(
    admin: AdminPage, shop: Shop
) -> None:
    models = [await shop.catalog_entry(name=name) for name in ("Mara", "Ines")]
    await save_rule(shop, "model-swap-with-image", model_id=models[0])
    await shop.call("POST", f"/v1/catalog/models/{models[0]}/archive")
    await opened(admin)
    await expect(admin.app.get_by_text("so the rule does not run")).to_be_visible()
    await admin.app.get_by_label("Daily limit").fill("7")
    admin.problems.allow("422 PUT /v1/settings")
    await admin.save()
    await expect(admin.app.get_by_text("This picture is no longer there.")).to_be_visible()
    await admin.app.get_by_role("button", name="Choose another one").click()
    await admin.app.get_by_role("button", name="Choose Ines").click()
    await expect(admin.app.get_by_text("This picture is no longer there.")).to_have_count(0)
    await admin.save()
    await expect(admin.save_bar).to_be_hidden()
    assert (await saved_rule(shop))["parameters"]["model_id"] == models[1]


async def test_a_rule_keeps_an_uploaded_background(admin: AdminPage, shop: Shop) -> None:
    await opened(admin)
    await admin.app.get_by_label("What it makes").select_option("background-swap-with-image")
    await admin.save()
    await expect(admin.app.get_by_text("Add a picture that could be uploaded.")).to_be_visible()
    zone = admin.app.locator("s-drop-zone input[type=file]")
    await zone.set_input_files(photo("tee_white"))
    await expect(admin.app.get_by_text("The picture is uploaded")).to_be_visible()
    await admin.save()
    await expect(admin.save_bar).to_be_hidden()
    parameters = (await saved_rule(shop))["parameters"]
    assert parameters["background_upload_key"] and not parameters["background_id"]
    await opened(admin)
    await expect(admin.app.get_by_text("The picture is uploaded")).to_be_visible()
    await admin.app.get_by_label("Shadow").select_option("none")
    await admin.save()
    await expect(admin.save_bar).to_be_hidden()
    again = (await saved_rule(shop))["parameters"]
    assert again["background_upload_key"] == parameters["background_upload_key"]
    assert again["shadow"] == "none"


async def test_a_file_that_is_no_picture_does_not_put_the_rules_picture_in_doubt(
    admin: AdminPage, shop: Shop, tmp_path: Path
) -> None:
    (tmp_path / "notes.txt").write_text("no picture")
    await opened(admin)
    await admin.app.get_by_label("What it makes").select_option("background-swap-with-image")
    zone = admin.app.locator("s-drop-zone input[type=file]")
    await zone.set_input_files(photo("tee_white"))
    await expect(admin.app.get_by_text("The picture is uploaded")).to_be_visible()
    await zone.set_input_files(tmp_path / "notes.txt")
    await expect(admin.app.get_by_text("Some files were left out")).to_be_visible()
    await expect(admin.app.get_by_text("This picture is no longer there.")).to_have_count(0)
    await admin.discard()


async def test_an_empty_catalog_leads_from_a_rule_to_its_generator(
    admin: AdminPage, shop: Shop
) -> None:
    await opened(admin)
    await admin.app.get_by_label("What it makes").select_option("try-on")
    await admin.app.get_by_role("button", name="Choose from the catalog").click()
    await admin.app.get_by_role("link", name="Make a model").click()
    await admin.leave()
    await admin.page.wait_for_url("**/make?workflow=model-generator")
