"""`/v1/overview`: what the page's home shows, and whether it shows the setup guide."""

from typing import Any

from litestar import Response, Router, delete, get, post
from litestar.di import NamedDependency
from litestar.types import Guard

from backend.db import Database
from backend.http_semantics import listed_header
from backend.jobs.etags import TAG_HEADER
from backend.jobs.routes import POLL_HINT, MerchantRequest
from backend.openapi_responses import OF_A_SHOP, documented
from backend.overview.schemas import OverviewResponse
from backend.overview.service import read_overview, set_setup_dismissed

OVERVIEW_RESPONSES = documented(OverviewResponse, *OF_A_SHOP, versioned=True, sometimes=POLL_HINT)
SETUP_RESPONSES = documented(None, *OF_A_SHOP, status=204)


@get("/", responses=OVERVIEW_RESPONSES)
async def get_overview(
    request: MerchantRequest, database: NamedDependency[Database]
) -> Response[OverviewResponse | None]:
    """Counts of jobs, the credits of the day, and how far the shop's setup is."""
    answer = await read_overview(
        database,
        shop_domain=request.auth.shop,
        tags=listed_header(request.scope, TAG_HEADER),
    )
    return Response(answer.body, status_code=answer.status, headers=answer.headers)


@post("/setup-dismissal", status_code=204, summary="Dismiss setup guide", responses=SETUP_RESPONSES)
async def post_setup_dismissal(
    request: MerchantRequest, database: NamedDependency[Database]
) -> None:
    """Close the setup guide for everybody in the shop. Safe to repeat."""
    async with database.transaction(request.auth.shop) as connection:
        await set_setup_dismissed(connection, shop_domain=request.auth.shop, dismissed=True)


@delete("/setup-dismissal", status_code=204, summary="Show setup guide", responses=SETUP_RESPONSES)
async def delete_setup_dismissal(
    request: MerchantRequest, database: NamedDependency[Database]
) -> None:
    """Show the setup guide again. Safe to repeat."""
    async with database.transaction(request.auth.shop) as connection:
        await set_setup_dismissed(connection, shop_domain=request.auth.shop, dismissed=False)


def overview_router(guard: Guard) -> Router:
    """The routes, protected by `guard`."""
    handlers: list[Any] = [get_overview, post_setup_dismissal, delete_setup_dismissal]
    return Router("/v1/overview", route_handlers=handlers, guards=[guard], tags=["Overview"])
