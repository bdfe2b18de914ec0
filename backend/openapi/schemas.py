"""The schemas: msgspec's own account of the Structs, for it is msgspec that decodes and encodes.

Litestar's reading of them loses what a strict decoder refuses (unknown fields, the items of
`tuple[X, ...]`) and takes an optional query parameter for one that can be null.
"""

from collections.abc import Iterable
from typing import Any

import msgspec

from backend.batches.schemas import BatchRequest
from backend.workflows.pictures import ProductPhoto

PLACE = "#/components/schemas/{name}"
LITESTARS_DEFAULTS = {"deprecated": False, "allowEmptyValue": False, "allowReserved": False}
NULL = {"type": "null"}
PHOTO = dict.fromkeys(ProductPhoto.__struct_fields__, "string")
SOURCE = {"collection_id": "string", "product_ids": "array"}


def component_schemas(kinds: Iterable[type[msgspec.Struct]]) -> dict[str, Any]:
    """The schema of each kind, and of all that they are made of, by name."""
    ordered = sorted(set(kinds), key=lambda kind: kind.__name__)
    _, schemas = msgspec.json.schema_components(ordered, ref_template=PLACE)
    for kind in ordered:
        if issubclass(kind, ProductPhoto):
            schemas[kind.__name__]["oneOf"] = exactly_one(PHOTO)
        if kind is BatchRequest:
            schemas[kind.__name__]["oneOf"] = exactly_one(SOURCE)
    return dict(sorted(schemas.items()))


def exactly_one(ways: dict[str, str]) -> list[dict[str, Any]]:
    """What `creation.require_one` requires: one of these fields is there, by its type."""
    return [
        {"required": [name], "properties": {name: {"type": kind}}} for name, kind in ways.items()
    ]


def parameter(found: dict[str, Any]) -> dict[str, Any]:
    """A parameter as it goes over the wire: there or not there, never null."""
    kept = {key: value for key, value in found.items() if LITESTARS_DEFAULTS.get(key) != value}
    schema = without_null(found["schema"])
    description = schema.pop("description", None) or found.get("description")
    return {**kept, "schema": schema} | ({"description": description} if description else {})


def without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema of what may be left out, once it is there."""
    kept = {key: whole(value) for key, value in schema.items() if key != "oneOf"}
    values = [each for each in schema.get("oneOf", []) if each != NULL]
    return kept | values[0] if len(values) == 1 else kept


def whole(value: Any) -> Any:
    """A bound, which Litestar writes as 200.0 for an integer."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def of_codes(name: str, codes: tuple[str, ...]) -> dict[str, Any]:
    """An error's schema, with the codes that it can have here."""
    here = {"properties": {"error": {"properties": {"code": {"enum": list(codes)}}}}}
    return {"allOf": [{"$ref": PLACE.format(name=name)}, here]}
