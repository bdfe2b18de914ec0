"""The HTTP interface of the staged uploads' storage: raw bodies, and errors in XML."""

from typing import Any

from litestar import Request
from litestar.datastructures import UploadFile

from backend.dev.shopify.staging import STAGING_HOST, UploadRefused
from backend.dev.shopify.state import HttpResponse, Platform

_NO_BUCKET = HttpResponse(404, b"", content_type="text/html")


def put_object(
    platform: Platform, request: Request[Any, Any, Any], host: str, path: str, content: bytes
) -> HttpResponse:
    """Take a signed PUT of this path."""
    if host != STAGING_HOST:
        return _NO_BUCKET
    query = request.scope["query_string"].decode(errors="replace")
    kind = request.headers.get("content-type", "")
    try:
        platform.staging.put(path, query, kind, content, platform.clock())
    except UploadRefused as refused:
        return _refused(refused)
    return HttpResponse(200, b"", content_type="text/html")


def post_object(
    platform: Platform, host: str, form: dict[str, str], content: bytes
) -> HttpResponse:
    """Take a POST with the signed fields of its form."""
    if host != STAGING_HOST:
        return _NO_BUCKET
    try:
        target = platform.staging.post(form, content, platform.clock())
    except UploadRefused as refused:
        return _refused(refused)
    body = f"<PostResponse><Location>{target.resource_url}</Location></PostResponse>"
    return HttpResponse(201, body.encode(), content_type="application/xml")


def _refused(refused: UploadRefused) -> HttpResponse:
    body = f"<?xml version='1.0' encoding='UTF-8'?><Error><Code>{refused.code}</Code></Error>"
    return HttpResponse(refused.status, body.encode(), content_type="application/xml")


async def multipart(request: Request[Any, Any, Any]) -> tuple[dict[str, str], bytes]:
    """The text fields of a form, and the bytes of its `file`."""
    form = await request.form()
    content = b""
    fields: dict[str, str] = {}
    for name, value in form.items():
        if isinstance(value, UploadFile):
            content = await value.read() if name == "file" else content
        else:
            fields[name] = str(value)
    return fields, content
