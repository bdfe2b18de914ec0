"""`/v1/batches`: one workflow for many products of the authenticated shop."""

from typing import Annotated, Any

from litestar import Response, Router, get, post
from litestar.di import NamedDependency
from litestar.handlers import HTTPRouteHandler
from litestar.params import JSONBody, PathParameter, QueryParameter
from litestar.types import Guard

from backend.batches.failures import MAX_PRODUCTS
from backend.batches.listing import ItemListRequest, batch_items, batch_list
from backend.batches.requests import RequestedBatch, request_batch
from backend.batches.schemas import (
    BatchItemsResponse,
    BatchListResponse,
    BatchRequest,
    BatchResponse,
)
from backend.batches.service import batch, cancel_batch, retry_batch
from backend.batches.states import RUNNING
from backend.db import Database
from backend.errors import (
    BatchAlreadyFinished,
    BatchNotFound,
    BatchNothingToRetry,
    IdempotencyKeyReused,
    InsufficientBalance,
    InvalidRequest,
    RequestInProgress,
    StorageQuotaReached,
    TooManyOpenBatches,
    WorkflowDisabled,
    WorkflowWithoutEngine,
)
from backend.jobs.creation_routes import OF_A_BODY, IdempotencyKeyHeader
from backend.jobs.etags import retry_after_header
from backend.jobs.idempotency import Repeatable
from backend.jobs.ids import PATTERN
from backend.jobs.paging import PageRequest, link, require_given
from backend.jobs.routes import POLL_HINT, Limit, MerchantRequest
from backend.jobs.states import JobStatus
from backend.openapi_responses import OF_A_SHOP, documented
from backend.settings import Quotas
from backend.shops.billing_refresh import BillingRefresh, with_refresh
from backend.workflows import BY_NAME
from backend.workflows.offer import WorkflowOffer

MIN_BATCH_POLL, MAX_BATCH_POLL = 2, 30  # seconds
PRODUCTS_A_SECOND = 50  # fewer than this change too little to poll for

BatchId = Annotated[
    str, PathParameter(description="The batch's ID, a ULID.", schema_extra={"pattern": PATTERN})
]
# Small, because the counts of each batch on a page are computed per request.
BatchLimit = Annotated[int, QueryParameter(ge=1, le=50)]
BatchCursor = Annotated[
    str | None, QueryParameter(pattern=PATTERN, description="From the `Link` header.")
]
ItemCursor = Annotated[
    int | None, QueryParameter(ge=1, le=MAX_PRODUCTS, description="From the `Link` header.")
]

OF_A_BATCH = (*OF_A_SHOP, BatchNotFound)
BATCH_CREATION_RESPONSES = documented(
    BatchResponse,
    *OF_A_SHOP,
    *OF_A_BODY,
    WorkflowDisabled,
    WorkflowWithoutEngine,
    RequestInProgress,
    IdempotencyKeyReused,
    InsufficientBalance,
    TooManyOpenBatches,
    StorageQuotaReached,
    status=202,
    always=("Location", *POLL_HINT),
    sometimes=("Idempotency-Replayed",),
)
BATCH_LIST_RESPONSES = documented(
    BatchListResponse, *OF_A_SHOP, InvalidRequest, sometimes=("Link",)
)
BATCH_RESPONSES = documented(BatchResponse, *OF_A_BATCH, sometimes=POLL_HINT)
BATCH_ITEMS_RESPONSES = documented(
    BatchItemsResponse, *OF_A_BATCH, InvalidRequest, sometimes=("Link",)
)
BATCH_RETRY_RESPONSES = documented(
    BatchResponse,
    *OF_A_BATCH,
    WorkflowDisabled,
    WorkflowWithoutEngine,
    BatchNothingToRetry,
    InsufficientBalance,
    TooManyOpenBatches,
    status=202,
    always=POLL_HINT,
)
BATCH_CANCEL_RESPONSES = documented(BatchResponse, *OF_A_BATCH, BatchAlreadyFinished, status=202)


def batch_creation_route(offer: WorkflowOffer, quotas: Quotas) -> HTTPRouteHandler:
    """The route that creates batches."""

    @post("/", status_code=202, responses=BATCH_CREATION_RESPONSES)
    async def post_batch(
        *,
        request: MerchantRequest,
        data: JSONBody[BatchRequest],
        database: NamedDependency[Database],
        billing_refresh: NamedDependency[BillingRefresh],
        idempotency_key: IdempotencyKeyHeader = None,
    ) -> Response[BatchResponse]:
        """Create a job of one workflow for each product of a collection or a list.

        Returns once the batch is stored. A worker then creates the jobs page by page.
        """
        offer.require(BY_NAME[data.workflow])
        repeatable = idempotency_key and Repeatable(
            route="POST /v1/batches", key=idempotency_key, body=await request.body()
        )

        async def store() -> RequestedBatch:
            async with database.transaction(request.auth.shop) as connection:
                return await request_batch(
                    connection,
                    data,
                    shop_domain=request.auth.shop,
                    repeatable=repeatable or None,
                    quotas=quotas,
                )

        asked = await with_refresh(billing_refresh, request.auth.shop, store)
        headers = {"Location": f"/v1/batches/{asked.answer.public_id}"}
        if asked.is_replay:
            headers["Idempotency-Replayed"] = "true"
        return Response(asked.answer, headers=headers | poll_hint(asked.answer))

    return post_batch


