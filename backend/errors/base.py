"""The root of the error tree."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import ClassVar


class AtelierError(Exception):
    """The root. Each class has its own `status` and `code`; `message` says what to do."""

    status: ClassVar[HTTPStatus] = HTTPStatus.INTERNAL_SERVER_ERROR
    code: ClassVar[str] = "INTERNAL_ERROR"
    message: str = "Internal error. Quote the request ID when you report it."
    headers: Mapping[str, str] = {}

    def __init__(self, message: str | None = None) -> None:
        self.message = message or type(self).message
        super().__init__(self.message)


class ConfigurationError(AtelierError):
    """A setting is missing, malformed or unsafe. The message names it and its expected value."""

    code = "CONFIGURATION_ERROR"


class RequestError(AtelierError):
    """The caller can fix the request."""

    status = HTTPStatus.BAD_REQUEST
    code = "BAD_REQUEST"
    message = "The request is malformed."
