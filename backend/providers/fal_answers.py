"""What fal answers, as far as it is read; fields that are not named here are ignored."""

from typing import Any

import msgspec


class FalAccepted(msgspec.Struct):
    """The answer to a submission."""

    request_id: str
    status_url: str = ""
    response_url: str = ""
    cancel_url: str = ""


class FalStatus(msgspec.Struct):
    """The answer of the status URL. An error here is of a request that has ended."""

    status: str = ""
    queue_position: int | None = None
    error: Any = None
    error_type: str | None = None


class FalImage(msgspec.Struct):
    """A picture of a result."""

    url: str


class FalResult(msgspec.Struct):
    """The answer of the response URL."""

    images: list[FalImage] = []
    image: FalImage | None = None
    seed: Any = None


class FalDetail(msgspec.Struct):
    """One thing that is wrong."""

    msg: str = ""
    type: str = ""


class FalError(msgspec.Struct):
    """A model's error has a list of details, the platform's a sentence and a type."""

    detail: list[FalDetail] | str
    error_type: str = ""

    @property
    def type(self) -> str:
        """The kind of error, such as `content_policy_violation`."""
        first = self.detail[0].type if isinstance(self.detail, list) and self.detail else ""
        return first or self.error_type

    @property
    def message(self) -> str:
        """It in words."""
        if isinstance(self.detail, str):
            return self.detail
        return "; ".join(each.msg for each in self.detail)


class FalCallback(msgspec.Struct):
    """The body of a callback."""

    request_id: str
