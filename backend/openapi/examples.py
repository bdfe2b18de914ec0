"""Examples: answers that a running Atelier gave, recorded by `make examples`.

`<operation>.json` holds an operation's successes by name, `errors.json` an error for each code.
"""

from functools import cache
from pathlib import Path
from typing import Any

import msgspec

FOLDER = Path(__file__).parent / "examples"
ERRORS = "errors"

Examples = dict[str, dict[str, Any]]


def success_examples(operation_id: str) -> Examples:
    """What the operation has answered, by what it was about."""
    return {name: {"value": value} for name, value in recorded(operation_id).items()}


def error_examples(codes: tuple[str, ...]) -> Examples:
    """What those errors look like, by code."""
    errors = recorded(ERRORS)
    return {code: {"value": errors[code]} for code in codes if code in errors}


@cache
def recorded(name: str) -> dict[str, Any]:
    """A file of examples; empty where none were recorded."""
    file = FOLDER / f"{name}.json"
    return msgspec.json.decode(file.read_bytes(), type=dict[str, Any]) if file.exists() else {}
