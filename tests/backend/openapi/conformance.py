"""Is an answer what the document says of it? Found with jsonschema, not with our own code."""

from collections.abc import Iterator
from typing import Any

import httpx
import jsonschema

Document = dict[str, Any]


def operations(document: Document) -> Iterator[tuple[str, str, Document]]:
    """Every operation with its method and path."""
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), path, operation


def assert_documented(document: Document, operation: Document, answer: httpx.Response) -> None:
    """Status, headers, content type and body are as the operation has them."""
    status = str(answer.status_code)
    described = operation["responses"].get(status)
    assert described, f"{operation['operationId']} has no {status}: {answer.text[:300]}"
    assert_headers(document, described["headers"], answer)
    if "content" not in described:
        assert answer.content == b""
        return
    content = described["content"][answer.headers["content-type"]]
    assert_valid(document, content["schema"], answer.json())


def assert_headers(document: Document, described: Document, answer: httpx.Response) -> None:
    """Those that are always there are there, and each has a value that it can have."""
    for name, reference in described.items():
        header = document["components"]["headers"][reference["$ref"].rpartition("/")[2]]
        if name not in answer.headers:
            assert not header.get("required"), f"{answer.status_code} lacks {name}"
            continue
        text = answer.headers[name]
        value = int(text) if header["schema"].get("type") == "integer" else text
        assert_valid(document, header["schema"], value)


def assert_valid(document: Document, schema: Document, value: Any) -> None:
    """The value meets the schema, whose references lead into the document."""
    whole = {**schema, "components": document["components"]}
    jsonschema.Draft202012Validator(
        whole, format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER
    ).validate(value)
