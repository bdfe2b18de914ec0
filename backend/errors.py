"""Every error Atelier raises on purpose, with the HTTP status and the stable code it becomes.

    AtelierError
    ├── ConfigurationError        the process must not start like this
    ├── RequestError              the caller's doing: 4xx
    │   ├── BadRequest            400
    │   │   └── BodyTooSlow           400
    │   ├── AmbiguousCredentials  400
    │   ├── Unauthenticated       401
    │   │   ├── InvalidSessionToken   401, asks App Bridge for a fresh token
    │   │   └── ShopNotInstalled      401
    │   ├── WorkflowDisabled      403
    │   ├── ScopeMissing          403
    │   ├── RouteNotFound         404
    │   ├── JobNotFound           404
    │   ├── PublicationNotFound   404
    │   ├── BatchNotFound         404
    │   ├── PrivacyRequestNotFound 404
    │   ├── MethodNotAllowed      405, with Allow
    │   ├── JobAlreadyFinished    409
    │   ├── JobNotFinished        409
    │   ├── AlreadyPublished      409
    │   ├── BatchAlreadyFinished  409
    │   ├── BatchNothingToRetry   409
    │   ├── RequestInProgress     409
    │   ├── PreconditionFailed    412
    │   ├── BodyTooLarge          413
    │   ├── ImageTooLarge         413
    │   ├── UnsupportedMedia      415
    │   │   └── ImageTypeUnsupported  415
    │   ├── InvalidRequest        422
    │   │   ├── IdempotencyKeyReused  422
    │   │   ├── PreviewNotPublishable 422
    │   │   └── UnusableImage         422: ImageTooSmall, ImageAnimated, ImageCorrupt and
    │   │                                  ImageTooComplex
    │   └── TooManyRequests       429, with Retry-After
    │       ├── DailyCapReached       429
    │       ├── VisitorCapReached     429
    │       ├── TooManyOpenJobs       429
    │       ├── TooManyOpenBatches    429
    │       └── StorageQuotaReached   429
    └── Unavailable               ours or a neighbour's: 503 with Retry-After
        ├── DatabaseUnavailable
        ├── ShopifyUnavailable
        │   └── ShopifyBusy
        ├── StorageUnavailable
        ├── UploadsUnavailable
        └── ServerBusy

A code never changes once released; a message may. Why a job, a publication or a batch failed is not
an error of the API: those codes are in `backend.failures.codes`.
"""

import random
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, ClassVar


class AtelierError(Exception):
    """The root. `status` and `code` are the class's; `message` tells what to do."""

    status: ClassVar[HTTPStatus] = HTTPStatus.INTERNAL_SERVER_ERROR
    code: ClassVar[str] = "INTERNAL_ERROR"
    message: str = "Something went wrong on our side. Quote the request id when you report it."
    headers: Mapping[str, str] = {}

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


class BodyTooSlow(BadRequest):
    """The body did not arrive in its time."""

    code = "BODY_TOO_SLOW"
    message = "The body took too long to arrive."


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
    headers: Mapping[str, str] = {"X-Shopify-Retry-Invalid-Session-Request": "1"}


class ShopNotInstalled(Unauthenticated):
    """The credential is good, but its shop has not installed the app (or has removed it)."""

    code = "SHOP_NOT_INSTALLED"
    message = "This shop has not installed the app; POST /v1/installation with the session token."


class WorkflowDisabled(RequestError):
    """The operator has switched this workflow off."""

    status = HTTPStatus.FORBIDDEN
    code = "WORKFLOW_DISABLED"
    message = "This workflow is switched off here; GET /v1/operations tells which are on."


class ScopeMissing(RequestError):
    """The shop has not granted what this takes."""

    status = HTTPStatus.FORBIDDEN
    code = "SCOPE_MISSING"
    message = "The app may not change this shop's media; grant write_products and write_files."


class RouteNotFound(RequestError):
    """Nothing is at this address; the framework finds it."""

    status = HTTPStatus.NOT_FOUND
    code = "NOT_FOUND"
    message = "There is nothing here; GET /schema tells what there is."


class JobNotFound(RequestError):
    """No such job for this shop: missing, another shop's and malformed ids answer alike."""

    status = HTTPStatus.NOT_FOUND
    code = "JOB_NOT_FOUND"
    message = "No such job."


class PublicationNotFound(RequestError):
    """The job is the shop's, and has never been published."""

    status = HTTPStatus.NOT_FOUND
    code = "PUBLICATION_NOT_FOUND"
    message = "This job has not been published."


