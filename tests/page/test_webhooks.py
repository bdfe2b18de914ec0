"""Webhooks: endpoints are added, tested, changed and deleted, with their secrets and logs."""

import asyncio
import re
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.async_api import Locator, Route, expect

from tests.backend.webhook_endpoints.receiver import Receiver, answer, open_receiver
from tests.page import api_answers
from tests.page.accessibility import axe_findings, make_narrow, sideways_overflow, small_targets
from tests.page.admin_page import AdminPage
from tests.page.shops import Shop
from tests.wait import wait_until

PAGE = "/webhook-endpoints"
API = "/v1/webhook-endpoints"


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    """A server of the merchant, on loopback."""
    async with open_receiver() as opened:
        yield opened


async def endpoints(shop: Shop) -> list[dict[str, Any]]:
    """The endpoints on the server."""
    found: list[dict[str, Any]] = (await shop.call("GET", API)).json()["endpoints"]
    return found


async def add(shop: Shop, url: str) -> dict[str, Any]:
    """A new endpoint, with its secret."""
    added: dict[str, Any] = (await shop.call("POST", API, json={"url": url})).json()
    return added


def section(admin: AdminPage, url: str) -> Locator:
    """What is shown of an endpoint."""
    return admin.app.locator(f's-section[heading="{url}"]')


def button(admin: AdminPage, name: str) -> Locator:
    """A button by the beginning of its name."""
    return admin.app.get_by_role("button", name=name)


async def test_an_endpoint_is_added_and_its_secret_verifies_the_test_event(
    admin: AdminPage, shop: Shop, receiver: Receiver
) -> None:
    await admin.open()
    await admin.menu("Webhooks").click()
    await expect(admin.app.get_by_text("No endpoints yet")).to_be_visible()
    await admin.action("Add endpoint").click()
    admin.problems.allow(f"422 POST {API}")
    await admin.app.get_by_label("Address").fill("http://example.com/hooks")
    await admin.save()
    await expect(admin.app.get_by_text("such as https://example.com/webhooks")).to_be_visible()
    await admin.app.get_by_label("Address").fill(receiver.url)
    await admin.app.get_by_label("Images are ready").check()
    await admin.save()
    await expect(admin.toasts).to_have_text("Endpoint saved")
    await expect(admin.save_bar).to_be_hidden()
    [added] = await endpoints(shop)
    assert (added["url"], added["event_types"]) == (receiver.url, ["job.succeeded"])
    secret = await section(admin, receiver.url).get_by_role("textbox", name="Secret").input_value()

    await button(admin, f"Send a test event to {receiver.url}").click()
    row = section(admin, receiver.url).locator("s-table-body s-table-row")
    await expect(row).to_contain_text("Delivered")
    await expect(row.locator("s-table-cell").first).to_have_text("Test event")
    await expect(row.locator("s-table-cell").nth(2)).to_have_text("1")
    await expect(row.locator("s-table-cell").nth(3)).to_have_text(re.compile(r"^200 after \d+ ms$"))
    [request] = receiver.requests
    assert request.verified(secret)["type"] == "endpoint.test"


async def test_a_failed_delivery_is_sent_again(
    admin: AdminPage, shop: Shop, receiver: Receiver
) -> None:
    added = await add(shop, receiver.url)
    receiver.answers[:] = [answer(500)]
    await admin.open(PAGE)
    await button(admin, "Send a test event").click()
    row = section(admin, receiver.url).locator("s-table-body s-table-row")
    await expect(row).to_contain_text("500 after")
    await expect(row).to_contain_text("Next attempt:")
    receiver.answers[:] = [answer(204)]
    await row.get_by_role("button", name="Send again: Test event").click()
    await expect(row).to_contain_text("204 after")
    await expect(row).to_contain_text("Delivered")
    await row.locator("summary").click()
    earlier = row.locator("s-list-item")
    await expect(earlier.first).to_contain_text("204 after")
    await expect(earlier.last).to_contain_text("500 after")
    assert await axe_findings(admin) == []
    assert len(set(receiver.ids())) == 1 and len(receiver.ids()) >= 2
    assert receiver.requests[-1].verified(added["secret"])


async def test_a_secret_is_shown_on_demand_and_replaced_after_a_question(
    admin: AdminPage, shop: Shop
) -> None:
    added = await add(shop, "https://hooks.example.com/a")
    await admin.open(PAGE)
    shown = section(admin, added["url"]).get_by_role("textbox", name="Secret")
    await expect(button(admin, "Show the secret")).to_be_visible()
    await expect(shown).to_have_count(0)
    await button(admin, "Show the secret").click()
    await expect(shown).to_have_value(added["secret"])
    await button(admin, "Make a new secret").click()
    await expect(admin.app.locator("#rotate")).to_contain_text("another 24 hours")
    await admin.app.locator("#rotate").get_by_role("button", name="New secret").click()
    await expect(shown).not_to_have_value(added["secret"])
    await expect(admin.app.get_by_text("signed with the earlier secret, too")).to_be_visible()
    now = (await shop.call("GET", f"{API}/{added['id']}/secret")).json()
    await expect(shown).to_have_value(now["secret"])
    await button(admin, "Hide secret").click()
    await expect(shown).to_have_count(0)


