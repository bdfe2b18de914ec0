"""Strict JSON request bodies: a value of the wrong type is refused, with its path.

By default Litestar converts "1" to 1, keeps the last of two equal keys and recurses to any depth.
Its own conversion still runs afterwards, on values that are already checked.

What clients write for the same value is accepted: 1024.0 for an integer, as JSON Schema has it and
languages with one type of number write it, and a byte order mark (RFC 8259, 8.1).
"""

import codecs
import json
import re
from collections.abc import Iterator
from typing import Any

import msgspec
from litestar import Request
from litestar.exceptions import InternalServerException

from backend.errors import BadRequest, InvalidRequest, UnsupportedMedia
from backend.http_semantics import is_encoded

HUNG_UP = "The connection closed before the body was complete."
MAX_JSON_DEPTH = 32
LONGEST_NAME, LONGEST_MESSAGE = 64, 200  # characters of the request that a response may repeat
# A string up to its closing quote or the end of the body. The possessive quantifiers (`*+`) prevent
# backtracking, which takes quadratic time on an unterminated string.
JSON_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)
NO_BRACKET = bytes(set(range(256)) - set(b"[]{}"))
ERROR_PATH = re.compile(r" - at `(?:key in )?\$(?P<path>[^`]*)`$")
PATH_STEP = re.compile(r"\.(?P<name>[^.\[\]]+)|\[(?P<index>[0-9]+)\]")
FIELD = re.compile(r"(?:required|unknown) field `(?P<name>[^`]+)`")


class StrictRequest(Request[Any, Any, Any]):
    """A request whose JSON body must match the type of the handler's `data` exactly."""

    async def body(self) -> bytes:
        """The body, within the route's limit. Raises `BadRequest` when the client hangs up."""
        try:
            return await super().body()
        except InternalServerException as error:  # Litestar's 500, an alarm for the operator
            raise BadRequest(HUNG_UP) from error

    async def json(self) -> Any:
        """The body as plain values. Raises `BadRequest`, `InvalidRequest`, `UnsupportedMedia`."""
        if self.content_type[0] != "application/json" or is_encoded(
            self.headers.get("content-encoding")
        ):
            raise UnsupportedMedia("Send the body as application/json without a Content-Encoding.")
        kind = self.route_handler.parsed_fn_signature.parameters["data"].annotation
        return msgspec.to_builtins(decode_strictly(await self.body(), kind))


def decode_strictly(raw: bytes, kind: type[msgspec.Struct]) -> msgspec.Struct:
    """The body as a `kind`. Raises `BadRequest` for bad JSON, `InvalidRequest` for bad values."""
    raw = raw.removeprefix(codecs.BOM_UTF8)
    require_shallow(raw)
    try:
        plain_values = json.loads(
            raw, object_pairs_hook=without_duplicates, parse_float=number_without_fraction
        )
        msgspec.json.decode(raw)  # stricter than `json`: no NaN, no UTF-16, no lone surrogates
        body = msgspec.convert(plain_values, kind)
    except msgspec.ValidationError as error:
        raise InvalidRequest([validation_problem(str(error), kind)]) from error
    except (
        msgspec.DecodeError,
        ValueError,
    ) as error:  # also invalid UTF-8 and numbers with too many digits
        raise BadRequest("The body is not valid JSON.") from error
    if places := list(paths_of_nul(plain_values, ["body"])):
        raise InvalidRequest([nul_problem(place) for place in places])
    return body


def require_shallow(raw: bytes) -> None:
    """Refuse deep nesting before any parser recurses into it."""
    depth = 0
    for bracket in JSON_STRING.sub(b"", raw).translate(None, NO_BRACKET):
        depth += 1 if bracket in b"[{" else -1
        if depth > MAX_JSON_DEPTH:
            raise BadRequest(f"The body is nested more than {MAX_JSON_DEPTH} deep.")


def without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The object. Raises `BadRequest` for a repeated key, which parsers resolve differently."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise BadRequest("An object in the body has a duplicate key.")
    return found


def number_without_fraction(text: str) -> int | float:
    """The number: as an integer if it is one, such as 1024.0 or 1e3."""
    value = float(text)
    return int(value) if value.is_integer() else value


def paths_of_nul(value: Any, place: list[str | int]) -> Iterator[list[str | int]]:
    """The path of each string with the character U+0000, which Postgres cannot store."""
    if isinstance(value, str) and "\0" in value:
        yield place
    elif isinstance(value, dict):
        for name, item in value.items():
            yield from paths_of_nul(name, place)
            yield from paths_of_nul(item, [*place, name])
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from paths_of_nul(item, [*place, index])


def nul_problem(place: list[str | int]) -> dict[str, Any]:
    """The item of `detail` for a string with U+0000."""
    return {"loc": place, "msg": "The character U+0000 is not allowed.", "type": "value_error"}


def validation_problem(message: str, kind: type[msgspec.Struct]) -> dict[str, Any]:
    """msgspec's error message as an item of `detail`: `loc`, `msg` and `type`."""
    place = ERROR_PATH.search(message)
    loc: list[str | int] = ["body"]
    for step in PATH_STEP.finditer(place["path"] if place else ""):
        loc.append(step["name"] or int(step["index"]))
    text = ERROR_PATH.sub("", message)
    if text.startswith(("Invalid enum value", "Invalid value")):  # the latter is for a union's tag
        text = f"Expected one of {', '.join(choices(kind, loc[1:]))}"
    if field := FIELD.search(text):
        loc.append(field["name"][:LONGEST_NAME])
    return {"loc": loc, "msg": text[:LONGEST_MESSAGE], "type": "value_error"}


def choices(kind: type[msgspec.Struct], path: list[str | int]) -> list[str]:
    """The allowed values at that path; msgspec's message only names the wrong one."""
    found = shapes(msgspec.inspect.type_info(kind))
    for step in path:
        found = [shape for each in found for inner in inside(each, step) for shape in shapes(inner)]
    values = [value for each in found for value in getattr(each, "values", ())]
    return list(dict.fromkeys(map(str, values)))


def inside(found: Any, step: str | int) -> list[Any]:
    """The types of the value at that field or index; empty if there is none."""
    if isinstance(step, int):
        return [found.item_type] if hasattr(found, "item_type") else []
    if step == getattr(found, "tag_field", None):
        return [msgspec.inspect.LiteralType((found.tag,))]
    return [field.type for field in getattr(found, "fields", ()) if field.encode_name == step]


def shapes(found: Any) -> list[Any]:
    """The members of a union, or the type itself, without msgspec's constraints."""
    if isinstance(found, msgspec.inspect.Metadata):
        return shapes(found.type)
    if isinstance(found, msgspec.inspect.UnionType):
        return [shape for each in found.types for shape in shapes(each)]
    return [found]
