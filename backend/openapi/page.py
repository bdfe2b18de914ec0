"""The document as a page to read: HTML from the server, without a script.

Litestar's own viewers were compared: each loads a script of a megabyte or more from a CDN, and
starts it by an inline script without a nonce, so that the content security policy would have to
allow 'unsafe-inline' even for vendored files. A page made of elements, not of strings, cannot
forget to escape, works offline, and can be searched with the browser's own find.
"""

import base64
import hashlib
import json
from collections.abc import Iterator
from typing import Any
from xml.etree.ElementTree import Element, SubElement, tostring

from backend.openapi.document import Document

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 64rem; margin: 2rem auto; padding: 0 1rem }
h2 { margin-top: 3rem; border-bottom: 1px solid #8886 } h3 { margin-top: 2.5rem }
code, pre { font: 13px/1.45 ui-monospace, monospace } .method { color: #0a7d54 }
pre { padding: .75rem; background: #8881; overflow-x: auto } p { white-space: pre-line }
table { border-collapse: collapse; width: 100% } summary { cursor: pointer }
td, th { text-align: left; vertical-align: top; padding: .25rem .75rem .25rem 0 }
td { border-top: 1px solid #8883; white-space: pre-line }
:root { color-scheme: light dark }
"""
STYLE_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
POLICY = f"default-src 'none'; style-src 'sha256-{STYLE_HASH}'; frame-ancestors 'none'"


def render_page(document: Document) -> bytes:
    """The whole page."""
    root = Element("html", lang="en")
    head = SubElement(root, "head")
    SubElement(head, "meta", charset="utf-8")
    SubElement(head, "meta", name="viewport", content="width=device-width, initial-scale=1")
    add(head, "title", document["info"]["title"])
    add(head, "style", STYLE)
    body = SubElement(root, "body")
    add_introduction(body, document)
    for tag in document["tags"]:
        add(body, "h2", tag["name"])
        add(body, "p", tag["description"])
        for path, method, operation in operations(document):
            if tag["name"] in operation["tags"]:
                add_operation(body, path, method, operation)
    add(body, "h2", "Schemas")
    for name, schema in document["components"]["schemas"].items():
        add_json(body, name, schema, name)
    return f"<!doctype html>\n{tostring(root, encoding='unicode', method='html')}".encode()


def add_introduction(body: Element, document: Document) -> None:
    """What the API is, and who may ask."""
    add(body, "h1", f"{document['info']['title']} {document['info']['version']}")
    add(body, "p", document["info"]["description"])
    link = add(SubElement(body, "p"), "a", "The same as OpenAPI 3.1")
    link.set("href", "/schema/openapi.json")
    add(body, "h2", "Credentials")
    schemes = document["components"]["securitySchemes"]
    add_table(
        body,
        ["scheme", "what it is"],
        [[name, each["description"]] for name, each in schemes.items()],
    )


def add_operation(body: Element, path: str, method: str, operation: Document) -> None:
    """One operation: what it does, who may ask, what it takes, what it answers."""
    heading = SubElement(body, "h3", id=operation["operationId"])
    add(heading, "code", f"{method.upper()} {path}").set("class", "method")
    add(body, "p", f"{operation['summary']}. {operation['description']}")
    keys = [" + ".join(each) for each in operation["security"]]
    add(body, "p", f"Credential: {' or '.join(keys) or 'none'}")
    if operation.get("parameters"):
        rows = [parameter_row(each) for each in operation["parameters"]]
        add_table(body, ["parameter", "in", "value", "meaning"], rows)
    for media_type, content in operation.get("requestBody", {}).get("content", {}).items():
        add_json(body, f"Request body: {media_type}", content["schema"])
    rows = [
        [status, answer["description"], ", ".join(answer["headers"])]
        for status, answer in operation["responses"].items()
    ]
    add_table(body, ["status", "answer", "headers"], rows)
    for status, answer in operation["responses"].items():
        for content in answer.get("content", {}).values():
            for name, example in content.get("examples", {}).items():
                add_json(body, f"Example of {status}: {name}", example["value"])


def parameter_row(parameter: Document) -> list[str]:
    """A parameter's line in the table."""
    name = parameter["name"] + (" (required)" if parameter.get("required") else "")
    value = json.dumps(parameter["schema"], ensure_ascii=False)
    return [name, parameter["in"], value, parameter.get("description", "")]


def operations(document: Document) -> Iterator[tuple[str, str, Document]]:
    """Every operation with its path and method."""
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def add(parent: Element, name: str, text: str) -> Element:
    """An element that holds text."""
    element = SubElement(parent, name)
    element.text = text
    return element


def add_json(parent: Element, title: str, value: Any, anchor: str = "") -> None:
    """A value that unfolds."""
    details = SubElement(parent, "details", {"id": anchor} if anchor else {})
    add(details, "summary", title)
    add(details, "pre", json.dumps(value, indent=2, ensure_ascii=False))


def add_table(parent: Element, columns: list[str], rows: list[list[str]]) -> None:
    """A table with a line of headings."""
    table = SubElement(parent, "table")
    for kind, cells in [("th", columns), *(("td", row) for row in rows)]:
        line = SubElement(table, "tr")
        for cell in cells:
            add(line, kind, cell)
