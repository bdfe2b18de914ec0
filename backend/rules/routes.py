"""`/v1/settings`: the shop's rules for jobs that start when its products change."""

from typing import Annotated, Any

from litestar import Response, Router, get, put
from litestar.di import NamedDependency
from litestar.handlers import HTTPRouteHandler
from litestar.params import HeaderParameter, JSONBody
from litestar.types import Guard

from backend.db import Database
from backend.errors import PreconditionFailed, WorkflowWithoutEngine
from backend.http_semantics import listed_header
from backend.jobs.creation_routes import OF_A_BODY
from backend.jobs.routes import MerchantRequest
from backend.openapi_responses import OF_A_SHOP, documented
from backend.rules.schemas import SettingsRequest, SettingsResponse
from backend.rules.settings import Versioned, change_settings, shop_settings
from backend.settings import Quotas
from backend.workflows.offer import WorkflowOffer

IfMatch = Annotated[
    str | None,
    HeaderParameter(
        name="If-Match",
        description="The `ETag` of the settings that you read. They are changed only if they "
        "still have it. A page must send it: without it, the last writer wins.",
    ),
]
ETAG_HEADER = ("ETag",)
READING = documented(SettingsResponse, *OF_A_SHOP, always=ETAG_HEADER)
CHANGING = documented(
    SettingsResponse,
    *OF_A_SHOP,
    *OF_A_BODY,
    WorkflowWithoutEngine,
    PreconditionFailed,
    always=ETAG_HEADER,
)


@get("/", responses=READING)
async def get_settings(
    request: MerchantRequest, database: NamedDependency[Database]
) -> Response[SettingsResponse]:
    """The shop's rules, its daily cap, and what its rules have spent today."""
    async with database.reading(request.auth.shop) as connection:
        return tagged(await shop_settings(connection, shop_domain=request.auth.shop))


def changing_route(offer: WorkflowOffer, quotas: Quotas) -> HTTPRouteHandler:
    """The route that replaces the settings."""

    @put("/", responses=CHANGING)
    async def put_settings(
        request: MerchantRequest,
        data: JSONBody[SettingsRequest],
        database: NamedDependency[Database],
        if_match: IfMatch = None,
    ) -> Response[SettingsResponse]:
        """Replace all settings.

        They apply to product changes from now on. A rule with `publish` publishes an image only if
        its verdict is `pass`; all other images wait for the merchant's review.
        """
        async with database.transaction(request.auth.shop) as connection:
            changed = await change_settings(
                connection,
                shop_domain=request.auth.shop,
                wanted=data,
                if_match=if_match and listed_header(request.scope, b"if-match"),
                offer=offer,
                quotas=quotas,
            )
        return tagged(changed)

    return put_settings


def tagged(versioned: Versioned) -> Response[SettingsResponse]:
    """The settings with their ETag."""
    return Response(versioned.settings, headers={"ETag": versioned.etag})


def settings_router(guard: Guard, offer: WorkflowOffer, quotas: Quotas) -> Router:
    """The routes, protected by `guard`."""
    handlers: list[Any] = [get_settings, changing_route(offer, quotas)]
    return Router("/v1/settings", route_handlers=handlers, guards=[guard], tags=["Settings"])
