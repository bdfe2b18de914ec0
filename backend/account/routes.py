"""`/v1/usage`: what the shop's jobs have cost, day by day."""

from typing import Annotated, Any

from litestar import Router, get
from litestar.di import NamedDependency
from litestar.params import QueryParameter
from litestar.types import Guard

from backend.account.schemas import UsageRequest, UsageResponse
from backend.account.usage import read_usage
from backend.db import Database
from backend.errors import InvalidRequest
from backend.jobs.paging import require_given
from backend.jobs.routes import MerchantRequest
from backend.openapi_responses import OF_A_SHOP, documented

MOST_DAYS = 90
UsageDays = Annotated[
    int,
    QueryParameter(ge=1, le=MOST_DAYS, description="How many days (UTC), today included."),
]


@get(
    "/usage",
    summary="Get usage by day",
    responses=documented(UsageResponse, *OF_A_SHOP, InvalidRequest),
)
async def get_usage(
    request: MerchantRequest, database: NamedDependency[Database], days: UsageDays = 30
) -> UsageResponse:
    """Successful jobs and their credits, by the day on which they were created and by workflow.

    Jobs that have failed or were cancelled cost nothing and are not counted. Jobs that were deleted
    after `RETENTION_JOBS_DAYS` are no longer counted.
    """
    wanted = UsageRequest(days=days)
    require_given(request.query_params, wanted)
    return await read_usage(database, shop_domain=request.auth.shop, days=wanted.days)


def account_router(guard: Guard) -> Router:
    """The routes, protected by `guard`."""
    handlers: list[Any] = [get_usage]
    return Router("/v1", route_handlers=handlers, guards=[guard], tags=["Credits"])
