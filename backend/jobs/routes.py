"""`/v1/jobs`: for the shop that the credential proves, and for nobody else."""

from typing import Any

from litestar import Request, Router, get
from litestar.di import NamedDependency
from litestar.params import FromPath
from litestar.types import Guard

from backend.auth.guards import Merchant
from backend.db import Database
from backend.jobs.detail import job_detail
from backend.jobs.schemas import JobDetailResponse
from backend.storage.presign import Presigner


@get("/{public_id:str}")
async def get_job(
    request: Request[Merchant, Any, Any],
    public_id: FromPath[str],
    database: NamedDependency[Database],
    presigner: NamedDependency[Presigner],
) -> JobDetailResponse:
    """A job's header, its final artifacts and its latest public event."""
    async with database.reading() as connection:
        return await job_detail(
            connection, presigner, shop_domain=request.auth.shop, public_id=public_id
        )


def jobs_router(guard: Guard) -> Router:
    """The routes, behind the guard they are given."""
    return Router("/v1/jobs", route_handlers=[get_job], guards=[guard])
