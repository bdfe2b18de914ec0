"""How a job's images were made, and running the job again with its price told before."""

from typing import Any

import pytest
from playwright.async_api import Locator, expect
from sqlalchemy import text

from backend.dev.stack import Stack
from tests.page.accessibility import axe_findings, make_narrow, sideways_overflow
from tests.page.admin_page import AdminPage
from tests.page.api_answers import answer
from tests.page.shops import Shop, open_shop
from tests.page.worker import paused_worker
from tests.wait import wait_until

SMALL = [{"size": 256, "format": "webp"}]
SEED = 7


@pytest.fixture(scope="module")
async def filled_shop(stack: Stack) -> Shop:
    """A shop for all tests."""
    return await open_shop(stack)


@pytest.fixture
def shop(filled_shop: Shop) -> Shop:
    """The shop of the tab."""
    return filled_shop


@pytest.fixture(scope="module")
async def generated(filled_shop: Shop) -> str:
    """A job of a hosted engine, with a seed."""
    body = {"name": "Ada", "seed": SEED, "outputs": SMALL}
    made = (await filled_shop.call("POST", "/v1/model-generator", json=body)).json()
    assert (await filled_shop.ended_job(made["job_id"]))["status"] == "SUCCESS"
    return str(made["job_id"])


def lineage(admin: AdminPage) -> Locator:
    """The section of the job's page."""
    return admin.app.locator("s-section").filter(has_text="How it was made")


def modal(admin: AdminPage) -> Locator:
    """The question before a job is run again."""
    return admin.app.locator("#rerun")


async def lineage_of(shop: Shop, job: str) -> dict[str, Any]:
    """The lineage on the server."""
    found: dict[str, Any] = (await shop.call("GET", f"/v1/jobs/{job}/lineage")).json()
    return found


async def test_a_job_tells_who_asked_and_what_made_its_images(
    admin: AdminPage, shop: Shop, generated: str
) -> None:
    await admin.open(f"/jobs/{generated}")
    told = lineage(admin)
    await expect(told).to_contain_text("Your staff (user 1)")
    stages = (await lineage_of(shop, generated))["stages"]
    [hosted] = [each for each in stages if each["cost"]]
    await expect(told).to_contain_text(f"model {hosted['engine']['model']}")
    cost = hosted["cost"]
    assert cost["units"] == 1
    unit = cost["unit"].removesuffix("s")
    await expect(told).to_contain_text(f"The provider counted 1 {unit}.")
    await expect(told).to_contain_text("5 credits")
    await expect(told.get_by_text(str(SEED), exact=True)).to_have_count(1)
    await expect(told).to_contain_text("Made by AI")


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("answer", "The provider charged $0.075."),
        ("price_list", "The provider charges $0.075 by its price list."),
    ],
)
async def test_a_cost_in_dollars_tells_where_it_is_from(
    source: str, words: str, admin: AdminPage, shop: Shop, generated: str
) -> None:
    told = await lineage_of(shop, generated)
    for stage in told["stages"]:
        if stage["cost"]:
            stage["cost"] |= {"amount_micros": 75_000, "source": source}
    await answer(admin, f"/v1/jobs/{generated}/lineage", told)
    await admin.open(f"/jobs/{generated}")
    await expect(lineage(admin)).to_contain_text(words)


async def test_what_is_known_only_at_the_end_appears_then(admin: AdminPage, shop: Shop) -> None:
    with paused_worker(shop.stack):
        job = await shop.request_job(shop.product(), outputs=SMALL)
        await admin.open(f"/jobs/{job}")
        await expect(lineage(admin)).to_contain_text("Your staff")
        await expect(admin.action("Run again")).to_have_count(0)
    await expect(lineage(admin)).to_contain_text("Atelier's own engine, model u2netp")
    [photo] = (await lineage_of(shop, job))["inputs"]
    await expect(lineage(admin)).to_contain_text(f"SHA-256 {photo['sha256'][:8]}…")
    await expect(lineage(admin)).to_contain_text("Edited by software")
    await admin.action("Run again").click()
    await expect(modal(admin)).to_contain_text("It costs 1 credit.")
    await expect(modal(admin).get_by_role("radio")).to_have_count(0)


@pytest.mark.parametrize("choice", ["The same seed", "Another seed"])
async def test_a_job_is_run_again_with_the_same_or_another_seed(
    choice: str, admin: AdminPage, shop: Shop, generated: str
) -> None:
    await admin.open(f"/jobs/{generated}")
    await admin.action("Run again").click()
    await expect(modal(admin)).to_contain_text("It costs 5 credits.")
    await modal(admin).get_by_label(choice).check()
    await modal(admin).get_by_role("button", name="Run again").click()
    await admin.page.wait_for_url(lambda url: "/jobs/" in url and generated not in url)
    again = admin.page.url.rpartition("/")[2]
    runs = lineage(admin).locator("s-list-item")
    await expect(runs.last).to_have_text("This job")
    told = await lineage_of(shop, again)
    assert told["rerun_of"] == generated
    assert (told["request"]["seed"] == SEED) is (choice == "The same seed")
    await runs.first.get_by_role("link").click()
    await admin.page.wait_for_url(f"**/jobs/{generated}")
    await expect(lineage(admin).get_by_text("This job")).to_be_visible()


