"""Answers of the API that a test makes up: states that take days, or another party, to come."""

import re

from playwright.async_api import Route

from tests.page.admin_page import AdminPage


async def answer(admin: AdminPage, path: str, body: object, status: int = 200) -> None:
    """Have the page get this JSON at the path from now on, whatever the query."""

    async def fulfill(route: Route) -> None:
        await route.fulfill(status=status, json=body)

    await admin.page.route(re.compile(re.escape(path) + r"(\?.*)?$"), fulfill)


def error(code: str, request_id: str = "r1") -> dict[str, object]:
    """The body of an error."""
    return {"error": {"code": code, "message": "No.", "request_id": request_id}}
