"""The stand-in's HTTP routes: OAuth, Admin GraphQL, staged uploads and the CDN, by Host.

Refuses what Shopify refuses, with Shopify's messages where they are known.
"""

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar
from urllib.parse import parse_qsl

import msgspec
from litestar import Litestar, Request, Response, post, put, route
from litestar.params import FromPath

from backend.dev.shopify import admin, refusals, token_endpoint, transforms
from backend.dev.shopify.charge_page import charge_page
from backend.dev.shopify.embedded_admin import embedded_admin
from backend.dev.shopify.fault_injection import respond
from backend.dev.shopify.media import CDN_HOST
from backend.dev.shopify.partner_api import partner_router
from backend.dev.shopify.pricing_page import pricing_page
from backend.dev.shopify.state import Call, HttpResponse, Platform, ShopRecord
from backend.dev.shopify.upload_http import multipart, post_object, put_object
from backend.dev.transport import LOOPBACK_HOSTS

MAX_REQUEST_BYTES = (
    32_000_000  # bytes: above what may be uploaded, so that its limit is what refuses
)

_NOT_FOUND = HttpResponse(404, {"errors": "Not Found"})
_NO_FILE = HttpResponse(404, b"", content_type="text/html")
_INVALID_ACCESS_TOKEN = HttpResponse(
    401,
    {
        "errors": "[API] Invalid API key or access token (unrecognized login or wrong password)",
    },
)
_LASTING_TOKEN = HttpResponse(403, {"errors": "Non-expiring access tokens are no longer accepted"})
_NO_QUERY = HttpResponse(400, {"errors": {"query": "Required parameter missing or invalid"}})

Decoded = TypeVar("Decoded")
AroundRequest = Callable[[ShopRecord], Awaitable[None]]
"""A hook before or after a shop's GraphQL request: downloads, webhooks."""


