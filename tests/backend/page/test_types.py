"""The API's types for the page's code, which `make pagetypes` checks."""

import json

import pytest

from tests.page_types.api_types import api_types
from tests.source_tree import ROOT

SCHEMA = {
    "type": "object",
    "description": "A job.",
    "required": ["id", "status"],
    "properties": {
        "id": {"type": "string"},
        "status": {"enum": ["QUEUED", "SUCCESS"]},
        "title": {"anyOf": [{"type": "string"}, {"type": "null"}]},
        "owner": {"$ref": "#/components/schemas/Owner"},
        "sizes": {"type": "array", "items": {"type": "integer"}},
        "meta": {"type": "object"},
    },
}


def declared(schema: object) -> str:
    return api_types({"components": {"schemas": {"Job": schema}}})


def test_a_schema_becomes_a_type() -> None:
    assert declared(SCHEMA).splitlines()[2:] == [
        "/** A job. */",
        'export type Job = { "id": string; "status": "QUEUED" | "SUCCESS"; '
        '"title"?: string | null; "owner"?: Owner; "sizes"?: (number)[]; '
        '"meta"?: Record<string, any>; };',
    ]


def test_an_unknown_kind_of_schema_is_an_error() -> None:
    with pytest.raises(ValueError, match="No TypeScript type"):
        declared({"type": "binary"})


def test_types_and_vendored_code_are_of_one_version() -> None:
    package = json.loads((ROOT / "tests" / "page_types" / "package.json").read_text())
    assert package["devDependencies"]["preact"] in (ROOT / "NOTICE").read_text()


def test_the_packages_are_locked_by_digest_and_name_no_host() -> None:
    lock = json.loads((ROOT / "tests" / "page_types" / "package-lock.json").read_text())
    packages = {name: each for name, each in lock["packages"].items() if name}
    assert len(packages) > 20
    assert all(each["integrity"].startswith("sha512-") for each in packages.values())
    assert not any("resolved" in each for each in packages.values())
