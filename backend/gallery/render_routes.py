"""`/v1/renders`: the finished images of a shop's own jobs."""

from typing import Annotated, Any

from litestar import Response, Router, get
from litestar.di import NamedDependency
from litestar.params import QueryParameter
from litestar.types import Guard

from backend.errors import InvalidRequest, ResourceNotFound
from backend.gallery.render_schemas import RenderListResponse, RenderResponse
from backend.gallery.renders import (
    JOB_TYPE_OF,
    OP_CLASSES,
    RenderListRequest,
    one_render_of,
    render_list,
)
from backend.jobs.paging import link, require_given
from backend.jobs.read_services import ReadServices
from backend.jobs.routes import JobCursor, JobId, MerchantRequest, Offset
from backend.openapi_responses import OF_A_SHOP, documented

CategoryFilter = Annotated[
    str | None,
    QueryParameter(
        max_length=64,
        pattern=r"^[a-z][a-z0-9_-]*$(?!\n)",
        description="The kind of garment, as `category` of a render: named in the job's request, "
        "or by the product's type or tags.",
    ),
]
OpClassFilter = Annotated[
    str | None,
    QueryParameter(
        schema_extra={"enum": list(OP_CLASSES)}, description="The class of the workflow."
    ),
]
WorkflowFilter = Annotated[
    str | None,
    QueryParameter(schema_extra={"enum": list(JOB_TYPE_OF)}, description="The workflow's name."),
]
RenderLimit = Annotated[int, QueryParameter(ge=1, le=100)]


@get(
    "/",
    responses=documented(RenderListResponse, *OF_A_SHOP, InvalidRequest, sometimes=("Link",)),
)
async def list_renders(
    *,
    request: MerchantRequest,
    reads: NamedDependency[ReadServices],
    category: CategoryFilter = None,
    origin: OpClassFilter = None,
    workflow: WorkflowFilter = None,
    limit: RenderLimit = 24,
    offset: Offset = 0,
    cursor: JobCursor = None,
) -> Response[RenderListResponse]:
    """Successful jobs with their images, newest first; without those of storefront visitors."""
    wanted = RenderListRequest(
        category=category,
        origin=origin,
        workflow=workflow,
        limit=limit,
        offset=offset,
        cursor=cursor,
    )
    require_given(request.query_params, wanted)
    following, body = await render_list(reads, shop_domain=request.auth.shop, wanted=wanted)
    return Response(body, headers=link(request.url.path, following))


@get("/{public_id:str}", responses=documented(RenderResponse, *OF_A_SHOP, ResourceNotFound))
async def get_render(
    request: MerchantRequest, public_id: JobId, reads: NamedDependency[ReadServices]
) -> RenderResponse:
    """The images of one successful job."""
    return await one_render_of(reads, shop_domain=request.auth.shop, public_id=public_id)


def renders_router(guard: Guard) -> Router:
    """The routes, protected by `guard`."""
    handlers: list[Any] = [list_renders, get_render]
    return Router("/v1/renders", route_handlers=handlers, guards=[guard], tags=["Renders"])
