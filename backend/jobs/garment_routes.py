"""`/v1/garment-categories` and `/v1/compatibility/check`: what goes together, before a job."""

from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
from litestar import Router, get, post
from litestar.di import NamedDependency
from litestar.params import JSONBody, QueryParameter
from litestar.types import Guard

from backend.db import Database
from backend.errors import InvalidRequest
from backend.jobs.creation_routes import OF_A_BODY
from backend.jobs.paging import require_given
from backend.jobs.routes import MerchantRequest
from backend.openapi_responses import OF_A_SHOP, documented
from backend.shops.service import installed_id
from backend.workflows.compatibility import Conflict, conflicts_of, guessed_category
from backend.workflows.garments import CATEGORIES, GARMENT_RULES, CategoryName
from backend.workflows.people import ModelFraming

MOST_GARMENTS = 10
if TYPE_CHECKING:
    GarmentWorkflow = str
else:
    GarmentWorkflow = Literal[tuple(GARMENT_RULES.workflows)]


class GarmentCategoryResponse(msgspec.Struct, frozen=True, kw_only=True):
    """A category, and the workflows that take it.

    Garments that cover the same part of the body in the same layer cannot be worn together.
    """

    name: str
    title: str
    covers: list[str]
    layer: str
    needs_full_body: Annotated[
        bool, msgspec.Meta(description="It needs a model who is shown from head to toe.")
    ]
    workflows: list[str]


class GarmentCategoriesResponse(msgspec.Struct, frozen=True, kw_only=True):
    """All categories of garments.

    `guess` is the one that the `product_type` and `tags` of the query name; null if they name none
    or several.
    """

    categories: list[GarmentCategoryResponse]
    guess: str | None


class ProductWords(msgspec.Struct, frozen=True, kw_only=True):
    """The query parameters."""

    product_type: str
    tags: str


ProductTypeQuery = Annotated[
    str, QueryParameter(max_length=255, description="The product's type, to guess its category.")
]
TagsQuery = Annotated[
    str, QueryParameter(max_length=5000, description="The product's tags, with commas between.")
]


class CompatibilityRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Garments that one person is to wear. What is null is not checked."""

    garments: Annotated[
        tuple[CategoryName, ...],
        msgspec.Meta(
            min_length=1, max_length=MOST_GARMENTS, description="The category of each garment."
        ),
    ]
    workflow: Annotated[
        GarmentWorkflow | None, msgspec.Meta(description="That is to show them.")
    ] = None
    framing: Annotated[
        ModelFraming | None, msgspec.Meta(description="How much of the model is shown.")
    ] = None


class CompatibilityResponse(msgspec.Struct, frozen=True, kw_only=True):
    """`compatible` is true if there are no reasons against it."""

    compatible: bool
    reasons: list[Conflict]


@get(
    "/garment-categories",
    responses=documented(GarmentCategoriesResponse, *OF_A_SHOP, InvalidRequest),
)
async def list_garment_categories(
    request: MerchantRequest,
    database: NamedDependency[Database],
    product_type: ProductTypeQuery = "",
    tags: TagsQuery = "",
) -> GarmentCategoriesResponse:
    """The categories of garments that requests name, and the one that a product's words name."""
    require_given(request.query_params, ProductWords(product_type=product_type, tags=tags))
    await require_installed(request, database)
    return GarmentCategoriesResponse(
        guess=guessed_category(product_type, tags.split(",")),
        categories=[
            GarmentCategoryResponse(
                name=each.name,
                title=each.title,
                covers=[*each.covers],
                layer=each.layer,
                needs_full_body=each.needs_full_body,
                workflows=[
                    name
                    for name, rules in GARMENT_RULES.workflows.items()
                    if each.name in rules.takes
                ],
            )
            for each in CATEGORIES.values()
        ],
    )


@post(
    "/compatibility/check",
    status_code=200,
    responses=documented(CompatibilityResponse, *OF_A_SHOP, *OF_A_BODY),
)
async def check_compatibility(
    request: MerchantRequest,
    data: JSONBody[CompatibilityRequest],
    database: NamedDependency[Database],
) -> CompatibilityResponse:
    """Whether one person can wear these garments together, with all reasons against it.

    It creates nothing and costs nothing. A workflow does not refuse what this advises against.
    """
    await require_installed(request, database)
    reasons = conflicts_of(data.garments, data.workflow, data.framing)
    return CompatibilityResponse(compatible=not reasons, reasons=reasons)


async def require_installed(request: MerchantRequest, database: Database) -> None:
    """Raise `ShopNotInstalled` if the shop does not have the app."""
    async with database.reading(request.auth.shop) as connection:
        await installed_id(connection, request.auth.shop)


def garments_router(guard: Guard) -> Router:
    """The routes, protected by `guard`."""
    handlers: list[Any] = [list_garment_categories, check_compatibility]
    return Router("/v1", route_handlers=handlers, guards=[guard], tags=["Workflows"])
