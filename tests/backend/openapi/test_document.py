"""The OpenAPI document describes exactly what the app does."""

from typing import Any

import jsonschema
import pytest

from backend.app import create_app
from tests.backend.openapi.conformance import Document, assert_documented, operations
from tests.backend.openapi.sample_requests import ELSEWHERE, Answers
from tests.running_app import RunningApp


@pytest.mark.slow
async def test_every_documented_status_occurs(document: Document, found: Answers) -> None:
    promised = {
        (operation["operationId"], int(status))
        for _, _, operation in operations(document)
        for status in operation["responses"]
    }
    had = {(name, answer.status_code) for (name, _), answer in found.items()}
    assert had == promised - ELSEWHERE


@pytest.mark.slow
async def test_every_response_matches_its_schema(document: Document, found: Answers) -> None:
    described = {operation["operationId"]: operation for _, _, operation in operations(document)}
    for (name, _), answer in found.items():
        assert_documented(document, described[name], answer)


def test_every_schema_is_valid(document: Document) -> None:
    for schema in document["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)


def test_every_reference_resolves(document: Document) -> None:
    for reference in references(document):
        at: Any = document
        for step in reference.removeprefix("#/").split("/"):
            at = at[step]


def references(value: Any) -> list[str]:
    """Every `$ref` in a JSON value."""
    if isinstance(value, list):
        return [found for each in value for found in references(each)]
    if not isinstance(value, dict):
        return []
    own = [value["$ref"]] if "$ref" in value else []
    return own + [found for each in value.values() for found in references(each)]


def test_every_operation_has_a_summary_description_tags_and_security(document: Document) -> None:
    tags = {tag["name"] for tag in document["tags"]}
    for _, path, operation in operations(document):
        assert operation["summary"] and operation["description"], path
        assert set(operation["tags"]) <= tags, path
        assert bool(operation["security"]) != path.startswith("/health"), path


def test_every_request_body_forbids_unknown_fields(document: Document) -> None:
    schemas = document["components"]["schemas"]
    for _, path, operation in operations(document):
        for content in operation.get("requestBody", {}).get("content", {}).values():
            reference = content["schema"].get("$ref", "")
            schema = schemas.get(reference.rpartition("/")[2], content["schema"])
            # A delivery is Shopify's, and may grow.
            assert (schema.get("additionalProperties") is False) != (path == "/webhooks"), path


async def test_an_unsupported_method_gets_405_with_the_allowed_ones(
    shared_app: RunningApp, document: Document
) -> None:
    for template, item in document["paths"].items():
        path, own = (
            template.format(public_id="x", kind="models", delivery_id="y"),
            {method.upper() for method in item},
        )
        own |= {"HEAD"} if "GET" in own else set()
        for other in {"DELETE", "HEAD", "PATCH", "PUT"} - own:
            answer = await shared_app.http.request(other, path)
            assert answer.status_code == 405, (other, path)
            assert set(answer.headers["allow"].split(", ")) == {*own, "OPTIONS"}


async def test_options_lists_every_method_to_an_authenticated_caller(
    shared_app: RunningApp, document: Document
) -> None:
    for template, item in document["paths"].items():
        path, own = (
            template.format(public_id="x", kind="models", delivery_id="y"),
            {method.upper() for method in item},
        )
        own |= {"HEAD"} if "GET" in own else set()
        answer = await shared_app.http.options(path, headers=shared_app.bearer())
        if path.startswith(("/v1/", "/health/")):
            assert answer.status_code == 204
            assert set(answer.headers["allow"].split(", ")) == {*own, "OPTIONS"}
        else:  # callers without a session token
            assert answer.status_code in {400, 401}


def test_the_document_is_generated_only_on_request(shared_app: RunningApp) -> None:
    app = create_app(shared_app.settings)
    assert app.app.app.app.app.app.plugins.get("OpenAPIPlugin")._openapi is None  # type: ignore[attr-defined]
