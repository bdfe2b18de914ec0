"""`/v1/jobs/{public_id}/publication`: put a job's pictures on a product, look, take them back."""

from typing import Any

from litestar import Response, Router, delete, get, post
from litestar.di import NamedDependency
from litestar.params import JSONBody
from litestar.types import Guard

from backend.db import Database
from backend.errors import (
    AlreadyPublished,
    IdempotencyKeyReused,
    JobNotFinished,
    PreviewNotPublishable,
    PublicationNotFound,
    RequestInProgress,
    ScopeMissing,
)
from backend.jobs.creation_routes import OF_A_BODY, IdempotencyKeyHeader
from backend.jobs.idempotency import Repeatable
from backend.jobs.routes import OF_A_JOB, JobId, MerchantRequest
from backend.openapi_responses import documented
from backend.publications.requests import request_publication
from backend.publications.schemas import PublicationRequest, PublicationResponse
from backend.publications.service import publication, take_back

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


@post("/{public_id:str}/publication", status_code=202, responses=PUBLISHING)
async def post_publication(
    *,
    request: MerchantRequest,
    public_id: JobId,
    data: JSONBody[PublicationRequest],
    database: NamedDependency[Database],
    idempotency_key: IdempotencyKeyHeader = None,
) -> Response[PublicationResponse]:
    """Put final artifacts of the job on a product, each as a media of its own.

    Answers once it is stored; follow it here or on the job's timeline. Until it is taken back, the
    job cannot be published again.
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
    """The job's publication; of several, the newest."""
    async with database.reading(request.auth.shop) as connection:
        return await publication(connection, shop_domain=request.auth.shop, public_id=public_id)


@delete("/{public_id:str}/publication", status_code=202, responses=TAKING_BACK)
async def delete_publication(
    request: MerchantRequest, public_id: JobId, database: NamedDependency[Database]
) -> PublicationResponse:
    """Take the pictures off the product, and make its other media what they were.

    Their order, alt texts and variants become those of before; what the merchant has added since
    stays where it is, and what the merchant has deleted stays deleted.
    """
    async with database.transaction(request.auth.shop) as connection:
        return await take_back(connection, shop_domain=request.auth.shop, public_id=public_id)


def publications_router(guard: Guard) -> Router:
    """The routes, behind the guard they are given."""
    handlers: list[Any] = [post_publication, get_publication, delete_publication]
    return Router("/v1/jobs", route_handlers=handlers, guards=[guard], tags=["Publications"])