async def test_a_rule_and_its_webhook_are_named(admin: AdminPage, shop: Shop) -> None:
    product = shop.product("tee_white")
    await shop.stack.shopify.send_webhook(shop.domain, "products/create")
    job = await job_of(shop, product.gid)
    await shop.ended_job(job)
    await admin.open(f"/jobs/{job}")
    await expect(lineage(admin)).to_contain_text("Rule 1")
    await expect(lineage(admin)).to_contain_text("A product got its first photo.")
    await expect(lineage(admin)).to_contain_text("products/create")


async def job_of(shop: Shop, product: str) -> str:
    """The job that a rule has made of the product."""

    async def made() -> str | None:
        jobs = (await shop.call("GET", "/v1/jobs")).json()["jobs"]
        for job in jobs:
            request = (await lineage_of(shop, job["public_id"]))["request"]
            if request.get("product_id") == product:
                return str(job["public_id"])
        return None

    found: str | None = await wait_until(made, 90, poll=0.5)
    assert found is not None
    return found


async def test_a_photo_that_is_gone_is_told_on_the_page(admin: AdminPage, shop: Shop) -> None:
    job = await shop.finished_job(outputs=SMALL)
    await admin.open(f"/jobs/{job}")
    await admin.action("Run again").click()
    async with shop.stack.database.transaction() as connection:
        expired = text("UPDATE jobs SET files = 'EXPIRED' WHERE public_id = :job")
        await connection.execute(expired, {"job": job})
    admin.problems.allow("409 POST /v1/jobs/.*/rerun")
    await modal(admin).get_by_role("button", name="Run again").click()
    await expect(admin.app.get_by_text("A photo of this job is no longer stored.")).to_be_visible()
    await expect(modal(admin).get_by_text("It costs")).to_be_hidden()


async def test_a_refused_picture_says_that_it_cost_nothing(admin: AdminPage, shop: Shop) -> None:
    shop.stack.provider.order_fault("moderation")
    body = {"product_id": shop.product().gid, "outputs": SMALL}
    job = (await shop.call("POST", "/v1/extract", json=body)).json()["job_id"]
    assert (await shop.ended_job(job))["status"] == "FAILURE"
    await admin.open(f"/jobs/{job}")
    await expect(admin.app.get_by_text("safety rules refused this picture").first).to_be_visible()
    await expect(lineage(admin)).to_contain_text("Nothing: a job that failed")
    await expect(lineage(admin)).not_to_contain_text("1 credit")


async def test_a_visitors_job_that_is_run_again_is_refused_in_german(
    admin: AdminPage, shop: Shop
) -> None:
    """Jobs of earlier releases do not say who asked for them, so they have the button."""
    job = await shop.finished_job(outputs=SMALL)
    await admin.open(f"/jobs/{job}", locale="de")
    await admin.action("Erneut ausführen").click()
    async with shop.stack.database.transaction() as connection:
        visitors = text("UPDATE jobs SET origin = 'storefront' WHERE public_id = :job")
        await connection.execute(visitors, {"job": job})
    admin.problems.allow("409 POST /v1/jobs/.*/rerun")
    await modal(admin).get_by_role("button", name="Erneut ausführen").click()
    await expect(admin.app.get_by_text("hat ein Besucher Ihres Shops erteilt")).to_be_visible()


@pytest.mark.parametrize("is_narrow", [False, True])
async def test_the_question_is_accessible(
    is_narrow: bool, admin: AdminPage, generated: str
) -> None:
    if is_narrow:
        await make_narrow(admin)
    await admin.open(f"/jobs/{generated}")
    await expect(lineage(admin)).to_contain_text("Made by AI")
    assert await axe_findings(admin) == []
    assert await sideways_overflow(admin) == 0
    await admin.action("Run again").click()
    await expect(modal(admin)).to_contain_text("It costs 5 credits.")
    assert await axe_findings(admin) == []


async def test_the_lineage_is_in_german_for_a_german_merchant(
    admin: AdminPage, generated: str
) -> None:
    await admin.open(f"/jobs/{generated}", locale="de")
    section = admin.app.locator("s-section").filter(has_text="So ist es entstanden")
    await expect(section).to_contain_text("Ihrem Team")
    await expect(section).to_contain_text("Mit KI erstellt")
    await expect(section).to_contain_text("5 Credits")
