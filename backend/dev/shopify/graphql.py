"""Just enough GraphQL to hold the backend's queries to what they ask for.

One query per document, with variables, arguments, aliases and inline fragments. Selections are
checked against the answer: an unknown field is an error as it is at Shopify, and nothing that was
not asked for comes back. No schema, no fragments by name, no directives, no mutations.

An object is a mapping with `__typename`; a callable value is a field that takes arguments; the
key `... on MediaImage` holds what only an inline fragment of that type may see.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

Arguments = Mapping[str, object]
Resolver = Callable[[Arguments], object]

_TOKEN = re.compile(
    r"""\s*(?:\#[^\n]*\s*|,\s*)*         # white space, comments and commas mean nothing
    (?:(?P<token>\.\.\.|[_A-Za-z]\w*|-?\d+(?:\.\d+)?|"(?:[^"\\\n]|\\.)*"|[{}()\[\]:!$=])|$)""",
    re.VERBOSE,
)


class QueryError(Exception):
    """The document is refused as a whole: no data."""

    def __init__(self, message: str, code: str = "parseError", **extensions: str) -> None:
        super().__init__(message)
        self.message = message
        self.extensions = {"code": code, **extensions}


class FieldDenied(QueryError):
    """One field may not be read: it is null, and the other fields are answered."""


@dataclass(frozen=True, slots=True)
class Field:
    """A field as it is asked for."""

    name: str
    alias: str
    arguments: Arguments
    selection: "Selection | None"


@dataclass(frozen=True, slots=True)
class Fragment:
    """`... on type_name { … }`."""

    type_name: str
    selection: "Selection"


Selection = tuple[Field | Fragment, ...]


def execute(
    document: str, variables: Mapping[str, object], root: Mapping[str, object]
) -> dict[str, object]:
    """Answer a query from `root`: `data` and `errors`, each only where there are any."""
    errors: list[dict[str, object]] = []
    try:
        selection = _Parser(document, variables).document()
        answer: dict[str, object] = {"data": _Executor(errors).select(root, selection, ())}
    except QueryError as error:
        return {"errors": [{"message": error.message, "extensions": error.extensions}]}
    return {**answer, "errors": errors} if errors else answer


@dataclass(slots=True)
class _Executor:
    errors: list[dict[str, object]]

    def select(
        self, source: Mapping[str, object], selection: Selection, path: tuple[str, ...]
    ) -> dict[str, object]:
        chosen: dict[str, object] = {}
        for part in selection:
            if isinstance(part, Field):
                chosen[part.alias] = self._field(source, part, (*path, part.alias))
            elif isinstance(inner := source.get(f"... on {part.type_name}"), Mapping):
                typed = {"__typename": part.type_name, **inner}
                chosen |= self.select(typed, part.selection, path)
        return chosen

    def _field(self, source: Mapping[str, object], asked: Field, path: tuple[str, ...]) -> object:
        if asked.name not in source:
            raise _undefined(str(source.get("__typename")), asked.name)
        value = source[asked.name]
        try:
            found = value(asked.arguments) if callable(value) else value
        except FieldDenied as denied:
            self.errors.append(
                {"message": denied.message, "path": path, "extensions": denied.extensions}
            )
            return None
        return self._complete(found, asked, path)

    def _complete(self, value: object, asked: Field, path: tuple[str, ...]) -> object:
        if isinstance(value, list):
            return [self._complete(item, asked, path) for item in value]
        if isinstance(value, Mapping):
            if asked.selection is None:
                raise QueryError(f"Field '{asked.name}' must have selections", "selectionMismatch")
            return self.select(value, asked.selection, path)
        if value is not None and asked.selection is not None:
            raise QueryError(f"Field '{asked.name}' has no selections", "selectionMismatch")
        return value


def _undefined(type_name: str, field_name: str) -> QueryError:
    return QueryError(
        f"Field '{field_name}' doesn't exist on type '{type_name}'",
        "undefinedField",
        typeName=type_name,
        fieldName=field_name,
    )


