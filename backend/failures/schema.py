"""Failures as the API's description shows them: the codes of a noun, and what each one means."""

from typing import Any

import msgspec

from backend.failures.registry import DEFINITIONS, Noun, codes_of


def code_of(*nouns: Noun) -> msgspec.Meta:
    """Describes the field with the code of a failure of any of these.

    The list is documentation: a code that is stored already is shown whatever it is.
    """
    return msgspec.Meta(description=meanings(*nouns), extra_json_schema=enum(*nouns))


def error_in_extra(*nouns: Noun) -> msgspec.Meta:
    """Describes the free-form field whose `error`, where there is one, is a failure."""
    error = {
        "type": "object",
        "description": meanings(*nouns),
        "required": ["code", "message", "retryable"],
        "properties": {
            "code": {"type": "string", **enum(*nouns)},
            "message": {"type": "string"},
            "retryable": {"type": "boolean"},
        },
    }
    return msgspec.Meta(
        description="What the event adds; a `failed` one has its `error`.",
        extra_json_schema={"properties": {"error": error}},
    )


def enum(*nouns: Noun) -> dict[str, Any]:
    """The JSON schema of their codes."""
    return {"enum": codes_of(*nouns)}


def meanings(*nouns: Noun) -> str:
    """A line for each of their codes: its usual messages."""
    return "\n".join(
        f"- `{code}`: {' Or: '.join(DEFINITIONS[code].messages)}" for code in codes_of(*nouns)
    )
