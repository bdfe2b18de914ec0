"""`/v1/privacy/requests`: customers' data requests to the authenticated shop."""

from typing import Annotated, Any

from litestar import Response, Router, get
from litestar.di import NamedDependency
from litestar.params import PathParameter, QueryParameter
from litestar.types import Guard

from backend.db import Database
from backend.errors import InvalidRequest, PrivacyRequestNotFound
from backend.jobs.ids import PATTERN
from backend.jobs.paging import PageRequest, link, require_given
from backend.jobs.routes import Limit, MerchantRequest
from backend.openapi_responses import OF_A_SHOP, documented
from backend.privacy.schemas import PrivacyRequestListResponse, PrivacyRequestResponse
from backend.privacy.service import request_document, request_list

RequestId = Annotated[
    str, PathParameter(description="The request's ID, a ULID.", schema_extra={"pattern": PATTERN})
]
PrivacyRequestCursor = Annotated[
    str | None, QueryParameter(pattern=PATTERN, description="From the `Link` header.")
]

LIST_RESPONSES = documented(
    PrivacyRequestListResponse, *OF_A_SHOP, InvalidRequest, sometimes=("Link",)
)
DETAIL_RESPONSES = documented(
    PrivacyRequestResponse,
    *OF_A_SHOP,
    PrivacyRequestNotFound,
    InvalidRequest,
    sometimes=("Link",),
)


@get("/", responses=LIST_RESPONSES)
async def list_privacy_requests(
    request: MerchantRequest,
    database: NamedDependency[Database],
    limit: Limit = 50,
    cursor: PrivacyRequestCursor = None,
) -> Response[PrivacyRequestListResponse]:
    """Customers' requests for their data, newest first.

    The merchant must answer each within 30 days.
    """
    wanted = PageRequest(limit=limit, cursor=cursor)
    require_given(request.query_params, wanted)
    async with database.reading(request.auth.shop) as connection:
        following, body = await request_list(
            connection, shop_domain=request.auth.shop, wanted=wanted
        )
    return Response(body, headers=link(request.url.path, following))


@get("/{public_id:str}", responses=DETAIL_RESPONSES)
async def get_privacy_request(
    *,
    request: MerchantRequest,
    public_id: RequestId,
    database: NamedDependency[Database],
    limit: Limit = 50,
    cursor: PrivacyRequestCursor = None,
) -> Response[PrivacyRequestResponse]:
    """The data to hand over: the stored jobs that the customer started."""
    wanted = PageRequest(limit=limit, cursor=cursor)
    require_given(request.query_params, wanted)
    async with database.reading(request.auth.shop) as connection:
        following, body = await request_document(
            connection, shop_domain=request.auth.shop, public_id=public_id, wanted=wanted
        )
    return Response(body, headers=link(request.url.path, following))


def privacy_router(guard: Guard) -> Router:
    """The routes, protected by `guard`."""
    handlers: list[Any] = [list_privacy_requests, get_privacy_request]
    return Router("/v1/privacy/requests", route_handlers=handlers, guards=[guard], tags=["Privacy"])
