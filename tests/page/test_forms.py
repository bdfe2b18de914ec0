"""The form of each workflow: fields, further images by upload and catalog, what is refused."""

import json
import re
from typing import Any
from urllib.parse import unquote

import msgspec
import pytest
from playwright.async_api import Locator, Route, expect
from sqlalchemy import text

from backend.workflows import WORKFLOWS
from backend.workflows.registry import Workflow
from tests.page.accessibility import axe_findings, make_narrow, tab_to
from tests.page.admin_page import AdminPage
from tests.page.shops import Shop, photo

SMALL = [{"size": 256, "format": "webp"}]
FORMS = """async () => {
  const entry = document.querySelector("script[type=module]").src;
  const { FORMS, choicesOf } = await import(new URL("views/workflows.js", entry).href);
  return Object.fromEntries(Object.entries(FORMS).map(([name, form]) => [name, { ...form,
    choices: Object.fromEntries(Object.keys(form.parameters).map(
      (path) => [path, choicesOf(name, path) ?? null])) }]));
}"""


def start(admin: AdminPage) -> Locator:
    """The button that asks for the confirmation."""
    return admin.app.locator("s-section").get_by_role("button", name="Make images")


async def confirm(admin: AdminPage) -> None:
    """Start it, and confirm."""
    await start(admin).click()
    await expect(admin.app.get_by_role("dialog", name="Make these images?")).to_be_visible()
    await admin.app.locator("#confirm").get_by_role("button", name="Make images").click()


async def choose(admin: AdminPage, field: str, value: str) -> None:
    """Choose in a select."""
    await admin.app.get_by_label(field, exact=True).select_option(value)


async def open_form(admin: AdminPage, workflow: str, *products: str) -> None:
    """Open Make with this workflow and these products chosen."""
    numbers = "".join(f"&ids[]={gid.rsplit('/', 1)[1]}" for gid in products)
    await admin.open(f"/make?workflow={workflow}{numbers}")


async def upload(admin: AdminPage, number: int, garment: str = "tee_white") -> None:
    """Upload a picture in one of the image fields, counted from 0."""
    await admin.app.get_by_label("A picture of mine").nth(number).check()
    zones = admin.app.locator("s-drop-zone input[type=file]")
    done = admin.app.get_by_text("The picture is uploaded")
    before = await done.count()
    await zones.last.set_input_files(photo(garment))
    await expect(done).to_have_count(before + 1)


async def started_job(admin: AdminPage) -> str:
    """The public id of the job that is shown."""
    await admin.page.wait_for_url("**/jobs/*")
    return admin.page.url.rsplit("/", 1)[1]


async def started_request(admin: AdminPage) -> dict[str, Any]:
    """The request of the job that is shown."""
    detail = await admin.call("GET", f"/v1/jobs/{await started_job(admin)}")
    return dict(detail["request"])


def fields_of(struct: Any, prefix: str = "") -> dict[str, tuple[Any, Any, bool]]:
    """The schema and the default of each parameter by its path, and whether it has to be given."""
    found: dict[str, tuple[Any, Any, bool]] = {}
    for field in msgspec.structs.fields(struct):
        default = json.loads(msgspec.json.encode(None if field.required else field.default))
        if isinstance(default, dict):
            found |= fields_of(type(field.default), f"{field.name}.")
        else:
            schema = msgspec.json.schema(field.type)
            found[prefix + field.name] = (schema, default, field.required)
    return found


def choices_in(schema: dict[str, Any]) -> set[str]:
    """The words that a schema admits."""
    options = [schema, *schema.get("anyOf", [])]
    return {word for each in options for word in each.get("enum", ())}


async def test_the_forms_have_the_fields_defaults_and_choices_of_the_api(admin: AdminPage) -> None:
    await admin.open("/make")
    forms = await admin.frame.evaluate(FORMS)
    assert forms.keys() == {each.name for each in WORKFLOWS.values()}
    for workflow in WORKFLOWS.values():
        require_same(workflow, forms[workflow.name])


def require_same(workflow: Workflow, form: dict[str, Any]) -> None:
    """Raise `AssertionError` unless the form is that of the API."""
    wanted = fields_of(workflow.parameters)
    own = form["parameters"]
    assert own.keys() == wanted.keys(), workflow.name
    for path, (schema, default, is_required) in wanted.items():
        assert (own[path] or None) == (default or None), (workflow.name, path)
        assert (own[path] == "") == is_required, (workflow.name, path)
        assert set(form["choices"][path] or ()) == choices_in(schema), (workflow.name, path)
    images = {(each.get("upload"), each["entry"], each["isRequired"]) for each in form["images"]}
    assert images == {
        (each.upload_field, each.entry_field, each.is_required) for each in workflow.further_images
    }
    assert form["hasPhoto"] == workflow.has_photo
    assert form["isForMany"] == workflow.for_many_products


