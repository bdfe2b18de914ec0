"""Schemas that client generators understand as well as validators do.

msgspec's schemas are exact, and JSON Schema lets a reader guess the rest. Generators guess
otherwise: an object about which nothing is said has no fields (openapi-typescript), a pattern is
one of Go or Rust, which have no look-ahead, and a field with a default must be sent.
"""

import json
from typing import Any

# Their values are no schemas, though they may look like one.
LITERALS = frozenset({"const", "default", "enum", "example", "examples", "required"})
SCHEMAS_BY_NAME = frozenset({"properties", "$defs"})
# Python's `$` also matches before a final line break; that of JSON Schema (ECMA-262) does not.
NOT_BEFORE_LINE_BREAK = r"$(?!\n)"


def portable_schema(found: Any) -> Any:
    """The same schema, said in full. Defaults of fields move to their descriptions."""
    if isinstance(found, list):
        return [portable_schema(each) for each in found]
    if not isinstance(found, dict):
        return found
    schema = {key: portable_part(key, value) for key, value in found.items()}
    if schema.get("type") == "object":
        schema.setdefault("additionalProperties", True)
    if schema.get("type") == "array":
        schema.setdefault("items", {})
    if "pattern" in schema:
        schema["pattern"] = schema["pattern"].replace(NOT_BEFORE_LINE_BREAK, "$")
    if "enum" in schema and all(isinstance(each, str) for each in schema["enum"]):
        schema.setdefault("type", "string")
    return schema


def portable_part(key: str, value: Any) -> Any:
    """The value of one keyword of a schema."""
    if key in SCHEMAS_BY_NAME:
        return {name: described_default(portable_schema(each)) for name, each in value.items()}
    return value if key in LITERALS else portable_schema(value)


def described_default(schema: Any) -> Any:
    """A field's schema, with its default as words: generators take a default to be required."""
    if "default" not in schema:
        return schema
    kept = {key: value for key, value in schema.items() if key != "default"}
    default = schema["default"]
    if default is None or default == {}:
        return kept
    words = f"Default: `{json.dumps(default)}`."
    return {**kept, "description": " ".join(filter(None, (kept.get("description"), words)))}
