"""`/v1/settings`: what the shop has done by itself when its products change."""

from typing import Any

from litestar import Router, get, put
from litestar.di import NamedDependency
from litestar.params import JSONBody
from litestar.types import Guard

from backend.answers import OF_A_SHOP, answers
from backend.db import Database
from backend.jobs.making_routes import OF_A_BODY
from backend.jobs.routes import MerchantRequest
from backend.rules.schemas import SettingsRequest, SettingsResponse
from backend.rules.settings import change_settings, shop_settings


@get("/", responses=answers(SettingsResponse, *OF_A_SHOP))
async def get_settings(
    request: MerchantRequest, database: NamedDependency[Database]
) -> SettingsResponse:
    """The shop's rules, its daily cap, and what its rules have spent today."""
    async with database.reading(request.auth.shop) as connection:
        return await shop_settings(connection, shop_domain=request.auth.shop)


@put("/", responses=answers(SettingsResponse, *OF_A_SHOP, *OF_A_BODY))
async def put_settings(
    request: MerchantRequest,
    data: JSONBody[SettingsRequest],
    database: NamedDependency[Database],
) -> SettingsResponse:
    """Put these settings in the place of all that there were.

    They count for what happens from now on. A rule that publishes does so only where the verdict on
    the picture is `pass`; everything else waits for the merchant.
    """
    async with database.transaction(request.auth.shop) as connection:
        return await change_settings(connection, shop_domain=request.auth.shop, wanted=data)


def settings_router(guard: Guard) -> Router:
    """The routes, behind the guard they are given."""
    handlers: list[Any] = [get_settings, put_settings]
    return Router("/v1/settings", route_handlers=handlers, guards=[guard], tags=["Settings"])
