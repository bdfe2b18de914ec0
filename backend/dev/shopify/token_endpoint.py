"""`POST /admin/oauth/access_token`: grants tokens, and refuses with Shopify's messages."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from backend.dev.shopify import id_token
from backend.dev.shopify.grants import ID_TOKEN, OFFLINE_TOKEN, TOKEN_EXCHANGE, Pair
from backend.dev.shopify.state import HttpResponse, Platform, ShopRecord

LASTING_TOKENS_END_AT = datetime(2027, 1, 1, tzinfo=UTC).timestamp()
"""From here on no public app may use tokens that do not expire."""

DEAD_REFRESH_TOKEN = HttpResponse(
    401,
    {
        "error": "invalid_request",
        "error_description": "This request requires an active refresh_token",
    },
)


def granted(platform: Platform, shop: ShopRecord, form: Mapping[str, Any]) -> HttpResponse:
    """Answer one request for a token."""
    if (form.get("client_id"), form.get("client_secret")) != (platform.api_key, platform.secret):
        return HttpResponse(400, {"error": "invalid_client"})
    match form.get("grant_type"):
        case "refresh_token":
            return _refreshed(platform, shop, form)
        case grant if grant == TOKEN_EXCHANGE:
            return _exchanged(platform, shop, form)
        case _:
            return HttpResponse(400, {"error": "unsupported_grant_type"})


def accepts_lasting_tokens(platform: Platform) -> bool:
    """Whether Shopify still takes this app's tokens that do not expire.

    Never of public apps since 2026-04-01, of older ones until the end of 2026, of custom apps for
    good.
    """
    if platform.app_kind == "old":
        return platform.clock() < LASTING_TOKENS_END_AT
    return platform.app_kind == "custom"


def _refreshed(platform: Platform, shop: ShopRecord, form: Mapping[str, Any]) -> HttpResponse:
    pair = shop.grants.refresh(
        str(form.get("refresh_token")), platform.clock(), platform.access_token_lifetime
    )
    return DEAD_REFRESH_TOKEN if pair is None else _answer(shop, pair)


def _exchanged(platform: Platform, shop: ShopRecord, form: Mapping[str, Any]) -> HttpResponse:
    expiring = form.get("expiring") in (1, "1")
    if form.get("requested_token_type") != OFFLINE_TOKEN:
        return HttpResponse(400, {"error": "invalid_request"})
    if not (expiring or accepts_lasting_tokens(platform)):
        return HttpResponse(400, {"error": "invalid_request"})
    now, lifetime = platform.clock(), platform.access_token_lifetime
    pair: Pair | None = None
    match form.get("subject_token_type"):
        case kind if kind == OFFLINE_TOKEN and expiring:
            pair = shop.grants.migrate(str(form.get("subject_token")), now, lifetime)
        case kind if kind == ID_TOKEN:
            genuine = id_token.is_of(
                shop.domain,
                form.get("subject_token"),
                api_key=platform.api_key,
                secret=platform.secret,
                now=now,
            )
            if genuine and shop.installed:
                pair = (
                    shop.grants.issue(now, lifetime)
                    if expiring
                    else {"access_token": shop.grants.issue_lasting()}
                )
        case _:
            return HttpResponse(400, {"error": "invalid_request"})
    return (
        HttpResponse(400, {"error": "invalid_subject_token"})
        if pair is None
        else _answer(shop, pair)
    )


def _answer(shop: ShopRecord, pair: Pair) -> HttpResponse:
    return HttpResponse(200, {**pair, "scope": ",".join(sorted(shop.scopes))})