@pytest.mark.parametrize("workflow", WORKFLOWS.values(), ids=lambda each: each.name)
async def test_the_form_of_each_workflow_starts_a_job(
    workflow: Workflow, admin: AdminPage, shop: Shop
) -> None:
    """So what the form sends is what the API takes."""
    await open_form(admin, workflow.name, shop.product().gid)
    await expect(start(admin)).to_be_enabled()
    for field, value in (("Kind of garment", "dress"), ("Scene", "studio")):
        if await admin.app.get_by_label(field, exact=True).count():
            await choose(admin, field, value)
    required = [each for each in workflow.further_images if each.is_required]
    ways = [each for each in workflow.further_images if each.upload_field]
    for image in required:
        await upload(admin, ways.index(image))
    await confirm(admin)
    request = await started_request(admin)
    given = {name for name, each in request.items() if each is not None}
    fields = msgspec.structs.fields(workflow.parameters)
    assert {field.name for field in fields if field.required or field.default} <= given


async def test_a_model_of_the_catalog_is_chosen_by_keyboard_and_tried_on(
    admin: AdminPage, shop: Shop
) -> None:
    entry = await shop.catalog_entry(name="Mara")
    await open_form(admin, "try-on", shop.product().gid)
    opener = admin.app.get_by_role("button", name="Choose from the catalog")
    await tab_to(admin, opener)
    await admin.page.keyboard.press("Enter")
    await expect(admin.app.get_by_role("dialog", name="Models")).to_be_visible()
    mara = admin.app.get_by_role("button", name="Choose Mara")
    await expect(mara).to_be_visible()
    assert await axe_findings(admin) == []
    await tab_to(admin, mara)
    await admin.page.keyboard.press("Enter")
    await expect(admin.app.get_by_text("Mara", exact=True).first).to_be_visible()
    await expect(
        admin.app.get_by_text("1 product × 10 credits = at most 10 credits")
    ).to_have_count(2)
    await confirm(admin)
    job = await started_job(admin)
    detail = await shop.ended_job(job)
    assert (detail["status"], detail["request"]["model_id"]) == ("SUCCESS", entry)
    await expect(admin.app.get_by_text("Made with AI")).to_be_visible()
    await expect(admin.app.get_by_text("Preview only")).to_have_count(0)


async def test_an_empty_catalog_leads_to_its_generator(admin: AdminPage, shop: Shop) -> None:
    await open_form(admin, "try-on", shop.product().gid)
    await admin.app.get_by_role("button", name="Choose from the catalog").click()
    await expect(admin.app.get_by_text("There are no models yet")).to_be_visible()
    await admin.app.get_by_role("button", name="Make a model").click()
    await expect(admin.app.get_by_label("Kind of image", exact=True)).to_have_value(
        "model-generator"
    )
    await expect(admin.app.get_by_role("button", name="Choose products")).to_have_count(0)
    await expect(admin.app.get_by_text("1 picture × 5 credits = at most 5 credits")).to_have_count(
        2
    )
    await expect(admin.app.get_by_text("does not charge for images")).to_have_count(2)
    await admin.app.get_by_text("Advanced", exact=True).click()
    await admin.app.get_by_label("Seed", exact=True).fill("1.5")
    await start(admin).click()
    await expect(admin.app.get_by_text("Enter a whole number from 0")).to_be_visible()
    await admin.app.get_by_label("Seed", exact=True).fill("7")
    await choose(admin, "Hair color", "red")
    await choose(admin, "Body", "androgynous")
    await confirm(admin)
    request = await started_request(admin)
    wanted = {"seed": 7, "hair_color": "red", "body": "androgynous"}
    assert wanted.items() <= request.items()
    assert "build" not in request


async def test_the_catalog_is_shown_page_by_page_newest_first(admin: AdminPage, shop: Shop) -> None:
    for name in ("First", "Second"):
        await shop.catalog_entry("background-generator", name=name)

    async def make_short(route: Route) -> None:
        await route.continue_(url=re.sub(r"limit=\d+", "limit=1", route.request.url))

    await admin.page.route("**/v1/catalog/**", make_short)
    await open_form(admin, "background-swap-with-image", shop.product().gid)
    await admin.app.get_by_role("radio", name="From the catalog").check()
    await admin.app.get_by_role("button", name="Choose from the catalog").click()
    entries = admin.app.locator("#catalog").get_by_role("listitem")
    await expect(entries).to_have_text(["Second"])
    await admin.app.get_by_role("button", name="Show more").click()
    await expect(entries).to_have_text(["Second", "First"])
    await expect(admin.app.get_by_role("button", name="Show more")).to_have_count(0)


