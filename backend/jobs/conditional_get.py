"""A job's detail or events, or a 304 if the caller already has the current version."""

from collections.abc import Awaitable, Callable
from functools import partial
from http import HTTPStatus

import msgspec

from backend.jobs.body_cache import CacheKey
from backend.jobs.detail import job_detail, job_events
from backend.jobs.etags import Version, job_version, matches
from backend.jobs.read_services import ReadServices
from backend.web import JsonResponse

OK, NOT_MODIFIED = HTTPStatus.OK.value, HTTPStatus.NOT_MODIFIED.value


def read_detail(
    reads: ReadServices, *, shop_domain: str, public_id: str, tags: str | None
) -> Awaitable[JsonResponse]:
    """The job's detail; `tags` is the If-None-Match header. Raises as `job_detail` does."""
    return read_part(
        reads,
        CacheKey(shop_domain, public_id, "detail"),
        tags,
        partial(job_detail, reads.database, reads.presigner),
    )


def read_events(
    reads: ReadServices, *, shop_domain: str, public_id: str, tags: str | None, since: int
) -> Awaitable[JsonResponse]:
    """The job's events after `since`, without waiting for any. Raises as `job_detail` does."""
    return read_part(
        reads,
        CacheKey(shop_domain, public_id, f"events.{since}"),
        tags,
        partial(job_events, reads.database, reads.presigner, since=since),
    )


async def read_part(
    reads: ReadServices,
    key: CacheKey,
    tags: str | None,
    read: Callable[..., Awaitable[tuple[Version, msgspec.Struct]]],
) -> JsonResponse:
    """The part, or a 304; what the caller or the cache already has is not read again."""
    job = {"shop_domain": key.shop_domain, "public_id": key.public_id}
    window = reads.presigner.current_window()
    cached = reads.bodies.get(key, window)
    if cached or tags:
        headers = (await job_version(reads.database, **job)).headers(window)
        if tags and matches(tags, headers["ETag"]):
            return JsonResponse(NOT_MODIFIED, headers, None)
        if cached and cached.etag == headers["ETag"]:
            return JsonResponse(OK, headers, cached.body)
    version, shown = await read(**job)
    headers, body = version.headers(window), msgspec.Raw(msgspec.json.encode(shown))
    reads.bodies.put(key, headers["ETag"], body)  # its URLs were signed at `window` or later
    return JsonResponse(OK, headers, body)
