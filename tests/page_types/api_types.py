"""The API's types in TypeScript, from our OpenAPI document: one declaration for each schema."""

import json
from collections.abc import Iterator
from typing import Any

Schema = dict[str, Any]
PRIMITIVES = {
    "string": "string",
    "integer": "number",
    "number": "number",
    "boolean": "boolean",
    "null": "null",
}
HEADER = "// Made from the OpenAPI document by `make pagetypes`. Do not edit.\n"


def api_types(document: Schema) -> str:
    """The text of the `.d.ts` module."""
    schemas = document["components"]["schemas"]
    return HEADER + "".join(
        f"\n{comment(schema)}export type {name} = {type_of(schema)};\n"
        for name, schema in sorted(schemas.items())
    )


def comment(schema: Schema) -> str:
    """The schema's description as JSDoc."""
    text = str(schema.get("description", "")).replace("*/", "* /")
    return f"/** {' '.join(text.split())} */\n" if text else ""


def type_of(schema: Schema) -> str:
    """The type of a value that the schema admits. Raises `ValueError` for what is not known."""
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if "const" in schema:
        return json.dumps(schema["const"])
    if "enum" in schema:
        return " | ".join(json.dumps(value) for value in schema["enum"])
    for key in ("anyOf", "oneOf"):
        if key in schema:
            return " | ".join(dict.fromkeys(type_of(each) for each in schema[key]))
    if "allOf" in schema:
        return " & ".join(type_of(each) for each in schema["allOf"])
    return type_by_name(schema)


def type_by_name(schema: Schema) -> str:
    """The type that `type` names, or each of them."""
    name = schema.get("type")
    if isinstance(name, list):
        return " | ".join(type_by_name({**schema, "type": each}) for each in name)
    if name is None:
        return "unknown"
    if name == "object":
        return object_type(schema)
    if name == "array":
        return f"({type_of(schema.get('items') or {})})[]"
    if name not in PRIMITIVES:
        raise ValueError(f"No TypeScript type is known for {schema!r}.")
    return PRIMITIVES[name]


def object_type(schema: Schema) -> str:
    """A type with the object's properties, or a record if it has none of its own."""
    if "properties" not in schema:
        more = schema.get("additionalProperties")
        of_values = type_of(more) if isinstance(more, dict) and more else "any"
        return f"Record<string, {of_values}>"
    return "{ " + " ".join(members(schema)) + " }"


def members(schema: Schema) -> Iterator[str]:
    """The object's properties, each with a comment if it is described."""
    required = schema.get("required", [])
    for name, each in schema["properties"].items():
        optional = "" if name in required else "?"
        yield f"{json.dumps(name)}{optional}: {type_of(each)};"