async def test_a_photo_of_a_person_is_never_shown(admin: AdminPage, shop: Shop) -> None:
    fetched: list[str] = []
    admin.page.on("request", lambda request: fetched.append(request.url))
    await open_form(admin, "try-on", shop.product().gid)
    await upload(admin, 0)
    await expect(admin.app.get_by_text("is not shown again afterwards")).to_be_visible()
    await expect(admin.app.locator("s-thumbnail")).to_have_count(0)
    await confirm(admin)
    job = await started_job(admin)
    detail = await shop.ended_job(job)
    assert detail["status"] == "SUCCESS"
    assert detail["request"]["person_upload_image_url"] is None
    await expect(admin.app.get_by_role("slider")).to_be_visible()
    await admin.open("/")
    await expect(admin.app.get_by_role("slider")).to_be_visible()
    async with shop.stack.database.transaction() as connection:
        key = await connection.scalar(
            text("SELECT request ->> 'person_upload_key' FROM jobs WHERE public_id = :job"),
            {"job": job},
        )
    assert key
    assert [url for url in fetched if key in unquote(url)] == []
    assert any("thumbnail" in url or ".jp" in url or ".webp" in url for url in fetched)


async def test_several_products_take_a_model_of_the_catalog_and_no_photo(
    admin: AdminPage, shop: Shop
) -> None:
    await shop.catalog_entry(name="Mara")
    await open_form(admin, "try-on", shop.product().gid, shop.product().gid)
    await start(admin).click()
    await expect(admin.app.get_by_text("Choose one from the catalog.")).to_be_visible()
    await upload(admin, 0)
    await start(admin).click()
    await expect(admin.app.get_by_text("need a model from the catalog")).to_be_visible()
    await admin.app.get_by_role("radio", name="From the catalog").check()
    await admin.app.get_by_role("button", name="Choose from the catalog").click()
    await admin.app.get_by_role("button", name="Choose Mara").click()
    await confirm(admin)
    await admin.page.wait_for_url("**/batches/*")
    await expect(admin.app.get_by_text("of 2 done")).to_be_visible()


async def test_what_the_product_says_about_its_kind_is_shown(admin: AdminPage, shop: Shop) -> None:
    for title, product_type in (("Gown", "Evening dresses"), ("Thing", "Gifts")):
        picture = photo("dress_floral")
        shop.stack.shopify.create_product(shop.domain, title, picture, product_type=product_type)
    for title, said in (("Gown", "They say: Dress."), ("Thing", "They do not say.")):
        await open_form(admin, "try-on")
        await admin.app.get_by_role("button", name="Choose products").click()
        await admin.pick(title)
        await expect(admin.app.get_by_text(said)).to_be_visible()
    await choose(admin, "Kind of garment", "top")
    await expect(admin.app.get_by_text("They do not say.")).to_have_count(0)


async def test_a_look_is_made_for_one_product(admin: AdminPage, shop: Shop) -> None:
    await open_form(admin, "look", shop.product().gid, shop.product().gid)
    await expect(admin.app.get_by_label("A collection")).to_have_count(0)
    await start(admin).click()
    await expect(admin.app.get_by_text("made for one product at a time")).to_be_visible()
    await expect(admin.app.get_by_text("Choose one from the catalog.")).to_have_count(2)


async def test_garments_that_do_not_go_together_are_told_at_their_fields(
    admin: AdminPage, shop: Shop
) -> None:
    """Of the product, its type; of the catalog's garments and models, what was asked for."""
    product = {"product_id": shop.product().gid}
    for category, name in (("bottom", "Jeans"), ("dress", "Gown"), ("bag", "Tote")):
        garment = {"category": category, "name": name, **product}
        await shop.catalog_entry("complementary-garment-generator", **garment)
    await shop.catalog_entry(name="Mara", framing="upper_body")
    picture = photo("dress_floral")
    shop.stack.shopify.create_product(shop.domain, "Sunny", picture, product_type="Dresses")

    async def pick_entry(name: str, number: int) -> None:
        opener = "Choose (from the catalog|another one)"
        await admin.app.get_by_role("button", name=re.compile(opener)).nth(number).click()
        await admin.app.get_by_role("button", name=f"Choose {name}").click()

    await open_form(admin, "look")
    await admin.app.get_by_role("button", name="Choose products").click()
    await admin.pick("Sunny")
    await pick_entry("Jeans", 0)
    only_one = admin.app.get_by_text("only one of these: Dress and Trousers or skirt.")
    await expect(only_one).to_be_visible()
    assert await axe_findings(admin) == []
    await pick_entry("Mara", 1)
    from_head_to_toe = admin.app.get_by_text("from head to toe: Trousers or skirt.")
    await expect(from_head_to_toe).to_be_visible()
    await start(admin).click()
    await expect(admin.app.get_by_text("Not everything goes together")).to_be_visible()
    await admin.app.locator("#confirm").get_by_role("button", name="Back").click()
    await pick_entry("Tote", 0)
    await expect(only_one).to_have_count(0)
    await expect(from_head_to_toe).to_have_count(0)
    await expect(admin.app.get_by_text("from head to toe: Dress.")).to_be_visible()
    await admin.app.get_by_label("A picture of mine").last.check()
    await expect(admin.app.get_by_text("from head to toe")).to_have_count(0)
    await choose(admin, "Kind of image", "try-on")
    await expect(admin.app.get_by_text("Not everything goes together")).to_have_count(0)


