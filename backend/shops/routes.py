"""`POST /v1/installation`: the embedded page calls it after a `SHOP_NOT_INSTALLED`."""

from typing import Any

from litestar import Request, Router, post
from litestar.di import NamedDependency
from litestar.types import Guard

from backend.auth.merchant import Merchant
from backend.db import Database
from backend.errors import (
    DatabaseUnavailable,
    InvalidSessionToken,
    ShopifyUnavailable,
    Unauthenticated,
)
from backend.openapi_responses import documented
from backend.shops.admin_api import AdminApi
from backend.shops.billing_refresh import BillingRefresh
from backend.shops.service import InstallationResponse, install


@post(
    "/",
    status_code=200,
    security=[{"sessionToken": []}],
    responses=documented(
        InstallationResponse,
        Unauthenticated,
        InvalidSessionToken,
        DatabaseUnavailable,
        ShopifyUnavailable,
    ),
)
async def create_installation(
    request: Request[Merchant, Any, Any],
    database: NamedDependency[Database],
    admin: NamedDependency[AdminApi],
    billing_refresh: NamedDependency[BillingRefresh],
) -> InstallationResponse:
    """Exchange the request's session token for an offline token. Safe to repeat."""
    merchant = request.auth
    if merchant.token is None:
        raise Unauthenticated(
            "This endpoint needs a session token; a signed request is not accepted."
        )
    response = await install(database, admin, domain=merchant.shop, session_token=merchant.token)
    await billing_refresh.when_opened(merchant.shop)
    return response


def installation_router(guard: Guard) -> Router:
    """The route, protected by `guard`."""
    return Router(
        "/v1/installation",
        route_handlers=[create_installation],
        guards=[guard],
        tags=["Installation"],
    )
