"""Make: choosing photos, the workflow's form, the price, and what is started."""

import asyncio
import itertools
from pathlib import Path
from typing import Any

import pytest
import pyvips
from playwright.async_api import Locator, Route, expect

from backend.workflows import WORKFLOWS
from tests.page.accessibility import axe_findings, make_narrow, sideways_overflow, small_targets
from tests.page.admin_page import AdminPage
from tests.page.api_answers import answer_hosted
from tests.page.shops import Shop, photo


def start(admin: AdminPage) -> Locator:
    """The button that asks for the confirmation."""
    return admin.app.locator("s-section").get_by_role("button", name="Make images")


def dialog(admin: AdminPage) -> Locator:
    """The confirmation."""
    return admin.app.get_by_role("dialog", name="Make these images?")


async def confirm(admin: AdminPage) -> None:
    """Start it, and confirm."""
    await start(admin).click()
    await expect(dialog(admin)).to_be_visible()
    await admin.app.locator("#confirm").get_by_role("button", name="Make images").click()


async def choose(admin: AdminPage, field: str, value: str) -> None:
    """Choose in a select."""
    await admin.app.get_by_label(field, exact=True).select_option(value)


async def started_request(admin: AdminPage) -> dict[str, Any]:
    """The request of the job that is shown."""
    await admin.page.wait_for_url("**/jobs/*")
    detail = await admin.call("GET", f"/v1/jobs/{admin.page.url.rsplit('/', 1)[1]}")
    return dict(detail["request"])


async def test_one_product_becomes_a_job_with_the_parameters_of_the_form(
    admin: AdminPage, shop: Shop
) -> None:
    product = shop.product(title="Navy tee")
    await admin.open("/make")
    await expect(admin.app.get_by_text("1 credit for each product", exact=True)).to_have_count(2)
    await admin.app.get_by_role("button", name="Choose products").click()
    await admin.pick("Navy tee")
    await expect(admin.app.get_by_text("1 product × 1 credit = at most 1 credit")).to_have_count(2)
    await admin.app.get_by_label("Background color").fill("#F4F4F2")
    await admin.app.get_by_label("Margin").fill("12")
    await choose(admin, "Shadow", "contact")
    await admin.app.get_by_role("button", name="Remove image 2").click()
    await admin.app.get_by_label("Longer side of image 1").fill("512")
    await choose(admin, "Format of image 1", "avif")
    await confirm(admin)
    request = await started_request(admin)
    assert request["product_id"] == product.gid
    wanted = {name: request[name] for name in ("background", "margin", "shadow", "outputs")}
    assert wanted == {
        "background": "#f4f4f2",
        "margin": 0.12,
        "shadow": "contact",
        "outputs": [{"size": 512, "format": "avif"}],
    }


async def test_several_products_become_a_batch(admin: AdminPage, shop: Shop) -> None:
    for title in ("Navy tee", "White tee", "Dress"):
        shop.product(title=title)
    await admin.open("/make")
    await admin.app.get_by_role("button", name="Choose products").click()
    await admin.cancel_picker()
    await expect(start(admin)).to_be_enabled()
    await admin.app.get_by_role("button", name="Choose products").click()
    await admin.pick("Navy tee", "Dress")
    await expect(admin.app.get_by_text("2 products × 1 credit = at most 2 credits")).to_have_count(
        2
    )
    await confirm(admin)
    await admin.page.wait_for_url("**/batches/*")
    await expect(admin.app.get_by_text("of 2 done")).to_be_visible()


async def test_a_collection_becomes_a_batch(admin: AdminPage, shop: Shop) -> None:
    shop.stack.shopify.create_collection(shop.domain, "Summer", [shop.product(), shop.product()])
    await admin.open("/make")
    await admin.app.get_by_label("A collection").check()
    await admin.app.get_by_role("button", name="Choose a collection").click()
    await admin.pick("Summer")
    await expect(admin.app.get_by_text("2 products × 1 credit = at most 2 credits")).to_have_count(
        2
    )
    await confirm(admin)
    await admin.page.wait_for_url("**/batches/*")
    batch = await admin.call("GET", f"/v1/batches/{admin.page.url.rsplit('/', 1)[1]}")
    assert batch["collection_id"].startswith("gid://shopify/Collection/")