class BatchNotFound(RequestError):
    """No such batch for this shop: missing, another shop's and malformed ids answer alike."""

    status = HTTPStatus.NOT_FOUND
    code = "BATCH_NOT_FOUND"
    message = "No such batch."


class PrivacyRequestNotFound(RequestError):
    """No such request for this shop: missing, another shop's and malformed ids answer alike."""

    status = HTTPStatus.NOT_FOUND
    code = "PRIVACY_REQUEST_NOT_FOUND"
    message = "No such request, or its customer has been erased."


class MethodNotAllowed(RequestError):
    """Another method is meant, and `Allow` says which; the framework finds it."""

    status = HTTPStatus.METHOD_NOT_ALLOWED
    code = "METHOD_NOT_ALLOWED"
    message = "This method is not allowed here; see Allow."


class JobAlreadyFinished(RequestError):
    """The job has ended; nothing about it can change."""

    status = HTTPStatus.CONFLICT
    code = "JOB_ALREADY_FINISHED"
    message = "The job has already finished."


class JobNotFinished(RequestError):
    """The job has no pictures yet, or ended without."""

    status = HTTPStatus.CONFLICT
    code = "JOB_NOT_FINISHED"
    message = "Only a job that has succeeded can be published."


class AlreadyPublished(RequestError):
    """A publication of the job is under way or stands; DELETE it first."""

    status = HTTPStatus.CONFLICT
    code = "ALREADY_PUBLISHED"
    message = "The job is published already; DELETE the publication first."


class BatchAlreadyFinished(RequestError):
    """All of the batch's jobs have ended, or it was cancelled."""

    status = HTTPStatus.CONFLICT
    code = "BATCH_ALREADY_FINISHED"
    message = "The batch has already finished."


class BatchNothingToRetry(RequestError):
    """Nothing of the batch has failed so far, or it is being retried already."""

    status = HTTPStatus.CONFLICT
    code = "BATCH_NOTHING_TO_RETRY"
    message = "Nothing of this batch has failed."


class RequestInProgress(RequestError):
    """The first request with this Idempotency-Key has not been answered yet."""

    status = HTTPStatus.CONFLICT
    code = "REQUEST_IN_PROGRESS"
    message = "A request with this Idempotency-Key is still running; retry shortly."
    headers: Mapping[str, str] = {"Retry-After": "1"}


class PreconditionFailed(RequestError):
    """What is to be changed is no longer what `If-Match` names; GET it again."""

    status = HTTPStatus.PRECONDITION_FAILED
    code = "PRECONDITION_FAILED"
    message = "Somebody has changed this since you read it; GET it again, then repeat the change."


class UnsupportedMedia(RequestError):
    """A content type or encoding this route does not take."""

    status = HTTPStatus.UNSUPPORTED_MEDIA_TYPE
    code = "UNSUPPORTED_MEDIA_TYPE"
    message = "This content type or encoding is not accepted here."


class ImageTypeUnsupported(UnsupportedMedia):
    """An uploaded file that is not a JPEG, PNG or WebP, whatever it calls itself."""

    code = "IMAGE_TYPE_UNSUPPORTED"
    message = "The file is not a JPEG, PNG or WebP image."


class BodyTooLarge(RequestError):
    """More bytes than this route reads."""

    status = HTTPStatus(413)  # its name depends on Python's version
    code = "BODY_TOO_LARGE"
    message = "The body is too large."


class ImageTooLarge(RequestError):
    """An uploaded picture with too many bytes or pixels."""

    status = BodyTooLarge.status
    code = "IMAGE_TOO_LARGE"
    message = "The image is too large."