@dataclass(slots=True)
class _Parser:
    """A recursive descent over the tokens; variables are put in as they are met."""

    text: str
    variables: Mapping[str, object]
    tokens: list[str] = field(init=False)

    def __post_init__(self) -> None:
        self.tokens = list(reversed(list(_tokens(self.text))))

    def document(self) -> Selection:
        if self._peek() != "{":
            self._operation_head()
        selection = self._selection()
        if self.tokens:
            raise QueryError(f"Unexpected {self._peek()}: one query per document is understood")
        return selection

    def _operation_head(self) -> None:
        if (kind := self._next()) != "query":
            raise QueryError(f"The stand-in answers queries, not {kind}")
        while self._peek() != "{":
            # A name and variable definitions: the types are not checked.
            self._next()

    def _selection(self) -> Selection:
        self._expect("{")
        parts: list[Field | Fragment] = []
        while self._peek() != "}":
            parts.append(self._fragment() if self._peek() == "..." else self._field())
        self._expect("}")
        return tuple(parts)

    def _fragment(self) -> Fragment:
        self._expect("...")
        self._expect("on")
        return Fragment(self._next(), self._selection())

    def _field(self) -> Field:
        alias = name = self._name()
        if self._skip(":"):
            name = self._name()
        arguments = dict(self._arguments(")")) if self._skip("(") else {}
        selection = self._selection() if self._peek() == "{" else None
        return Field(name, alias, arguments, selection)

    def _arguments(self, end: str) -> Iterator[tuple[str, object]]:
        while not self._skip(end):
            name = self._name()
            self._expect(":")
            yield name, self._value()

    def _value(self) -> object:
        token = self._next()
        match token:
            case "$":
                return self._variable(self._name())
            case "{":
                return dict(self._arguments("}"))
            case "[":
                return list(self._items())
            case "true" | "false" | "null":
                return json.loads(token)
        return token if token.isidentifier() else _literal(token)

    def _items(self) -> Iterator[object]:
        while not self._skip("]"):
            yield self._value()

    def _variable(self, name: str) -> object:
        if name not in self.variables:
            raise QueryError(f"Variable ${name} was not provided", "INVALID_VARIABLE")
        return self.variables[name]

    def _name(self) -> str:
        token = self._next()
        if not token.isidentifier():
            raise QueryError(f"Expected a name, found {token}")
        return token

    def _peek(self) -> str:
        if not self.tokens:
            raise QueryError("Unexpected end of document")
        return self.tokens[-1]

    def _next(self) -> str:
        token = self._peek()
        self.tokens.pop()
        return token

    def _skip(self, token: str) -> bool:
        found = self._peek() == token
        if found:
            self.tokens.pop()
        return found

    def _expect(self, token: str) -> None:
        if not self._skip(token):
            raise QueryError(f"Expected {token}, found {self._peek()}")


def _literal(token: str) -> object:
    try:
        return json.loads(token)  # strings and numbers are written as in JSON
    except ValueError:
        raise QueryError(f"Expected a value, found {token}") from None


def _tokens(text: str) -> Iterator[str]:
    position = 0
    while match := _TOKEN.match(text, position):
        if match["token"] is None:
            return
        yield match["token"]
        position = match.end()
    raise QueryError(f"Unexpected character in {text[position : position + 20]!r}")


def connection(type_name: str, nodes: Sequence[Mapping[str, object]]) -> Resolver:
    """Return a field that pages through `nodes`, of which it gives the first page."""

    def first_page(arguments: Arguments) -> object:
        first = arguments.get("first")
        if not isinstance(first, int) or not 0 < first <= 250:
            raise QueryError("you must provide one of first or last", "BAD_REQUEST")
        return {
            "__typename": type_name,
            "nodes": list(nodes[:first]),
            "pageInfo": {
                "__typename": "PageInfo",
                "hasNextPage": len(nodes) > first,
                "hasPreviousPage": False,
            },
        }

    return first_page
