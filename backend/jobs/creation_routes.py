"""`POST /v1/<workflow>` for each registered workflow, and `GET /v1/operations`."""

from typing import Annotated, Any

import structlog
from litestar import Response, Router, get, post
from litestar.di import NamedDependency
from litestar.handlers import HTTPRouteHandler
from litestar.params import HeaderParameter, JSONBody
from litestar.types import Guard

from backend.db import Database
from backend.errors import (
    BadRequest,
    BodyTooLarge,
    ConfigurationError,
    IdempotencyKeyReused,
    InsufficientBalance,
    InvalidRequest,
    RequestInProgress,
    StorageQuotaReached,
    TooManyOpenJobs,
    UnsupportedMedia,
    WorkflowDisabled,
    WorkflowWithoutEngine,
)
from backend.jobs.asked_by import asked_by_merchant
from backend.jobs.creation import Made, make_job
from backend.jobs.idempotency import Repeatable
from backend.jobs.prices import price_of, require_known_prices
from backend.jobs.routes import MerchantRequest
from backend.jobs.schemas import JobAcceptedResponse, OperationResponse, OperationsResponse
from backend.openapi_responses import OF_A_SHOP, documented
from backend.settings import Quotas
from backend.shops.billing_refresh import BillingRefresh, with_refresh
from backend.shops.service import installed_id
from backend.web import current_request_id
from backend.workflows import RETIRED, WORKFLOWS
from backend.workflows.offer import WorkflowOffer
from backend.workflows.registry import Workflow

log = structlog.get_logger(__name__)

IdempotencyKeyHeader = Annotated[
    str | None,
    HeaderParameter(
        name="Idempotency-Key",
        min_length=1,
        max_length=255,
        description="A request repeated with the same key and body is carried out only once.",
    ),
]

# Errors of every JSON body.
OF_A_BODY = (BadRequest, BodyTooLarge, UnsupportedMedia, InvalidRequest)
# Errors of the per-shop quotas, and of a shop without credits.
OF_QUOTAS = (InsufficientBalance, TooManyOpenJobs, StorageQuotaReached)
CREATION = documented(
    JobAcceptedResponse,
    *OF_A_SHOP,
    *OF_A_BODY,
    WorkflowDisabled,
    WorkflowWithoutEngine,
    RequestInProgress,
    IdempotencyKeyReused,
    *OF_QUOTAS,
    status=202,
    always=("Location",),
    sometimes=("Idempotency-Replayed",),
)


def creation_router(guard: Guard, offer: WorkflowOffer, quotas: Quotas) -> Router:
    """The routes, protected by `guard`.

    Raises `ConfigurationError` for an unknown name.
    """
    require_known(offer.disabled)
    require_known_prices(quotas)
    making = [workflow_route(workflow, offer, quotas) for workflow in WORKFLOWS.values()]
    handlers = [operations_route(offer, quotas), *making]
    return Router("/v1", route_handlers=handlers, guards=[guard], tags=["Workflows"])


def workflow_route(workflow: Workflow, offer: WorkflowOffer, quotas: Quotas) -> HTTPRouteHandler:
    """The route that creates jobs of this workflow."""
    kind: Any = workflow.request

    @post(
        f"/{workflow.name}",
        status_code=202,
        operation_id=f"make_{workflow.name.replace('-', '_')}",
        summary=workflow.summary,
        responses=CREATION,
    )
    async def make(
        *,
        request: MerchantRequest,
        data: JSONBody[kind],
        database: NamedDependency[Database],
        billing_refresh: NamedDependency[BillingRefresh],
        idempotency_key: IdempotencyKeyHeader = None,
    ) -> Response[JobAcceptedResponse]:
        """Returns once the job is stored. Follow it at `GET /v1/jobs/{job_id}`."""
        offer.require(workflow)
        repeatable = idempotency_key and Repeatable(
            route=f"POST /v1/{workflow.name}", key=idempotency_key, body=await request.body()
        )

        async def store() -> Made:
            async with database.transaction(request.auth.shop) as connection:
                return await make_job(
                    connection,
                    workflow,
                    data,
                    shop_domain=request.auth.shop,
                    asked_by=asked_by_merchant(request.auth),
                    request_id=current_request_id(),
                    repeatable=repeatable or None,
                    offer=offer,
                    quotas=quotas,
                )

        return accepted_response(await with_refresh(billing_refresh, request.auth.shop, store))

    return make


def operations_route(offer: WorkflowOffer, quotas: Quotas) -> HTTPRouteHandler:
    """The route that lists the workflows."""

    @get("/operations", responses=documented(OperationsResponse, *OF_A_SHOP))
    async def list_operations(
        request: MerchantRequest, database: NamedDependency[Database]
    ) -> OperationsResponse:
        """The workflows, their prices, and whether they are enabled."""
        async with database.reading(request.auth.shop) as connection:
            await installed_id(connection, request.auth.shop)
        return OperationsResponse(
            operations=[
                OperationResponse(
                    name=workflow.name,
                    op_class=workflow.op_class,
                    credits_cost=price_of(workflow, quotas),
                    enabled=workflow.name not in offer.closed,
                    refusal=offer.refusal(workflow),
                    hosted=workflow.name in offer.hosted,
                )
                for workflow in WORKFLOWS.values()
            ]
        )

    return list_operations


def require_known(disabled: frozenset[str]) -> None:
    """Refuse a misspelt name, which would leave on what the operator means to switch off.

    A retired workflow is off already: an upgrade that retires one must not stop the process.
    """
    names = {workflow.name for workflow in WORKFLOWS.values()}
    if retired := disabled & set(RETIRED.values()):
        log.warning("disabled_workflows_are_retired", workflows=sorted(retired))
    if unknown := disabled - names - retired:
        raise ConfigurationError(
            f"DISABLED_WORKFLOWS has unknown names: {', '.join(sorted(unknown))}. "
            f"Known names: {', '.join(sorted(names))}."
        )


def accepted_response(made: Made) -> Response[JobAcceptedResponse]:
    """The response, with the job's URL in `Location`."""
    headers = {"Location": f"/v1/jobs/{made.answer.job_id}"}
    if made.is_replay:
        headers["Idempotency-Replayed"] = "true"
    return Response(made.answer, headers=headers)
