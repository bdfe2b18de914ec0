"""The OpenAPI document describes exactly what the app does."""

from typing import Any

import jsonschema

from backend.app import create_app
from tests.backend.openapi.conformance import Document, assert_documented, operations
from tests.backend.openapi.sample_requests import ELSEWHERE, Answers
from tests.running_app import RunningApp


async def test_every_status_that_is_promised_can_really_be_had(
    document: Document, found: Answers
) -> None:
    promised = {
        (operation["operationId"], int(status))
        for _, _, operation in operations(document)
        for status in operation["responses"]
    }
    had = {(name, answer.status_code) for (name, _), answer in found.items()}
    assert had == promised - ELSEWHERE


async def test_every_answer_is_as_it_is_described(document: Document, found: Answers) -> None:
    described = {operation["operationId"]: operation for _, _, operation in operations(document)}
    for (name, _), answer in found.items():
        assert_documented(document, described[name], answer)


def test_every_schema_is_one(document: Document) -> None:
    for schema in document["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)


def test_every_reference_leads_somewhere(document: Document) -> None:
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


def test_every_operation_says_what_it_does_and_for_whom(document: Document) -> None:
    tags = {tag["name"] for tag in document["tags"]}
    for _, path, operation in operations(document):
        assert operation["summary"] and operation["description"], path
        assert set(operation["tags"]) <= tags, path
        assert bool(operation["security"]) != path.startswith("/health"), path


def test_every_request_body_is_closed_to_what_it_does_not_know(document: Document) -> None:
    schemas = document["components"]["schemas"]
    for _, path, operation in operations(document):
        for content in operation.get("requestBody", {}).get("content", {}).values():
            reference = content["schema"].get("$ref", "")
            schema = schemas.get(reference.rpartition("/")[2], content["schema"])
            # A delivery is Shopify's, and may grow.
            assert (schema.get("additionalProperties") is False) != (path == "/webhooks"), path


async def test_a_method_that_an_address_does_not_have_is_refused_with_those_that_it_has(
    shared_app: RunningApp, document: Document
) -> None:
    for template, item in document["paths"].items():
        path, own = template.format(public_id="x"), {method.upper() for method in item}
        for other in {"DELETE", "HEAD", "PATCH", "PUT"} - own:
            answer = await shared_app.http.request(other, path)
            assert answer.status_code == 405, (other, path)
            assert set(answer.headers["allow"].split(", ")) == {*own, "OPTIONS"}


async def test_options_tells_every_method_of_an_address_to_whom_its_door_lets_in(
    shared_app: RunningApp, document: Document
) -> None:
    for template, item in document["paths"].items():
        path, own = template.format(public_id="x"), {method.upper() for method in item}
        answer = await shared_app.http.options(path, headers=shared_app.bearer())
        if path.startswith(("/v1/", "/health/")):
            assert answer.status_code == 204
            assert set(answer.headers["allow"].split(", ")) == {*own, "OPTIONS"}
        else:  # callers without a session token
            assert answer.status_code in {400, 401}


def test_the_document_is_made_only_when_somebody_asks(shared_app: RunningApp) -> None:
    app = create_app(shared_app.settings)
    assert app.app.app.app.plugins.get("OpenAPIPlugin")._openapi is None  # type: ignore[attr-defined]