async def test_the_products_of_an_admin_link_are_chosen_already(
    admin: AdminPage, shop: Shop
) -> None:
    numbers = [shop.product().gid.rsplit("/", 1)[1] for _ in range(2)]
    await admin.open(f"/make?ids[]={numbers[0]}&ids[]={numbers[1]}&ids[]=x")
    await expect(admin.app.get_by_text("2 products × 1 credit")).to_have_count(2)
    await admin.open(f"/make?id={numbers[0]}")
    await expect(admin.app.get_by_text("1 product × 1 credit")).to_have_count(2)
    await confirm(admin)
    assert (await started_request(admin))["product_id"].endswith(f"/{numbers[0]}")


async def test_own_photos_are_uploaded_and_each_refusal_is_at_its_file(
    admin: AdminPage, shop: Shop, tmp_path: Path
) -> None:
    (tmp_path / "broken.jpg").write_bytes(photo("tee_navy").read_bytes()[:3000])
    (tmp_path / "notes.txt").write_text("no photo")
    admin.problems.allow("422 POST /v1/uploads")
    await admin.open("/make")
    await admin.app.get_by_label("My own photos").check()
    zone = admin.app.locator("s-drop-zone input[type=file]")
    await zone.set_input_files([photo("tee_navy"), tmp_path / "broken.jpg"])
    await expect(admin.app.get_by_text("damaged or incomplete")).to_be_visible()
    await expect(admin.app.get_by_text("1 photo × 1 credit = at most 1 credit")).to_have_count(2)
    await zone.set_input_files(tmp_path / "notes.txt")
    await expect(admin.app.get_by_text("Some files were left out")).to_be_visible()
    await admin.app.get_by_role("button", name="Remove broken.jpg").click()
    await expect(admin.app.get_by_text("damaged or incomplete")).to_have_count(0)
    await confirm(admin)
    assert (await started_request(admin))["upload_image_url"]


async def test_own_photos_have_every_format_that_the_api_reads(
    admin: AdminPage, shop: Shop, tmp_path: Path
) -> None:
    """Also those that the browser does not show: the server stores them as one that it does."""
    tee = pyvips.Image.thumbnail(str(photo("tee_navy")), 1000).copy_memory()
    files = [tmp_path / f"tee.{extension}" for extension in ("avif", "tiff")]
    for file in files:
        tee.write_to_file(str(file))
    await admin.open("/make")
    await admin.app.get_by_label("My own photos").check()
    await admin.app.locator("s-drop-zone input[type=file]").set_input_files(files)
    await expect(admin.app.get_by_text("2 photos × 1 credit = at most 2 credits")).to_have_count(2)
    await expect(admin.app.get_by_text("Some files were left out")).to_have_count(0)
    pictures = admin.app.locator("s-thumbnail img")
    await expect(pictures).to_have_count(2)
    for picture in await pictures.all():
        await picture.evaluate("(picture) => picture.decode()")  # fails if it cannot be shown


async def held_uploads(admin: AdminPage, *, first: int) -> tuple[list[str], asyncio.Event]:
    """The uploads as they begin, of which those from `first` on wait for the event."""
    uploads: list[str] = []
    may_go_on = asyncio.Event()

    async def hold(route: Route) -> None:
        uploads.append(route.request.url)
        if len(uploads) >= first:
            await may_go_on.wait()
        await route.continue_()

    await admin.page.route("**/v1/uploads", hold)
    return uploads, may_go_on


