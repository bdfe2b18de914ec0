"""`/v1/jobs`: the jobs of the authenticated shop, and of no other."""

from typing import Annotated, Any

from litestar import Request, Response, Router, get, post
from litestar.di import NamedDependency
from litestar.params import PathParameter, QueryParameter
from litestar.types import Guard

from backend.auth.merchant import Merchant
from backend.db import Database
from backend.errors import InvalidRequest, JobAlreadyFinished, JobNotFound
from backend.http_semantics import listed_header, sent_method
from backend.jobs.cancellation import cancel_job
from backend.jobs.conditional_get import read_detail, read_events
from backend.jobs.etags import TAG_HEADER
from backend.jobs.ids import PATTERN
from backend.jobs.lineage import job_lineage
from backend.jobs.lineage_schemas import JobLineageResponse
from backend.jobs.listing import JobListRequest, job_list, moment
from backend.jobs.long_poll import wait_for_events
from backend.jobs.paging import link, require_given
from backend.jobs.read_services import ReadServices
from backend.jobs.schemas import (
    JobCancelledResponse,
    JobDetailResponse,
    JobEventsResponse,
    JobListResponse,
)
from backend.jobs.states import JobStatus
from backend.openapi_responses import OF_A_SHOP, documented

MAX_SEQ = 2**31 - 1
MAX_OFFSET = 10_000  # beyond it, use a cursor

Since = Annotated[
    int, QueryParameter(ge=0, le=MAX_SEQ, description="Return events after this `seq`.")
]
Wait = Annotated[int, QueryParameter(ge=0, le=25, description="Seconds to wait for a new event.")]
Limit = Annotated[int, QueryParameter(ge=1, le=200)]
Offset = Annotated[int, QueryParameter(ge=0, le=MAX_OFFSET)]
JobTypeFilter = Annotated[
    str | None, QueryParameter(max_length=64, pattern=r"^[A-Z][A-Z_]*$(?!\n)")
]
CreatedAfter = Annotated[
    str | None,
    QueryParameter(
        schema_extra={"format": "date-time"}, description="A time without an offset is UTC."
    ),
]
JobCursor = Annotated[
    str | None, QueryParameter(pattern=PATTERN, description="From `Link`; without an offset.")
]
# The pattern is documented but not enforced: a malformed ID answers like a missing job.
JobId = Annotated[
    str,
    PathParameter(description="The job's ID, a ULID.", schema_extra={"pattern": PATTERN}),
]
MerchantRequest = Request[Merchant, Any, Any]

OF_A_JOB = (*OF_A_SHOP, JobNotFound)
POLL_HINT = ("Retry-After",)
DETAIL = documented(JobDetailResponse, *OF_A_JOB, versioned=True, sometimes=POLL_HINT)
EVENTS = documented(
    JobEventsResponse, *OF_A_JOB, InvalidRequest, versioned=True, sometimes=POLL_HINT
)
CANCEL = documented(JobCancelledResponse, *OF_A_JOB, JobAlreadyFinished, status=202)


@get("/", responses=documented(JobListResponse, *OF_A_SHOP, InvalidRequest, sometimes=("Link",)))
async def list_jobs(
    *,
    request: MerchantRequest,
    database: NamedDependency[Database],
    job_type: JobTypeFilter = None,
    status: Annotated[JobStatus | None, QueryParameter()] = None,
    created_after: CreatedAfter = None,
    limit: Limit = 50,
    offset: Offset = 0,
    cursor: JobCursor = None,
) -> Response[JobListResponse]:
    """The shop's jobs, newest first."""
    wanted = JobListRequest(
        job_type=job_type,
        status=status,
        created_after=moment("created_after", created_after),
        limit=limit,
        offset=offset,
        cursor=cursor,
    )
    require_given(request.query_params, wanted)
    async with database.reading(request.auth.shop) as connection:
        following, body = await job_list(connection, shop_domain=request.auth.shop, wanted=wanted)
    return Response(body, headers=link(request.url.path, following))


@get("/{public_id:str}", responses=DETAIL)
async def get_job(
    request: MerchantRequest,
    public_id: JobId,
    reads: NamedDependency[ReadServices],
) -> Response[JobDetailResponse | None]:
    """The job, its final artifacts and its latest public event."""
    answer = await read_detail(
        reads,
        shop_domain=request.auth.shop,
        public_id=public_id,
        tags=listed_header(request.scope, TAG_HEADER),
    )
    return Response(answer.body, status_code=answer.status, headers=answer.headers)


@get("/{public_id:str}/events", responses=EVENTS)
async def get_job_events(
    *,
    request: MerchantRequest,
    public_id: JobId,
    reads: NamedDependency[ReadServices],
    since: Since = 0,
    wait: Wait = 0,
) -> Response[JobEventsResponse | None]:
    """The job's public events after `since`. With `wait`, waits until there is one.

    HEAD does not wait.
    """
    of_job: dict[str, Any] = {"shop_domain": request.auth.shop, "public_id": public_id}
    if not wait or sent_method(request.scope) == "HEAD":
        tags = listed_header(request.scope, TAG_HEADER)
        answer = await read_events(reads, **of_job, tags=tags, since=since)
        return Response(answer.body, status_code=answer.status, headers=answer.headers)
    window = reads.presigner.current_window()
    version, body = await wait_for_events(reads, **of_job, since=since, wait=wait)
    return Response(body, headers=version.headers(window))


@get("/{public_id:str}/lineage", responses=documented(JobLineageResponse, *OF_A_JOB))
async def get_job_lineage(
    request: MerchantRequest, public_id: JobId, database: NamedDependency[Database]
) -> JobLineageResponse:
    """Who asked for the job, what it was made from, by which engines, and its reruns."""
    async with database.reading(request.auth.shop) as connection:
        return await job_lineage(connection, shop_domain=request.auth.shop, public_id=public_id)


@post("/{public_id:str}/cancel", status_code=202, summary="Cancel job", responses=CANCEL)
async def post_job_cancel(
    request: MerchantRequest, public_id: JobId, database: NamedDependency[Database]
) -> JobCancelledResponse:
    """End the job now. A worker that renders it stops at the next checkpoint."""
    async with database.transaction(request.auth.shop) as connection:
        return await cancel_job(connection, shop_domain=request.auth.shop, public_id=public_id)


def jobs_router(guard: Guard) -> Router:
    """The routes, protected by `guard`."""
    handlers = [list_jobs, get_job, get_job_events, get_job_lineage, post_job_cancel]
    return Router("/v1/jobs", route_handlers=handlers, guards=[guard], tags=["Jobs"])