class GraphQlRequest(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The body of a GraphQL request."""

    query: str
    variables: dict[str, object] | None = None
    operation_name: str | None = None


def stand_in_app(
    platform: Platform,
    before: AroundRequest,
    after: AroundRequest,
    app_url: Callable[[], str],
) -> Litestar:
    """Return the ASGI application that answers for all of Shopify's hosts."""

    @post("/admin/oauth/access_token", status_code=200)
    async def access_token(request: Request[Any, Any, Any]) -> Response[Any]:
        form = _form(await request.body(), request.headers.get("content-type", ""))
        call: Call = "refresh" if form.get("grant_type") == "refresh_token" else "exchange"
        return await respond(platform, call, lambda: _token(platform, request, form), request)

    @post("/admin/api/{version:str}/graphql.json", status_code=200)
    async def admin_graphql(
        request: Request[Any, Any, Any], version: FromPath[str]
    ) -> Response[Any]:
        asked = _decoded(await request.body(), GraphQlRequest)
        aimed = any(fault.field for fault in platform.faults["graphql"])
        fields = admin.root_fields(asked.query, asked.operation_name) if asked and aimed else []
        shop = platform.shops.get(_host(request))
        if shop is not None and not platform.is_held:
            await before(shop)
        answer = await respond(
            platform,
            "graphql",
            lambda: _graphql(platform, shop, version, request, asked),
            request,
            fields=fields,
        )
        if shop is not None:
            await after(shop)
        return answer

    @route("/s/files/1/{number:int}/files/{filename:str}", http_method=["GET", "HEAD"])
    async def cdn_file(
        request: Request[Any, Any, Any], number: FromPath[int], filename: FromPath[str]
    ) -> Response[Any]:
        path = f"/s/files/1/{number}/files/{filename}"
        version = request.query_params.get("v")
        return await respond(
            platform, "image", lambda: _file(platform, request, path, version), request
        )

    @put("/tmp/{path:path}", status_code=200, request_max_body_size=MAX_REQUEST_BYTES)  # noqa: S108
    async def staged_put(request: Request[Any, Any, Any], path: FromPath[str]) -> Response[Any]:
        content = await request.body()
        return await respond(
            platform,
            "upload",
            lambda: put_object(platform, request, _host(request), f"tmp{path}", content),
            request,
        )

    @post("/", status_code=201, request_max_body_size=MAX_REQUEST_BYTES)
    async def staged_post(request: Request[Any, Any, Any]) -> Response[Any]:
        form, content = await multipart(request)
        return await respond(
            platform,
            "upload",
            lambda: post_object(platform, _host(request), form, content),
            request,
        )

    # Logging is the host program's: Litestar would configure the root logger.
    return Litestar(
        [
            access_token,
            admin_graphql,
            cdn_file,
            staged_put,
            staged_post,
            embedded_admin(platform, app_url),
            charge_page(platform, after),
            pricing_page(platform),
            partner_router(platform),
        ],
        openapi_config=None,
        logging_config=None,
    )


def _host(request: Request[Any, Any, Any]) -> str:
    return request.headers.get("host", "").partition(":")[0].lower()


def _form(body: bytes, content_type: str) -> dict[str, Any]:
    """Return the fields of a JSON or form-encoded body; of anything else, none."""
    if content_type.startswith("application/x-www-form-urlencoded"):
        return dict(parse_qsl(body.decode(errors="replace")))
    return _decoded(body, dict[str, Any]) or {}


def _decoded(body: bytes, shape: type[Decoded]) -> Decoded | None:
    try:
        return msgspec.json.decode(body, type=shape)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


# Shops


def _token(
    platform: Platform, request: Request[Any, Any, Any], form: dict[str, Any]
) -> HttpResponse:
    shop = platform.shops.get(_host(request))
    if shop is None:
        return _NOT_FOUND
    answer = _locked(shop) or token_endpoint.granted(platform, shop, form)
    return answer if _wants_json(request) else _as_page(answer)


def _wants_json(request: Request[Any, Any, Any]) -> bool:
    return "application/json" in request.headers.get("accept", "")


def _as_page(answer: HttpResponse) -> HttpResponse:
    """A refusal as Shopify writes it for people, who do not ask for JSON."""
    if answer.status == 200:
        return answer
    page = b"<!DOCTYPE html><title>Oauth error</title>"
    return HttpResponse(answer.status, page, content_type="text/html")


def _graphql(
    platform: Platform,
    shop: ShopRecord | None,
    version: str,
    request: Request[Any, Any, Any],
    asked: GraphQlRequest | None,
) -> HttpResponse:
    served = admin.served_version(version)
    if shop is None or served is None:
        return _NOT_FOUND
    refused = _locked(shop) or _unknown(
        platform, shop, request.headers.get("x-shopify-access-token", "")
    )
    if refused is not None:
        return refused
    if shop.locked_with == 200:
        return HttpResponse(200, {"errors": [refusals.shop_inactive()]})
    if asked is None:
        return _NO_QUERY
    result = admin.metered_answer(
        platform, shop, asked.query, asked.variables, asked.operation_name
    )
    return HttpResponse(200, result, {"X-Shopify-API-Version": served})


def _locked(shop: ShopRecord) -> HttpResponse | None:
    if shop.locked_with in (None, 200):
        return None
    return HttpResponse(shop.locked_with, {"errors": "Unavailable Shop"})


def _unknown(platform: Platform, shop: ShopRecord, token: str) -> HttpResponse | None:
    """The refusal of a token that is none, has died, or is of a kind that is over."""
    if shop.grants.covers(token, platform.clock()):
        return None
    if not shop.grants.is_lasting(token):
        return _INVALID_ACCESS_TOKEN
    return None if token_endpoint.accepts_lasting_tokens(platform) else _LASTING_TOKEN


# Files


def _file(
    platform: Platform, request: Request[Any, Any, Any], path: str, version: str | None
) -> HttpResponse:
    # A browser has the CDN's files from the stand-in's own address: see `page/app-bridge.js`.
    if _host(request) not in {CDN_HOST, *LOOPBACK_HOSTS}:
        return _NO_FILE
    picture = platform.catalogue.file(path, version)
    if picture is None and (wanted := transforms.transformation(path)) is not None:
        original, transformation = wanted
        found = platform.catalogue.file(original, version)
        picture = found and transforms.transformed(found, transformation)
    if picture is None:
        return _NO_FILE
    return HttpResponse(200, picture.content, content_type=picture.content_type)
