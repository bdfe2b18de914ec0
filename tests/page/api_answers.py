"""Answers of the API that a test makes up: states that take days, or another party, to come."""

import re

from playwright.async_api import Route

from tests.page.admin_page import AdminPage
from tests.page.shops import Shop


async def answer(admin: AdminPage, path: str, body: object, status: int = 200) -> None:
    """Have the page get this JSON at the path from now on, whatever the query."""

    async def fulfill(route: Route) -> None:
        await route.fulfill(status=status, json=body)

    await admin.page.route(re.compile(re.escape(path) + r"(\?.*)?$"), fulfill)


async def answer_hosted(admin: AdminPage, shop: Shop, *, is_hosted: bool) -> None:
    """Have a hosted provider make a part of each workflow from now on, or of none."""
    body = (await shop.call("GET", "/v1/operations")).json()
    for each in body["operations"]:
        each["hosted"] = is_hosted
    await answer(admin, "/v1/operations", body)


def error(code: str, request_id: str = "r1") -> dict[str, object]:
    """The body of an error."""
    return {"error": {"code": code, "message": "No.", "request_id": request_id}}
