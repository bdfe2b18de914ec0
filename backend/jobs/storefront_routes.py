"""`/proxy/v1/*`: the storefront, through Shopify's app proxy.

Always JSON, so that Shopify never renders a response as a template. No ETag: nothing here may be
cached.
"""

from typing import Any

from litestar import Request, Response, Router, get, post
from litestar.di import NamedDependency
from litestar.handlers import HTTPRouteHandler
from litestar.params import JSONBody
from litestar.types import Guard

from backend.auth.guards import Visitor
from backend.db import Database
from backend.errors import (
    DailyCapReached,
    InsufficientBalance,
    InvalidRequest,
    StorageQuotaReached,
    StorefrontUnpaid,
    TooManyOpenJobs,
    VisitorCapReached,
    WorkflowDisabled,
)
from backend.jobs.creation_routes import OF_A_BODY
from backend.jobs.detail import job_detail, job_events
from backend.jobs.read_services import ReadServices
from backend.jobs.routes import OF_A_JOB, POLL_HINT, JobId, Since
from backend.jobs.schemas import JobAcceptedResponse, JobDetailResponse, JobEventsResponse
from backend.jobs.storefront import DailyCaps, make_storefront_job, storefront_request
from backend.openapi_responses import OF_A_SHOP, documented
from backend.settings import Quotas
from backend.shops.billing_refresh import BillingRefresh, with_refresh
from backend.web import current_request_id
from backend.workflows import WORKFLOWS
from backend.workflows.offer import WorkflowOffer
from backend.workflows.registry import Workflow

VisitorRequest = Request[Visitor, Any, Any]

VISITOR_DETAIL = documented(JobDetailResponse, *OF_A_JOB, sometimes=POLL_HINT)
VISITOR_EVENTS = documented(JobEventsResponse, *OF_A_JOB, InvalidRequest, sometimes=POLL_HINT)
VISITOR_CREATION = documented(
    JobAcceptedResponse,
    *OF_A_SHOP,
    *OF_A_BODY,
    WorkflowDisabled,
    DailyCapReached,
    VisitorCapReached,
    StorefrontUnpaid,
    TooManyOpenJobs,
    StorageQuotaReached,
    status=202,
)


@get("/jobs/{public_id:str}", responses=VISITOR_DETAIL)
async def get_storefront_job(
    request: VisitorRequest,
    public_id: JobId,
    reads: NamedDependency[ReadServices],
) -> Response[JobDetailResponse]:
    """A job that a storefront visitor started."""
    version, body = await job_detail(
        reads.database,
        reads.presigner,
        shop_domain=request.auth.shop,
        public_id=public_id,
        visitor=request.auth,
    )
    return Response(body, headers=version.poll_hint())


@get(
    "/jobs/{public_id:str}/events",
    opt={"proxy_params": frozenset({"since"})},
    responses=VISITOR_EVENTS,
)
async def get_storefront_job_events(
    *,
    request: VisitorRequest,
    public_id: JobId,
    reads: NamedDependency[ReadServices],
    since: Since = 0,
) -> Response[JobEventsResponse]:
    """The job's public events after `since`. No `wait` here: the connection is Shopify's."""
    version, body = await job_events(
        reads.database,
        reads.presigner,
        shop_domain=request.auth.shop,
        public_id=public_id,
        since=since,
        visitor=request.auth,
    )
    return Response(body, headers=version.poll_hint())


def visitor_creation_route(
    workflow: Workflow, offer: WorkflowOffer, caps: DailyCaps, quotas: Quotas
) -> HTTPRouteHandler:
    """The route that creates jobs of this workflow for storefront visitors."""
    kind: Any = storefront_request(workflow)

    @post(
        f"/{workflow.name}",
        status_code=202,
        operation_id=f"make_storefront_{workflow.name.replace('-', '_')}",
        summary=workflow.summary,
        responses=VISITOR_CREATION,
    )
    async def make(
        request: VisitorRequest,
        data: JSONBody[kind],
        database: NamedDependency[Database],
        billing_refresh: NamedDependency[BillingRefresh],
    ) -> JobAcceptedResponse:
        """The same request on the same day returns the same job.

        Each shop has a daily limit of jobs, and each of its visitors a share of it.
        """
        offer.require(workflow)

        async def store() -> JobAcceptedResponse:
            async with database.transaction(request.auth.shop) as connection:
                return await make_storefront_job(
                    connection,
                    workflow,
                    data,
                    visitor=request.auth,
                    request_id=current_request_id(),
                    caps=caps,
                    quotas=quotas,
                )

        try:
            return await with_refresh(billing_refresh, request.auth.shop, store)
        except InsufficientBalance as error:
            raise StorefrontUnpaid from error

    return make


def storefront_router(
    guard: Guard, offer: WorkflowOffer, caps: DailyCaps, quotas: Quotas
) -> Router:
    """The routes, protected by `guard`."""
    making = [
        visitor_creation_route(workflow, offer, caps, quotas)
        for workflow in WORKFLOWS.values()
        if workflow.for_visitors
    ]
    handlers = [get_storefront_job, get_storefront_job_events, *making]
    return Router("/proxy/v1", route_handlers=handlers, guards=[guard], tags=["Storefront"])
