"""JSON bodies, read strictly: what does not fit its type is refused, and by name.

Litestar would coerce "1" to 1, take the last of two equal keys and recurse as deep as it is told.
Its own conversion still runs afterwards, on a body that has nothing left to forgive.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

import msgspec
from litestar import Request

from backend.errors import BadRequest, InvalidRequest, UnsupportedMedia

MAX_DEPTH = 32
LONGEST_NAME, LONGEST_MESSAGE = 64, 200  # characters of the sender's that an answer repeats
# A string, to its end or the body's. Possessive (`*+`): no byte is looked at twice, for anew from
# each quote of an unterminated string would take the square of its length.
STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)
NO_BRACKET = bytes(set(range(256)) - set(b"[]{}"))
PLACE = re.compile(r" - at `(?:key in )?\$(?P<path>[^`]*)`$")
STEP = re.compile(r"\.(?P<name>[^.\[\]]+)|\[(?P<index>[0-9]+)\]")
FIELD = re.compile(r"(?:required|unknown) field `(?P<name>[^`]+)`")


class StrictRequest(Request[Any, Any, Any]):
    """A request whose JSON has to be what the handler's `data` says, to the letter."""

    async def json(self) -> Any:
        """The body as plain values. Raises `BadRequest`, `InvalidRequest`, `UnsupportedMedia`."""
        if self.content_type[0] != "application/json" or "content-encoding" in self.headers:
            raise UnsupportedMedia("Send the body as application/json without a Content-Encoding.")
        kind = self.route_handler.parsed_fn_signature.parameters["data"].annotation
        return msgspec.to_builtins(strict(await self.body(), kind))


def strict(raw: bytes, kind: type[msgspec.Struct]) -> msgspec.Struct:
    """The body as a `kind`. Raises `BadRequest` for bad JSON, `InvalidRequest` for bad values."""
    require_shallow(raw)
    try:
        plain_values = json.loads(raw, object_pairs_hook=without_duplicates)
        body = msgspec.json.decode(raw, type=kind)
    except msgspec.ValidationError as error:
        raise InvalidRequest([problem(str(error), kind)]) from error
    except (msgspec.DecodeError, ValueError) as error:  # bad UTF-8 and endless digits are these too
        raise BadRequest("The body is not valid JSON.") from error
    if places := list(places_of_nul(plain_values, ["body"])):
        raise InvalidRequest([nul_problem(place) for place in places])
    return body


def require_shallow(raw: bytes) -> None:
    """Refuse deep nesting before any parser recurses into it."""
    depth = 0
    for bracket in STRING.sub(b"", raw).translate(None, NO_BRACKET):
        depth += 1 if bracket in b"[{" else -1
        if depth > MAX_DEPTH:
            raise BadRequest(f"The body is nested more than {MAX_DEPTH} levels deep.")


def without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The object, unless a key comes twice: two readers would take different ones."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise BadRequest("An object in the body has a duplicate key.")
    return found


def places_of_nul(value: Any, place: list[str | int]) -> Iterator[list[str | int]]:
    """Where a text holds the character U+0000: JSON and Python have it, Postgres does not."""
    if isinstance(value, str) and "\0" in value:
        yield place
    elif isinstance(value, dict):
        for name, item in value.items():
            yield from places_of_nul(name, place)
            yield from places_of_nul(item, [*place, name])
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from places_of_nul(item, [*place, index])


def nul_problem(place: list[str | int]) -> dict[str, Any]:
    """What is wrong with a text that cannot be stored."""
    return {"loc": place, "msg": "The character U+0000 is not allowed.", "type": "value_error"}


def problem(message: str, kind: type[msgspec.Struct]) -> dict[str, Any]:
    """msgspec's finding as an item of `detail`: where, what, which kind."""
    place = PLACE.search(message)
    loc: list[str | int] = ["body"]
    for step in STEP.finditer(place["path"] if place else ""):
        loc.append(step["name"] or int(step["index"]))
    text = PLACE.sub("", message)
    if text.startswith(("Invalid enum value", "Invalid value")):  # the latter: of a union's tag
        text = f"Expected one of {', '.join(choices(kind, loc[1:]))}"
    if field := FIELD.search(text):
        loc.append(field["name"][:LONGEST_NAME])
    return {"loc": loc, "msg": text[:LONGEST_MESSAGE], "type": "value_error"}


def choices(kind: type[msgspec.Struct], path: list[str | int]) -> list[str]:
    """What may stand there, for msgspec tells only what may not."""
    found = shapes(msgspec.inspect.type_info(kind))
    for step in path:
        found = [shape for each in found for inner in inside(each, step) for shape in shapes(inner)]
    values = [value for each in found for value in getattr(each, "values", ())]
    return list(dict.fromkeys(map(str, values)))


def inside(found: Any, step: str | int) -> list[Any]:
    """The types of what is at that field or index, if there is such a one."""
    if isinstance(step, int):
        return [found.item_type] if hasattr(found, "item_type") else []
    if step == getattr(found, "tag_field", None):
        return [msgspec.inspect.LiteralType((found.tag,))]
    return [field.type for field in getattr(found, "fields", ()) if field.encode_name == step]


def shapes(found: Any) -> list[Any]:
    """The types that a type is a choice of, without the constraints around them."""
    if isinstance(found, msgspec.inspect.Metadata):
        return shapes(found.type)
    if isinstance(found, msgspec.inspect.UnionType):
        return [shape for each in found.types for shape in shapes(each)]
    return [found]
