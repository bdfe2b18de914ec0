"""The `data` of each type of event, as the OpenAPI document shows it. Triggers write it.

All have `shop`, the domain, and `path`, where the API has the rest.
"""

from typing import Annotated, Literal

import msgspec

from backend.webhook_endpoints.events import WebhookEventType


class EventData(msgspec.Struct, frozen=True, kw_only=True):
    """What every event has."""

    shop: str
    path: str


class JobEndedData(EventData, frozen=True, kw_only=True):
    """A job has ended. Of two events of a job the one with the higher `seq` is newer."""

    job_id: str
    job_type: str
    status: Literal["SUCCESS", "FAILURE"]
    seq: int
    batch_id: str | None
    error_code: str | None


class PublicationEndedData(EventData, frozen=True, kw_only=True):
    """A publication has ended. `round` counts the job's publications.

    Of two events of a publication the one with the higher `seq` is newer.
    """

    job_id: str
    product_id: str
    status: Literal["PUBLISHED", "FAILED", "RESTORED"]
    seq: int
    round: int
    error_code: str | None


class BatchEndedData(EventData, frozen=True, kw_only=True):
    """The last job of a batch has ended. `round` counts the retries: a higher one is newer."""

    batch_id: str
    job_type: str
    status: Literal["SUCCESS", "PARTIAL", "FAILURE", "CANCELLED"]
    round: int
    counts: Annotated[dict[str, int], msgspec.Meta(description="Products by status of their job.")]
    error_code: str | None


class CreditsLowData(EventData, frozen=True, kw_only=True):
    """The available credits fell below the endpoint's `credits_low_below`, here `below`."""

    available: int
    held: int
    below: int
    seq: int


class EndpointTestData(EventData, frozen=True, kw_only=True):
    """Somebody has asked for a test."""

    endpoint_id: str


DATA_OF: dict[WebhookEventType, type[EventData]] = {
    "job.succeeded": JobEndedData,
    "job.failed": JobEndedData,
    "publication.published": PublicationEndedData,
    "publication.failed": PublicationEndedData,
    "publication.restored": PublicationEndedData,
    "batch.finished": BatchEndedData,
    "batch.failed": BatchEndedData,
    "credits.low": CreditsLowData,
    "endpoint.test": EndpointTestData,
}