async def test_an_entry_that_was_archived_meanwhile_is_refused_at_its_field(
    admin: AdminPage, shop: Shop
) -> None:
    entry = await shop.catalog_entry(name="Mara")
    admin.problems.allow("422 POST /v1/model-swap-with-image")
    await open_form(admin, "model-swap-with-image", shop.product().gid)
    await admin.app.get_by_role("button", name="Choose from the catalog").click()
    await admin.app.get_by_role("button", name="Choose Mara").click()
    await shop.call("POST", f"/v1/catalog/models/{entry}/archive")
    await confirm(admin)
    await expect(admin.app.get_by_text("This picture is no longer there.")).to_be_visible()


async def test_the_invented_person_is_described_unless_the_catalog_has_one(
    admin: AdminPage, shop: Shop
) -> None:
    await shop.catalog_entry(name="Mara")
    await open_form(admin, "product-to-model-phased", shop.product().gid)
    await choose(admin, "Age", "50-59")
    await choose(admin, "Place", "beach")
    await admin.app.get_by_role("radio", name="From the catalog").first.check()
    await expect(admin.app.get_by_label("Age", exact=True)).to_have_count(0)
    await admin.app.get_by_role("button", name="Choose from the catalog").click()
    await admin.app.get_by_role("button", name="Choose Mara").click()
    await confirm(admin)
    request = await started_request(admin)
    assert request["scene"]["place"] == "beach"
    assert request["person"]["age_range"] == "30-39"  # the default: it has no effect
    assert request["model_image_url"]


async def test_a_workflow_that_is_not_offered_says_why(admin: AdminPage, shop: Shop) -> None:
    async def close_two(route: Route) -> None:
        answer = await route.fetch()
        body = await answer.json()
        reasons = {"try-on": "NO_ENGINE", "extract": "WORKFLOW_DISABLED"}
        for each in body["operations"]:
            if each["name"] in reasons:
                each |= {"enabled": False, "refusal": reasons[each["name"]]}
        await route.fulfill(response=answer, json=body)

    await admin.page.route("**/v1/operations", close_two)
    await admin.open("/make")
    options = admin.app.get_by_label("Kind of image", exact=True).locator("option")
    await expect(options.filter(has_text="Try-on: not available")).to_be_disabled()
    await expect(options.filter(has_text="switched off at the moment")).to_be_disabled()
    await expect(options.filter(has_text="Look (10 credits each)")).to_be_enabled()
    await open_form(admin, "try-on")
    await expect(admin.app.get_by_text("Try-on: not available").last).to_be_visible()


async def test_a_job_says_that_it_waits_for_the_provider(admin: AdminPage, shop: Shop) -> None:
    provider = shop.stack.provider
    provider.hold()
    try:
        body = {"product_id": shop.product().gid, "outputs": SMALL}
        job = (await shop.call("POST", "/v1/extract", json=body)).json()["job_id"]
        await admin.open(f"/jobs/{job}")
        await expect(admin.app.get_by_text("Waiting for the provider").first).to_be_visible()
        await expect(admin.app.get_by_text("You can close this page meanwhile.")).to_be_visible()
        assert await axe_findings(admin) == []
    finally:
        provider.release()
    await expect(admin.app.get_by_text("Made with AI")).to_be_visible()
    await expect(admin.app.get_by_text("You can close this page meanwhile.")).to_have_count(0)


async def test_the_forms_are_in_german_and_for_everybody(admin: AdminPage, shop: Shop) -> None:
    await make_narrow(admin)
    await admin.open("/make", locale="de")
    shown = admin.app.get_by_label("Art des Bildes", exact=True)
    for workflow in ("product-to-model-phased", "look", "model-generator"):
        await shown.select_option(workflow)
        assert await axe_findings(admin) == []
    await expect(admin.app.get_by_label("Haarfarbe")).to_have_count(1)
    await expect(admin.app.get_by_text("1 Bild × 5 Credits")).to_have_count(2)
