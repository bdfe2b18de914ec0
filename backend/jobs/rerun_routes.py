"""`POST /v1/jobs/{public_id}/rerun`: a new job with the images of an earlier one."""

from litestar import Response, Router, post
from litestar.di import NamedDependency
from litestar.handlers import HTTPRouteHandler
from litestar.params import JSONBody
from litestar.types import Guard

from backend.db import Database
from backend.errors import (
    IdempotencyKeyReused,
    JobNotFound,
    PhotoExpired,
    RequestInProgress,
    StorefrontJobRefused,
    WorkflowDisabled,
    WorkflowWithoutEngine,
)
from backend.jobs.asked_by import asked_by_merchant
from backend.jobs.creation import Made
from backend.jobs.creation_routes import (
    OF_A_BODY,
    OF_QUOTAS,
    IdempotencyKeyHeader,
    accepted_response,
)
from backend.jobs.idempotency import Repeatable
from backend.jobs.rerun import RerunRequest, rerun_job
from backend.jobs.routes import JobId, MerchantRequest
from backend.jobs.schemas import JobAcceptedResponse
from backend.openapi_responses import OF_A_SHOP, documented
from backend.settings import Quotas
from backend.shops.billing_refresh import BillingRefresh, with_refresh
from backend.web import current_request_id
from backend.workflows.offer import WorkflowOffer

RERUN = documented(
    JobAcceptedResponse,
    *OF_A_SHOP,
    *OF_A_BODY,
    JobNotFound,
    StorefrontJobRefused,
    PhotoExpired,
    WorkflowDisabled,
    WorkflowWithoutEngine,
    RequestInProgress,
    IdempotencyKeyReused,
    *OF_QUOTAS,
    status=202,
    always=("Location",),
    sometimes=("Idempotency-Replayed",),
)


def rerun_route(offer: WorkflowOffer, quotas: Quotas) -> HTTPRouteHandler:
    """The route that runs a job again."""

    @post("/{public_id:str}/rerun", status_code=202, summary="Rerun job", responses=RERUN)
    async def post_job_rerun(
        *,
        request: MerchantRequest,
        public_id: JobId,
        data: JSONBody[RerunRequest],
        database: NamedDependency[Database],
        billing_refresh: NamedDependency[BillingRefresh],
        idempotency_key: IdempotencyKeyHeader = None,
    ) -> Response[JobAcceptedResponse]:
        """Create a job with the same images, and the same or changed parameters.

        It has a price of its own. `parameters` are merged into those of the earlier job; to change
        only the `seed` gives another image of the same. Jobs of storefront visitors cannot be run
        again.
        """
        repeatable = idempotency_key and Repeatable(
            route=f"POST /v1/jobs/{public_id}/rerun",
            key=idempotency_key,
            body=await request.body(),
        )

        async def store() -> Made:
            async with database.transaction(request.auth.shop) as connection:
                return await rerun_job(
                    connection,
                    data,
                    public_id=public_id,
                    shop_domain=request.auth.shop,
                    asked_by=asked_by_merchant(request.auth),
                    request_id=current_request_id(),
                    repeatable=repeatable or None,
                    offer=offer,
                    quotas=quotas,
                )

        return accepted_response(await with_refresh(billing_refresh, request.auth.shop, store))

    return post_job_rerun


def rerun_router(guard: Guard, offer: WorkflowOffer, quotas: Quotas) -> Router:
    """The route, protected by `guard`."""
    handlers = [rerun_route(offer, quotas)]
    return Router("/v1/jobs", route_handlers=handlers, guards=[guard], tags=["Jobs"])