async def test_an_endpoint_is_changed_switched_off_and_on(admin: AdminPage, shop: Shop) -> None:
    added = await add(shop, "https://hooks.example.com/a")
    await admin.open(PAGE)
    await button(admin, "Change https").click()
    await expect(admin.app.get_by_label("Address")).to_have_value(added["url"])
    await admin.app.get_by_label("Address").fill("https://hooks.example.com/b")
    await admin.save()
    await expect(section(admin, "https://hooks.example.com/b")).to_be_visible()
    await button(admin, "Switch off").click()
    await expect(admin.app.get_by_text("You switched it off.")).to_be_visible()
    await expect(button(admin, "Send a test event")).to_be_disabled()
    [changed] = await endpoints(shop)
    assert (changed["url"], changed["enabled"]) == ("https://hooks.example.com/b", False)
    await button(admin, "Switch on").click()
    await expect(admin.app.get_by_text("You switched it off.")).to_have_count(0)
    [changed] = await endpoints(shop)
    assert changed["enabled"]


async def test_what_is_typed_while_an_endpoint_is_saved_is_kept_and_belongs_to_it(
    admin: AdminPage, shop: Shop
) -> None:
    may_save = asyncio.Event()

    async def hold(route: Route) -> None:
        if route.request.method == "POST":
            await may_save.wait()
        await route.continue_()

    await admin.page.route(f"**{API}", hold)
    await admin.open(PAGE)
    await admin.action("Add endpoint").click()
    await admin.app.get_by_label("Address").fill("https://hooks.example.com/a")
    await admin.save()
    description = admin.app.get_by_label("Description")
    await description.fill("The warehouse")
    may_save.set()
    await expect(admin.toasts).to_have_text("Endpoint saved")
    await expect(description).to_have_value("The warehouse")
    await admin.save()
    await expect(admin.save_bar).to_be_hidden()
    [added] = await endpoints(shop)
    assert added["description"] == "The warehouse"


async def test_a_save_of_an_endpoint_that_is_under_way_cannot_be_discarded(
    admin: AdminPage, shop: Shop
) -> None:
    """What is typed then, perhaps of another endpoint, would be taken for changes since."""
    may_save = asyncio.Event()

    async def hold(route: Route) -> None:
        await may_save.wait()
        await route.continue_()

    added = await add(shop, "https://hooks.example.com/a")
    await admin.page.route(f"**{API}/{added['id']}", hold)
    await admin.open(PAGE)
    await button(admin, "Change https").click()
    await admin.app.get_by_label("Description").fill("The warehouse")
    discard = admin.save_bar.get_by_role("button", name="Discard")
    await expect(discard).to_be_enabled()
    await admin.save()
    await expect(discard).to_be_disabled()
    may_save.set()
    await expect(admin.save_bar).to_be_hidden()
    [changed] = await endpoints(shop)
    assert changed["description"] == "The warehouse"


async def test_another_endpoint_is_not_changed_while_one_is_being_typed(
    admin: AdminPage, shop: Shop
) -> None:
    await add(shop, "https://hooks.example.com/a")
    await admin.open(PAGE)
    await expect(button(admin, "Change https")).to_be_enabled()
    await admin.action("Add endpoint").click()
    await admin.app.get_by_label("Address").fill("https://hooks.example.com/new")
    await expect(button(admin, "Change https")).to_be_disabled()
    await expect(admin.app.get_by_label("Address")).to_have_value("https://hooks.example.com/new")
    await admin.discard()
    await expect(button(admin, "Change https")).to_be_enabled()


async def test_deliveries_are_not_read_while_nobody_looks(admin: AdminPage, shop: Shop) -> None:
    added = await add(shop, "https://hooks.example.com/a")
    path = f"{API}/{added['id']}/deliveries"
    delivery = {
        "id": "d1",
        "event_type": "endpoint.test",
        "status": "pending",
        "attempts": 0,
        "created_at": "2026-03-01T12:00:00Z",
        "next_attempt_at": None,
        "response_status": None,
        "response_ms": None,
        "error": None,
        "latest_attempts": [],
    }
    await api_answers.answer(admin, path, {"deliveries": [delivery]})
    read: list[str] = []
    admin.page.on("response", lambda response: read.append(urlsplit(response.url).path))
    await admin.open(PAGE)
    await button(admin, "Show the deliveries").click()
    await wait_until(lambda: read.count(path) >= 2)
    await admin.make("hidden")
    await asyncio.sleep(1)  # for an answer that is under way
    before = read.count(path)
    await asyncio.sleep(3)  # it is read every two seconds
    assert read.count(path) == before
    await admin.make("visible")
    await wait_until(lambda: read.count(path) > before)


