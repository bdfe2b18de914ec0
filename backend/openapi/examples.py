"""Examples: responses of a running Atelier, recorded by `make examples`.

`<operation>.json` holds an operation's successful responses by name, `errors.json` one error per
code.
"""

from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

FOLDER = Path(__file__).parent / "examples"
ERRORS = "errors"

Examples = dict[str, dict[str, Any]]


def success_examples(operation_id: str) -> Examples:
    """The operation's recorded responses by name."""
    return {name: {"value": value} for name, value in recorded(operation_id).items()}


def error_examples(codes: tuple[str, ...], fields: Iterable[str]) -> Examples:
    """The recorded errors by code, of those whose body has these fields.

    Visitors get `INSUFFICIENT_BALANCE` without its numbers.
    """
    errors, wanted = recorded(ERRORS), set(fields)
    return {
        code: {"value": errors[code]}
        for code in codes
        if code in errors and set(errors[code]) == wanted
    }


@cache
def recorded(name: str) -> dict[str, Any]:
    """A file of examples; empty if none were recorded."""
    file = FOLDER / f"{name}.json"
    return msgspec.json.decode(file.read_bytes(), type=dict[str, Any]) if file.exists() else {}
