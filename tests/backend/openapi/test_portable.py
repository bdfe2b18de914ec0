"""What client generators and other languages need of the document's schemas."""

import re
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from backend.jobs.artifact_meta import ArtifactMeta
from backend.openapi.examples import FOLDER
from backend.openapi.portable import portable_schema
from tests.backend.openapi.conformance import Document

NO_SCHEMAS = {"const", "default", "enum", "example", "examples"}
LOOK_AROUND = re.compile(r"\(\?(?!:)|[*+?}]\+|\\[ZzAGbB]")  # or what only Python or Perl has


def schemas_in(value: Any, place: str = "") -> Iterator[tuple[str, Document]]:
    """Each schema of a JSON value, and its place; also what may not be one."""
    if isinstance(value, list):
        for number, each in enumerate(value):
            yield from schemas_in(each, f"{place}/{number}")
    elif isinstance(value, dict):
        yield place, value
        for key, each in value.items():
            if key not in NO_SCHEMAS:
                yield from schemas_in(each, f"{place}/{key}")


def test_objects_say_whether_they_have_further_fields(document: Document) -> None:
    assert [
        place
        for place, schema in schemas_in(document)
        if schema.get("type") == "object" and "additionalProperties" not in schema
    ] == []


def test_arrays_say_what_they_hold(document: Document) -> None:
    assert [
        place
        for place, schema in schemas_in(document)
        if schema.get("type") == "array" and "items" not in schema
    ] == []


def test_patterns_are_those_of_every_language(document: Document) -> None:
    patterns = {
        schema["pattern"]: place
        for place, schema in schemas_in(document)
        if isinstance(schema.get("pattern"), str)
    }
    assert len(patterns) > 10
    assert {each: place for each, place in patterns.items() if LOOK_AROUND.search(each)} == {}


def test_a_field_with_a_default_may_be_left_out(document: Document) -> None:
    """Generators take a default to mean that the field is always there."""
    schemas = document["components"]["schemas"]
    assert [place for place, schema in schemas_in(schemas) if "default" in schema] == []
    assert "0.08" in schemas["CatalogImage"]["properties"]["margin"]["description"]


def test_enumerations_have_a_type(document: Document) -> None:
    assert [
        place
        for place, schema in schemas_in(document["components"]["schemas"])
        if isinstance(schema.get("enum"), list) and "type" not in schema
    ] == []


def test_no_schema_has_alternatives_beside_its_fields(document: Document) -> None:
    """openapi-python-client takes the alternatives for all there is."""
    assert [
        place
        for place, schema in schemas_in(document["components"]["schemas"])
        if isinstance(schema.get("properties"), dict) and {"oneOf", "anyOf"} & schema.keys()
    ] == []


def test_no_schema_is_called_as_one_of_its_fields(document: Document) -> None:
    """openapi-python-client would use one variable for both."""
    assert [
        name
        for name, schema in document["components"]["schemas"].items()
        if re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower() in schema.get("properties", {})
    ] == []


def test_the_fields_of_meta_are_described_and_more_may_come(document: Document) -> None:
    schemas = document["components"]["schemas"]
    described = schemas[schemas["ArtifactResponse"]["properties"]["meta"]["$ref"].split("/")[-1]]
    assert described["additionalProperties"] is True
    assert described["required"] == []
    recorded = [meta for file in FOLDER.glob("*.json") for meta in metas_in(file.read_bytes())]
    assert len(recorded) > 3
    for meta in recorded:
        assert meta.keys() - described["properties"].keys() == set()
        msgspec.convert(meta, ArtifactMeta)


def metas_in(raw: bytes) -> list[Document]:
    """The `meta` of each artifact in a file of examples."""
    found = schemas_in(msgspec.json.decode(raw))
    return [value["meta"] for _, value in found if {"image_url", "meta"} <= value.keys()]


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ({"type": "object"}, {"type": "object", "additionalProperties": True}),
        (
            {"type": "object", "additionalProperties": False},
            {"type": "object", "additionalProperties": False},
        ),
        ({"type": "array"}, {"type": "array", "items": {}}),
        ({"pattern": "^a$(?!\\n)"}, {"pattern": "^a$"}),
        ({"enum": ["a"]}, {"type": "string", "enum": ["a"]}),
        ({"enum": [1, "a"]}, {"enum": [1, "a"]}),
        ({"const": {"type": "object"}}, {"const": {"type": "object"}}),
        (
            {"properties": {"default": {"type": "integer", "default": 0}, "x": {"default": None}}},
            {
                "properties": {
                    "default": {"type": "integer", "description": "Default: `0`."},
                    "x": {},
                }
            },
        ),
    ],
)
def test_a_schema_is_said_in_full(found: Document, expected: Document) -> None:
    assert portable_schema(found) == expected