@get("/", responses=BATCH_LIST_RESPONSES)
async def list_batches(
    *,
    request: MerchantRequest,
    database: NamedDependency[Database],
    limit: BatchLimit = 20,
    cursor: BatchCursor = None,
) -> Response[BatchListResponse]:
    """The shop's batches, newest first."""
    wanted = PageRequest(limit=limit, cursor=cursor)
    require_given(request.query_params, wanted)
    async with database.reading(request.auth.shop) as connection:
        following, body = await batch_list(connection, shop_domain=request.auth.shop, wanted=wanted)
    return Response(body, headers=link(request.url.path, following))


@get("/{public_id:str}", responses=BATCH_RESPONSES)
async def get_batch(
    request: MerchantRequest, public_id: BatchId, database: NamedDependency[Database]
) -> Response[BatchResponse]:
    """The batch and its progress, counted from its products' jobs."""
    async with database.reading(request.auth.shop) as connection:
        body = await batch(connection, shop_domain=request.auth.shop, public_id=public_id)
    return Response(body, headers=poll_hint(body))


@get("/{public_id:str}/items", responses=BATCH_ITEMS_RESPONSES)
async def list_batch_items(
    *,
    request: MerchantRequest,
    public_id: BatchId,
    database: NamedDependency[Database],
    status: Annotated[JobStatus | None, QueryParameter()] = None,
    limit: Limit = 50,
    cursor: ItemCursor = None,
) -> Response[BatchItemsResponse]:
    """The batch's products in order, each with its newest job."""
    wanted = ItemListRequest(status=status, limit=limit, cursor=cursor)
    require_given(request.query_params, wanted)
    async with database.reading(request.auth.shop) as connection:
        following, body = await batch_items(
            connection, shop_domain=request.auth.shop, public_id=public_id, wanted=wanted
        )
    return Response(body, headers=link(request.url.path, following))


def retrying_route(offer: WorkflowOffer, quotas: Quotas) -> HTTPRouteHandler:
    """The route that retries batches."""

    @post("/{public_id:str}/retry", status_code=202, responses=BATCH_RETRY_RESPONSES)
    async def post_batch_retry(
        request: MerchantRequest,
        public_id: BatchId,
        database: NamedDependency[Database],
        billing_refresh: NamedDependency[BillingRefresh],
    ) -> Response[BatchResponse]:
        """Create new jobs for the products that failed, and finish reading the collection.

        The old jobs stay as they are. A cancelled batch is resumed.
        """

        async def store() -> BatchResponse:
            async with database.transaction(request.auth.shop) as connection:
                return await retry_batch(
                    connection,
                    shop_domain=request.auth.shop,
                    public_id=public_id,
                    offer=offer,
                    quotas=quotas,
                )

        body = await with_refresh(billing_refresh, request.auth.shop, store)
        return Response(body, headers=poll_hint(body))

    return post_batch_retry


@post("/{public_id:str}/cancel", status_code=202, responses=BATCH_CANCEL_RESPONSES)
async def post_batch_cancel(
    request: MerchantRequest, public_id: BatchId, database: NamedDependency[Database]
) -> BatchResponse:
    """Create no more jobs, and end the unfinished ones."""
    return await cancel_batch(database, shop_domain=request.auth.shop, public_id=public_id)


def poll_hint(body: BatchResponse) -> dict[str, str]:
    """`Retry-After` for a running batch: longer, the more products are unfinished."""
    if body.status not in RUNNING:
        return {}
    wait = MIN_BATCH_POLL + body.counts.unfinished // PRODUCTS_A_SECOND
    return retry_after_header(min(wait, MAX_BATCH_POLL))


def batches_router(guard: Guard, offer: WorkflowOffer, quotas: Quotas) -> Router:
    """The routes, protected by `guard`."""
    handlers: list[Any] = [
        list_batches,
        batch_creation_route(offer, quotas),
        get_batch,
        list_batch_items,
        retrying_route(offer, quotas),
        post_batch_cancel,
    ]
    return Router("/v1/batches", route_handlers=handlers, guards=[guard], tags=["Batches"])
