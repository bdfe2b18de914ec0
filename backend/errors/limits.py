"""Rate limits and quotas: 429, with the time after which to retry; and 402 without credits."""

import random
from collections.abc import Mapping
from http import HTTPStatus

from backend.errors.base import RequestError


class TooManyRequests(RequestError):
    """The shop has exceeded a limit. Retry after `Retry-After` seconds.

    A limit ends for all shops at the same instant (the end of a window, midnight), so each answer
    adds a random delay: up to a quarter of the time, at most a minute.
    """

    status = HTTPStatus.TOO_MANY_REQUESTS
    code = "RATE_LIMITED"
    message = "Too many requests from this shop. Retry after the seconds in Retry-After."
    headers: Mapping[str, str] = {"Retry-After": "60"}  # the default; each instance sets its own

    def __init__(self, retry_after: int) -> None:
        super().__init__()
        seconds = max(retry_after, 1)
        more = random.randint(0, min(seconds // 4, 60))  # noqa: S311 - spread, not secrecy
        self.headers = {"Retry-After": str(seconds + more)}


class InsufficientBalance(RequestError):
    """The shop has fewer credits than the request costs. Nothing was stored.

    The body has both numbers beside `error`.
    """

    status = HTTPStatus.PAYMENT_REQUIRED
    code = "INSUFFICIENT_BALANCE"
    message = "This shop does not have enough credits for this. Buy credits, then try again."

    def __init__(self, *, required: int, available: int) -> None:
        super().__init__()
        self.required, self.available = required, available


class StorefrontUnpaid(RequestError):
    """The shop has too few credits for what its visitor asks for. Visitors get no numbers."""

    status = HTTPStatus.PAYMENT_REQUIRED
    code = InsufficientBalance.code
    message = "This is not available in this shop at the moment."


class DailyCapReached(TooManyRequests):
    """The storefront has started its daily number of jobs."""

    code = "DAILY_CAP_REACHED"
    message = "This storefront has reached its daily limit of images. Try again tomorrow."


class VisitorCapReached(TooManyRequests):
    """This storefront visitor has started a visitor's daily number of jobs."""

    code = "VISITOR_CAP_REACHED"
    message = "You have reached your daily limit of images in this shop. Try again tomorrow."


class TooManyOpenJobs(TooManyRequests):
    """The shop has reached its limit of unfinished jobs."""

    code = "TOO_MANY_OPEN_JOBS"
    message = "This shop has too many unfinished jobs. Retry when some of them have finished."

    def __init__(self, retry_after: int = 60) -> None:
        super().__init__(retry_after)


class TooManyOpenBatches(TooManyRequests):
    """The shop has reached its limit of batches that are still creating jobs."""

    code = "TOO_MANY_OPEN_BATCHES"
    message = "Too many of this shop's batches are still creating jobs. Retry later."

    def __init__(self, retry_after: int = 60) -> None:
        super().__init__(retry_after)


class TooManyOpenCharges(TooManyRequests):
    """The shop has too many charges that its merchant has not decided on."""

    code = "TOO_MANY_OPEN_CHARGES"
    message = (
        "Too many charges of this shop wait for approval. Approve or decline one of them, or wait: "
        "they expire after two days."
    )

    def __init__(self, retry_after: int = 3600) -> None:
        super().__init__(retry_after)


class StorageQuotaReached(TooManyRequests):
    """The shop's images have reached its storage quota."""

    code = "STORAGE_QUOTA_REACHED"
    message = "This shop has used all of its image storage. Ask support for more."

    def __init__(self, retry_after: int = 3600) -> None:
        super().__init__(retry_after)
