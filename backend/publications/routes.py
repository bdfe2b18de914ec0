"""`/v1/jobs/{public_id}/publication`: publish a job's images on a product, or remove them.

And `…/product`: the product's media, to see where they would go.
"""

from typing import Any

from litestar import Response, Router, delete, get, post
from litestar.di import NamedDependency
from litestar.params import JSONBody
from litestar.types import Guard

from backend.db import Database
from backend.errors import (
    AlreadyPublished,
    IdempotencyKeyReused,
    JobHasNoProduct,
    JobNotFinished,
    PreviewNotPublishable,
    ProductNotFound,
    PublicationNotFound,
    RequestInProgress,
    ScopeMissing,
    ShopifyUnavailable,
)
from backend.jobs.creation_routes import OF_A_BODY, IdempotencyKeyHeader
from backend.jobs.idempotency import Repeatable
from backend.jobs.routes import OF_A_JOB, JobId, MerchantRequest
from backend.openapi_responses import documented
from backend.publications.product_media import job_product
from backend.publications.requests import request_publication
from backend.publications.schemas import (
    ProductResponse,
    PublicationRequest,
    PublicationResponse,
)
from backend.publications.service import publication, take_back
from backend.shops.admin_api import AdminApi

PUBLISHING = documented(
    PublicationResponse,
    *OF_A_JOB,
    *OF_A_BODY,
    JobNotFinished,
    AlreadyPublished,
    RequestInProgress,
    IdempotencyKeyReused,
    PreviewNotPublishable,
    ScopeMissing,
    status=202,
    sometimes=("Idempotency-Replayed",),
)
PUBLICATION_RESPONSES = documented(PublicationResponse, *OF_A_JOB, PublicationNotFound)
TAKING_BACK = documented(PublicationResponse, *OF_A_JOB, PublicationNotFound, status=202)

PRODUCT_RESPONSES = documented(
    ProductResponse, *OF_A_JOB, JobHasNoProduct, ProductNotFound, ScopeMissing, ShopifyUnavailable
)


@post(
    "/{public_id:str}/publication",
    status_code=202,
    summary="Create publication",
    responses=PUBLISHING,
)
async def post_publication(
    *,
    request: MerchantRequest,
    public_id: JobId,
    data: JSONBody[PublicationRequest],
    database: NamedDependency[Database],
    idempotency_key: IdempotencyKeyHeader = None,
) -> Response[PublicationResponse]:
    """Add final artifacts of the job to a product, each as its own media.

    Returns once the publication is stored. Follow it with GET or on the job's timeline. A job can
    be published again only after DELETE.
    """
    repeatable = idempotency_key and Repeatable(
        route=f"POST {request.url.path}", key=idempotency_key, body=await request.body()
    )
    async with database.transaction(request.auth.shop) as connection:
        asked = await request_publication(
            connection,
            shop_domain=request.auth.shop,
            public_id=public_id,
            wanted=data,
            repeatable=repeatable or None,
        )
    headers = {"Idempotency-Replayed": "true"} if asked.is_replay else {}
    return Response(asked.answer, headers=headers)


@get("/{public_id:str}/publication", responses=PUBLICATION_RESPONSES)
async def get_publication(
    request: MerchantRequest, public_id: JobId, database: NamedDependency[Database]
) -> PublicationResponse:
    """The job's newest publication."""
    async with database.reading(request.auth.shop) as connection:
        return await publication(connection, shop_domain=request.auth.shop, public_id=public_id)


@delete("/{public_id:str}/publication", status_code=202, responses=TAKING_BACK)
async def delete_publication(
    request: MerchantRequest, public_id: JobId, database: NamedDependency[Database]
) -> PublicationResponse:
    """Remove the published images and restore the product's other media.

    Restores their order, alt texts and variants. Media that the merchant has added since keep
    their position; media that the merchant has deleted stay deleted.
    """
    async with database.transaction(request.auth.shop) as connection:
        return await take_back(connection, shop_domain=request.auth.shop, public_id=public_id)


@get("/{public_id:str}/product", responses=PRODUCT_RESPONSES)
async def get_job_product(
    request: MerchantRequest,
    public_id: JobId,
    database: NamedDependency[Database],
    admin: NamedDependency[AdminApi],
) -> ProductResponse:
    """The job's product with its media in order, read from Shopify."""
    return await job_product(database, admin, shop_domain=request.auth.shop, public_id=public_id)


def publications_router(guard: Guard) -> Router:
    """The routes, protected by `guard`."""
    handlers: list[Any] = [post_publication, get_publication, delete_publication, get_job_product]
    return Router("/v1/jobs", route_handlers=handlers, guards=[guard], tags=["Publications"])
