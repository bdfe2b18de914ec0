"""Requests and responses of `/v1/webhook-endpoints`."""

from datetime import datetime
from typing import Annotated, Literal

import msgspec

from backend.webhook_endpoints.events import WebhookEventType
from backend.webhook_endpoints.urls import LONGEST_URL

MOST_ENDPOINTS = 10  # of a shop
KEPT_ATTEMPTS = 10  # of a delivery
LONGEST_DESCRIPTION = 200  # characters
DeliveryStatus = Literal["pending", "succeeded", "failed", "canceled"]
DeliveryError = Literal[
    "ADDRESS_NOT_PUBLIC", "CONNECTION_FAILED", "ENDPOINT_ENDED", "STATUS", "TIMEOUT"
]

EndpointUrl = Annotated[
    str,
    msgspec.Meta(
        min_length=1,
        max_length=LONGEST_URL,
        description="An https URL on port 443, on the public internet.",
    ),
]
EndpointDescription = Annotated[str, msgspec.Meta(max_length=LONGEST_DESCRIPTION)]
EventTypes = Annotated[
    list[WebhookEventType],
    msgspec.Meta(min_length=1, max_length=20, description="Null: events of every type."),
]
CreditsLowBelow = Annotated[
    int,
    msgspec.Meta(
        ge=1,
        le=1_000_000_000,
        description="`credits.low` is sent when the available credits fall below this.",
    ),
]


class EndpointRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of `POST /v1/webhook-endpoints`."""

    url: EndpointUrl
    description: EndpointDescription = ""
    event_types: EventTypes | None = None
    credits_low_below: CreditsLowBelow = 50


class EndpointChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of `PATCH /v1/webhook-endpoints/{id}`. What is left out stays as it is.

    `enabled: true` switches on what was switched off for its failures, and forgets these.
    """

    url: EndpointUrl | msgspec.UnsetType = msgspec.UNSET
    description: EndpointDescription | msgspec.UnsetType = msgspec.UNSET
    event_types: EventTypes | msgspec.UnsetType | None = msgspec.UNSET
    credits_low_below: CreditsLowBelow | msgspec.UnsetType = msgspec.UNSET
    enabled: bool | msgspec.UnsetType = msgspec.UNSET


class EndpointResponse(msgspec.Struct, frozen=True, kw_only=True):
    """One endpoint, without its secret.

    `disabled_reason` is why it gets nothing: `REQUESTED` by the merchant, `GONE` after a 410, or
    `FAILING` after five days without a success. `failing_since` is null if the last attempt
    succeeded.
    """

    id: str
    url: str
    description: str
    event_types: list[str] | None
    credits_low_below: int
    enabled: bool
    disabled_at: datetime | None
    disabled_reason: Literal["REQUESTED", "GONE", "FAILING"] | None
    failing_since: datetime | None
    created_at: datetime


class EndpointCreatedResponse(EndpointResponse, frozen=True, kw_only=True):
    """The new endpoint with its secret, which only `GET …/secret` shows again."""

    secret: str


class EndpointListResponse(msgspec.Struct, frozen=True, kw_only=True):
    """All of the shop's endpoints, oldest first."""

    endpoints: Annotated[list[EndpointResponse], msgspec.Meta(max_length=MOST_ENDPOINTS)]


class EndpointSecretResponse(msgspec.Struct, frozen=True, kw_only=True):
    """The endpoint's secret. Until `previous_valid_until` deliveries are signed with both."""

    secret: str
    previous_valid_until: datetime | None


class AttemptResponse(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt at a delivery. `response_status` is null if there was no answer.

    `response_ms` is how long the attempt took. `error` is null if the event was delivered.
    """

    attempted_at: datetime
    response_status: int | None
    response_ms: int
    error: DeliveryError | None


class DeliveryResponse(msgspec.Struct, frozen=True, kw_only=True):
    """One event for one endpoint, with the result of its last attempt.

    `event_id` is the `webhook-id` of every attempt. `attempts` counts those since it was created or
    sent again. `response_body` is the beginning of the answer. `latest_attempts` are the newest
    ones, newest first, also those from before it was sent again.
    """

    id: str
    event_id: str
    event_type: str
    status: DeliveryStatus
    attempts: int
    created_at: datetime
    last_attempt_at: datetime | None
    next_attempt_at: datetime | None
    response_status: int | None
    response_ms: int | None
    response_body: str | None
    error: DeliveryError | None
    latest_attempts: Annotated[list[AttemptResponse], msgspec.Meta(max_length=KEPT_ATTEMPTS)]


class DeliveryListResponse(msgspec.Struct, frozen=True, kw_only=True):
    """A page of deliveries, newest first. `Link` has the address of the next one."""

    deliveries: list[DeliveryResponse]
    limit: int
    count: int


class EventSentResponse(msgspec.Struct, frozen=True, kw_only=True):
    """The event that is on its way."""

    event_id: str
