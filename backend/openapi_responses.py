"""Declares a route's responses beside the route; the OpenAPI document is made from them.

    @get("/{public_id:str}", responses=answers(JobDetailResponse, JobNotFound, *OF_A_SHOP))

An error class has its status, code, message and headers, so its name is enough. The errors of a
guard are not repeated at each route: `backend.openapi.guards` lists them.
"""

from dataclasses import dataclass, replace
from http import HTTPStatus
from itertools import groupby
from typing import Annotated

import msgspec
from litestar.openapi.datastructures import ResponseSpec

from backend.errors import AtelierError, DatabaseUnavailable, InvalidRequest, ShopNotInstalled

# Errors of every route that looks up the caller's shop.
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


class Error(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of every error."""

    error: ErrorCause


class InvalidRequestError(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of a 422: the error, and each invalid value."""

    error: ErrorCause
    detail: list[Problem]


@dataclass
class Answer(ResponseSpec):
    """A route's response with one status. `always` and `sometimes` name its headers."""

    codes: tuple[str, ...] = ()
    always: tuple[str, ...] = ()
    sometimes: tuple[str, ...] = ()

    def merged(self, other: "Answer") -> "Answer":
        """Combine two responses of one status. Headers of only one of them are optional."""
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


Answers = dict[int, ResponseSpec]


def answers(
    success: type[msgspec.Struct] | None,
    *errors: type[AtelierError],
    status: int = 200,
    always: tuple[str, ...] = (),
    sometimes: tuple[str, ...] = (),
    versioned: bool = False,
) -> Answers:
    """A route's responses by status: its success, with the headers' names, and its errors.

    A `versioned` success has an ETag, and the route can answer 304.
    """
    tag = ("ETag",) if versioned else ()
    found: Answers = {
        status: Answer(
            success,
            description=HTTPStatus(status).phrase,
            always=(*tag, *always),
            sometimes=sometimes,
        )
    }
    if versioned:
        found[304] = Answer(
            None,
            description="Not modified since the version in `If-None-Match`.",
            always=tag,
            sometimes=sometimes,
        )
    return found | refusals(errors)


def refusals(errors: tuple[type[AtelierError], ...]) -> Answers:
    """The responses of these errors, grouped by status."""
    ordered = sorted(set(errors), key=lambda error: (error.status, error.code, error.__name__))
    return {
        int(status): refusal(tuple(group))
        for status, group in groupby(ordered, key=lambda error: error.status)
    }


def refusal(errors: tuple[type[AtelierError], ...]) -> Answer:
    """The response of these errors, which all have the same status."""
    named = [set(error.headers) for error in errors]
    always, possible = set.intersection(*named), set.union(*named)
    return Answer(
        InvalidRequestError if issubclass(errors[0], InvalidRequest) else Error,
        description="\n".join(
            f"- `{error.code}`: {' '.join((error.__doc__ or '').split())}" for error in errors
        ),
        codes=tuple(dict.fromkeys(error.code for error in errors)),
        always=tuple(sorted(always)),
        sometimes=tuple(sorted(possible - always)),
    )
