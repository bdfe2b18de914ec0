"""A job's detail or events, or a 304 if the caller already has the current version."""

from http import HTTPStatus

from backend.jobs.detail import job_detail, job_events
from backend.jobs.etags import Version, job_version, matches
from backend.jobs.read_services import ReadServices
from backend.jobs.schemas import JobDetailResponse, JobEventsResponse
from backend.web import JsonResponse


async def read_detail(
    reads: ReadServices, *, shop_domain: str, public_id: str, tags: str | None
) -> JsonResponse:
    """The job's detail; `tags` is the If-None-Match header. Raises as `job_detail` does."""
    if tags and (unchanged := await not_modified(reads, shop_domain, public_id, tags)):
        return unchanged
    window = reads.presigner.current_window()
    version, body = await job_detail(
        reads.database, reads.presigner, shop_domain=shop_domain, public_id=public_id
    )
    return ok(version, window, body)


async def read_events(
    reads: ReadServices, *, shop_domain: str, public_id: str, tags: str | None, since: int
) -> JsonResponse:
    """The job's events after `since`, without waiting for any. Raises as `job_detail` does."""
    if tags and (unchanged := await not_modified(reads, shop_domain, public_id, tags)):
        return unchanged
    window = reads.presigner.current_window()
    version, body = await job_events(
        reads.database, reads.presigner, shop_domain=shop_domain, public_id=public_id, since=since
    )
    return ok(version, window, body)


async def not_modified(
    reads: ReadServices, shop_domain: str, public_id: str, tags: str
) -> JsonResponse | None:
    """A 304 if the caller has the current version; uses a narrow statement and signs nothing."""
    window = reads.presigner.current_window()
    version = await job_version(reads.database, shop_domain=shop_domain, public_id=public_id)
    if not matches(tags, version.etag(window)):
        return None
    return JsonResponse(HTTPStatus.NOT_MODIFIED, version.headers(window), None)


def ok(version: Version, window: int, body: JobDetailResponse | JobEventsResponse) -> JsonResponse:
    """A 200; its URLs were signed at `window` or later."""
    return JsonResponse(HTTPStatus.OK, version.headers(window), body)