async def test_nothing_is_started_before_all_photos_are_uploaded(
    admin: AdminPage, shop: Shop
) -> None:
    _, may_go_on = await held_uploads(admin, first=2)
    await admin.open("/make")
    await admin.app.get_by_label("My own photos").check()
    files = [photo("tee_navy"), photo("tee_white")]
    await admin.app.locator("s-drop-zone input[type=file]").set_input_files(files)
    await expect(admin.app.get_by_text("1 photo × 1 credit")).to_have_count(2)
    await expect(start(admin)).to_be_disabled()
    may_go_on.set()
    await expect(start(admin)).to_be_enabled()
    await expect(admin.app.get_by_text("2 photos × 1 credit")).to_have_count(2)


async def test_photos_that_are_added_one_by_one_are_uploaded_one_after_the_other(
    admin: AdminPage, shop: Shop
) -> None:
    """A shop may upload only a few at once."""
    uploads, may_go_on = await held_uploads(admin, first=1)
    await admin.open("/make")
    await admin.app.get_by_label("My own photos").check()
    zone = admin.app.locator("s-drop-zone input[type=file]")
    for garment in ("tee_navy", "tee_white"):
        await zone.set_input_files(photo(garment))
        await expect(admin.app.get_by_role("button", name=f"Remove {garment}.jpg")).to_be_visible()
    await admin.call("GET", "/v1/settings")
    assert len(uploads) == 1
    may_go_on.set()
    await expect(admin.app.get_by_text("2 photos × 1 credit")).to_have_count(2)
    assert len(uploads) == 2


async def test_photos_of_a_form_that_was_left_are_not_uploaded(
    admin: AdminPage, shop: Shop
) -> None:
    uploads, may_go_on = await held_uploads(admin, first=1)
    await admin.open("/make")
    await admin.app.get_by_label("My own photos").check()
    files = [photo("tee_navy"), photo("tee_white")]
    await admin.app.locator("s-drop-zone input[type=file]").set_input_files(files)
    await expect(admin.app.get_by_role("button", name="Remove tee_white.jpg")).to_be_visible()
    await admin.menu("Settings").click()
    await expect(admin.app.get_by_label("Daily limit")).to_be_visible()
    async with admin.page.expect_response("**/v1/uploads"):
        may_go_on.set()
    await admin.call("GET", "/v1/settings")
    assert len(uploads) == 1


async def test_a_photo_that_could_not_be_uploaded_can_be_added_again(
    admin: AdminPage, shop: Shop
) -> None:
    async def lose(route: Route) -> None:
        await route.abort()

    await admin.page.route("**/v1/uploads", lose, times=1)
    admin.problems.allow("failed POST /v1/uploads")
    await admin.open("/make")
    await admin.app.get_by_label("My own photos").check()
    zone = admin.app.locator("s-drop-zone input[type=file]")
    await zone.set_input_files(photo("tee_navy"))
    await expect(admin.app.get_by_text("can't be reached at the moment")).to_be_visible()
    await zone.set_input_files([])  # otherwise it is no change for the browser
    await zone.set_input_files(photo("tee_navy"))
    await expect(admin.app.get_by_text("1 photo × 1 credit")).to_have_count(2)
    await expect(admin.app.get_by_text("can't be reached at the moment")).to_have_count(0)
    await expect(admin.app.get_by_role("button", name="Remove tee_navy.jpg")).to_have_count(1)


async def test_a_product_of_many_tags_is_chosen_as_any_other(admin: AdminPage, shop: Shop) -> None:
    """Its tags are too long to guess its category."""
    tags = [f"{number:03} a rather long tag" for number in range(250)]
    picture = photo("tee_navy")
    shop.stack.shopify.create_product(shop.domain, "Navy tee", picture, tags=tags)
    admin.problems.allow("422 GET /v1/garment-categories")
    await admin.open("/make")
    await admin.app.get_by_role("button", name="Choose products").click()
    async with admin.page.expect_response("**/v1/garment-categories?*"):
        await admin.pick("Navy tee")
    await expect(admin.app.get_by_text("1 product × 1 credit")).to_have_count(2)
    await admin.call("GET", "/v1/settings")
    await expect(admin.app.locator("s-banner")).to_have_count(0)


