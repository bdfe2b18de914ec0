"""The documented responses of a route, declared once beside it; OpenAPI is generated from them.

    @get("/{public_id:str}", responses=documented(JobDetailResponse, JobNotFound, *OF_A_SHOP))

An error's class already has its status, code, message and headers, so naming it is enough. The
errors of a guard are not repeated at each route; `backend.openapi.guards` adds them.
"""

from dataclasses import dataclass, replace
from http import HTTPStatus
from itertools import groupby
from typing import Annotated

import msgspec
from litestar.openapi.datastructures import ResponseSpec

from backend.errors import (
    AtelierError,
    DatabaseUnavailable,
    InsufficientBalance,
    InvalidRequest,
    ShopNotInstalled,
)

# The errors of every route that looks up the caller's shop.
OF_A_SHOP = (ShopNotInstalled, DatabaseUnavailable)


class ErrorCause(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A released `code` never changes. `message` is for people and may change."""

    code: Annotated[str, msgspec.Meta(pattern="^[A-Z][A-Z0-9]*(_[A-Z0-9]+)*$")]
    message: Annotated[str, msgspec.Meta(min_length=1)]
    request_id: Annotated[str, msgspec.Meta(pattern="^[A-Za-z0-9_-]{8,64}$")]


class Problem(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An invalid value. `loc` is its path, starting with `body`, `query` or `header`."""

    loc: list[str | int]
    msg: Annotated[str, msgspec.Meta(min_length=1)]
    type: Annotated[str, msgspec.Meta(min_length=1)]


class ErrorResponse(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of every error."""

    error: ErrorCause


class InvalidRequestError(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of a 422: the error, and each invalid value."""

    error: ErrorCause
    detail: list[Problem]


class InsufficientBalanceError(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True
):
    """The body of a 402: the error, what the request costs, and what the shop has, in credits."""

    error: ErrorCause
    required: Annotated[int, msgspec.Meta(ge=1)]
    available: Annotated[int, msgspec.Meta(ge=0)]


# The bodies of the errors that have more than `error`.
BODIES: dict[type[AtelierError], type[msgspec.Struct]] = {
    InvalidRequest: InvalidRequestError,
    InsufficientBalance: InsufficientBalanceError,
}


@dataclass
class DocumentedResponse(ResponseSpec):
    """One status of a route. `always` and `sometimes` name its response headers."""

    codes: tuple[str, ...] = ()
    always: tuple[str, ...] = ()
    sometimes: tuple[str, ...] = ()

    def merged(self, other: "DocumentedResponse") -> "DocumentedResponse":
        """The union with another response of this status; `always` keeps what both have."""
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
    """A route's responses by status: its success, with these headers, and its errors.

    A `versioned` success has an ETag, and there is a 304 for clients that have that version.
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
            None,
            description="Not modified since the version in `If-None-Match`.",
            always=tag,
            sometimes=sometimes,
        )
    return found | error_responses(errors)


def error_responses(errors: tuple[type[AtelierError], ...]) -> DocumentedResponses:
    """The responses for these errors, by status."""
    ordered = sorted(set(errors), key=lambda error: (error.status, error.code, error.__name__))
    return {
        int(status): error_response(tuple(group))
        for status, group in groupby(ordered, key=lambda error: error.status)
    }


def error_response(errors: tuple[type[AtelierError], ...]) -> DocumentedResponse:
    """The response for these errors, which share one status."""
    named = [set(error.headers) for error in errors]
    always, possible = set.intersection(*named), set.union(*named)
    return DocumentedResponse(
        next((body for kind, body in BODIES.items() if issubclass(errors[0], kind)), ErrorResponse),
        description="\n".join(
            f"- `{error.code}`: {' '.join((error.__doc__ or '').split())}" for error in errors
        ),
        codes=tuple(dict.fromkeys(error.code for error in errors)),
        always=tuple(sorted(always)),
        sometimes=tuple(sorted(possible - always)),
    )
