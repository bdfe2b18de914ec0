"""Errors that the caller can fix: 4xx. Images and limits have modules of their own."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from backend.errors.base import RequestError


class BadRequest(RequestError):
    """Part of the request could not be parsed."""


class BodyTooSlow(BadRequest):
    """The body did not arrive within the time limit."""

    code = "BODY_TOO_SLOW"
    message = "The request body took too long to arrive."


class AmbiguousCredentials(RequestError):
    """The request has more than one credential, or the same one twice."""

    code = "AMBIGUOUS_CREDENTIALS"
    message = "Send exactly one credential, only once."


class Unauthenticated(RequestError):
    """The credential is missing or does not verify."""

    status = HTTPStatus.UNAUTHORIZED
    code = "UNAUTHENTICATED"
    message = "A valid credential is required."


class InvalidSessionToken(Unauthenticated):
    """The bearer token does not verify or has expired. App Bridge retries with a new one."""

    message = "The session token is invalid or has expired. Fetch a new one and retry."
    headers: Mapping[str, str] = {"X-Shopify-Retry-Invalid-Session-Request": "1"}


class ShopNotInstalled(Unauthenticated):
    """The credential is valid, but the shop has not installed the app or has removed it."""

    code = "SHOP_NOT_INSTALLED"
    message = "This shop has not installed the app. POST /v1/installation with the session token."


class WorkflowDisabled(RequestError):
    """The operator has disabled this workflow."""

    status = HTTPStatus.FORBIDDEN
    code = "WORKFLOW_DISABLED"
    message = "This workflow is disabled. GET /v1/operations lists the enabled ones."


class WorkflowWithoutEngine(RequestError):
    """The workflow has a stage that none of the engines makes which are set up here."""

    status = HTTPStatus.CONFLICT
    code = "NO_ENGINE"
    message = (
        "No engine is set up for this workflow. The operator has to set ENGINES for its stages. "
        "GET /v1/operations lists the enabled workflows."
    )


class ScopeMissing(RequestError):
    """The shop has not granted the access scopes that this request needs."""

    status = HTTPStatus.FORBIDDEN
    code = "SCOPE_MISSING"
    message = "The app may not change this shop's media. Grant write_products and write_files."


class RouteNotFound(RequestError):
    """No endpoint has this path; raised by the framework."""

    status = HTTPStatus.NOT_FOUND
    code = "NOT_FOUND"
    message = "There is no such endpoint. GET /schema documents the API."


class JobNotFound(RequestError):
    """The shop has no such job. Missing, malformed and other shops' IDs get the same answer."""

    status = HTTPStatus.NOT_FOUND
    code = "JOB_NOT_FOUND"
    message = "No such job."


class PublicationNotFound(RequestError):
    """The job is the shop's but has never been published."""

    status = HTTPStatus.NOT_FOUND
    code = "PUBLICATION_NOT_FOUND"
    message = "This job has not been published."


class ProductNotFound(RequestError):
    """The job's product no longer exists in the shop."""

    status = HTTPStatus.NOT_FOUND
    code = "PRODUCT_NOT_FOUND"
    message = "The product was deleted in Shopify."


class BatchNotFound(RequestError):
    """The shop has no such batch. Missing, malformed and other shops' IDs get the same answer."""

    status = HTTPStatus.NOT_FOUND
    code = "BATCH_NOT_FOUND"
    message = "No such batch."


class ResourceNotFound(RequestError):
    """The shop has no such image. Missing, malformed and other shops' IDs get the same answer."""

    status = HTTPStatus.NOT_FOUND
    code = "RESOURCE_NOT_FOUND"
    message = "No such image."


class PrivacyRequestNotFound(RequestError):
    """The shop has no such request. Missing, malformed and other shops' IDs get the same answer."""

    status = HTTPStatus.NOT_FOUND
    code = "PRIVACY_REQUEST_NOT_FOUND"
    message = "No such request, or the customer's data has been erased."


class WebhookEndpointNotFound(RequestError):
    """The shop has no such endpoint. Missing, malformed and other shops' IDs answer the same."""

    status = HTTPStatus.NOT_FOUND
    code = "WEBHOOK_ENDPOINT_NOT_FOUND"
    message = "No such webhook endpoint."


class EndpointDeliveryNotFound(RequestError):
    """The endpoint has no such delivery, or no longer: deliveries are kept for 30 days."""

    status = HTTPStatus.NOT_FOUND
    code = "ENDPOINT_DELIVERY_NOT_FOUND"
    message = "No such delivery. Deliveries are kept for 30 days."


class MethodNotAllowed(RequestError):
    """The path has other methods, listed in `Allow`; raised by the framework."""

    status = HTTPStatus.METHOD_NOT_ALLOWED
    code = "METHOD_NOT_ALLOWED"
    message = "This method is not allowed here. See the Allow header."


class JobAlreadyFinished(RequestError):
    """The job has finished and can no longer change."""

    status = HTTPStatus.CONFLICT
    code = "JOB_ALREADY_FINISHED"
    message = "The job has already finished."


