"""Every error Atelier raises on purpose, with the HTTP status and the stable code it becomes.

    AtelierError
    ├── ConfigurationError        the process must not start like this
    ├── RequestError              the caller's doing: 4xx
    │   ├── BadRequest            400
    │   ├── AmbiguousCredentials  400
    │   ├── Unauthenticated       401
    │   │   ├── InvalidSessionToken   401, asks App Bridge for a fresh token
    │   │   └── ShopNotInstalled      401
    │   ├── JobNotFound           404
    │   ├── JobAlreadyFinished    409
    │   ├── UnsupportedMedia      415
    │   └── InvalidRequest        422
    └── Unavailable               ours or a neighbour's: 503 with Retry-After
        ├── DatabaseUnavailable
        └── ShopifyUnavailable

A code never changes once released; a message may. Failures of a *job* are not here: they are
values (`backend.jobs.states.Failure`) and end up in the job's last event.
"""

from http import HTTPStatus
from typing import Any, ClassVar


class AtelierError(Exception):
    """The root. `status` and `code` are the class's; `message` tells what to do."""

    status: ClassVar[HTTPStatus] = HTTPStatus.INTERNAL_SERVER_ERROR
    code: ClassVar[str] = "INTERNAL_ERROR"
    message: str = "Something went wrong on our side. Quote the request id when you report it."
    headers: ClassVar[dict[str, str]] = {}

    def __init__(self, message: str | None = None) -> None:
        self.message = message or type(self).message
        super().__init__(self.message)


class ConfigurationError(AtelierError):
    """A setting is missing, malformed or unsafe; the message names it and says what to set."""

    code = "CONFIGURATION_ERROR"


class RequestError(AtelierError):
    """The caller can put this right."""

    status = HTTPStatus.BAD_REQUEST
    code = "BAD_REQUEST"
    message = "The request is malformed."


class BadRequest(RequestError):
    """A part of the request cannot be read."""


class AmbiguousCredentials(RequestError):
    """More than one credential, or one of them twice."""

    code = "AMBIGUOUS_CREDENTIALS"
    message = "Send exactly one credential, once."


class Unauthenticated(RequestError):
    """No credential, or one that does not verify."""

    status = HTTPStatus.UNAUTHORIZED
    code = "UNAUTHENTICATED"
    message = "A valid credential is required."


class InvalidSessionToken(Unauthenticated):
    """A bearer token that does not verify or has expired; App Bridge retries with a fresh one."""

    message = "The session token is invalid or has expired; fetch a fresh one and retry."
    headers: ClassVar[dict[str, str]] = {"X-Shopify-Retry-Invalid-Session-Request": "1"}


class ShopNotInstalled(Unauthenticated):
    """The credential is good, but its shop has not installed the app (or has removed it)."""

    code = "SHOP_NOT_INSTALLED"
    message = "This shop has not installed the app; POST /v1/installation with the session token."


class JobNotFound(RequestError):
    """No such job for this shop: missing, another shop's and malformed ids answer alike."""

    status = HTTPStatus.NOT_FOUND
    code = "JOB_NOT_FOUND"
    message = "No such job."


class JobAlreadyFinished(RequestError):
    """The job has ended; nothing about it can change."""

    status = HTTPStatus.CONFLICT
    code = "JOB_ALREADY_FINISHED"
    message = "The job has already finished."


class UnsupportedMedia(RequestError):
    """A content type or encoding this route does not take."""

    status = HTTPStatus.UNSUPPORTED_MEDIA_TYPE
    code = "UNSUPPORTED_MEDIA_TYPE"
    message = "This content type or encoding is not accepted here."


class InvalidRequest(RequestError):
    """A parameter or field has a value that it cannot have; `detail` names each."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY
    code = "INVALID_REQUEST"
    message = "The request has invalid values; see detail."

    def __init__(self, detail: list[dict[str, Any]]) -> None:
        super().__init__()
        self.detail = detail


class Unavailable(AtelierError):
    """Try again later; nothing was stored."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    code = "UNAVAILABLE"
    message = "Temporarily unavailable; retry shortly."
    headers: ClassVar[dict[str, str]] = {"Retry-After": "2"}


class DatabaseUnavailable(Unavailable):
    """Postgres does not answer, or refuses connections."""

    code = "DATABASE_UNAVAILABLE"
    message = "The database is unavailable; nothing was stored. Retry shortly."


class ShopifyUnavailable(Unavailable):
    """Shopify does not answer, or asks us to slow down."""

    code = "SHOPIFY_UNAVAILABLE"
    message = "Shopify does not answer at the moment. Retry shortly."