async def test_an_endpoint_has_a_description_and_a_limit_of_few_credits(
    admin: AdminPage, shop: Shop
) -> None:
    added = await add(shop, "https://hooks.example.com/a")
    await admin.open(PAGE)
    await expect(section(admin, added["url"])).to_contain_text("Few credits: below 50")
    await button(admin, "Change https").click()
    await admin.app.get_by_label("Description").fill("The warehouse")
    limit = admin.app.get_by_label("Tell when credits fall below")
    await expect(limit).to_have_value("50")
    admin.problems.allow(f"422 PATCH {API}")
    for wrong in ("0", "1.5", ""):
        await limit.fill(wrong)
        await admin.save()
        await expect(admin.app.get_by_text("Enter a whole number from 1")).to_be_visible()
        await limit.fill("2")
        await expect(admin.app.get_by_text("Enter a whole number from 1")).to_have_count(0)
    await expect(admin.app.get_by_text("such as https://example.com/webhooks")).to_have_count(0)
    await limit.fill("1200")
    await admin.save()
    await expect(admin.save_bar).to_be_hidden()
    await expect(section(admin, added["url"])).to_contain_text("The warehouse")
    await expect(section(admin, added["url"])).to_contain_text("Few credits: below 1,200")
    [changed] = await endpoints(shop)
    assert (changed["description"], changed["credits_low_below"]) == ("The warehouse", 1200)


async def test_the_limit_is_asked_for_with_the_event_of_few_credits_only(
    admin: AdminPage, shop: Shop
) -> None:
    await admin.open(PAGE)
    await admin.action("Add endpoint").click()
    await admin.app.get_by_label("Address").fill("https://hooks.example.com/a")
    limit = admin.app.get_by_label("Tell when credits fall below")
    await limit.fill("0")  # which no longer matters
    await admin.app.get_by_label("Images are ready").check()
    await expect(limit).to_have_count(0)
    await admin.save()
    await expect(admin.save_bar).to_be_hidden()
    await expect(admin.app.get_by_text("Few credits: below")).to_have_count(0)
    [added] = await endpoints(shop)
    assert (added["description"], added["credits_low_below"]) == ("", 50)


@pytest.mark.parametrize(
    ("reason", "words"),
    [("GONE", "It answered that it is gone"), ("FAILING", "Every delivery failed for five days")],
)
async def test_an_endpoint_that_was_switched_off_tells_why(
    reason: str, words: str, admin: AdminPage, shop: Shop
) -> None:
    await add(shop, "https://hooks.example.com/a")
    [found] = await endpoints(shop)
    off = {"enabled": False, "disabled_reason": reason, "disabled_at": found["created_at"]}
    await api_answers.answer(admin, API, {"endpoints": [{**found, **off}]})
    await admin.open(PAGE)
    await expect(admin.app.get_by_text(words)).to_be_visible()


async def test_an_endpoint_is_deleted_after_a_question(admin: AdminPage, shop: Shop) -> None:
    for path in ("a", "b"):
        await add(shop, f"https://hooks.example.com/{path}")
    await admin.open(PAGE)
    await button(admin, "Delete https://hooks.example.com/a").click()
    question = admin.app.locator("#delete")
    await expect(question).to_contain_text("Nothing is sent to https://hooks.example.com/a")
    await question.get_by_role("button", name="Delete").click()
    await expect(admin.toasts).to_have_text("Endpoint deleted")
    await expect(section(admin, "https://hooks.example.com/a")).to_have_count(0)
    assert [each["url"] for each in await endpoints(shop)] == ["https://hooks.example.com/b"]


async def test_leaving_asks_about_an_endpoint_that_is_not_saved(
    admin: AdminPage, shop: Shop
) -> None:
    await admin.open(PAGE)
    await admin.action("Add endpoint").click()
    await admin.app.get_by_label("Address").fill("https://hooks.example.com/a")
    await admin.menu("Jobs").click()
    await admin.leave(stay=True)
    await admin.discard()
    await expect(admin.app.get_by_label("Address")).to_have_count(0)
    assert await endpoints(shop) == []


@pytest.mark.parametrize("is_narrow", [False, True])
async def test_webhooks_are_accessible(
    is_narrow: bool, admin: AdminPage, shop: Shop, receiver: Receiver
) -> None:
    if is_narrow:
        await make_narrow(admin)
    await add(shop, receiver.url)
    await admin.open(PAGE)
    await button(admin, "Show the secret").click()
    await button(admin, "Send a test event").click()
    await expect(admin.app.get_by_text("Delivered")).to_be_visible()
    await admin.action("Add endpoint").click()
    await expect(admin.app.get_by_label("Address")).to_be_visible()
    assert await axe_findings(admin) == []
    assert await sideways_overflow(admin) == 0
    assert await small_targets(admin) == []
    await admin.discard()


async def test_webhooks_are_in_german_for_a_german_merchant(admin: AdminPage, shop: Shop) -> None:
    await add(shop, "https://hooks.example.com/a")
    await admin.open(PAGE, locale="de")
    await expect(admin.app.get_by_text("Alle Ereignisse")).to_be_visible()
    await button(admin, "https://hooks.example.com/a löschen").click()
    await expect(admin.app.get_by_text("Diesen Endpunkt löschen?")).to_be_visible()
