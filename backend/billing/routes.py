"""`/v1/plans`, `/v1/subscription` and `/v1/purchases`: what a merchant can buy, and buys."""

from collections.abc import Awaitable, Callable
from functools import partial

from litestar import Response, Router, get, post
from litestar.di import NamedDependency
from litestar.params import JSONBody
from litestar.types import Guard

from backend.billing.schemas import (
    ConfirmationResponse,
    PlansResponse,
    PurchaseRequest,
    SubscriptionRequest,
)
from backend.billing.service import BillingServices, buy_pack, offered_plans, subscribe
from backend.db import Database
from backend.errors import (
    AtelierError,
    BillingDisabled,
    ChargeRefused,
    IdempotencyKeyReused,
    PacksNotSold,
    PlanAlreadyActive,
    RequestInProgress,
    ShopifyUnavailable,
    TooManyOpenCharges,
)
from backend.jobs.creation_routes import OF_A_BODY, IdempotencyKeyHeader
from backend.jobs.idempotency import Repeatable, free_key, keep_answer, reserve_key
from backend.jobs.routes import MerchantRequest
from backend.openapi_responses import OF_A_SHOP, documented
from backend.shops.admin_api import AdminApi
from backend.shops.service import installed_id

OF_A_CHARGE = (
    *OF_A_SHOP,
    *OF_A_BODY,
    BillingDisabled,
    ChargeRefused,
    TooManyOpenCharges,
    RequestInProgress,
    IdempotencyKeyReused,
    ShopifyUnavailable,
)
REPLAYED = ("Idempotency-Replayed",)
SUBSCRIBING = documented(
    ConfirmationResponse, *OF_A_CHARGE, PlanAlreadyActive, status=201, sometimes=REPLAYED
)
BUYING = documented(
    ConfirmationResponse, *OF_A_CHARGE, PacksNotSold, status=201, sometimes=REPLAYED
)


@get("/plans", responses=documented(PlansResponse, *OF_A_SHOP))
async def list_plans(
    request: MerchantRequest,
    database: NamedDependency[Database],
    billing: NamedDependency[BillingServices],
) -> PlansResponse:
    """The plans and packs that the shop can buy, and which plan it has."""
    async with database.reading(request.auth.shop) as connection:
        return await offered_plans(connection, billing.prices, request.auth.shop)


@post("/subscription", status_code=201, summary="Subscribe to plan", responses=SUBSCRIBING)
async def post_subscription(
    *,
    request: MerchantRequest,
    data: JSONBody[SubscriptionRequest],
    database: NamedDependency[Database],
    admin: NamedDependency[AdminApi],
    billing: NamedDependency[BillingServices],
    idempotency_key: IdempotencyKeyHeader = None,
) -> Response[ConfirmationResponse]:
    """Ask Shopify for a subscription, which the merchant approves at `confirmation_url`.

    It replaces the current one. Nothing is charged or granted before the approval. With
    `BILLING=app_pricing`, the merchant chooses the plan once more on Shopify's own page.
    """
    return await answered_once(
        database,
        request,
        idempotency_key,
        partial(subscribe, database, admin, billing, request.auth.shop, data.plan),
    )


@post("/purchases", status_code=201, summary="Buy pack", responses=BUYING)
async def post_purchase(
    *,
    request: MerchantRequest,
    data: JSONBody[PurchaseRequest],
    database: NamedDependency[Database],
    admin: NamedDependency[AdminApi],
    billing: NamedDependency[BillingServices],
    idempotency_key: IdempotencyKeyHeader = None,
) -> Response[ConfirmationResponse]:
    """Ask Shopify for the payment of a pack, which the merchant approves at `confirmation_url`.

    Nothing is charged or granted before the approval. `BILLING=app_pricing` has no packs.
    """
    return await answered_once(
        database,
        request,
        idempotency_key,
        partial(buy_pack, database, admin, billing, request.auth.shop, data.pack),
    )


async def answered_once(
    database: Database,
    request: MerchantRequest,
    key: str | None,
    ask: Callable[[], Awaitable[ConfirmationResponse]],
) -> Response[ConfirmationResponse]:
    """The response of `ask`, or the one that an earlier request with this Idempotency-Key got.

    Raises `IdempotencyKeyReused`, `RequestInProgress`, `ShopNotInstalled`, and what `ask` raises.
    """
    if key is None:
        return Response(await ask())
    shop = request.auth.shop
    repeatable = Repeatable(route=f"POST {request.url.path}", key=key, body=await request.body())
    async with database.transaction(shop) as connection:
        shop_id = await installed_id(connection, shop)
        earlier = await reserve_key(
            connection, repeatable, shop_id=shop_id, kind=ConfirmationResponse
        )
    if earlier is not None:
        return Response(earlier, headers={"Idempotency-Replayed": "true"})
    try:
        answer = await ask()
    except AtelierError:
        async with database.transaction(shop) as connection:
            await free_key(connection, repeatable, shop_id=shop_id)
        raise
    async with database.transaction(shop) as connection:
        await keep_answer(connection, repeatable, shop_id=shop_id, answer=answer)
    return Response(answer)


def billing_router(guard: Guard) -> Router:
    """The routes, protected by `guard`."""
    return Router(
        "/v1",
        route_handlers=[list_plans, post_subscription, post_purchase],
        guards=[guard],
        tags=["Billing"],
    )