async def test_a_link_that_names_no_workflow_opens_the_usual_form(admin: AdminPage) -> None:
    await admin.open("/make?workflow=constructor")
    kind = admin.app.get_by_label("Kind of image", exact=True)
    await expect(kind).to_have_value("catalog-image")


@pytest.mark.parametrize(
    ("is_hosted", "said"),
    [(False, "The garment on a mannequin."), (True, "The garment on a person whom an AI invents.")],
)
async def test_the_form_says_whether_a_person_wears_the_garment(
    is_hosted: bool, said: str, admin: AdminPage, shop: Shop
) -> None:
    await answer_hosted(admin, shop, is_hosted=is_hosted)
    await admin.open("/make")
    await choose(admin, "Kind of image", "product-to-model-direct")
    await expect(admin.app.get_by_text("The garment on a")).to_have_count(1)
    await expect(admin.app.get_by_text(said)).to_be_visible()


async def test_what_is_wrong_is_shown_at_its_field_and_nothing_is_started(
    admin: AdminPage, shop: Shop
) -> None:
    await admin.open("/make")
    await admin.app.get_by_label("Margin").fill("41")
    await admin.app.get_by_label("Longer side of image 1").fill("100")
    await start(admin).click()
    await expect(admin.app.get_by_text("Choose at least one product.")).to_be_visible()
    await expect(admin.app.get_by_text("Enter 0 to 40.")).to_be_visible()
    await expect(admin.app.get_by_text("has 256 to 4096 pixels")).to_be_visible()
    await expect(dialog(admin)).to_be_hidden()
    await admin.app.get_by_label("Longer side of image 1").fill("1024")
    await choose(admin, "Format of image 1", "webp")
    await start(admin).click()
    await expect(admin.app.get_by_text("the same size and format")).to_be_visible()
    await choose(admin, "Kind of image", "background-swap-with-spec")
    await start(admin).click()
    await expect(admin.app.get_by_text("This is required.")).to_be_visible()
    assert (await admin.call("GET", "/v1/jobs"))["count"] == 0


async def test_what_the_api_refuses_is_shown_at_its_field_and_kept(
    admin: AdminPage, shop: Shop
) -> None:
    number = shop.product().gid.rsplit("/", 1)[1]
    admin.problems.allow("422 POST /v1/catalog-image")
    await admin.open(f"/make?id={number}")
    await admin.app.get_by_label("Background color").fill("blue-ish")
    await confirm(admin)
    await expect(admin.app.get_by_text("Atelier does not accept this value.")).to_be_visible()
    await expect(admin.app.get_by_label("Background color")).to_have_value("blue-ish")


async def test_every_choice_of_the_form_is_one_of_the_api(admin: AdminPage, shop: Shop) -> None:
    number = shop.product().gid.rsplit("/", 1)[1]
    await admin.open(f"/make?id={number}")
    await choose(admin, "Kind of image", "background-swap-with-spec")
    scenes = ("studio", "tabletop", "wall", "spotlight")
    moods = ("neutral", "bright", "warm", "cool", "dramatic")
    for scene, mood in itertools.zip_longest(scenes, moods, fillvalue="studio"):
        await choose(admin, "Scene", scene)
        await choose(admin, "Mood", mood)
    await admin.app.get_by_role("button", name="Add a color").click()
    await expect(admin.app.get_by_label("Color 2")).to_be_visible()
    await confirm(admin)
    request = await started_request(admin)
    assert (request["scene_type"], request["mood"]) == ("studio", "dramatic")
    assert request["dominant_colors"] == ["#e8e4de", "#ffffff"]


async def test_everybody_can_use_it(admin: AdminPage, shop: Shop) -> None:
    await make_narrow(admin)
    await admin.open("/make")
    for workflow in WORKFLOWS.values():
        await choose(admin, "Kind of image", workflow.name)
        assert await axe_findings(admin) == []
        assert await sideways_overflow(admin) == 0
        assert await small_targets(admin) == []
    await admin.app.get_by_label("My own photos").check()
    assert await axe_findings(admin) == []
