"""`/v1/webhook-endpoints`: where the authenticated shop's events are sent."""

from typing import Annotated, Any

from litestar import Response, Router, delete, get, patch, post
from litestar.di import NamedDependency
from litestar.params import JSONBody, PathParameter, QueryParameter
from litestar.types import Guard

from backend.db import Database
from backend.errors import (
    EndpointDeliveryNotFound,
    IdempotencyKeyReused,
    InvalidRequest,
    RequestInProgress,
    TooManyWebhookEndpoints,
    WebhookEndpointDisabled,
    WebhookEndpointNotFound,
)
from backend.jobs.creation_routes import OF_A_BODY, IdempotencyKeyHeader
from backend.jobs.idempotency import Repeatable
from backend.jobs.ids import PATTERN
from backend.jobs.paging import PageRequest, link, require_given
from backend.jobs.routes import Limit, MerchantRequest
from backend.openapi_responses import OF_A_SHOP, documented
from backend.webhook_endpoints import service
from backend.webhook_endpoints.delivery_log import read_deliveries, redeliver
from backend.webhook_endpoints.schemas import (
    DeliveryListResponse,
    DeliveryResponse,
    EndpointChange,
    EndpointCreatedResponse,
    EndpointListResponse,
    EndpointRequest,
    EndpointResponse,
    EndpointSecretResponse,
    EventSentResponse,
)
from backend.webhook_endpoints.service import EndpointSettings

EndpointId = Annotated[
    str, PathParameter(description="The endpoint's ID, a ULID.", schema_extra={"pattern": PATTERN})
]
DeliveryId = Annotated[
    str, PathParameter(description="The delivery's ID, a ULID.", schema_extra={"pattern": PATTERN})
]
DeliveryCursor = Annotated[
    str | None, QueryParameter(pattern=PATTERN, description="From the `Link` header.")
]
OF_AN_ENDPOINT = (*OF_A_SHOP, WebhookEndpointNotFound)
CREATING = documented(
    EndpointCreatedResponse,
    *OF_A_SHOP,
    *OF_A_BODY,
    TooManyWebhookEndpoints,
    WebhookEndpointNotFound,
    RequestInProgress,
    IdempotencyKeyReused,
    status=201,
    always=("Location",),
    sometimes=("Idempotency-Replayed",),
)
LISTING = documented(EndpointListResponse, *OF_A_SHOP)
READING_ENDPOINT = documented(EndpointResponse, *OF_AN_ENDPOINT)
CHANGING_ENDPOINT = documented(EndpointResponse, *OF_AN_ENDPOINT, *OF_A_BODY)
REMOVING = documented(None, *OF_AN_ENDPOINT, status=204)
SECRET = documented(EndpointSecretResponse, *OF_AN_ENDPOINT)
TESTING = documented(EventSentResponse, *OF_AN_ENDPOINT, WebhookEndpointDisabled, status=202)
DELIVERIES_LISTED = documented(
    DeliveryListResponse, *OF_AN_ENDPOINT, InvalidRequest, sometimes=("Link",)
)
REDELIVERING = documented(
    DeliveryResponse,
    *OF_AN_ENDPOINT,
    EndpointDeliveryNotFound,
    WebhookEndpointDisabled,
    status=202,
)


@post("/", status_code=201, summary="Create webhook endpoint", responses=CREATING)
async def create_webhook_endpoint(
    *,
    request: MerchantRequest,
    data: JSONBody[EndpointRequest],
    database: NamedDependency[Database],
    endpoint_settings: NamedDependency[EndpointSettings],
    idempotency_key: IdempotencyKeyHeader = None,
) -> Response[EndpointCreatedResponse]:
    """Have the shop's events sent to a URL. Verify them with the secret of this response.

    A request repeated with the same `Idempotency-Key` gets the endpoint as it is now, with its
    current secret; 404 if it was removed meanwhile.
    """
    repeatable = idempotency_key and Repeatable(
        route="POST /v1/webhook-endpoints", key=idempotency_key, body=await request.body()
    )
    async with database.transaction(request.auth.shop) as connection:
        added = await service.add_endpoint(
            connection,
            data,
            shop_domain=request.auth.shop,
            of=endpoint_settings,
            repeatable=repeatable or None,
        )
    headers = {"Location": f"/v1/webhook-endpoints/{added.answer.id}"}
    if added.is_replay:
        headers["Idempotency-Replayed"] = "true"
    return Response(added.answer, status_code=201, headers=headers)


@get("/", responses=LISTING)
async def list_webhook_endpoints(
    request: MerchantRequest, database: NamedDependency[Database]
) -> EndpointListResponse:
    """The shop's endpoints, oldest first, without their secrets."""
    async with database.reading(request.auth.shop) as connection:
        return await service.list_of_endpoints(connection, shop_domain=request.auth.shop)


