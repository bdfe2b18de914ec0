"""The stand-in's HTTP: OAuth, Admin GraphQL and the image CDN, told apart by the Host header.

Refuses what Shopify refuses, in Shopify's words where they are known.
"""

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import parse_qsl

import msgspec
from litestar import Litestar, Request, Response, get, post
from litestar.params import FromPath

from backend.dev.shopify import admin, grants
from backend.dev.shopify.catalogue import CDN_HOST
from backend.dev.shopify.state import Answer, Call, Platform, Shop

_NOT_FOUND = Answer(404, {"errors": "Not Found"})
_INVALID_ACCESS_TOKEN = Answer(
    401,
    {
        "errors": "[API] Invalid API key or access token (unrecognized login or wrong password)",
    },
)
_DEAD_REFRESH_TOKEN = Answer(
    401,
    {
        "error": "invalid_request",
        "error_description": "This request requires an active refresh_token",
    },
)
_NO_QUERY = Answer(400, {"errors": {"query": "Required parameter missing or invalid"}})

Body = TypeVar("Body")


class Question(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The body of a GraphQL request."""

    query: str
    variables: dict[str, object] | None = None
    operation_name: str | None = None


def stand_in_app(platform: Platform) -> Litestar:
    """Return the ASGI application that answers for all of Shopify's hosts."""

    @post("/admin/oauth/access_token", status_code=200)
    async def access_token(request: Request[Any, Any, Any]) -> Response[Any]:
        form = _form(await request.body(), request.headers.get("content-type", ""))
        call: Call = "refresh" if form.get("grant_type") == "refresh_token" else "exchange"
        return await _respond(platform, call, lambda: _token(platform, _host(request), form))

    @post("/admin/api/{version:str}/graphql.json", status_code=200)
    async def admin_graphql(
        request: Request[Any, Any, Any], version: FromPath[str]
    ) -> Response[Any]:
        body = await request.body()
        token = request.headers.get("x-shopify-access-token", "")
        return await _respond(
            platform,
            "graphql",
            lambda: _graphql(platform, _host(request), version, token, body),
        )

    @get("/s/files/1/{number:int}/files/{filename:str}")
    async def cdn_file(
        request: Request[Any, Any, Any], number: FromPath[int], filename: FromPath[str]
    ) -> Response[Any]:
        path = f"/s/files/1/{number}/files/{filename}"
        version = request.query_params.get("v")
        return await _respond(
            platform, "image", lambda: _file(platform, _host(request), path, version)
        )

    # Logging is the host program's: Litestar would configure the root logger.
    return Litestar(
        [access_token, admin_graphql, cdn_file], openapi_config=None, logging_config=None
    )


async def _respond(platform: Platform, call: Call, work: Callable[[], Answer]) -> Response[Any]:
    """Count the call, wait, and answer: with the failure that is due, or with the work's."""
    platform.calls[call] += 1
    await asyncio.sleep(platform.latency)
    fault = platform.next_fault(call)
    if fault is None:
        answer = work()
    else:
        answer = fault.answer
        if fault.processed:
            work()
    return Response(
        answer.body,
        status_code=answer.status,
        headers=answer.headers,
        media_type=answer.content_type,
    )


def _host(request: Request[Any, Any, Any]) -> str:
    return request.headers.get("host", "").partition(":")[0].lower()


def _form(body: bytes, content_type: str) -> dict[str, Any]:
    """Return the fields of a JSON or form-encoded body; of anything else, none."""
    if content_type.startswith("application/x-www-form-urlencoded"):
        return dict(parse_qsl(body.decode(errors="replace")))
    return _decoded(body, dict[str, Any]) or {}


def _decoded(body: bytes, shape: type[Body]) -> Body | None:
    try:
        return msgspec.json.decode(body, type=shape)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def _token(platform: Platform, host: str, form: dict[str, Any]) -> Answer:
    shop = platform.shops.get(host)
    if shop is None:
        return _NOT_FOUND
    if (form.get("client_id"), form.get("client_secret")) != (platform.api_key, platform.secret):
        return Answer(400, {"error": "invalid_client"})
    match form.get("grant_type"):
        case "refresh_token":
            return _refreshed(platform, shop, form)
        case grants.TOKEN_EXCHANGE:
            return _exchanged(platform, shop, form)
        case _:
            return Answer(400, {"error": "unsupported_grant_type"})


def _refreshed(platform: Platform, shop: Shop, form: dict[str, Any]) -> Answer:
    pair = shop.grants.refresh(
        str(form.get("refresh_token")), platform.clock(), platform.access_token_lifetime
    )
    return _DEAD_REFRESH_TOKEN if pair is None else _granted(shop, pair)


def _exchanged(platform: Platform, shop: Shop, form: dict[str, Any]) -> Answer:
    if not grants.asks_for_expiring_offline_token(form):
        return Answer(400, {"error": "invalid_request"})
    now = platform.clock()
    genuine = grants.is_id_token_of(
        shop.domain,
        form.get("subject_token"),
        api_key=platform.api_key,
        secret=platform.secret,
        now=now,
    )
    if not (genuine and shop.installed):
        return Answer(400, {"error": "invalid_subject_token"})
    return _granted(shop, shop.grants.issue(now, platform.access_token_lifetime))


def _granted(shop: Shop, pair: dict[str, object]) -> Answer:
    return Answer(200, {**pair, "scope": ",".join(sorted(shop.scopes))})


def _graphql(platform: Platform, host: str, version: str, token: str, body: bytes) -> Answer:
    shop = platform.shops.get(host)
    if shop is None or version not in admin.API_VERSIONS:
        return _NOT_FOUND
    if not shop.grants.covers(token, platform.clock()):
        return _INVALID_ACCESS_TOKEN
    asked = _decoded(body, Question)
    if asked is None:
        return _NO_QUERY
    result = admin.answer(platform, shop, asked.query, asked.variables, asked.operation_name)
    return Answer(200, {**result, "extensions": cost(3, 3)}, {"X-Shopify-API-Version": version})


def cost(requested: int, actual: int | None, *, available: float = 1997.0) -> dict[str, object]:
    """Return the `extensions` of an answer, in points; a shop on the Standard plan."""
    return {
        "cost": {
            "requestedQueryCost": requested,
            "actualQueryCost": actual,
            "throttleStatus": {
                "maximumAvailable": 2000.0,
                "currentlyAvailable": available,
                "restoreRate": 100.0,
            },
        }
    }


def _file(platform: Platform, host: str, path: str, version: str | None) -> Answer:
    picture = platform.catalogue.file(path, version) if host == CDN_HOST else None
    if picture is None:
        return Answer(404, b"", content_type="text/html")
    return Answer(200, picture.content, content_type=picture.content_type)