class JobNotFinished(RequestError):
    """The job has no images: it is still running, or it failed."""

    status = HTTPStatus.CONFLICT
    code = "JOB_NOT_FINISHED"
    message = "Only a successful job can be published or dismissed."


class AlreadyPublished(RequestError):
    """The job is being published or is published already. DELETE the publication first."""

    status = HTTPStatus.CONFLICT
    code = "ALREADY_PUBLISHED"
    message = "The job is already published. DELETE the publication first."


class JobHasNoProduct(RequestError):
    """The job was made from an upload or a photo, not from a product."""

    status = HTTPStatus.CONFLICT
    code = "JOB_HAS_NO_PRODUCT"
    message = "This job was not created from a product. Choose one to publish to."


class PhotoExpired(RequestError):
    """A photo that the job was made from is no longer stored."""

    status = HTTPStatus.CONFLICT
    code = "PHOTO_EXPIRED"
    message = "A photo of this job is no longer stored. Create a new job instead."


class StorefrontJobRefused(RequestError):
    """A visitor of the storefront started the job, for whom the merchant cannot run it again."""

    status = HTTPStatus.CONFLICT
    code = "STOREFRONT_JOB"
    message = "A storefront visitor started this job; it cannot be run again. Create a new job."


class BatchAlreadyFinished(RequestError):
    """All of the batch's jobs have finished, or it was cancelled."""

    status = HTTPStatus.CONFLICT
    code = "BATCH_ALREADY_FINISHED"
    message = "The batch has already finished."


class BatchNothingToRetry(RequestError):
    """No item of the batch has failed so far, or the failed ones are being retried already."""

    status = HTTPStatus.CONFLICT
    code = "BATCH_NOTHING_TO_RETRY"
    message = "This batch has no failed items to retry."


class BillingDisabled(RequestError):
    """The operator does not charge merchants, so there is nothing to buy."""

    status = HTTPStatus.CONFLICT
    code = "BILLING_DISABLED"
    message = "This app does not charge its merchants: there is nothing to buy."


class PacksNotSold(RequestError):
    """The operator sells plans only: Shopify's App Pricing has no packs."""

    status = HTTPStatus.CONFLICT
    code = "PACKS_NOT_SOLD"
    message = "This app sells no packs. Choose a plan: GET /v1/plans lists them."


class PlanAlreadyActive(RequestError):
    """The shop has this plan already."""

    status = HTTPStatus.CONFLICT
    code = "PLAN_ALREADY_ACTIVE"
    message = "The shop has this plan already. Choose another one."


class ChargeRefused(RequestError):
    """Shopify refused to create the charge. The message has Shopify's reason."""

    status = HTTPStatus.CONFLICT
    code = "CHARGE_REFUSED"
    message = "Shopify refused to create the charge."


class TooManyWebhookEndpoints(RequestError):
    """The shop has as many endpoints as it may have."""

    status = HTTPStatus.CONFLICT
    code = "TOO_MANY_WEBHOOK_ENDPOINTS"
    message = "This shop has 10 webhook endpoints already. Delete one first."


class WebhookEndpointDisabled(RequestError):
    """The endpoint is switched off, so nothing is sent to it."""

    status = HTTPStatus.CONFLICT
    code = "WEBHOOK_ENDPOINT_DISABLED"
    message = "This endpoint is switched off. PATCH it with enabled: true first."


class RequestInProgress(RequestError):
    """The first request with this Idempotency-Key is still in progress."""

    status = HTTPStatus.CONFLICT
    code = "REQUEST_IN_PROGRESS"
    message = "A request with this Idempotency-Key is still in progress. Retry shortly."
    headers: Mapping[str, str] = {"Retry-After": "1"}


class PreconditionFailed(RequestError):
    """The resource no longer has the version in `If-Match`. GET it again."""

    status = HTTPStatus.PRECONDITION_FAILED
    code = "PRECONDITION_FAILED"
    message = "This was changed after you read it. GET it again, then repeat the change."


class UnsupportedMedia(RequestError):
    """This endpoint does not accept the content type or encoding."""

    status = HTTPStatus.UNSUPPORTED_MEDIA_TYPE
    code = "UNSUPPORTED_MEDIA_TYPE"
    message = "This content type or encoding is not accepted here."


class BodyTooLarge(RequestError):
    """The body has more bytes than this endpoint reads."""

    status = HTTPStatus(413)  # its name depends on Python's version
    code = "BODY_TOO_LARGE"
    message = "The request body is too large."


class InvalidRequest(RequestError):
    """A parameter or field has an invalid value; `detail` lists each one."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY
    code = "INVALID_REQUEST"
    message = "The request has invalid values. See detail."

    def __init__(self, detail: list[dict[str, Any]]) -> None:
        super().__init__()
        self.detail = detail


class IdempotencyKeyReused(InvalidRequest):
    """The Idempotency-Key was used before with a different body."""

    code = "IDEMPOTENCY_KEY_REUSED"
    message = "This Idempotency-Key was used with a different body. Use a new key."


class PreviewNotPublishable(InvalidRequest):
    """Previews are for the merchant to look at, not for customers."""

    code = "PREVIEW_NOT_PUBLISHABLE"
    message = "Previews cannot be published. See detail."
