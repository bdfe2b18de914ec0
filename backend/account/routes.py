"""`/v1/credits`, `/v1/transactions` and `/v1/usage`: the balance, and what has changed it."""

from typing import Annotated, Any

from litestar import Response, Router, get
from litestar.di import NamedDependency, Provide
from litestar.params import QueryParameter
from litestar.types import Guard

from backend.account.balance import read_balance
from backend.account.schemas import (
    CreditsResponse,
    TransactionList,
    TransactionsRequest,
    TransactionsResponse,
    UsageRequest,
    UsageResponse,
)
from backend.account.transactions import read_transactions
from backend.account.usage import read_usage
from backend.db import Database
from backend.errors import InvalidRequest
from backend.jobs.paging import link, require_given
from backend.jobs.routes import MerchantRequest
from backend.openapi_responses import OF_A_SHOP, documented

MOST_DAYS = 90
UsageDays = Annotated[
    int,
    QueryParameter(ge=1, le=MOST_DAYS, description="How many days (UTC), today included."),
]
TransactionLimit = Annotated[int, QueryParameter(ge=1, le=200)]
TransactionCursor = Annotated[
    str | None,
    QueryParameter(pattern=r"^[0-9A-HJKMNP-TV-Z]{1,26}$(?!\n)", description="From `Link`."),
]
TRANSACTIONS = documented(TransactionsResponse, *OF_A_SHOP, InvalidRequest, sometimes=("Link",))


@get("/credits", summary="Get balance", responses=documented(CreditsResponse, *OF_A_SHOP))
async def get_credits(
    request: MerchantRequest, database: NamedDependency[Database], is_prepaid: NamedDependency[bool]
) -> CreditsResponse:
    """What the shop may spend, what its unfinished jobs hold, its lots and its plan."""
    return await read_balance(database, shop_domain=request.auth.shop, unlimited=not is_prepaid)


@get("/transactions", responses=TRANSACTIONS)
async def list_transactions(
    *,
    request: MerchantRequest,
    database: NamedDependency[Database],
    kind: Annotated[TransactionList, QueryParameter()] = "spend",
    limit: TransactionLimit = 50,
    cursor: TransactionCursor = None,
) -> Response[TransactionsResponse]:
    """Changes of the balance, newest first: `spend` is what jobs cost, `purchases` the rest.

    Purchases are plans, packs, trials and grants by hand, and what expired or was voided of them.
    """
    wanted = TransactionsRequest(kind=kind, limit=limit, cursor=cursor)
    require_given(request.query_params, wanted)
    following, body = await read_transactions(
        database, shop_domain=request.auth.shop, wanted=wanted
    )
    return Response(body, headers=link(request.url.path, following))


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


def account_router(guard: Guard, *, is_prepaid: bool) -> Router:
    """The routes, protected by `guard`; `is_prepaid` says whether jobs cost the shop credits."""
    handlers: list[Any] = [get_credits, list_transactions, get_usage]
    return Router(
        "/v1",
        route_handlers=handlers,
        guards=[guard],
        tags=["Credits"],
        dependencies={"is_prepaid": Provide(lambda: is_prepaid, sync_to_thread=False)},
    )
