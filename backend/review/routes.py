"""`/v1/review` and `/v1/jobs/{public_id}/dismissal`: what waits for the merchant's decision."""

from typing import Annotated, Any

from litestar import Response, Router, delete, get, post
from litestar.di import NamedDependency
from litestar.params import QueryParameter
from litestar.types import Guard

from backend.db import Database
from backend.errors import AlreadyPublished, InvalidRequest, JobNotFinished
from backend.http_semantics import listed_header
from backend.jobs.etags import TAG_HEADER
from backend.jobs.ids import PATTERN
from backend.jobs.paging import query_problem, require_given
from backend.jobs.read_services import ReadServices
from backend.jobs.routes import OF_A_JOB, JobId, MerchantRequest
from backend.openapi_responses import OF_A_SHOP, documented
from backend.review.dismissal import dismiss, take_dismissal_back
from backend.review.listing import ReviewRequest, read_review
from backend.review.schemas import (
    DEFAULT_CARDS,
    MAX_CARDS,
    DismissalResponse,
    ReviewResponse,
    ReviewState,
)

# Litestar reserves the argument's name `state`, and would report an error under the other name.
State = Annotated[str, QueryParameter(name="state", schema_extra={"enum": list(ReviewState)})]
CardLimit = Annotated[int, QueryParameter(ge=1, le=MAX_CARDS)]
CardCursor = Annotated[str | None, QueryParameter(pattern=PATTERN, description="From `Link`.")]
REVIEW_RESPONSES = documented(
    ReviewResponse, *OF_A_SHOP, InvalidRequest, versioned=True, sometimes=("Link",)
)
DISMISSING = documented(DismissalResponse, *OF_A_JOB, JobNotFinished, AlreadyPublished)
UNDISMISSING = documented(None, *OF_A_JOB, status=204)


@get("/", summary="List review cards", responses=REVIEW_RESPONSES)
async def list_review(
    *,
    request: MerchantRequest,
    reads: NamedDependency[ReadServices],
    review_state: State = ReviewState.WAITING,
    limit: CardLimit = DEFAULT_CARDS,
    cursor: CardCursor = None,
) -> Response[ReviewResponse | None]:
    """Successful jobs with their images, newest first; without those of storefront visitors."""
    wanted = ReviewRequest(state=asked_state(review_state), limit=limit, cursor=cursor)
    require_given(request.query_params, wanted)
    answer = await read_review(
        reads,
        shop_domain=request.auth.shop,
        wanted=wanted,
        path=request.url.path,
        tags=listed_header(request.scope, TAG_HEADER),
    )
    return Response(answer.body, status_code=answer.status, headers=answer.headers)


@post("/{public_id:str}/dismissal", status_code=200, summary="Dismiss job", responses=DISMISSING)
async def post_dismissal(
    request: MerchantRequest, public_id: JobId, database: NamedDependency[Database]
) -> DismissalResponse:
    """Remove a successful job from the review. Safe to repeat. Publishing takes it back too."""
    async with database.transaction(request.auth.shop) as connection:
        return await dismiss(connection, shop_domain=request.auth.shop, public_id=public_id)


@delete("/{public_id:str}/dismissal", status_code=204, responses=UNDISMISSING)
async def delete_dismissal(
    request: MerchantRequest, public_id: JobId, database: NamedDependency[Database]
) -> None:
    """Have the job wait for review again. Safe to repeat."""
    async with database.transaction(request.auth.shop) as connection:
        await take_dismissal_back(connection, shop_domain=request.auth.shop, public_id=public_id)


def asked_state(text: str) -> ReviewState:
    """The state of that name. Raises `InvalidRequest`."""
    if text not in set(ReviewState):
        names = ", ".join(ReviewState)
        raise InvalidRequest([query_problem("state", f"Send one of {names}.")])
    return ReviewState(text)


def review_router(guard: Guard) -> Router:
    """The list, protected by `guard`."""
    return Router("/v1/review", route_handlers=[list_review], guards=[guard], tags=["Review"])


def dismissal_router(guard: Guard) -> Router:
    """The routes of a dismissal, protected by `guard`."""
    handlers: list[Any] = [post_dismissal, delete_dismissal]
    return Router("/v1/jobs", route_handlers=handlers, guards=[guard], tags=["Review"])
