"""What a route can answer, said once and beside it: the API's document is made of this.

    @get("/{public_id:str}", responses=answers(JobDetailResponse, JobNotFound, *OF_A_SHOP))

An error's class has its status, code, message and headers already, so naming it says all. What a
door refuses is not named at each route: it comes with the door, in `backend.openapi.guards`.
"""

from dataclasses import dataclass, replace
from http import HTTPStatus
from itertools import groupby
from typing import Annotated

import msgspec
from litestar.openapi.datastructures import ResponseSpec

from backend.errors import AtelierError, DatabaseUnavailable, InvalidRequest, ShopNotInstalled

# What every route can answer that looks up the caller's shop.
OF_A_SHOP = (ShopNotInstalled, DatabaseUnavailable)


class ErrorCause(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`code` never changes once released; `message` is for people and may."""

    code: Annotated[str, msgspec.Meta(pattern="^[A-Z][A-Z0-9]*(_[A-Z0-9]+)*$")]
    message: Annotated[str, msgspec.Meta(min_length=1)]
    request_id: Annotated[str, msgspec.Meta(pattern="^[A-Za-z0-9_-]{8,64}$")]


class Problem(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One wrong value: `loc` leads to it, from `body`, `query` or `header` on."""

    loc: list[str | int]
    msg: Annotated[str, msgspec.Meta(min_length=1)]
    type: Annotated[str, msgspec.Meta(min_length=1)]


class Error(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Every answer that is not a success."""

    error: ErrorCause


class InvalidRequestError(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The same, with each wrong value beside it."""

    error: ErrorCause
    detail: list[Problem]


@dataclass
class DocumentedResponse(ResponseSpec):
    """One status of a route: `always` and `sometimes` name its headers."""

    codes: tuple[str, ...] = ()
    always: tuple[str, ...] = ()
    sometimes: tuple[str, ...] = ()

    def merged(self, other: "DocumentedResponse") -> "DocumentedResponse":
        """This answer or another of the same status: what only one of them has is not sure."""
        named = {*self.always, *self.sometimes, *other.always, *other.sometimes}
        always = set(self.always) & set(other.always)
        lines = dict.fromkeys(f"{self.description}\n{other.description}".splitlines())
        return replace(
            self,
            description="\n".join(lines),
            codes=tuple(dict.fromkeys((*self.codes, *other.codes))),
            always=tuple(sorted(always)),
            sometimes=tuple(sorted(named - always)),
        )


DocumentedResponses = dict[int, ResponseSpec]


def documented(
    success: type[msgspec.Struct] | None,
    *errors: type[AtelierError],
    status: int = 200,
    always: tuple[str, ...] = (),
    sometimes: tuple[str, ...] = (),
    versioned: bool = False,
) -> DocumentedResponses:
    """A route's answers by status: its success, whose headers are named, and its errors.

    A `versioned` success has an ETag, and there is a 304 for whoever has that version.
    """
    tag = ("ETag",) if versioned else ()
    found: DocumentedResponses = {
        status: DocumentedResponse(
            success,
            description=HTTPStatus(status).phrase,
            always=(*tag, *always),
            sometimes=sometimes,
        )
    }
    if versioned:
        found[304] = DocumentedResponse(
            None, description="Not changed since `If-None-Match`.", always=tag, sometimes=sometimes
        )
    return found | error_responses(errors)


def error_responses(errors: tuple[type[AtelierError], ...]) -> DocumentedResponses:
    """The answers that errors become, those of one status together."""
    ordered = sorted(set(errors), key=lambda error: (error.status, error.code, error.__name__))
    return {
        int(status): error_response(tuple(group))
        for status, group in groupby(ordered, key=lambda error: error.status)
    }


def error_response(errors: tuple[type[AtelierError], ...]) -> DocumentedResponse:
    """The answer that any of these errors of one status becomes."""
    named = [set(error.headers) for error in errors]
    always, possible = set.intersection(*named), set.union(*named)
    return DocumentedResponse(
        InvalidRequestError if issubclass(errors[0], InvalidRequest) else Error,
        description="\n".join(
            f"- `{error.code}`: {' '.join((error.__doc__ or '').split())}" for error in errors
        ),
        codes=tuple(dict.fromkeys(error.code for error in errors)),
        always=tuple(sorted(always)),
        sometimes=tuple(sorted(possible - always)),
    )
