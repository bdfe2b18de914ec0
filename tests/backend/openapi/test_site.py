"""`/schema`: a public page and document, without external resources or scripts."""

import re
from html.parser import HTMLParser

import httpx
import pytest

from backend.openapi.page import render_page
from tests.backend.openapi.conformance import operations
from tests.running_app import RunningApp
from tests.scenarios import refusal

PAGE = {"html", "head", "meta", "title", "style", "body"}
TEXT = {"h1", "h2", "h3", "p", "a", "code", "pre", "details", "summary", "table", "tr", "th", "td"}
HOSTILE = "<script>alert(1)</script>&\"'"


@pytest.fixture
async def schema_page(shared_app: RunningApp) -> httpx.Response:
    """The page."""
    answer = await shared_app.http.get("/schema")
    assert answer.status_code == 200
    return answer


async def test_the_document_is_openapi_3_1(shared_app: RunningApp) -> None:
    answer = await shared_app.http.get("/schema/openapi.json")
    assert answer.headers["content-type"] == "application/json"
    assert answer.json()["openapi"].startswith("3.1.")


async def test_the_page_names_every_operation_and_schema(
    shared_app: RunningApp, schema_page: httpx.Response
) -> None:
    document = (await shared_app.http.get("/schema/openapi.json")).json()
    for method, path, operation in operations(document):
        assert f"{method} {path}" in schema_page.text
        assert f'id="{operation["operationId"]}"' in schema_page.text
    for name in document["components"]["schemas"]:
        assert f'id="{name}"' in schema_page.text


async def test_the_page_loads_and_runs_nothing(schema_page: httpx.Response) -> None:
    assert schema_page.headers["content-type"] == "text/html; charset=utf-8"
    assert (
        re.findall(r"<(?:script|link|img|iframe|object|base)\b|\bon\w+=|\bsrc=", schema_page.text)
        == []
    )
    assert set(re.findall(r'href="([^"]*)"', schema_page.text)) == {"/schema/openapi.json"}


async def test_the_pages_policy_allows_only_its_own_style(
    schema_page: httpx.Response,
) -> None:
    policy = dict(
        directive.strip().partition(" ")[::2]
        for directive in schema_page.headers["content-security-policy"].split(";")
    )
    assert policy.pop("style-src").startswith("'sha256-")
    assert set(policy.values()) == {"'none'"}
    assert {"default-src", "frame-ancestors"} <= set(policy)


async def test_page_and_document_may_be_cached(shared_app: RunningApp) -> None:
    for path in ("/schema", "/schema/openapi.json"):
        answer = await shared_app.http.get(path)
        assert answer.headers["cache-control"] == "public, max-age=300"
        assert answer.headers["x-content-type-options"] == "nosniff"


async def test_other_schema_paths_are_not_found(shared_app: RunningApp) -> None:
    for path in ("/schema/redoc", "/schema/nothing.json", "/schema/openapi.yaml"):
        answer = await shared_app.http.get(path)
        assert refusal(answer) == (404, "NOT_FOUND")
        assert answer.headers["cache-control"] == "private, no-store"


def test_hostile_text_in_the_document_is_escaped_on_the_page() -> None:
    operation = {
        "operationId": HOSTILE,
        "summary": HOSTILE,
        "description": HOSTILE,
        "tags": [HOSTILE],
        "security": [{HOSTILE: []}],
        "parameters": [{"name": HOSTILE, "in": HOSTILE, "schema": {HOSTILE: HOSTILE}}],
        "responses": {HOSTILE: {"description": HOSTILE, "headers": {HOSTILE: {}}}},
    }
    made = render_page(
        {
            "info": {"title": HOSTILE, "version": HOSTILE, "description": HOSTILE},
            "tags": [{"name": HOSTILE, "description": HOSTILE}],
            "paths": {HOSTILE: {HOSTILE: operation}},
            "components": {
                "schemas": {HOSTILE: {HOSTILE: HOSTILE}},
                "securitySchemes": {HOSTILE: {"description": HOSTILE}},
            },
        }
    ).decode()
    found = Tags()
    found.feed(made)
    assert found.names <= PAGE | TEXT


class Tags(HTMLParser):
    """The names of all elements, as a browser would find them."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep the name."""
        self.names.add(tag)