class InvalidRequest(RequestError):
    """A parameter or field has a value that it cannot have; `detail` names each."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY
    code = "INVALID_REQUEST"
    message = "The request has invalid values; see detail."

    def __init__(self, detail: list[dict[str, Any]]) -> None:
        super().__init__()
        self.detail = detail


class UnusableImage(InvalidRequest):
    """An uploaded file that no job could work with; each reason has its own code below."""

    def __init__(self, message: str) -> None:
        super().__init__([{"loc": ["body", "file"], "msg": message, "type": "value_error"}])
        self.message = message


class ImageTooSmall(UnusableImage):
    """Too few pixels for a picture in a shop."""

    code = "IMAGE_TOO_SMALL"


class ImageAnimated(UnusableImage):
    """More than one frame."""

    code = "IMAGE_ANIMATED"


class ImageCorrupt(UnusableImage):
    """Begins like a picture and cannot be read as one."""

    code = "IMAGE_CORRUPT"


class ImageTooComplex(UnusableImage):
    """Takes more time or memory to decode than one picture may."""

    code = "IMAGE_TOO_COMPLEX"


class IdempotencyKeyReused(InvalidRequest):
    """The Idempotency-Key belongs to another body."""

    code = "IDEMPOTENCY_KEY_REUSED"
    message = "This Idempotency-Key was used with another body; choose a new one."


class PreviewNotPublishable(InvalidRequest):
    """A preview is for the merchant to look at, and not for customers."""

    code = "PREVIEW_NOT_PUBLISHABLE"
    message = "A preview cannot be published; see detail."


class TooManyRequests(RequestError):
    """The shop asks for more than it may; it may again after `retry_after` seconds.

    That instant is the same for all shops (the end of a window, midnight), so each is told a bit
    more: up to a quarter, up to a minute.
    """

    status = HTTPStatus.TOO_MANY_REQUESTS
    code = "RATE_LIMITED"
    message = "Too many requests from this shop; wait as long as Retry-After says."
    headers: Mapping[str, str] = {"Retry-After": "60"}  # until the instance knows better

    def __init__(self, retry_after: int) -> None:
        super().__init__()
        seconds = max(retry_after, 1)
        more = random.randint(0, min(seconds // 4, 60))  # noqa: S311 - spread, not secrecy
        self.headers = {"Retry-After": str(seconds + more)}


class DailyCapReached(TooManyRequests):
    """The storefront has asked for as many jobs as it may in a day."""

    code = "DAILY_CAP_REACHED"
    message = "This storefront has reached its daily number of pictures; try again tomorrow."


class VisitorCapReached(TooManyRequests):
    """This visitor of the storefront has asked for as many jobs as one may in a day."""

    code = "VISITOR_CAP_REACHED"
    message = "You have reached your daily number of pictures in this shop; try again tomorrow."


class TooManyOpenJobs(TooManyRequests):
    """The shop has as many unfinished jobs as it may have at once."""

    code = "TOO_MANY_OPEN_JOBS"
    message = "This shop has too many unfinished jobs; ask again when some of them have ended."

    def __init__(self, retry_after: int = 60) -> None:
        super().__init__(retry_after)


class TooManyOpenBatches(TooManyRequests):
    """The shop has as many batches whose jobs are still being made as it may have at once."""

    code = "TOO_MANY_OPEN_BATCHES"
    message = "The jobs of too many of this shop's batches are still being made; ask again later."

    def __init__(self, retry_after: int = 60) -> None:
        super().__init__(retry_after)


class StorageQuotaReached(TooManyRequests):
    """The shop's pictures take all the room that it may have."""

    code = "STORAGE_QUOTA_REACHED"
    message = "This shop's pictures take all the room that it may have; ask support for more."

    def __init__(self, retry_after: int = 3600) -> None:
        super().__init__(retry_after)


class Unavailable(AtelierError):
    """Try again later; nothing was stored."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    code = "UNAVAILABLE"
    message = "Temporarily unavailable; retry shortly."
    headers: Mapping[str, str] = {"Retry-After": "2"}


class DatabaseUnavailable(Unavailable):
    """Postgres does not answer, or refuses connections."""

    code = "DATABASE_UNAVAILABLE"
    message = "The database is unavailable; nothing was stored. Retry shortly."


class ShopifyUnavailable(Unavailable):
    """Shopify does not answer, or asks us to slow down; `wait` is how long, in seconds.

    `answered` is the HTTP status of the answer that said so, where there was one.
    """

    code = "SHOPIFY_UNAVAILABLE"
    message = "Shopify does not answer at the moment. Retry shortly."

    def __init__(
        self, message: str | None = None, *, wait: float | None = None, answered: int | None = None
    ) -> None:
        super().__init__(message)
        self.wait = wait
        self.answered = answered


class ShopifyBusy(ShopifyUnavailable):
    """Shopify asks us to slow down, and has done nothing of what it was asked."""


class StorageUnavailable(Unavailable):
    """S3 does not answer, or refuses us."""

    code = "STORAGE_UNAVAILABLE"
    message = "The picture store does not answer at the moment. Retry shortly."


class UploadsUnavailable(Unavailable):
    """More pictures are being taken in already than this process can look at, or it broke down."""

    code = "UPLOADS_UNAVAILABLE"
    message = "Too many uploads at the moment. Retry shortly."


class ServerBusy(Unavailable):
    """This process holds as many bytes of bodies as it may; nothing was read to the end."""

    code = "SERVER_BUSY"
    message = "Too many bodies are being received at the moment. Retry shortly."