@get("/{public_id:str}", responses=READING_ENDPOINT)
async def get_webhook_endpoint(
    request: MerchantRequest, public_id: EndpointId, database: NamedDependency[Database]
) -> EndpointResponse:
    """One endpoint, with why it is switched off if it is."""
    async with database.reading(request.auth.shop) as connection:
        return await service.one_endpoint(
            connection, shop_domain=request.auth.shop, endpoint_id=public_id
        )


@patch("/{public_id:str}", responses=CHANGING_ENDPOINT)
async def update_webhook_endpoint(
    *,
    request: MerchantRequest,
    public_id: EndpointId,
    data: JSONBody[EndpointChange],
    database: NamedDependency[Database],
    endpoint_settings: NamedDependency[EndpointSettings],
) -> EndpointResponse:
    """Change what the body names: URL, description, event types, or whether it is enabled."""
    async with database.transaction(request.auth.shop) as connection:
        return await service.change_endpoint(
            connection,
            data,
            shop_domain=request.auth.shop,
            endpoint_id=public_id,
            of=endpoint_settings,
        )


@delete("/{public_id:str}", status_code=204, responses=REMOVING)
async def delete_webhook_endpoint(
    request: MerchantRequest, public_id: EndpointId, database: NamedDependency[Database]
) -> None:
    """Send nothing to it any more. Its delivery log is deleted too."""
    async with database.transaction(request.auth.shop) as connection:
        await service.remove_endpoint(
            connection, shop_domain=request.auth.shop, endpoint_id=public_id
        )


@get("/{public_id:str}/secret", responses=SECRET)
async def get_webhook_secret(
    request: MerchantRequest,
    public_id: EndpointId,
    database: NamedDependency[Database],
    endpoint_settings: NamedDependency[EndpointSettings],
) -> EndpointSecretResponse:
    """The secret with which its deliveries are signed."""
    async with database.reading(request.auth.shop) as connection:
        return await service.secret_of(
            connection,
            shop_domain=request.auth.shop,
            endpoint_id=public_id,
            of=endpoint_settings,
        )


@post("/{public_id:str}/secret/rotate", status_code=200, responses=SECRET)
async def rotate_webhook_secret(
    request: MerchantRequest,
    public_id: EndpointId,
    database: NamedDependency[Database],
    endpoint_settings: NamedDependency[EndpointSettings],
) -> EndpointSecretResponse:
    """Make a new secret. For 24 hours deliveries are signed with the previous one too."""
    async with database.transaction(request.auth.shop) as connection:
        return await service.rotate_secret(
            connection,
            shop_domain=request.auth.shop,
            endpoint_id=public_id,
            of=endpoint_settings,
        )


@post("/{public_id:str}/test", status_code=202, responses=TESTING)
async def send_webhook_test(
    request: MerchantRequest, public_id: EndpointId, database: NamedDependency[Database]
) -> EventSentResponse:
    """Send it an `endpoint.test`. The delivery log has the result."""
    async with database.transaction(request.auth.shop) as connection:
        event_id = await service.send_test_event(
            connection, shop_domain=request.auth.shop, endpoint_id=public_id
        )
    return EventSentResponse(event_id=event_id)


@get("/{public_id:str}/deliveries", responses=DELIVERIES_LISTED)
async def list_webhook_deliveries(
    *,
    request: MerchantRequest,
    public_id: EndpointId,
    database: NamedDependency[Database],
    limit: Limit = 50,
    cursor: DeliveryCursor = None,
) -> Response[DeliveryListResponse]:
    """The endpoint's deliveries of the last 30 days, newest first."""
    wanted = PageRequest(limit=limit, cursor=cursor)
    require_given(request.query_params, wanted)
    async with database.reading(request.auth.shop) as connection:
        following, body = await read_deliveries(
            connection, shop_domain=request.auth.shop, endpoint_id=public_id, wanted=wanted
        )
    return Response(body, headers=link(request.url.path, following))


@post(
    "/{public_id:str}/deliveries/{delivery_id:str}/redeliver",
    status_code=202,
    responses=REDELIVERING,
)
async def redeliver_webhook(
    request: MerchantRequest,
    public_id: EndpointId,
    delivery_id: DeliveryId,
    database: NamedDependency[Database],
) -> DeliveryResponse:
    """Send the delivery again, with the same `webhook-id`, whatever has become of it."""
    async with database.transaction(request.auth.shop) as connection:
        return await redeliver(
            connection,
            shop_domain=request.auth.shop,
            endpoint_id=public_id,
            delivery_id=delivery_id,
        )


def webhook_endpoints_router(guard: Guard) -> Router:
    """The routes, protected by `guard`."""
    handlers: list[Any] = [
        create_webhook_endpoint,
        list_webhook_endpoints,
        get_webhook_endpoint,
        update_webhook_endpoint,
        delete_webhook_endpoint,
        get_webhook_secret,
        rotate_webhook_secret,
        send_webhook_test,
        list_webhook_deliveries,
        redeliver_webhook,
    ]
    return Router(
        "/v1/webhook-endpoints", route_handlers=handlers, guards=[guard], tags=["Webhook endpoints"]
    )
