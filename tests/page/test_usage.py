"""Usage by day, on an Atelier that charges nothing: nothing there can be bought."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.async_api import Locator, expect

from tests.page.accessibility import axe_findings, make_narrow, sideways_overflow, small_targets
from tests.page.admin_page import AdminPage
from tests.page.api_answers import answer
from tests.page.shops import Shop

SMALL = [{"size": 256, "format": "webp"}]
HEADING = "Usage of the last 30 days"


def usage(*used: tuple[int, str, int]) -> dict[str, Any]:
    """An answer of `/v1/usage`: (days ago, workflow, credits)."""
    today = datetime.now(UTC).date()
    days = [
        {"day": str(today - timedelta(days=ago)), "workflow": name, "jobs": cost, "credits": cost}
        for ago, name, cost in used
    ]
    return {"days": days}


def section(admin: AdminPage, name: str = HEADING) -> Locator:
    """A section of the screen."""
    return admin.app.locator(f's-section[heading="{name}"]')


async def test_usage_is_shown_and_nothing_can_be_bought(admin: AdminPage, shop: Shop) -> None:
    await shop.finished_job(outputs=SMALL)
    await admin.open()
    await admin.menu("Credits").click()
    await expect(admin.app.get_by_text("Atelier does not charge for images")).to_be_visible()
    plot = section(admin).get_by_role("img")
    await expect(plot).to_have_accessible_name(re.compile(r": 1 in 30 days, the most .+ with 1\."))
    await expect(plot.locator("rect")).to_have_count(1)
    totals, by_day = await section(admin).locator("s-table-row").all()
    await expect(totals.locator("s-table-cell")).to_have_text(["Catalog image", "1", "1"])
    await expect(by_day).to_contain_text("Catalog image")
    await expect(admin.app.get_by_role("button")).to_have_count(0)
    await expect(admin.page.locator("#title-bar .badge")).to_have_count(0)


async def test_without_usage_there_is_no_plot(admin: AdminPage) -> None:
    await admin.open("/plan")
    await expect(admin.app.get_by_text("No images were made")).to_be_visible()
    await expect(admin.app.get_by_role("img")).to_have_count(0)


async def test_the_other_screens_read_no_credits(admin: AdminPage) -> None:
    read: list[str] = []
    admin.page.on("request", lambda request: read.append(urlsplit(request.url).path))
    for path in ("/", "/make"):
        await admin.open(path)
        await admin.loaded()
    assert "/v1/overview" in read
    assert "/v1/credits" not in read
    await expect(admin.page.locator("#title-bar .badge")).to_have_count(0)


async def test_the_plot_has_a_bar_for_each_day_and_workflow(admin: AdminPage) -> None:
    used = [(29, "catalog-image", 4), (1, "catalog-image", 2), (1, "product-to-model-direct", 6)]
    await answer(admin, "/v1/usage", usage(*used))
    await admin.open("/plan")
    plot = section(admin).get_by_role("img")
    await expect(plot).to_have_accessible_name(re.compile(r": 12 in 30 days, .* with 8\."))
    bars = plot.locator("rect")
    await expect(bars).to_have_count(3)
    heights = [float(await bar.get_attribute("height") or 0) + 1 for bar in await bars.all()]
    assert heights[0] == pytest.approx(2 * heights[1])
    assert heights[2] == pytest.approx(3 * heights[1])
    rows = admin.app.locator("s-box s-table-row")
    await expect(rows).to_have_count(len(used))
    cells = await rows.last.locator("s-table-cell").all_inner_texts()
    assert cells[1:] == ["Worn product", "6", "6"]
    colours = {await bar.get_attribute("fill") or "" for bar in await bars.all()}
    assert len(colours) == 2
    assert all(contrast_with_white(each) >= 3 for each in colours)  # WCAG 1.4.11


def contrast_with_white(colour: str) -> float:
    """The contrast of `#rrggbb` with white, as WCAG defines it."""
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    weights = (0.2126, 0.7152, 0.0722)
    luminance = sum(weight * c for weight, c in zip(weights, linear, strict=True))
    return 1.05 / (luminance + 0.05)


async def test_usage_is_in_german_for_a_german_merchant(admin: AdminPage) -> None:
    await answer(admin, "/v1/usage", usage((0, "catalog-image", 3)))
    await admin.open("/plan", locale="de")
    await expect(section(admin, "Verbrauch der letzten 30 Tage")).to_contain_text("Katalogbild")


@pytest.mark.parametrize("is_narrow", [False, True])
async def test_usage_is_accessible(is_narrow: bool, admin: AdminPage) -> None:
    if is_narrow:
        await make_narrow(admin)
    used = [(ago, name, ago + 1) for ago in range(20) for name in ("catalog-image", "retired")]
    await answer(admin, "/v1/usage", usage(*used))
    await admin.open("/plan")
    await expect(section(admin)).to_be_visible()
    assert await axe_findings(admin) == []
    assert await sideways_overflow(admin) == 0
    assert await small_targets(admin) == []
